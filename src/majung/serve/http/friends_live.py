"""Friends near by, live: WebSocket `/v1/friends/live` and SSE `/v1/friends/live/events`.

The messages are in `docs/friends.md`. On the WebSocket a phone reports as well: its frames and their answers are
those of `/v1/positions/stream` (`device_socket.py`), so that an app needs one connection and no more.
"""

import asyncio
from typing import Any

from litestar import Request, get, websocket
from litestar.response import Stream

from majung.auth.model import AuthError, Principal
from majung.friends.viewer import FriendViewer
from majung.serve.http.auth import Connection, authenticate, verify
from majung.serve.http.device_socket import Uplink, end
from majung.serve.http.friends import TAGS
from majung.serve.http.streams import GONE, AnySocket, deny, event_stream, write_frames
from majung.services import Services


async def _open(connection: Connection, services: Services, principal: Principal) -> FriendViewer:
    """Raises Forbidden, Overloaded, PortError."""
    caller = await services.friends.me.caller(principal)

    async def see() -> None:
        again = await verify(connection, services)
        if again.rider_id != caller.person_id or again.role is not principal.role:
            raise AuthError("the rights of this credential changed")

    return await services.friends.nearby.open(principal, see)


@websocket("/v1/friends/live")
async def friends_socket(socket: AnySocket, services: Services) -> None:
    """A snapshot, then friends as they come, move and leave; in, positions of one's own."""
    try:
        principal = await authenticate(socket, services)
        viewer = await _open(socket, services, principal)
    except Exception as problem:
        await deny(socket, problem)
        return
    try:
        await socket.accept()
        await _converse(socket, services, principal, viewer)
    except GONE:
        pass
    except Exception as problem:
        await end(socket, problem)
    finally:
        services.friends.nearby.leave(viewer)


async def _converse(
    socket: AnySocket, services: Services, principal: Principal, viewer: FriendViewer
) -> None:
    """What the phone reports and what it is told, until either is over."""
    writing = asyncio.create_task(write_frames(socket, viewer))
    viewer.abort = writing.cancel
    await Uplink(socket, services, principal).run(writing)


@get(
    "/v1/friends/live/events",
    summary="Friends near by as server-sent events",
    tags=TAGS,
    media_type="text/event-stream",
)
async def friends_events(request: Request[Any, Any, Any], services: Services, principal: Principal) -> Stream:
    """The messages of the WebSocket as `data:`. Every connection begins with a snapshot; there is no resuming."""
    viewer = await _open(request, services, principal)
    nearby = services.friends.nearby
    return event_stream(viewer, lambda: b"", lambda: nearby.leave(viewer))


HANDLERS = [friends_socket, friends_events]
