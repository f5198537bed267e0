"""Doors of dispatch: riders on and off duty, offers and their answers, and the orders that have no rider.

WebSocket `/v1/riders/me/live` says what `GET /v1/riders/me/offer` would, and each change of it.
"""

import asyncio
import time
from typing import Annotated, Any

import msgspec
from litestar import get, post, websocket
from litestar.params import Parameter

from majung.auth.model import AuthError, Forbidden, Principal
from majung.auth.policy import Action
from majung.dispatch.model import Offer, OfferStatus, Overview, RiderStanding
from majung.serve.http.auth import Connection, authenticate, verify
from majung.serve.http.streams import AnySocket, converse, deny, say
from majung.services import Services

CHECK_EVERY_S = 5.0
"""A credential that was revoked is cut off within this."""

Id = Annotated[str, Parameter(min_length=1, max_length=64)]
Limit = Annotated[int, Parameter(ge=1, le=1_000)]


class Duty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On duty: offers may come."""

    on: bool


class Answered(msgspec.Struct, frozen=True):
    """What became of an offer."""

    offer_id: str
    order_id: str
    status: OfferStatus


def _rider(services: Services, principal: Principal) -> str:
    """The rider that asks. Raises Forbidden."""
    services.policy.allow(principal, Action.DUTY)
    if not principal.rider_id:
        raise Forbidden("this is for riders: sign in as one")
    return principal.rider_id


def _answered(offer: Offer) -> Answered:
    return Answered(offer.offer_id, offer.order_id, offer.status)


@post("/v1/riders/me/duty", summary="Go on or off duty", tags=["dispatch"], status_code=200)
async def set_duty(data: Duty, services: Services, principal: Principal) -> RiderStanding:
    """Going off duty declines the open offer; an order that is carried stays with its rider."""
    return await services.dispatch.set_duty(_rider(services, principal), data.on)


@get("/v1/riders/me/offer", summary="What the rider is asked to carry", tags=["dispatch"])
async def my_offer(services: Services, principal: Principal) -> RiderStanding:
    """Duty, the open offer (null: none) and the order that is carried ("": none)."""
    return services.dispatch.standing(_rider(services, principal))


@post("/v1/offers/{offer_id:str}/accept", summary="Accept an offer", tags=["dispatch"], status_code=200)
async def accept_offer(offer_id: Id, services: Services, principal: Principal) -> Answered:
    """When this answers 200, the order is the caller's. Again is once; too late is 409, saying why."""
    return _answered(await services.dispatch.accept(offer_id, _rider(services, principal)))


@post("/v1/offers/{offer_id:str}/decline", summary="Decline an offer", tags=["dispatch"], status_code=200)
async def decline_offer(offer_id: Id, services: Services, principal: Principal) -> Answered:
    """The next rider is asked; this one is not asked again for the same order."""
    return _answered(await services.dispatch.decline(offer_id, _rider(services, principal)))


@get("/v1/dispatch/unassigned", summary="Orders without a rider", tags=["dispatch"])
async def unassigned(services: Services, principal: Principal, limit: Limit = 100) -> Overview:
    """Those that should have one, longest waiting first: how often and how far riders were looked for."""
    services.policy.allow(principal, Action.READ_ANY_ORDER)
    return services.dispatch.overview(limit)


# ---------------------------------------------------------------------------------------- WebSocket


@websocket("/v1/riders/me/live")
async def rider_live(socket: AnySocket, services: Services) -> None:
    """First `standing`, then `offer`, `withdrawn`, `assigned`, `released` and `duty` as they happen."""
    try:
        rider_id = _rider(services, await authenticate(socket, services))
        bell, leave = services.dispatch.listen(rider_id)
    except Exception as problem:
        await deny(socket, problem)
        return
    try:
        await converse(socket, _write(socket, services, rider_id, bell))
    finally:
        leave()


async def _write(socket: AnySocket, services: Services, rider_id: str, bell: asyncio.Event) -> None:
    last: RiderStanding | None = None
    checked_s = time.monotonic()
    while True:
        bell.clear()
        now = services.dispatch.standing(rider_id)
        for message in changes(last, now):
            await say(socket, msgspec.json.encode(message))
        last = now
        try:
            async with asyncio.timeout(_pause_s(now, services)):
                await bell.wait()
        except TimeoutError:
            pass
        if time.monotonic() - checked_s >= CHECK_EVERY_S:
            checked_s = time.monotonic()
            if not await _still(socket, services, rider_id):
                await socket.close(4401, "sign in again")
                return


def _pause_s(now: RiderStanding, services: Services) -> float:
    """Until the next check, or until the offer that is shown has to go."""
    if now.offer is None:
        return CHECK_EVERY_S
    left_s = (now.offer.expires_at_ms - services.clock.now_ms()) / 1000
    return min(CHECK_EVERY_S, max(0.001, left_s))


async def _still(connection: Connection, services: Services, rider_id: str) -> bool:
    try:
        return _rider(services, await verify(connection, services)) == rider_id
    except (AuthError, Forbidden):
        return False


def changes(last: RiderStanding | None, now: RiderStanding) -> list[dict[str, Any]]:
    """The messages that lead from one standing to the next; the first is the whole standing."""
    if last is None:
        return [{"type": "standing", **msgspec.to_builtins(now)}]
    found: list[dict[str, Any]] = []
    if last.on != now.on:
        found.append({"type": "duty", "on": now.on, "off_because": now.off_because})
    before, after = last.offer, now.offer
    gone = before is not None and (after is None or after.offer_id != before.offer_id)
    if gone and before is not None and now.order_id != before.order_id:
        named = {"offer_id": before.offer_id, "order_id": before.order_id}
        found.append({"type": "withdrawn", **named})
    if last.order_id != now.order_id:
        if last.order_id:
            found.append({"type": "released", "order_id": last.order_id})
        if now.order_id:
            found.append({"type": "assigned", "order_id": now.order_id})
    if after is not None and (before is None or after.offer_id != before.offer_id):
        found.append({"type": "offer", "offer": msgspec.to_builtins(after)})
    return found


HANDLERS = [set_duty, my_offer, accept_offer, decline_offer, unassigned, rider_live]
