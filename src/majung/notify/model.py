"""What a notice is, and the part of an order that notices are made of.

Times are Unix milliseconds, UTC (`_ms`), places WGS 84 degrees, money whole won (`_krw`).
"""

from enum import StrEnum

import msgspec

from majung.orders.model import FINAL, Actor, OrderState

Params = dict[str, str | int]
CARRYING = frozenset({OrderState.PICKED_UP, OrderState.DELIVERING})
FETCHING = frozenset({OrderState.COOKING, OrderState.READY})


class Kind(StrEnum):
    """What is told. The values are part of the API."""

    RECEIVED = "received"
    COOKING = "cooking"
    READY = "ready"
    PICKED_UP = "picked_up"
    DELIVERING = "delivering"
    ARRIVING = "arriving"  # the rider is within notify.near_m of the door
    DELIVERED = "delivered"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAILED = "failed"
    NEW_ORDER = "new_order"
    RIDER_ASSIGNED = "rider_assigned"
    RIDER_LEFT = "rider_left"
    RIDER_AT_STORE = "rider_at_store"
    OFFER = "offer"
    ASSIGNED = "assigned"
    TAKEN_AWAY = "taken_away"


class Draft(msgspec.Struct, frozen=True):
    """Something to tell. `cause` tells two of one kind apart: a version, an offer, a rider.

    `recipient` is a key of `orders.view_policy`: `customer:SUBJECT`, `store:ID`, `rider:ID`.
    """

    recipient: str
    order_id: str
    kind: Kind
    cause: str
    params: Params
    at_ms: int
    expires_at_ms: int


class Notice(msgspec.Struct, frozen=True):
    """Something that was told. `id` counts up in the order in which notices were made."""

    id: int
    recipient: str
    kind: Kind
    order_id: str
    at_ms: int
    read: bool
    params: Params


class Door(msgspec.Struct, frozen=True):
    """Where an order goes, as far as it matters here."""

    latitude: float
    longitude: float
    precision: str = "point"


class SeenOrder(msgspec.Struct, frozen=True):
    """The part of `orders.model.Order` that is read here: the rest is skipped, which is faster."""

    state: OrderState
    customer: str
    store_id: str
    store_name: str
    store_latitude: float
    store_longitude: float
    address: Door
    total_krw: int
    rider_id: str = ""
    cooking_minutes: int = 0
    reason: str = ""


class SeenEvent(msgspec.Struct, frozen=True):
    """The part of `orders.model.OrderEvent` that is read here."""

    order_id: str
    version: int
    command: str
    actor: Actor
    at_ms: int
    order: SeenOrder


class CarriedOrder(msgspec.Struct, frozen=True):
    """An order that has, or had, a rider: the row of `notify_order`.

    Positions older than `since_ms` say nothing about it: the rider had not got it, or not picked it up.
    """

    order_id: str
    version: int
    state: OrderState
    rider_id: str
    customer: str
    store_id: str
    store_name: str
    store_latitude: float
    store_longitude: float
    latitude: float
    longitude: float
    precision: str
    since_ms: int
    changed_at_ms: int
    store_told_ms: int = 0
    home_told_ms: int = 0

    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL


class Near(msgspec.Struct, frozen=True):
    """A rider is near a place of an order: `kind` is ARRIVING or RIDER_AT_STORE."""

    order_id: str
    rider_id: str
    kind: Kind
    at_ms: int
