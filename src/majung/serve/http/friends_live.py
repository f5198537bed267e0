"""Friends near by, live: WebSocket `/v1/friends/live` and SSE `/v1/friends/live/events`.

The messages are in `docs/friends.md`. On the WebSocket a phone reports as well: its frames and their answers are
those of `/v1/positions/stream`, so that an app needs one connection and no more. The framework is needed for the
handshake alone; then `friends_socket.py` has the connection.
"""

from typing import Any

from litestar import Request, get, websocket
from litestar.response import Stream

from majung.auth.model import AuthError, Principal
from majung.friends.viewer import FriendViewer
from majung.serve.http.auth import Connection, authenticate, verifier
from majung.serve.http.friends import TAGS
from majung.serve.http.friends_socket import FriendSocket
from majung.serve.http.streams import GONE, AnySocket, deny, event_stream
from majung.services import Services


async def _open(connection: Connection, services: Services, principal: Principal) -> FriendViewer:
    """Raises Forbidden, Overloaded, PortError."""
    caller = await services.friends.me.caller(principal)

    verify = verifier(connection, services)  # a stream must not hold the whole request in memory

    async def see() -> None:
        again = await verify()
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
        FriendSocket(socket.scope, services, principal, viewer)
    except Exception as problem:
        services.friends.nearby.leave(viewer)
        if not isinstance(problem, GONE):
            raise


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
