"""Share links: make, list and revoke them; and what anybody sees who has one.

The doors under `/v1/track/` ask for no account: the token in the path is the credential. Answers may not be
kept, and the page's address is told to nobody (`Referrer-Policy`).
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import Parameter
from litestar.response import Stream

from majung.auth.model import Principal
from majung.live.viewer import ViewerClosed
from majung.orders.live_viewer import OrderViewer
from majung.orders.model import FINAL, Order
from majung.orders.order_live import seen_while_carrying
from majung.orders.view_policy import Scope, carrier, scope_of
from majung.ports import PortError
from majung.serve.http.auth import remote_of
from majung.serve.http.streams import KEEP_ALIVE_S, error_body, sse_frame
from majung.services import Services
from majung.settings import parse_duration
from majung.share.model import (
    NewShare,
    Share,
    SharedEta,
    SharedPosition,
    SharedTrack,
    shared_order,
    shared_position,
)
from majung.share.stream import Narrowing, over, said

Id = Annotated[str, Parameter(min_length=1, max_length=128)]
ShareId = Annotated[
    str, Parameter(min_length=1, max_length=64, description="The id that making the link gave.")
]
Token = Annotated[str, Parameter(min_length=1, max_length=128, description="The token of the link.")]

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Accel-Buffering": "no",
}


class ShareWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How long the link is to last: `30m`, `2h`; empty: `share.lasts`."""

    for_: Annotated[str, msgspec.Meta(max_length=20)] = msgspec.field(default="", name="for")


class Shares(msgspec.Struct, frozen=True):
    """Oldest first; links that are over included."""

    shares: list[Share]


@post("/v1/orders/{order_id:str}/shares", summary="Make a share link", tags=["share"])
async def create_share(
    order_id: Id, data: ShareWish, request: Request[Any, Any, Any], services: Services, principal: Principal
) -> Response[NewShare]:
    """For the order's customer, and administrators. The token is told this once.

    The link ends when its time is over, when it is revoked, and a while after the order has ended.
    """
    base = services.settings.server.public_url or str(request.base_url)
    made = await services.shares.create(principal, order_id, _lifetime(data.for_), base)
    return Response(made, headers={"Cache-Control": "no-store"})


def _lifetime(text: str) -> timedelta | None:
    if not text:
        return None
    lifetime = parse_duration(text)
    if not isinstance(lifetime, timedelta):
        raise ValueError("for: a duration such as 30m or 2h")
    return lifetime


@get("/v1/orders/{order_id:str}/shares", summary="List the share links of an order", tags=["share"])
async def list_shares(order_id: Id, services: Services, principal: Principal) -> Shares:
    """For the order's customer, and administrators; without the tokens, which are not kept."""
    return Shares(await services.shares.of_order(principal, order_id))


@delete("/v1/orders/{order_id:str}/shares/{share_id:str}", summary="Revoke a share link", tags=["share"])
async def revoke_share(order_id: Id, share_id: ShareId, services: Services, principal: Principal) -> None:
    """What is open through it ends within a second. Done again, it changes nothing."""
    await services.shares.revoke(principal, order_id, share_id)


@get("/v1/track/{token:str}", summary="Look through a share link", tags=["share"])
async def get_track_shared(
    token: Token, request: Request[Any, Any, Any], services: Services
) -> Response[SharedTrack]:
    """Needs no account. State, store, expected time, the rider from pick-up to the last stretch, about where to.

    404 when there never was such a link, 410 when it is over.
    """
    visitor, order = await services.shares.visitor(token, remote_of(request))
    return Response(await _track(services, visitor, order), headers=_HEADERS)


async def _track(services: Services, visitor: Principal, order: Order) -> SharedTrack:
    scope = scope_of(visitor)
    rider = await _rider(services, scope, order)
    expires_ms = visitor.expires_at_ms or 0
    return SharedTrack(shared_order(scope.show(order)), rider, await _eta(services, order), expires_ms)


async def _rider(services: Services, scope: Scope, order: Order) -> SharedPosition | None:
    rider_id = carrier(order) if scope.covers(order) else ""
    position = (await services.live.get([rider_id]))[0] if rider_id else None
    if position is None or not seen_while_carrying(order, position):
        return None
    return shared_position(order, position)


async def _eta(services: Services, order: Order) -> SharedEta | None:
    if order.state in FINAL:
        return None
    try:
        eta = await services.eta.of(order.order_id)
    except LookupError:
        return None  # too new to be known there
    return SharedEta(eta.at_ms, eta.earliest_ms, eta.latest_ms, eta.late)


@get(
    "/v1/track/{token:str}/events",
    summary="Follow a share link as server-sent events",
    tags=["share"],
    media_type="text/event-stream",
)
async def shared_events(token: Token, request: Request[Any, Any, Any], services: Services) -> Stream:
    """First `track` (the answer of `GET /v1/track/{token}`), then what changes: `order`, `rider`, `eta`.

    `rider` is null when the rider is seen no longer. `over` is the last message: the link has ended.
    """
    visitor, order = await services.shares.visitor(token, remote_of(request))
    services.shares.require_room(visitor)
    narrowing = Narrowing(order)

    async def see() -> Scope:
        return await services.shares.still(visitor, narrowing.ended_at_ms)

    viewer = services.order_live.open(visitor, scope_of(visitor), see)
    viewer.keep_alive_s = KEEP_ALIVE_S
    return Stream(_sse(services, viewer, narrowing), media_type="text/event-stream", headers=_HEADERS)


async def _sse(services: Services, viewer: OrderViewer, narrowing: Narrowing) -> AsyncIterator[bytes]:
    task = asyncio.current_task()
    assert task is not None
    viewer.abort = task.cancel
    try:
        with services.shares.streaming(viewer.principal):
            order = await services.order_views.order(viewer.principal.order_id)
            yield sse_frame(said("track", await _track(services, viewer.principal, order)), b"", 0)
            while True:
                for frame in await viewer.take():
                    if not frame.body:
                        yield sse_frame(b"", b"", 0)
                    for body in narrowing.narrowed(frame.body):
                        yield sse_frame(body, b"", 0)
    except ViewerClosed as closed:
        if closed.code == 4401:
            yield sse_frame(over(str(closed)), b"", 0)
    except PortError as problem:
        yield sse_frame(error_body(problem), b"", 0)
    finally:
        services.order_live.leave(viewer)


HANDLERS = [create_share, list_shares, revoke_share, get_track_shared, shared_events]
