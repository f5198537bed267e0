"""Reading positions: latest (one, many), nearest, tracks with export, quarantine, cells."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from litestar import get, post
from litestar.params import Parameter
from litestar.response import Stream

from majung.auth.model import Principal
from majung.auth.policy import Action
from majung.ports import CellLoad
from majung.positions.export import CONTENT_TYPES, export_track
from majung.positions.model import LivePosition, Nearby, TrackPoint
from majung.positions.quarantine import QuarantineItem
from majung.positions.track import simplify
from majung.services import Services

MAX_BATCH = 10_000
MAX_NEAREST = 1_000
MAX_RADIUS_M = 100_000.0
_PAGE = 5_000
_SIMPLIFY_MAX = 1_000_000

Id = Annotated[str, Parameter(min_length=1, max_length=128)]


class BatchGet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to read; at most 10,000."""

    rider_ids: Annotated[list[str], msgspec.Meta(max_length=MAX_BATCH)]


class BatchGot(msgspec.Struct, frozen=True):
    """The newest position of each who has one; the others (unknown, silent for long, not yours to see) by name."""

    positions: list[LivePosition]
    missing: list[str]


class NearestGot(msgspec.Struct, frozen=True):
    """Nearest first."""

    riders: list[Nearby]


class QuarantinePage(msgspec.Struct, frozen=True):
    """Newest first; ask again with `before_id=next_before_id` for the next page."""

    items: list[QuarantineItem]
    reasons: dict[str, int]
    next_before_id: int | None


@get("/v1/riders/{rider_id:str}/position", summary="Latest position of a rider", tags=["positions"])
async def get_position(rider_id: Id, services: Services, principal: Principal) -> LivePosition:
    """The newest position, while the rider is live. 404 when it is not."""
    await services.policy.check_rider(principal, rider_id)
    found = (await services.live.get([rider_id]))[0]
    if found is None:
        raise LookupError(f"no live position of rider {rider_id}")
    return found


@post(
    "/v1/positions/batch-get", status_code=200, summary="Latest positions of many riders", tags=["positions"]
)
async def batch_get(data: BatchGet, services: Services, principal: Principal) -> BatchGot:
    """Up to 10,000 at once."""
    visible = await services.policy.visible(principal)
    ids = data.rider_ids if visible is None else [i for i in data.rider_ids if i in visible]
    found = [p for p in await services.live.get(ids) if p is not None]
    if len(found) == len(data.rider_ids):
        return BatchGot(found, [])
    seen = {position.rider_id for position in found}
    return BatchGot(found, [rider_id for rider_id in data.rider_ids if rider_id not in seen])


@get("/v1/riders/nearest", summary="Nearest riders within a radius", tags=["positions"])
async def get_nearest(
    services: Services,
    principal: Principal,
    lat: Annotated[float, Parameter(ge=-90, le=90)],
    lon: Annotated[float, Parameter(ge=-180, le=180)],
    radius_m: Annotated[float, Parameter(gt=0, le=MAX_RADIUS_M)] = 1000.0,
    limit: Annotated[int, Parameter(ge=1, le=MAX_NEAREST)] = 20,
) -> NearestGot:
    """Straight-line distance in metres, nearest first; only riders whom the caller may see."""
    visible = await services.policy.visible(principal)
    if visible is None:
        return NearestGot(await services.live.nearest(lat, lon, radius_m, limit))
    # A caller who may see a few is answered from those few: filtering the nearest of all would come short.
    among = await services.live.count()
    hits = await services.live.nearest(lat, lon, radius_m, max(among, 1))
    return NearestGot([hit for hit in hits if hit.rider_id in visible][:limit])


def _as_ms(text: str, name: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError:
        raise ValueError(f"{name}: {text[:40]!r} is not an RFC 3339 time like 2026-01-31T09:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


async def read_track(
    services: Services, rider_id: str, from_ms: int, to_ms: int, include_marked: bool
) -> AsyncIterator[list[TrackPoint]]:
    """A track in pages, in device time, however long it is."""
    at_ms, skip = from_ms, 0
    while True:
        page = await services.history.track(rider_id, at_ms, to_ms, _PAGE + skip, include_marked)
        fresh = page[skip:]
        if fresh:
            yield fresh
        if len(page) < _PAGE + skip:
            return
        last_ms = page[-1].device_time_ms
        same = sum(1 for point in page if point.device_time_ms == last_ms)
        at_ms, skip = last_ms, same


@get("/v1/riders/{rider_id:str}/track", summary="Where a rider was", tags=["positions"])
async def get_track(
    rider_id: Id,
    services: Services,
    principal: Principal,
    from_: Annotated[
        str, Parameter(query="from", description="RFC 3339, inclusive; default: an hour ago")
    ] = "",
    to: Annotated[str, Parameter(description="RFC 3339, exclusive; default: now")] = "",
    format_: Annotated[Literal["json", "geojson", "gpx", "csv"], Parameter(query="format")] = "json",
    simplify_m: Annotated[
        float, Parameter(ge=0, le=10_000, description="tolerance in metres; 0: every point")
    ] = 0,
    plausible: Annotated[
        bool, Parameter(description="leave out points marked as jumps or inaccurate")
    ] = False,
) -> Stream:
    """Every stored position of the time range, oldest first, streamed."""
    await services.policy.check_rider(principal, rider_id)
    now_ms = services.clock.now_ms()
    from_ms = _as_ms(from_, "from") if from_ else now_ms - 3_600_000
    to_ms = _as_ms(to, "to") if to else now_ms + 1
    if from_ms > to_ms:
        raise ValueError("from is after to")
    pages = read_track(services, rider_id, from_ms, to_ms, include_marked=not plausible)
    if simplify_m > 0:
        pages = _simplified(pages, simplify_m)
    name = "".join(c if c.isalnum() and c.isascii() else "_" for c in rider_id)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{format_}"'} if format_ != "json" else {}
    return Stream(export_track(format_, rider_id, pages), media_type=CONTENT_TYPES[format_], headers=headers)


async def _simplified(
    pages: AsyncIterator[list[TrackPoint]], tolerance_m: float
) -> AsyncIterator[list[TrackPoint]]:
    """Simplification looks at the whole line, so it takes a bounded number of points together."""
    held: list[TrackPoint] = []
    async for page in pages:
        held += page
        if len(held) >= _SIMPLIFY_MAX:
            yield simplify(held, tolerance_m)
            held = []
    if held:
        yield simplify(held, tolerance_m)


@get("/v1/quarantine", summary="Fixes that were set aside, and why", tags=["operations"])
async def get_quarantine(
    services: Services,
    principal: Principal,
    limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
    before_id: Annotated[int | None, Parameter(ge=0, le=2**63 - 1)] = None,
    reason: Annotated[str | None, Parameter(max_length=64)] = None,
    rider_id: Annotated[str | None, Parameter(max_length=128)] = None,
) -> QuarantinePage:
    """Newest first, with the number held for each reason."""
    services.policy.allow(principal, Action.READ_QUARANTINE)
    items = await services.quarantine.items(limit, before_id, reason, rider_id)
    following = items[-1].id if len(items) == limit else None
    return QuarantinePage(items, await services.quarantine.reasons(), following)


@get("/v1/cells", summary="Occupied cells with their load", tags=["operations"])
async def get_cells(services: Services, principal: Principal) -> list[CellLoad]:
    """Geohash, members and reads per second of each."""
    services.policy.allow(principal, Action.READ_CELLS)
    return await services.live.cells()


HANDLERS = [get_position, batch_get, get_nearest, get_track, get_quarantine, get_cells]
