"""When orders arrive, for who has part in them; late orders and how good the predictions are, for administrators."""

from typing import Annotated

from litestar import get
from litestar.params import Parameter

from majung.auth.model import Principal
from majung.auth.policy import Action
from majung.eta.model import Calibration, Eta, LateOrders
from majung.orders.model import FINAL
from majung.orders.view_policy import scope_of
from majung.orders.views import no_order
from majung.services import Services

Id = Annotated[str, Parameter(min_length=1, max_length=128)]
Version = Annotated[
    int, Parameter(ge=0, le=2**31, description="Waits up to 2 s until the arrival takes in this version.")
]
Limit = Annotated[int, Parameter(ge=1, le=1_000)]
Days = Annotated[float, Parameter(gt=0, le=365, description="Of the orders delivered in so many days.")]


@get("/v1/orders/{order_id:str}/eta", summary="When an order arrives", tags=["orders"])
async def get_eta(
    order_id: Id, services: Services, principal: Principal, at_least_version: Version = 0
) -> Eta:
    """The most likely time and the interval that holds it eight times of ten; for who may read the order.

    The same message comes over the live streams of orders at every change. 404 when the order has ended.
    """
    scope = scope_of(principal)
    order = await services.order_views.order(order_id, at_least_version)
    if not scope.covers(order):
        raise no_order(order_id)
    if order.state in FINAL:
        raise LookupError("this order is not expected: it has ended")
    return await services.eta.of(order_id, order.version)


@get("/v1/eta/late", summary="Late orders", tags=["orders"])
async def late_orders(services: Services, principal: Principal, limit: Limit = 100) -> LateOrders:
    """Orders that are expected after the end of the interval that was promised first, the latest first.

    For administrators and operators.
    """
    services.policy.allow(principal, Action.READ_ANY_ORDER)
    return services.eta.late(limit)


@get("/v1/eta/calibration", summary="How good predicted arrivals were", tags=["orders"])
async def eta_calibration(services: Services, principal: Principal, days: Days = 7.0) -> Calibration:
    """For each stage, and for what was `promised` first: how many arrivals were within the interval.

    For administrators and operators.
    """
    services.policy.allow(principal, Action.READ_ANY_ORDER)
    return await services.eta.calibration(days)


HANDLERS = [get_eta, late_orders, eta_calibration]
