"""Doors out for whoever follows orders: WebSocket `/v1/orders/live` and SSE `/v1/orders/events`.

What one sees follows from who one is (`orders/view_policy.py`); an administrator may narrow it to one order
or one store. The grammar of the messages is in `docs/order-views.md`. The client says nothing on the
WebSocket: what it wishes stands in the address.
"""

from typing import Annotated, Any

from litestar import Request, get, websocket
from litestar.params import Parameter
from litestar.response import Stream

from majung.auth.model import Principal
from majung.orders.live_viewer import OrderViewer, See
from majung.orders.view_policy import Scope, narrowed, scope_of
from majung.serve.http.auth import Connection, authenticate, verify
from majung.serve.http.streams import (
    AnySocket,
    LastEventId,
    converse,
    deny,
    event_stream,
    parse_event_id,
    write_frames,
)
from majung.services import Services

OptionalId = Annotated[str | None, Parameter(min_length=1, max_length=128)]


def _open(
    connection: Connection,
    services: Services,
    principal: Principal,
    wish: tuple[str | None, str | None],
    since: tuple[str, int],
) -> OrderViewer:
    """Raises Forbidden, Overloaded."""
    order_id, store_id = wish

    def scope(caller: Principal) -> Scope:
        return narrowed(scope_of(caller), order_id, store_id)

    async def see() -> Scope:
        return scope(await verify(connection, services))

    look_again: See = see
    return services.order_live.open(principal, scope(principal), look_again, *since)


@websocket("/v1/orders/live")
async def orders_socket(
    socket: AnySocket,
    services: Services,
    order_id: OptionalId = None,
    store_id: OptionalId = None,
    epoch: Annotated[str, Parameter(max_length=100)] = "",
    offset: Annotated[int, Parameter(ge=0, le=2**53)] = 0,
) -> None:
    """A snapshot (or what was missed since `epoch` and `offset`), then every change."""
    try:
        principal = await authenticate(socket, services)
        viewer = _open(socket, services, principal, (order_id, store_id), (epoch, offset))
    except Exception as problem:
        await deny(socket, problem)
        return
    try:
        await converse(socket, write_frames(socket, viewer), viewer=viewer)
    finally:
        services.order_live.leave(viewer)


@get(
    "/v1/orders/events",
    summary="Orders as server-sent events",
    tags=["orders"],
    media_type="text/event-stream",
)
async def order_events(
    request: Request[Any, Any, Any],
    services: Services,
    principal: Principal,
    order_id: OptionalId = None,
    store_id: OptionalId = None,
    last_event_id: LastEventId = None,
) -> Stream:
    """The messages of the WebSocket as `data:`. `id:` is `epoch:offset`.

    A browser that comes back sends it as Last-Event-ID: then it gets what it missed, or `resync` and a
    snapshot. `order_id` and `store_id` narrow what an administrator sees.
    """
    since = parse_event_id(last_event_id)
    viewer = _open(request, services, principal, (order_id, store_id), since)
    return event_stream(viewer, services.order_live.epoch.encode, lambda: services.order_live.leave(viewer))


HANDLERS = [orders_socket, order_events]
