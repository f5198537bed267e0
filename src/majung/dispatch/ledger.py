"""What is written: each function is one transaction, and says what it changed.

Every one of them asks the tables, not the memory: two servers, or a server and its own past, come to the
same answer.
"""

from collections.abc import Sequence

import msgspec

from majung.dispatch import store as sql
from majung.dispatch.model import Offer, OfferOver, OfferStatus, OpenOrder
from majung.orders.model import Command
from majung.ports import Row, Transaction

Changes = list[OpenOrder | Offer]


class News(msgspec.Struct, frozen=True):
    """An order event as dispatch takes it; `hold` is what an assignment without an offer is entered as."""

    order: OpenOrder
    command: str
    hold: Offer | None


def offer_of(row: Row) -> Offer:
    """A row as a struct."""
    offer_id, order_id, rider_id, status, *rest = row
    return Offer(offer_id, order_id, rider_id, OfferStatus(status), *rest)


def order_of(row: Row) -> OpenOrder:
    """A row as a struct."""
    return msgspec.convert(dict(zip(OpenOrder.__struct_fields__, row, strict=True)), OpenOrder)


def observe(tx: Transaction, news: Sequence[News], now_ms: int) -> Changes:
    """What happened to orders: enter it, end what it ends. An event that is not newer changes nothing."""
    changes: Changes = []
    for item in news:
        rows = tx.execute(sql.UPSERT_ORDER, msgspec.structs.asdict(item.order))
        if not rows:
            continue
        order = order_of(rows[0])
        changes.append(order)
        changes += [offer_of(row) for row in _consequences(tx, order, item, now_ms)]
    return changes


def _consequences(tx: Transaction, order: OpenOrder, item: News, now_ms: int) -> list[Row]:
    asked = {"order_id": order.order_id, "rider_id": order.rider_id, "now_ms": now_ms}
    if order.ended():
        return tx.execute(sql.END_OF_ORDER, {"order_id": order.order_id, "now_ms": now_ms})
    if not order.rider_id:
        # Only this command takes an order from its rider: another event may come between an acceptance
        # and its assignment, and must not undo it.
        return tx.execute(sql.TAKE_FROM, asked) if item.command == Command.UNASSIGN else []
    rows = tx.execute(sql.TAKE_FROM, asked)
    confirmed = tx.execute(sql.CONFIRM, asked)
    if not confirmed and item.hold is not None:
        withdrawn = {"rider_id": order.rider_id, "status": OfferStatus.WITHDRAWN, "now_ms": now_ms}
        rows += tx.execute(sql.DROP_OPEN_OF_RIDER, withdrawn)
        confirmed = tx.execute(sql.INSERT_HOLD, msgspec.structs.asdict(item.hold))
    return rows + confirmed


def open_offers(tx: Transaction, offers: Sequence[Offer]) -> Changes:
    """Make these offers, each only when order and rider are still to be had; else what stands in the way."""
    changes: Changes = []
    for offer in offers:
        params = msgspec.structs.asdict(offer)
        rows = tx.execute(sql.INSERT_OFFER, params)
        if not rows:
            pair = {"rider_id": offer.rider_id, "order_id": offer.order_id}
            rows = tx.execute(sql.SELECT_HELD_BY_EITHER, pair)
        changes += [offer_of(row) for row in rows]
    return changes


def accept(tx: Transaction, offer_id: str, rider_id: str, now_ms: int) -> Offer:
    """The rider takes it; again and again is once. Raises LookupError, OfferOver."""
    asked = {"offer_id": offer_id, "rider_id": rider_id, "now_ms": now_ms}
    rows = tx.execute(sql.ACCEPT, asked)
    if rows:
        return offer_of(rows[0])
    offer = own_offer(tx, offer_id, rider_id)
    if offer.status in (OfferStatus.ACCEPTED, OfferStatus.DONE):
        return offer
    raise OfferOver(why_over(offer))


def decline(tx: Transaction, offer_id: str, rider_id: str, now_ms: int) -> Offer:
    """The rider does not take it; again is fine. Raises LookupError, OfferOver when it was accepted."""
    offer = own_offer(tx, offer_id, rider_id)
    if offer.status in (OfferStatus.ACCEPTED, OfferStatus.DONE):
        raise OfferOver("you have accepted this offer; an accepted order is given back with unassign")
    rows = change(tx, offer, OfferStatus.DECLINED, now_ms) if offer.status is OfferStatus.OPEN else []
    return rows[0] if rows else offer


def change(tx: Transaction, offer: Offer, status: OfferStatus, now_ms: int) -> list[Offer]:
    """From the status that `offer` has to another; [] when it has changed meanwhile."""
    asked = {"offer_id": offer.offer_id, "before": offer.status, "status": status, "now_ms": now_ms}
    return [offer_of(row) for row in tx.execute(sql.CHANGE, asked)]


def own_offer(tx: Transaction, offer_id: str, rider_id: str) -> Offer:
    """An offer of this rider. Raises LookupError, also when it is another's: ids of others say nothing."""
    rows = tx.execute(sql.SELECT_OFFER, {"offer_id": offer_id})
    if not rows or rows[0][2] != rider_id:
        raise LookupError(f"no offer {offer_id[:64]!r}")
    return offer_of(rows[0])


def set_duty(tx: Transaction, rider_id: str, on: bool, now_ms: int) -> list[Offer]:
    """On or off duty; going off declines the open offer."""
    tx.execute(sql.PUT_DUTY, {"rider_id": rider_id, "on_duty": int(on), "now_ms": now_ms})
    if on:
        return []
    asked = {"rider_id": rider_id, "status": OfferStatus.DECLINED, "now_ms": now_ms}
    return [offer_of(row) for row in tx.execute(sql.DROP_OPEN_OF_RIDER, asked)]


def why_over(offer: Offer) -> str:
    """For the rider whose answer came too late."""
    words = {
        OfferStatus.OPEN: "the time to accept this offer is over",
        OfferStatus.EXPIRED: "the time to accept this offer is over",
        OfferStatus.DECLINED: "you have declined this offer",
        OfferStatus.WITHDRAWN: "the order has ended, or went to somebody else",
        OfferStatus.RELEASED: "the order was given to somebody else",
    }
    return words.get(offer.status, "this offer is over")
