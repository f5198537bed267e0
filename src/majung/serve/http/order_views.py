"""Orders, the reading side: from the views alone, each as far as the caller has part in them."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.params import Parameter, QueryParameter

from majung.auth.model import Forbidden, Principal
from majung.auth.policy import Action
from majung.orders.model import Order, OrderEvent, OrderState
from majung.orders.order_live import seen_while_carrying
from majung.orders.view_policy import Part, Scope, carrier, scope_of
from majung.orders.views import MAX_LIMIT, Search, no_order
from majung.positions.model import LivePosition
from majung.services import Services

Id = Annotated[str, Parameter(min_length=1, max_length=128)]
OptionalId = Annotated[str | None, Parameter(min_length=1, max_length=128)]
Text = Annotated[str | None, Parameter(max_length=100, description="Anything in names, items, address, id.")]
Version = Annotated[
    int, Parameter(ge=0, le=2**31, description="Waits up to 2 s until this version can be read.")
]
InState = Annotated[OrderState | None, QueryParameter(name="state", description="In this state.")]
OnlyOpen = Annotated[bool | None, QueryParameter(description="true: not ended; false: ended.")]
Limit = Annotated[int, Parameter(ge=1, le=MAX_LIMIT)]
Minutes = Annotated[
    float | None, Parameter(ge=0, le=1e6, description="Open, and unchanged for this many minutes.")
]


class OrdersPage(msgspec.Struct, frozen=True):
    """Newest first. `before=next_before` continues; null: this was the last page."""

    orders: list[Order]
    next_before: str | None


class Board(msgspec.Struct, frozen=True):
    """The open orders of a store, oldest first."""

    store_id: str
    orders: list[Order]


class Job(msgspec.Struct, frozen=True):
    """The one order that a rider has; null: none."""

    order: Order | None


class Trail(msgspec.Struct, frozen=True):
    """Everything that happened to an order, by version."""

    events: list[OrderEvent]


async def _visible(services: Services, scope: Scope, order_id: str, version: int = 0) -> Order:
    """The order, if the scope has part in it. Raises LookupError alike when it is not there and when not."""
    order = await services.order_views.order(order_id, version)
    if not scope.covers(order):
        raise no_order(order_id)
    return order


@get("/v1/orders/{order_id:str}", summary="Read an order", tags=["orders"])
async def get_order(
    order_id: Id, services: Services, principal: Principal, at_least_version: Version = 0
) -> Order:
    """After a change of one's own: `at_least_version` is the version that the change answered.

    404 when there is none, or when the caller has no part in it.
    """
    scope = scope_of(principal)
    return scope.show(await _visible(services, scope, order_id, at_least_version))


@get("/v1/orders", summary="List and search orders", tags=["orders"])
async def list_orders(
    services: Services,
    principal: Principal,
    in_state: InState = None,
    open: OnlyOpen = None,
    store_id: OptionalId = None,
    customer: OptionalId = None,
    rider_id: OptionalId = None,
    q: Text = None,
    stuck_minutes: Minutes = None,
    before: OptionalId = None,
    limit: Limit = 50,
) -> OrdersPage:
    """Customers, stores and riders: their own. Administrators and operators: all.

    `q` looks through the newest 50,000 orders.
    """
    scope = scope_of(principal)
    wish = Search(in_state, open, store_id, customer, rider_id, q, stuck_minutes, before)
    orders = await services.order_views.page(scope, wish, limit)
    return OrdersPage(orders, orders[-1].order_id if len(orders) == limit else None)


@get("/v1/stores/{store_id:str}/board", summary="A store's open orders", tags=["orders"])
async def get_board(store_id: Id, services: Services, principal: Principal) -> Board:
    """For the store itself, and for administrators. Oldest first."""
    scope = scope_of(principal)
    if scope.part is not Part.ALL and (scope.part, scope.id) != (Part.STORE, store_id):
        raise Forbidden("this credential may not see the board of that store")
    found = await services.order_views.store_board(store_id)
    return Board(store_id, [scope.show(order) for order in found])


@get("/v1/riders/me/job", summary="The order that I carry", tags=["orders"])
async def get_job(services: Services, principal: Principal) -> Job:
    """For riders."""
    scope = scope_of(principal)
    if scope.part is not Part.RIDER:
        raise Forbidden("only a rider has a job")
    order = await services.order_views.rider_job(scope.id)
    return Job(None if order is None else scope.show(order))


@get("/v1/orders/{order_id:str}/audit", summary="Everything that happened to an order", tags=["orders"])
async def get_audit(order_id: Id, services: Services, principal: Principal) -> Trail:
    """For administrators and operators: who did what, when, and the order after it."""
    services.policy.allow(principal, Action.READ_ANY_ORDER)
    return Trail(await services.order_views.audit(order_id))


@get("/v1/orders/{order_id:str}/rider", summary="Where the rider of an order is", tags=["orders"])
async def get_order_rider(order_id: Id, services: Services, principal: Principal) -> LivePosition:
    """From pick-up to the door, the rider who carries it. For its customer, its rider and administrators.

    404 before, after, and while the rider has not been heard since the pick-up.
    """
    scope = scope_of(principal)
    if scope.part is Part.STORE:
        raise Forbidden("the position of a rider is for the customer who waits")
    order = await _visible(services, scope, order_id)
    rider_id = carrier(order)
    position = (await services.live.get([rider_id]))[0] if rider_id else None
    if position is None or not seen_while_carrying(order, position):
        raise LookupError("no rider can be seen for this order now")
    return position


HANDLERS = [get_order, list_orders, get_board, get_job, get_audit, get_order_rider]
