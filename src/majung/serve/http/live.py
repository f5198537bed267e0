"""Doors out for whoever watches: WebSocket `/v1/live` and SSE `/v1/live/events`.

Both open a viewer of the hub and send what `Viewer.take` gives, one frame after the other; the next take
comes when the socket has taken them all. The grammar of the messages is in `docs/live.md`. Half-open
sockets are found by WebSocket pings (the listener's) and by SSE comments; whoever takes nothing for 30 s is
closed by the hub. The credential is verified again every half second (`_see`).
"""

from functools import partial
from typing import Annotated, Any

from litestar import Request, get, websocket
from litestar.params import Parameter, QueryParameter
from litestar.response import Stream

from majung.auth.limits import RateLimited
from majung.auth.model import Forbidden, Principal
from majung.auth.policy import Action
from majung.live import messages
from majung.live.messages import Subscribe, Viewport
from majung.live.viewer import See, Viewer, Visible
from majung.serve.http.auth import Connection, authenticate, verify
from majung.serve.http.streams import (
    AnySocket,
    LastEventId,
    converse,
    deny,
    error_body,
    event_stream,
    parse_event_id,
    write_frames,
)
from majung.services import Services

MAX_QUERY_RIDERS = 200

Riders = Annotated[list[str] | None, QueryParameter(name="rider", max_items=MAX_QUERY_RIDERS)]
Text = Annotated[str | None, Parameter(max_length=200)]


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
        heard = partial(_answer, services, viewer)
        await converse(socket, write_frames(socket, viewer), heard, viewer)
    finally:
        services.hub.leave(viewer)


def _answer(services: Services, viewer: Viewer, data: str | bytes) -> None:
    """Do what the viewer wishes, or tell it why not."""
    name = ""
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
    return event_stream(viewer, lambda: viewer.epoch, lambda: services.hub.leave(viewer))


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
