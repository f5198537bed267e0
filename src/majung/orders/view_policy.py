"""Which orders somebody may read, and how much of each: one value, asked for by every read and stream."""

from enum import StrEnum

import msgspec

from majung.auth.model import Forbidden, Principal, Role
from majung.auth.policy import Action, may
from majung.orders.model import Order, OrderState

CARRYING = frozenset({OrderState.PICKED_UP, OrderState.DELIVERING})


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
    """

    part: Part
    id: str = ""
    sees_code: bool = False

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
        return order if self.sees_code or not order.delivery_code else without_code(order)


def without_code(order: Order) -> Order:
    """The same order, its delivery code left out."""
    return msgspec.structs.replace(order, delivery_code="")


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
