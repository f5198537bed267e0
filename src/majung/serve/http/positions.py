"""Reading positions: latest (one, many), nearest, tracks with export, quarantine, cells."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec
from litestar import get, post
from litestar.params import Parameter, QueryParameter
from litestar.response import Stream

from majung.auth.model import Principal
from majung.auth.policy import Action
from majung.ports import CellLoad
from majung.positions.export import CONTENT_TYPES, export_track
from majung.positions.model import LivePosition, Nearby, TrackPoint, kind_of
from majung.positions.quarantine import QuarantineItem
from majung.positions.reads import nearest_among, track_pages
from majung.services import Services
from majung.wire.fields import FieldError, iso_ms

MAX_BATCH = 10_000
MAX_NEAREST = 1_000
MAX_RADIUS_M = 100_000.0
_HOUR_MS = 3_600_000
_PORTION = 500

Id = Annotated[str, Parameter(min_length=1, max_length=128)]


class BatchGet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to read; at most 10,000."""

    rider_ids: Annotated[list[str], msgspec.Meta(max_length=MAX_BATCH)]


class BatchGot(msgspec.Struct, frozen=True):
    """The newest position of each who has one, in the order asked; the others by name in `missing`.

    Missing are riders that are unknown, silent for long, or not the caller's to see.
    """

    positions: list[LivePosition]
    missing: list[str]


class NearestGot(msgspec.Struct, frozen=True):
    """Nearest first; `distance_m` is the straight line in metres."""

    riders: list[Nearby]


class Track(msgspec.Struct, frozen=True):
    """Where a rider was, oldest first. What a point does not have is left out."""

    rider_id: str
    points: list[TrackPoint]


class QuarantinePage(msgspec.Struct, frozen=True):
    """Newest first; ask again with `before_id` = `next_before_id` for the next page.

    `reasons` counts everything that is held, whatever was asked for.
    """

    items: list[QuarantineItem]
    reasons: dict[str, int]
    next_before_id: int | None


@get("/v1/riders/{rider_id:str}/position", summary="Latest position of a rider", tags=["positions"])
async def get_position(rider_id: Id, services: Services, principal: Principal) -> LivePosition:
    """The newest position, while the rider is live. 404 when it is not. A person reads its own alone."""
    await services.policy.check_rider(principal, rider_id)
    found = (await services.live.get([rider_id], kind_of(rider_id)))[0]
    if found is None:
        raise LookupError(f"no live position of rider {rider_id[:64]!r}")
    return found


@post(
    "/v1/positions/batch-get", status_code=200, summary="Latest positions of many riders", tags=["positions"]
)
async def batch_get(data: BatchGet, services: Services, principal: Principal) -> BatchGot:
    """Up to 10,000 riders at once."""
    services.policy.allow(principal, Action.READ_RIDERS)
    visible = await services.policy.visible(principal)
    ids = data.rider_ids if visible is None else [i for i in data.rider_ids if i in visible]
    found = [position for position in await services.live.get(ids) if position is not None]
    if len(found) == len(data.rider_ids):
        return BatchGot(found, [])
    seen = {position.rider_id for position in found}
    return BatchGot(found, [rider_id for rider_id in data.rider_ids if rider_id not in seen])


@get("/v1/riders/nearest", summary="Nearest riders within a radius", tags=["positions"])
async def get_nearest(
    services: Services,
    principal: Principal,
    lat: Annotated[float, Parameter(ge=-90, le=90, description="Latitude, degrees.")],
    lon: Annotated[float, Parameter(ge=-180, le=180, description="Longitude, degrees.")],
    radius_m: Annotated[float, Parameter(gt=0, le=MAX_RADIUS_M, description="Metres.")] = 1000.0,
    limit: Annotated[int, Parameter(ge=1, le=MAX_NEAREST, description="At most so many riders.")] = 20,
) -> NearestGot:
    """By straight-line (great circle) distance, nearest first; only riders whom the caller may see."""
    services.policy.allow(principal, Action.READ_RIDERS)
    visible = await services.policy.visible(principal)
    return NearestGot(await nearest_among(services.live, visible, lat, lon, radius_m, limit))


@get("/v1/riders/{rider_id:str}/track", summary="Where a rider was", tags=["positions"])
async def get_track(
    rider_id: Id,
    services: Services,
    principal: Principal,
    from_: Annotated[
        str,
        QueryParameter(name="from", max_length=64, description="RFC 3339, inclusive; default: an hour ago."),
    ] = "",
    to: Annotated[
        str, Parameter(max_length=64, description="RFC 3339, exclusive; default: the newest position.")
    ] = "",
    format_: Annotated[
        Literal["json", "geojson", "gpx", "csv"], QueryParameter(name="format", description="Of the answer.")
    ] = "json",
    simplify_m: Annotated[
        float, Parameter(ge=0, le=10_000, description="Tolerance in metres; 0: every point.")
    ] = 0.0,
    plausible: Annotated[
        bool, Parameter(description="Leave out points marked as jumps or inaccurate.")
    ] = False,
) -> Stream:
    """Every stored position of the time range, oldest first, streamed, however long it is.

    Times without an offset are UTC; a `+` that the query string has made a space is understood.
    """
    await services.policy.check_rider(principal, rider_id)
    now_ms = services.clock.now_ms()
    ahead_ms = int(services.settings.positions.max_ahead.total_seconds() * 1000)
    from_ms = _as_ms("from", from_) if from_ else now_ms - _HOUR_MS
    to_ms = _as_ms("to", to) if to else now_ms + ahead_ms + 1
    if from_ms > to_ms:
        raise ValueError("from is after to")
    pages = track_pages(services.history, rider_id, from_ms, to_ms, not plausible, simplify_m)
    first: list[TrackPoint] = await anext(pages, [])  # what goes wrong here can still be said with a status
    body = export_track(format_, rider_id, portions(first, pages))
    headers = {} if format_ == "json" else {"Content-Disposition": attachment(rider_id, format_)}
    return Stream(body, media_type=CONTENT_TYPES[format_], headers=headers)


@get("/v1/quarantine", summary="Fixes that were set aside, and why", tags=["operations"])
async def get_quarantine(
    services: Services,
    principal: Principal,
    limit: Annotated[int, Parameter(ge=1, le=1000, description="Items on a page.")] = 100,
    before_id: Annotated[
        int | None, Parameter(ge=0, le=2**63 - 1, description="`next_before_id` of the page before.")
    ] = None,
    reason: Annotated[str | None, Parameter(max_length=64, description="Only this reason.")] = None,
    rider_id: Annotated[str | None, Parameter(max_length=128, description="Only this rider.")] = None,
) -> QuarantinePage:
    """Newest first, with the number held for each reason."""
    services.policy.allow(principal, Action.READ_QUARANTINE)
    items = await services.quarantine.items(limit, before_id, reason, rider_id)
    following = items[-1].id if len(items) == limit else None
    return QuarantinePage(items, await services.quarantine.reasons(), following)


@get("/v1/cells", summary="Occupied cells with their load", tags=["operations"])
async def get_cells(services: Services, principal: Principal) -> list[CellLoad]:
    """Geohash, members and reads per second of each, in the order of the geohash."""
    services.policy.allow(principal, Action.READ_CELLS)
    return await services.live.cells()


HANDLERS = [get_position, batch_get, get_nearest, get_track, get_quarantine, get_cells]


def _as_ms(name: str, text: str) -> int:
    try:
        return iso_ms(text.upper())
    except FieldError:
        raise ValueError(f"{name}: {text!r} is not an RFC 3339 time like 2026-01-31T09:00:00Z") from None


async def portions(
    first: list[TrackPoint], pages: AsyncIterator[list[TrackPoint]]
) -> AsyncIterator[list[TrackPoint]]:
    """Smaller pieces, with room for everybody else on the loop while a long track is written."""
    page: list[TrackPoint] | None = first
    while page is not None:
        for start in range(0, len(page), _PORTION):
            yield page[start : start + _PORTION]
            await asyncio.sleep(0)
        page = await anext(pages, None)


def attachment(rider_id: str, format_: str) -> str:
    """RFC 6266: a name that every client can read, and the real one for those that know UTF-8."""
    plain = "".join(c if c.isalnum() and c.isascii() else "_" for c in rider_id)
    return (
        f"attachment; filename=\"{plain}.{format_}\"; filename*=UTF-8''{quote(rider_id, safe='')}.{format_}"
    )
