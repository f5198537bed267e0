"""Which orders somebody may read, and how much of each: one value, asked for by every read and stream."""

import math
from enum import StrEnum

import msgspec

from majung.auth.model import Forbidden, Principal, Role
from majung.auth.policy import Action, may
from majung.orders.model import Address, Order, OrderState, Precision
from majung.positions.geodesy import distance_m
from majung.positions.model import LivePosition

CARRYING = frozenset({OrderState.PICKED_UP, OrderState.DELIVERING})

# What a share link tells of where an order goes: the square of this size that the door is in, and of the
# rider everything but the last stretch, which would point at the door.
SQUARES_PER_DEG = 200
SQUARE_M = 400.0  # from the middle of a square to its corner, rounded up
LAST_STRETCH_M = 150.0


class Part(StrEnum):
    """As what somebody reads orders."""

    ALL = "all"
    CUSTOMER = "customer"
    STORE = "store"
    RIDER = "rider"
    ORDER = "order"  # one order alone: an administrator who follows it, a share link


class Scope(msgspec.Struct, frozen=True):
    """The orders that have `id` as their customer, store, rider or order id (ALL: every order).

    `sees_code`: the delivery code is between the customer and the door; who carries must not read it here.
    `shared`: through a share link, by anybody.
    """

    part: Part
    id: str = ""
    sees_code: bool = False
    shared: bool = False

    @property
    def key(self) -> str:
        """What changes are filed under, see `keys_of`."""
        return f"{self.part}:{self.id}"

    @property
    def follows_rider(self) -> bool:
        """Whether it gets the position of who carries an order."""
        return self.part in (Part.CUSTOMER, Part.ORDER)

    def covers(self, order: Order) -> bool:
        """Whether the order is one of them."""
        return self.key in keys_of(order)

    def show(self, order: Order) -> Order:
        """The order as they may read it."""
        if self.shared:
            return for_strangers(order)
        return order if self.sees_code or not order.delivery_code else without_code(order)


def without_code(order: Order) -> Order:
    """The same order, its delivery code left out."""
    return msgspec.structs.replace(order, delivery_code="")


def for_strangers(order: Order) -> Order:
    """What is left of an order for who has a share link: how far it is, from which store, about where to.

    Named one by one, so that a field that orders get later is not shown until somebody decides so.
    """
    return Order(
        order_id=order.order_id,
        version=order.version,
        state=order.state,
        customer="",
        store_id="",
        store_name=order.store_name,
        store_latitude=order.store_latitude,
        store_longitude=order.store_longitude,
        address=_about(order.address),
        lines=(),
        total_krw=0,
        placed_at_ms=order.placed_at_ms,
        changed_at_ms=order.changed_at_ms,
        cooking_minutes=order.cooking_minutes,
        accepted_at_ms=order.accepted_at_ms,
        ready_at_ms=order.ready_at_ms,
        picked_up_at_ms=order.picked_up_at_ms,
        departed_at_ms=order.departed_at_ms,
        ended_at_ms=order.ended_at_ms,
    )


def _about(place: Address) -> Address:
    """The middle of the square that it is in: always the same one, so that many links tell no more than one."""
    latitude, longitude = (
        round((math.floor(degrees * SQUARES_PER_DEG) + 0.5) / SQUARES_PER_DEG, 4)
        for degrees in (place.latitude, place.longitude)
    )
    return Address(latitude, longitude, "", "", Precision.DONG, SQUARE_M)


def near_the_door(order: Order, position: LivePosition) -> bool:
    """Whether the rider is on the last stretch, where a share link no longer shows the way."""
    place = order.address
    away_m = distance_m(place.latitude, place.longitude, position.latitude, position.longitude)
    return away_m < LAST_STRETCH_M


def keys_of(order: Order) -> tuple[str, ...]:
    """Every `Scope.key` that this order belongs to."""
    keys = ("all:", f"customer:{order.customer}", f"store:{order.store_id}", f"order:{order.order_id}")
    return (*keys, f"rider:{order.rider_id}") if order.rider_id else keys


def carrier(order: Order) -> str:
    """The rider who has this order in the bag now; "" when nobody does."""
    return order.rider_id if order.state in CARRYING else ""


def customer_of(principal: Principal) -> str:
    """How an order names the customer that this caller is."""
    return principal.subject


def scope_of(principal: Principal) -> Scope:
    """What the caller may read. Raises Forbidden."""
    if may(principal, Action.READ_SHARED_ORDER) and principal.order_id:
        return Scope(Part.ORDER, principal.order_id, shared=True)
    if may(principal, Action.READ_ANY_ORDER):
        return Scope(Part.ALL, sees_code=True)
    if not may(principal, Action.ORDER_READ):
        raise Forbidden(f"the role {principal.role} may not read orders")
    if principal.role is Role.CUSTOMER:
        return Scope(Part.CUSTOMER, customer_of(principal), sees_code=True)
    if principal.role is Role.STORE and principal.store_id:
        return Scope(Part.STORE, principal.store_id)
    if principal.role is Role.RIDER and principal.rider_id:
        return Scope(Part.RIDER, principal.rider_id)
    raise Forbidden(f"this {principal.role} has no orders yet")


def narrowed(scope: Scope, order_id: str | None = None, store_id: str | None = None) -> Scope:
    """One order or one store out of everything, for who may read everything; others keep what is theirs.

    Raises Forbidden when it is not within the scope as far as that can be known.
    """
    if scope.part is Part.ALL and order_id:
        return Scope(Part.ORDER, order_id, scope.sees_code)
    if scope.part is Part.ALL and store_id:
        return Scope(Part.STORE, store_id, scope.sees_code)
    if store_id and (scope.part, scope.id) != (Part.STORE, store_id):
        raise Forbidden("this credential may not see the orders of that store")
    return scope
