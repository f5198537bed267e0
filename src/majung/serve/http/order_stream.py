"""Doors out for whoever follows orders: WebSocket `/v1/orders/live` and SSE `/v1/orders/events`.

What one sees follows from who one is (`orders/view_policy.py`); an administrator may narrow it to one order
or one store. The grammar of the messages is in `docs/order-views.md`. The client says nothing on the
WebSocket: what it wishes stands in the address.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import structlog
from litestar import Request, WebSocket, get, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import HeaderParameter, Parameter
from litestar.response import Stream

from majung.auth.model import Principal
from majung.live.viewer import ViewerClosed
from majung.orders.live_viewer import OrderViewer, See
from majung.orders.view_policy import Scope, narrowed, scope_of
from majung.ports import PortError
from majung.serve.http.auth import Connection, authenticate, verify
from majung.serve.http.live import KEEP_ALIVE_S, deny, error_body, parse_event_id, sse_frame
from majung.services import Services

log = structlog.get_logger("majung.orders")

AnySocket = WebSocket[Any, Any, Any]
OptionalId = Annotated[str | None, Parameter(min_length=1, max_length=128)]
LastEventId = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", max_length=200, description="`epoch:offset`, to resume."),
]


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
        await socket.accept()
        await _converse(socket, viewer)
    except WebSocketDisconnect:
        pass
    finally:
        services.order_live.leave(viewer)


async def _converse(socket: AnySocket, viewer: OrderViewer) -> None:
    """A task that notices the end, a task that writes; the end of one is the end of both."""
    tasks = [asyncio.create_task(_read(socket)), asyncio.create_task(_write(socket, viewer))]
    viewer.abort = tasks[1].cancel
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for problem in ended:
        if isinstance(problem, Exception) and not isinstance(problem, WebSocketDisconnect):
            log.error("orders_socket_failed", exc_info=problem)


async def _read(socket: AnySocket) -> None:
    while (await socket.receive())["type"] == "websocket.receive":
        pass


async def _write(socket: AnySocket, viewer: OrderViewer) -> None:
    send = socket.send
    try:
        while True:
            for frame in await viewer.take():
                await send({"type": "websocket.send", "text": frame.body.decode(), "bytes": None})
    except ViewerClosed as closed:
        await socket.close(closed.code, str(closed))
    except PortError as problem:
        await send({"type": "websocket.send", "text": error_body(problem).decode(), "bytes": None})
        await socket.close(1013, "try again later")


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
    viewer.keep_alive_s = KEEP_ALIVE_S
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(_sse(services, viewer), media_type="text/event-stream", headers=headers)


async def _sse(services: Services, viewer: OrderViewer) -> AsyncIterator[bytes]:
    task = asyncio.current_task()
    assert task is not None
    viewer.abort = task.cancel
    try:
        while True:
            for frame in await viewer.take():
                yield sse_frame(frame.body, services.order_live.epoch.encode(), frame.offset)
    except ViewerClosed as closed:
        yield sse_frame(error_body(PortError(str(closed))), b"", 0)
    except PortError as problem:
        yield sse_frame(error_body(problem), b"", 0)
    finally:
        services.order_live.leave(viewer)


HANDLERS = [orders_socket, order_events]
