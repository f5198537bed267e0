"""What dispatch knows of an order, what an offer is, and what a rider is shown.

Money is in whole Korean won (`_krw`), times are Unix milliseconds, UTC (`_ms`), ways metres (`_m`).
"""

from enum import StrEnum

import msgspec

from majung.orders.model import FINAL, Order, OrderState

OFFERED_IN = frozenset({OrderState.COOKING, OrderState.READY})
CARRIED_IN = OFFERED_IN | {OrderState.PICKED_UP, OrderState.DELIVERING}


class OfferStatus(StrEnum):
    """Where an offer stands. OPEN and ACCEPTED bind the rider; the others are history."""

    OPEN = "open"
    ACCEPTED = "accepted"  # the order is this rider's, or is being assigned
    DECLINED = "declined"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"  # the order ended or went to somebody else before there was an answer
    RELEASED = "released"  # the order was taken from this rider
    DONE = "done"


HELD = frozenset({OfferStatus.OPEN, OfferStatus.ACCEPTED})


class OfferOver(Exception):
    """The offer can no longer be answered like this. `str()` says why and is safe to show."""


class OpenOrder(msgspec.Struct, frozen=True):
    """An order as dispatch needs it. `start_at_ms`: not offered before; `since_ms`: without rider since."""

    order_id: str
    version: int
    state: OrderState
    rider_id: str
    store_id: str
    store_name: str
    store_latitude: float
    store_longitude: float
    latitude: float
    longitude: float
    address: str
    start_at_ms: int
    since_ms: int
    changed_at_ms: int

    def needs_rider(self) -> bool:
        """Whether it is to be offered."""
        return not self.rider_id and self.state in OFFERED_IN

    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL


class Offer(msgspec.Struct, frozen=True):
    """One order offered to one rider: the row of the database.

    `store_distance_m` is a straight line, `way_m` an estimate of the way from the store to the customer.
    """

    offer_id: str
    order_id: str
    rider_id: str
    status: OfferStatus
    offered_at_ms: int
    expires_at_ms: int
    store_distance_m: float
    way_m: float
    earning_krw: int


class OfferView(msgspec.Struct, frozen=True):
    """An offer as its rider sees it. The door number of the customer comes with the order itself."""

    offer_id: str
    order_id: str
    status: OfferStatus
    offered_at_ms: int
    expires_at_ms: int
    store_id: str
    store_name: str
    store_latitude: float
    store_longitude: float
    store_distance_m: float
    latitude: float
    longitude: float
    address: str
    way_m: float
    earning_krw: int


class RiderStanding(msgspec.Struct, frozen=True):
    """All that dispatch tells a rider: on duty or not, the open offer, the order that is carried ("": none).

    `off_because` says why dispatch took the rider off duty: `missed_offers`, or "" (it did not).
    """

    rider_id: str
    on: bool
    offer: OfferView | None
    order_id: str
    off_because: str = ""


class Unassigned(msgspec.Struct, frozen=True):
    """An order without a rider, as the administrator sees it. `offered_to` is "" when nobody is being asked."""

    order_id: str
    store_id: str
    store_name: str
    state: OrderState
    since_ms: int
    start_at_ms: int
    tries: int
    next_try_ms: int
    radius_m: float
    refused: int
    offered_to: str


class Overview(msgspec.Struct, frozen=True):
    """Orders without a rider, longest waiting first (at most the number asked for), and how many there are."""

    orders: list[Unassigned]
    unassigned: int
    riders_on_duty: int
    riders_free: int


def open_order(order: Order, offer_ahead_ms: int | None, since_ms: int) -> OpenOrder:
    """The order as dispatch keeps it; offered from `offer_ahead_ms` before it is ready (None: at once)."""
    start_at_ms = order.accepted_at_ms or order.placed_at_ms
    if offer_ahead_ms is not None and order.state is OrderState.COOKING:
        start_at_ms += max(0, order.cooking_minutes * 60_000 - offer_ahead_ms)
    return OpenOrder(
        order_id=order.order_id,
        version=order.version,
        state=order.state,
        rider_id=order.rider_id,
        store_id=order.store_id,
        store_name=order.store_name,
        store_latitude=order.store_latitude,
        store_longitude=order.store_longitude,
        latitude=order.address.latitude,
        longitude=order.address.longitude,
        address=order.address.text,
        start_at_ms=start_at_ms,
        since_ms=since_ms,
        changed_at_ms=order.changed_at_ms,
    )
