"""Fences (make, list, read, change, delete) and the events that riders cause."""

from typing import Annotated

import msgspec
from litestar import delete, get, post, put
from litestar.params import HeaderParameter, Parameter

from majung.auth.model import Principal
from majung.auth.policy import Action
from majung.positions.fence_model import Fence, NewFence
from majung.positions.fences import MAX_EVENTS, StoredEvent
from majung.services import Services

Id = Annotated[str, Parameter(min_length=1, max_length=128)]
OptionalId = Annotated[str | None, Parameter(min_length=1, max_length=128)]
Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key", max_length=128, description="Sent again with the same key: made once."
    ),
]
Number = Annotated[int | None, Parameter(ge=0, le=2**63 - 1)]
Limit = Annotated[int, Parameter(ge=1, le=MAX_EVENTS)]


class Fences(msgspec.Struct, frozen=True):
    """All fences, oldest first."""

    fences: list[Fence]


class EventsPage(msgspec.Struct, frozen=True):
    """Events, and where to go on: `after_id=next_after_id` gives what is recorded later, none left out."""

    events: list[StoredEvent]
    next_after_id: int | None
    next_before_id: int | None


@get("/v1/fences", summary="List fences", tags=["fences"])
async def list_fences(services: Services, principal: Principal) -> Fences:
    """All of them."""
    services.policy.allow(principal, Action.READ_FENCES)
    return Fences(services.fences.fences())


@post("/v1/fences", summary="Make a fence", tags=["fences"])
async def create_fence(
    data: NewFence, services: Services, principal: Principal, idempotency_key: Key = None
) -> Fence:
    """A circle, a polygon (without crossings, at most 1,000 corners) or a near point. Counts at once."""
    services.policy.allow(principal, Action.WRITE_FENCES)
    return await services.fences.create(data, principal.subject, idempotency_key)


@get("/v1/fences/{fence_id:str}", summary="Read a fence", tags=["fences"])
async def get_fence(fence_id: Id, services: Services, principal: Principal) -> Fence:
    """One fence. 404 when there is none."""
    services.policy.allow(principal, Action.READ_FENCES)
    return services.fences.get(fence_id)


@put("/v1/fences/{fence_id:str}", summary="Change a fence", tags=["fences"])
async def replace_fence(fence_id: Id, data: NewFence, services: Services, principal: Principal) -> Fence:
    """Riders inside who no longer would be get an exit event within two seconds."""
    services.policy.allow(principal, Action.WRITE_FENCES)
    return await services.fences.replace(fence_id, data)


@delete("/v1/fences/{fence_id:str}", summary="Delete a fence", tags=["fences"])
async def delete_fence(fence_id: Id, services: Services, principal: Principal) -> None:
    """Riders inside get an exit event within two seconds."""
    services.policy.allow(principal, Action.WRITE_FENCES)
    await services.fences.delete(fence_id)


@get("/v1/events", summary="Enter, exit, dwell, near, silent, back", tags=["fences"])
async def list_events(
    services: Services,
    principal: Principal,
    rider_id: OptionalId = None,
    fence_id: OptionalId = None,
    after_id: Number = None,
    before_id: Number = None,
    limit: Limit = 100,
) -> EventsPage:
    """With `after_id`, what was recorded after it, oldest first; else the newest, newest first.

    Of the riders that the caller may see.
    """
    services.policy.allow(principal, Action.READ_EVENTS)
    if after_id is not None and before_id is not None:
        raise ValueError("after_id and before_id exclude each other")
    if rider_id is not None:
        await services.policy.check_rider(principal, rider_id)
        riders: frozenset[str] | None = frozenset((rider_id,))
    else:
        riders = await services.policy.visible(principal)
    if after_id is not None:
        events = await services.fences.events_after(after_id, limit, fence_id, riders)
        return EventsPage(events, events[-1].id if events else after_id, None)
    events = await services.fences.events_before(before_id, limit, fence_id, riders)
    more = len(events) == limit
    return EventsPage(events, events[0].id if events else None, events[-1].id if more else None)


HANDLERS = [list_fences, create_fence, get_fence, replace_fence, delete_fence, list_events]
