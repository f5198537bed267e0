"""Reading positions for somebody who may see only some riders, or more than fits into memory at once."""

from collections.abc import AsyncIterator

import numpy as np

from majung.ports import History, LiveStore
from majung.positions.geodesy import chords_to_m, squared_chords, unit_vector, unit_vectors
from majung.positions.model import Nearby, TrackPoint
from majung.positions.track import simplify

PAGE_POINTS = 5_000


async def nearest_among(
    live: LiveStore,
    rider_ids: frozenset[str] | None,
    latitude: float,
    longitude: float,
    radius_m: float,
    limit: int,
) -> list[Nearby]:
    """`LiveStore.nearest`, of these riders alone (None: of all). Same distances, same order.

    Few riders are measured one by one: the nearest of everybody, filtered afterwards, would come short.
    Raises ValueError for a place that is not on Earth.
    """
    if rider_ids is None:
        return await live.nearest(latitude, longitude, radius_m, limit)
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise ValueError(f"({latitude}, {longitude}) is not within -90…90, -180…180 degrees")
    found = [position for position in await live.get(sorted(rider_ids)) if position is not None]
    points = unit_vectors(
        np.array([position.latitude for position in found], np.float64),
        np.array([position.longitude for position in found], np.float64),
    )
    metres = chords_to_m(squared_chords(points, unit_vector(latitude, longitude))).tolist()
    hits = [Nearby(p.rider_id, m, p) for p, m in zip(found, metres, strict=True) if m <= radius_m]
    return sorted(hits, key=lambda hit: (hit.distance_m, hit.rider_id))[:limit]


async def track_pages(
    history: History,
    rider_id: str,
    from_ms: int,
    to_ms: int,
    include_marked: bool = True,
    tolerance_m: float = 0.0,
) -> AsyncIterator[list[TrackPoint]]:
    """A track of any length in pages, oldest first, every point once.

    Points are simplified page by page (0: every point stays), so that memory stays bounded: two points a
    page remain that need not. Raises PortError.
    """
    at_ms = from_ms
    given: set[tuple[str, int]] = set()  # of the moment `at_ms`, at which the next page begins
    while True:
        at_most = PAGE_POINTS + len(given)
        page = await history.track(rider_id, at_ms, to_ms, at_most, include_marked)
        fresh = [
            point
            for point in page
            if point.device_time_ms > at_ms or (point.session_id, point.seq) not in given
        ]
        if fresh:
            yield simplify(fresh, tolerance_m) if tolerance_m > 0 else fresh
        if len(page) < at_most:
            return
        last_ms = page[-1].device_time_ms
        if last_ms > at_ms:
            given.clear()
        given.update((point.session_id, point.seq) for point in page if point.device_time_ms == last_ms)
        at_ms = last_ms
