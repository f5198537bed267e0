"""Doors out for whoever watches: WebSocket `/v1/live` and SSE `/v1/live/events`.

Both open a viewer of the hub and send what `Viewer.take` gives, one frame after the other; the next take
comes when the socket has taken them all. The grammar of the messages is in `docs/live.md`. Half-open
sockets are found by WebSocket pings (the listener's) and by SSE comments; whoever takes nothing for 30 s is
closed by the hub. The credential is verified again every half second (`_see`).
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, WebSocket, get, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import HeaderParameter, Parameter, QueryParameter
from litestar.response import Stream

from majung.auth.limits import RateLimited
from majung.auth.model import Forbidden, Principal
from majung.auth.policy import Action
from majung.live import messages
from majung.live.messages import Subscribe, Viewport
from majung.live.viewer import See, Viewer, ViewerClosed, Visible
from majung.ports import PortError
from majung.serve.http.auth import Connection, authenticate, verify
from majung.serve.http.problems import MEDIA_TYPE, describe
from majung.services import Services

KEEP_ALIVE_S = 15.0
MAX_QUERY_RIDERS = 200

log = structlog.get_logger("majung.live")

AnySocket = WebSocket[Any, Any, Any]
Riders = Annotated[list[str] | None, QueryParameter(name="rider", max_items=MAX_QUERY_RIDERS)]
Text = Annotated[str | None, Parameter(max_length=200)]
LastEventId = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", max_length=200, description="`epoch:offset`, to resume."),
]


def _see(connection: Connection, services: Services) -> See:
    """Which riders this connection may see now. Raises AuthError when its credential no longer holds."""

    async def see() -> Visible:
        return await services.policy.visible(await verify(connection, services))

    return see


async def _open(connection: Connection, services: Services, principal: Principal) -> Viewer:
    services.policy.allow(principal, Action.LIVE)
    return await services.hub.open(principal, _see(connection, services))


def _subscribe(services: Services, viewer: Viewer, wish: Subscribe) -> None:
    """Raises ValueError, Forbidden, LookupError."""
    shape = None
    if wish.fence is not None:
        services.policy.allow(viewer.principal, Action.READ_FENCES)
        shape = services.fences.shape(wish.fence)
    services.hub.subscribe(viewer, wish, shape)


# ---------------------------------------------------------------------------------------- WebSocket


@websocket("/v1/live")
async def live_socket(socket: AnySocket, services: Services) -> None:
    """Subscribe and unsubscribe come in; snapshots, positions, departures and events go out."""
    try:
        viewer = await _open(socket, services, await authenticate(socket, services))
    except Exception as problem:
        await deny(socket, problem)
        return
    try:
        await socket.accept()
        await _Conversation(socket, services, viewer).run()
    except WebSocketDisconnect:
        pass
    finally:
        services.hub.leave(viewer)


class _Conversation:
    """One WebSocket: a task that reads, a task that writes; the end of one is the end of both."""

    def __init__(self, socket: AnySocket, services: Services, viewer: Viewer) -> None:
        self._socket = socket
        self._services = services
        self._viewer = viewer

    async def run(self) -> None:
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        self._viewer.abort = tasks[1].cancel
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for problem in ended:
            if isinstance(problem, Exception) and not isinstance(problem, WebSocketDisconnect):
                log.error("live_socket_failed", exc_info=problem)

    async def _read(self) -> None:
        while (event := await self._socket.receive())["type"] == "websocket.receive":
            self._answer(event.get("text") or event.get("bytes") or b"")

    def _answer(self, data: str | bytes) -> None:
        name = ""
        viewer, services = self._viewer, self._services
        try:
            services.limiter.demand(viewer.principal.subject)
            message = messages.parse(data)
            if message.unsubscribe is not None:
                services.hub.unsubscribe(viewer, message.unsubscribe)
            if message.subscribe is not None:
                name = message.subscribe.id
                _subscribe(services, viewer, message.subscribe)
        except (ValueError, Forbidden, LookupError, RateLimited) as problem:
            viewer.notice(error_body(problem, name))

    async def _write(self) -> None:
        send = self._socket.send
        try:
            while True:
                for frame in await self._viewer.take():
                    await send({"type": "websocket.send", "text": frame.body.decode(), "bytes": None})
        except ViewerClosed as closed:
            await self._socket.close(closed.code, str(closed))
        except PortError as problem:
            await send({"type": "websocket.send", "text": error_body(problem).decode(), "bytes": None})
            await self._socket.close(1013, "try again later")


def error_body(problem: Exception, name: str = "") -> bytes:
    """The message that says it inside a stream; `name` is the subscription that it is about."""
    details = describe(problem)
    return messages.error(details.status, details.title, details.detail, details.type, name)


async def deny(socket: AnySocket, problem: Exception) -> None:
    """Refuse the handshake with a real status and problem details (ASGI extension websocket.http.response)."""
    details = describe(problem)
    if details.status == 500:
        log.error("live_socket_failed", exc_info=problem)
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    if details.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="majung"'))
    if details.status in (429, 503):
        headers.append((b"retry-after", b"1"))
    start = {"type": "websocket.http.response.start", "status": details.status, "headers": headers}
    await socket.send(start)  # type: ignore[arg-type]
    body = {"type": "websocket.http.response.body", "body": msgspec.json.encode(details)}
    await socket.send(body)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- SSE


@get(
    "/v1/live/events",
    summary="Live positions as server-sent events",
    tags=["live"],
    media_type="text/event-stream",
)
async def live_events(
    request: Request[Any, Any, Any],
    services: Services,
    principal: Principal,
    rider: Riders = None,
    bbox: Text = None,
    fence: Text = None,
    last_event_id: LastEventId = None,
) -> Stream:
    """At least one of `rider` (repeated), `bbox` (`south,west,north,east`) and `fence`.

    The messages are those of the WebSocket, as `data:`; `id:` is `epoch:offset`, and a browser that comes
    back sends it as Last-Event-ID: then it gets what it missed, or `resync` and a snapshot.
    """
    epoch, offset = parse_event_id(last_event_id)
    wishes: list[Subscribe] = []
    if rider:
        wishes.append(Subscribe("riders", riders=rider, epoch=epoch, offset=offset))
    if bbox is not None:
        wishes.append(Subscribe("area", area=_parse_bbox(bbox), epoch=epoch, offset=offset))
    if fence is not None:
        wishes.append(Subscribe("fence", fence=fence, epoch=epoch, offset=offset))
    if not wishes:
        raise ValueError("name what to watch: rider=ID, bbox=south,west,north,east or fence=ID")
    viewer = await _open(request, services, principal)
    try:
        for wish in wishes:
            _subscribe(services, viewer, wish)
    except Exception:
        services.hub.leave(viewer)
        raise
    viewer.keep_alive_s = KEEP_ALIVE_S
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(_sse(services, viewer), media_type="text/event-stream", headers=headers)


async def _sse(services: Services, viewer: Viewer) -> AsyncIterator[bytes]:
    task = asyncio.current_task()
    assert task is not None
    viewer.abort = task.cancel
    try:
        while True:
            for frame in await viewer.take():
                yield sse_frame(frame.body, viewer.epoch, frame.offset)
    except ViewerClosed as closed:
        yield sse_frame(messages.error(503, "The stream is over", str(closed)), b"", 0)
    except PortError as problem:
        yield sse_frame(error_body(problem), b"", 0)
    finally:
        services.hub.leave(viewer)


def sse_frame(body: bytes, epoch: bytes, offset: int) -> bytes:
    """One message as server-sent event; without a body, a sign of life."""
    if not body:
        return b": alive\n\n"
    if offset:
        return b"id: %b:%d\ndata: %b\n\n" % (epoch, offset, body)
    return b"data: %b\n\n" % body


def parse_event_id(text: str | None) -> tuple[str, int]:
    """Anything that is not ours is answered with resync and a snapshot."""
    if not text:
        return "", 0
    epoch, _, offset = text.rpartition(":")
    return (epoch, int(offset)) if epoch and offset.isascii() and offset.isdigit() else ("?", 0)


def _parse_bbox(text: str) -> Viewport:
    parts = text.split(",")
    try:
        south, west, north, east = (float(part) for part in parts)
    except ValueError:
        raise ValueError("bbox is south,west,north,east in degrees") from None
    viewport = Viewport(south, west, north, east)
    viewport.check()
    return viewport


HANDLERS = [live_socket, live_events]
