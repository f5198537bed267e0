"""Who is told what: a table from commands to people. Pure."""

from majung.notify.model import CARRYING, CarriedOrder, Draft, Kind, Params, SeenEvent
from majung.orders.model import Actor, Command

DAY_MS = 86_400_000
SOON_MS = 300_000

_WAS_RIDER = "was_rider"
_NOBODY: frozenset[Actor] = frozenset()

# command ("": placed) → who ("customer", "store", "rider", _WAS_RIDER), what, and who need not be told since
# that is who did it.
TABLE: dict[str, tuple[tuple[str, Kind, frozenset[Actor]], ...]] = {
    "": (("customer", Kind.RECEIVED, _NOBODY), ("store", Kind.NEW_ORDER, _NOBODY)),
    Command.ACCEPT: (("customer", Kind.COOKING, _NOBODY),),
    Command.REJECT: (("customer", Kind.REJECTED, _NOBODY),),
    Command.READY: (("customer", Kind.READY, _NOBODY), ("rider", Kind.READY, _NOBODY)),
    Command.ASSIGN: (
        ("store", Kind.RIDER_ASSIGNED, _NOBODY),
        ("rider", Kind.ASSIGNED, frozenset({Actor.DISPATCH})),  # who accepted an offer knows it
        (_WAS_RIDER, Kind.TAKEN_AWAY, _NOBODY),
    ),
    Command.UNASSIGN: (
        ("store", Kind.RIDER_LEFT, _NOBODY),
        (_WAS_RIDER, Kind.TAKEN_AWAY, frozenset({Actor.RIDER})),
    ),
    Command.PICK_UP: (("customer", Kind.PICKED_UP, _NOBODY),),
    Command.DEPART: (("customer", Kind.DELIVERING, _NOBODY),),
    Command.DELIVER: (("customer", Kind.DELIVERED, _NOBODY),),
    Command.FAIL: (
        ("customer", Kind.FAILED, _NOBODY),
        ("store", Kind.FAILED, _NOBODY),
        ("rider", Kind.FAILED, frozenset({Actor.RIDER})),
    ),
    Command.CANCEL: (
        ("customer", Kind.CANCELLED, _NOBODY),
        ("store", Kind.CANCELLED, frozenset({Actor.STORE})),
        ("rider", Kind.CANCELLED, frozenset({Actor.RIDER})),
    ),
}


def drafts_of(event: SeenEvent, was_rider: str) -> list[Draft]:
    """What is to be told of an event; `was_rider` had the order before it ("": nobody)."""
    order = event.order
    ids = {"customer": order.customer, "store": order.store_id, "rider": order.rider_id}
    if was_rider != order.rider_id:
        ids[_WAS_RIDER] = was_rider
    drafts: list[Draft] = []
    for who, kind, known_to in TABLE.get(event.command, ()):
        id_ = ids.get(who, "")
        if not id_ or event.actor in known_to:
            continue
        part = "rider" if who is _WAS_RIDER else who
        drafts.append(
            Draft(
                recipient=f"{part}:{id_}",
                order_id=event.order_id,
                kind=kind,
                cause=str(event.version),
                params=_params(event, kind),
                at_ms=event.at_ms,
                expires_at_ms=event.at_ms + DAY_MS,
            )
        )
    return drafts


def _params(event: SeenEvent, kind: Kind) -> Params:
    order = event.order
    params: Params = {"store": order.store_name}
    if kind is Kind.COOKING:
        params["minutes"] = order.cooking_minutes
    elif kind is Kind.NEW_ORDER:
        params["total_krw"] = order.total_krw
    elif kind in (Kind.REJECTED, Kind.CANCELLED, Kind.FAILED):
        params["reason"] = order.reason
        params["by"] = event.actor.value
    return params


def carried(event: SeenEvent, before: CarriedOrder | None) -> CarriedOrder:
    """The order as notices keep it, after an event."""
    order = event.order
    renewed = before is None or before.rider_id != order.rider_id or event.command == Command.PICK_UP
    return CarriedOrder(
        order_id=event.order_id,
        version=event.version,
        state=order.state,
        rider_id=order.rider_id,
        customer=order.customer,
        store_id=order.store_id,
        store_name=order.store_name,
        store_latitude=order.store_latitude,
        store_longitude=order.store_longitude,
        latitude=order.address.latitude,
        longitude=order.address.longitude,
        precision=order.address.precision,
        since_ms=event.at_ms if renewed or before is None else before.since_ms,
        changed_at_ms=event.at_ms,
        store_told_ms=before.store_told_ms if before and before.rider_id == order.rider_id else 0,
        home_told_ms=before.home_told_ms if before else 0,
    )


def near_draft(order: CarriedOrder, kind: Kind, at_ms: int, within_m: float) -> Draft:
    """What is told of a rider who is near. Once an order to the customer, once a rider to the store."""
    home = kind is Kind.ARRIVING
    assert home == (order.state in CARRYING)
    return Draft(
        recipient=f"customer:{order.customer}" if home else f"store:{order.store_id}",
        order_id=order.order_id,
        kind=kind,
        cause="" if home else order.rider_id,
        params={"store": order.store_name, "within_m": round(within_m)},
        at_ms=at_ms,
        expires_at_ms=at_ms + SOON_MS,
    )
