"""Friends near by, asked for: who is near, where a friend is, where a friend was.

Whoever may not see is told the same as whoever asks for nobody: 404, in the same words.
"""

from typing import Annotated, Literal

from litestar import get
from litestar.params import Parameter, QueryParameter
from litestar.response import Stream

from majung.auth.model import Principal
from majung.auth.policy import Action
from majung.friends.model import Place
from majung.friends.reads import NearNow
from majung.positions.export import CONTENT_TYPES, export_track
from majung.positions.model import TrackPoint
from majung.serve.http.friends import TAGS, PersonId
from majung.serve.http.positions import attachment, portions
from majung.services import Services

MAX_RADIUS_M = 500_000.0
_DAY_MS = 86_400_000

Moment = Annotated[int, Parameter(ge=0, le=2**53)]


@get("/v1/friends/nearby", summary="Friends near by", tags=TAGS)
async def get_friends_nearby(
    services: Services,
    principal: Principal,
    radius_m: Annotated[
        float | None,
        Parameter(gt=0, le=MAX_RADIUS_M, description="Metres, for this answer; default: one's own radius."),
    ] = None,
) -> NearNow:
    """Within the radius of where the caller reported from last, nearest first; the same as on the stream."""
    services.policy.allow(principal, Action.FRIENDS)
    return await services.friends.reads.near(principal.rider_id, radius_m)


@get("/v1/friends/{person_id:str}/position", summary="Where a friend is", tags=TAGS)
async def get_friend_position(person_id: PersonId, services: Services, principal: Principal) -> Place:
    """As exactly as the friend lets the caller know, however far away. 404 when there is nothing to see."""
    services.policy.allow(principal, Action.FRIENDS)
    return await services.friends.reads.place(principal.rider_id, person_id)


@get("/v1/friends/{person_id:str}/track", summary="Where a friend was", tags=TAGS)
async def get_friend_track(
    person_id: PersonId,
    services: Services,
    principal: Principal,
    from_ms: Annotated[Moment | None, Parameter(description="Inclusive; default: a day ago.")] = None,
    to_ms: Annotated[Moment | None, Parameter(description="Exclusive; default: now.")] = None,
    format_: Annotated[
        Literal["json", "geojson", "gpx", "csv"], QueryParameter(name="format", description="Of the answer.")
    ] = "json",
) -> Stream:
    """Oldest first, never from before the last change of what the caller may see; blurred: a cell a stretch."""
    services.policy.allow(principal, Action.FRIENDS)
    now_ms = services.clock.now_ms()
    begin_ms = now_ms - _DAY_MS if from_ms is None else from_ms
    end_ms = now_ms + 1 if to_ms is None else to_ms
    if begin_ms > end_ms:
        raise ValueError("from_ms is after to_ms")
    pages = services.friends.reads.track(principal.rider_id, person_id, begin_ms, end_ms)
    first: list[TrackPoint] = await anext(pages, [])  # what goes wrong here can still be said with a status
    headers = {} if format_ == "json" else {"Content-Disposition": attachment(person_id, format_)}
    body = export_track(format_, person_id, portions(first, pages))
    return Stream(body, media_type=CONTENT_TYPES[format_], headers=headers)


HANDLERS = [get_friends_nearby, get_friend_position, get_friend_track]
