"""Blurred friends: which cell a person is shown in.

A person is looked at once in each stretch of `friends.blur_every`: at the first plain fix whose device time falls
into it. Stretches begin at the same moments for everybody, and whoever asks, how often and from where has no part
in it. What is shown is the cell of that look: its middle, its edges, and the moment at which the stretch began.

The cell sticks: it changes only when the fix lies outside of it by more than a tenth of its size, so that a phone
that lies near an edge does not tell by going to and fro where the edge is. What sticks is forgotten at the
beginning of a day (UTC).

So a look is a function of the plain fixes of that day up to it, and it is always read from history, which knows
them all and has them before anybody is told: the stream, the track, another server and this one after a restart
show the same cell, and comparing them tells nothing. (Thinned history keeps the first plain fix of a minute; that
is why it is the first of a stretch.)
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

from majung.friends.consent import MAX_PRECISION, MIN_PRECISION
from majung.friends.model import Bounds, Place
from majung.ports import History
from majung.positions import geohash
from majung.positions.model import LivePosition, TrackPoint
from majung.positions.reads import track_pages

DAY_MS = 86_400_000
MAX_ASKED = 20_000
STICKY = 0.1
"""A cell is held until the fix is outside of it by this part of its size."""

_PRECISIONS = range(MIN_PRECISION, MAX_PRECISION + 1)


class Look(NamedTuple):
    """When the stretch began, and the cell at each precision from 3 to 7."""

    at_ms: int
    cells: tuple[int, ...]

    def cell(self, precision: int) -> int:
        """The cell that somebody is shown who may know it as exactly as this."""
        return self.cells[precision - MIN_PRECISION]


def still_in(cell: int, latitude: float, longitude: float) -> bool:
    """Whether the place lies in the cell, or beside it by at most `STICKY` of its size."""
    box = geohash.bounds(cell)
    up = abs(latitude - (box.south + box.north) / 2)
    across = abs((longitude - (box.west + box.east) / 2 + 180.0) % 360.0 - 180.0)
    reach = 0.5 + STICKY
    return up <= (box.north - box.south) * reach and across <= (box.east - box.west) * reach


def look(before: Look | None, at_ms: int, latitude: float, longitude: float) -> Look:
    """The look of the stretch that begins at `at_ms`, after the one before."""
    latitude, longitude = round(latitude, 7), round(longitude, 7)  # as history keeps them
    if before is None or before.at_ms // DAY_MS != at_ms // DAY_MS:
        return Look(
            at_ms, tuple(geohash.cell_of(latitude, longitude, precision) for precision in _PRECISIONS)
        )
    cells = (
        cell if still_in(cell, latitude, longitude) else geohash.cell_of(latitude, longitude, precision)
        for cell, precision in zip(before.cells, _PRECISIONS, strict=True)
    )
    return Look(at_ms, tuple(cells))


def place_of(person_id: str, seen: Look, precision: int) -> Place:
    """What is shown of a person who was looked at."""
    cell = seen.cell(precision)
    box = geohash.bounds(cell)
    latitude, longitude = geohash.centre(cell)
    return Place(person_id, latitude, longitude, seen.at_ms, cell=geohash.to_text(cell), bounds=Bounds(*box))


class Blurring:
    """The looks of those people whom somebody sees blurred. One for each server; of its event loop."""

    def __init__(self, history: History, every_ms: int) -> None:
        self._history = history
        self._every_ms = max(1, every_ms)
        self._looks: dict[str, Look] = {}
        self._asked: dict[str, Look] = {}  # of others, so that who asks each minute reads no day of history

    def stretch_ms(self, time_ms: int) -> int:
        """When the stretch of a moment began."""
        return time_ms - time_ms % self._every_ms

    def is_due(self, newest: LivePosition) -> bool:
        """Whether somebody who is seen blurred is to be looked at again, by `learn`."""
        known = self._looks.get(newest.rider_id)
        return known is not None and self.stretch_ms(newest.device_time_ms) > known.at_ms

    async def learn(self, newest: LivePosition) -> None:
        """Know the look of a person who is live, as of this position. Raises PortError."""
        person_id, at_ms = newest.rider_id, self.stretch_ms(newest.device_time_ms)
        known = self._looks.get(person_id)
        if known is None or known.at_ms < at_ms:
            found = await self._recall(newest, known)
            known = self._looks.get(person_id)  # another read may have come further meanwhile
            if known is None or known.at_ms < found.at_ms:
                self._looks[person_id] = found

    def forget(self, person_id: str) -> None:
        """The person is gone, or nobody sees it; history knows the rest."""
        self._looks.pop(person_id, None)

    def place(self, person_id: str, precision: int) -> Place | None:
        """What is shown of a person; None when its look is not known."""
        seen = self._looks.get(person_id)
        return None if seen is None else place_of(person_id, seen, precision)

    async def look_at(self, newest: LivePosition, precision: int) -> Place:
        """The same for one answer, of somebody who is live. Raises PortError."""
        person_id = newest.rider_id
        known = self._looks.get(person_id)
        if known is None:
            known = self._asked.pop(person_id, None)
            if known is None or known.at_ms < self.stretch_ms(newest.device_time_ms):
                known = await self._recall(newest, known)
            self._asked[person_id] = known
            while len(self._asked) > MAX_ASKED:
                del self._asked[next(iter(self._asked))]  # who was not asked about for longest
        return place_of(person_id, known, precision)

    async def _recall(self, newest: LivePosition, known: Look | None) -> Look:
        """The look of a position's stretch, by history; after one that is known, of what came since."""
        found, time_ms = known, newest.device_time_ms
        async for seen, _ in self._looked(newest.rider_id, time_ms, time_ms + 1, known):
            found = seen
        at_ms = self.stretch_ms(time_ms)
        if found is None or found.at_ms < at_ms:  # erased meanwhile
            found = look(found, at_ms, newest.latitude, newest.longitude)
        return found

    # ----------------------------------------------------------------------------------- what was

    async def track(
        self, person_id: str, precision: int, from_ms: int, to_ms: int, not_before_ms: int
    ) -> AsyncIterator[list[TrackPoint]]:
        """One point a stretch that begins within the range: the cell's middle. Pages, oldest first.

        A look counts when the fix that it was taken at is not older than `not_before_ms`. Raises PortError.
        """
        page: list[TrackPoint] = []
        async for seen, fix in self._looked(person_id, from_ms, to_ms + self._every_ms):
            if not (from_ms <= seen.at_ms < to_ms and fix.device_time_ms >= not_before_ms):
                continue
            page.append(TrackPoint(seen.at_ms, *geohash.centre(seen.cell(precision))))
            if len(page) == 500:
                yield page
                page = []
        if page:
            yield page

    async def _looked(
        self, person_id: str, from_ms: int, to_ms: int, known: Look | None = None
    ) -> AsyncIterator[tuple[Look, TrackPoint]]:
        """Every look from the beginning of the day of `from_ms`, or after `known`, with its fix."""
        begin_ms, seen = self.stretch_ms(from_ms) // DAY_MS * DAY_MS, None
        if known is not None and known.at_ms >= begin_ms:
            begin_ms, seen = known.at_ms + self._every_ms, known
        async for page in track_pages(self._history, person_id, begin_ms, to_ms, include_marked=False):
            for fix in self._firsts(page, seen):
                seen = look(seen, self.stretch_ms(fix.device_time_ms), fix.latitude, fix.longitude)
                yield seen, fix
            await asyncio.sleep(0)

    def _firsts(self, page: Iterable[TrackPoint], seen: Look | None) -> Iterable[TrackPoint]:
        at_ms = -1 if seen is None else seen.at_ms
        for point in page:
            # A late fix was not there when the look was taken.
            if point.mark == "" and self.stretch_ms(point.device_time_ms) > at_ms:
                at_ms = self.stretch_ms(point.device_time_ms)
                yield point
