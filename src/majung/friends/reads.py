"""Asking instead of watching: who is near, where a friend is, where a friend was.

The same decisions and the same looks as on the stream. Whoever has a stream open here is answered from it.
"""

from collections.abc import AsyncIterator

import msgspec

from majung.clock import Clock
from majung.friends.blur import Blurring
from majung.friends.consent import Mode, Seen, seen
from majung.friends.links import Links
from majung.friends.model import NO_FRIEND, Near, Place
from majung.friends.parties import exact_place
from majung.friends.people import People
from majung.ports import History, LiveStore
from majung.positions.geodesy import ellipsoid_m
from majung.positions.model import PERSON, LivePosition, Position, TrackPoint
from majung.positions.reads import track_pages


class Here(msgspec.Struct, frozen=True):
    """Where the caller is, by its freshest device."""

    latitude: float
    longitude: float
    device_time_ms: int


class NearNow(msgspec.Struct, frozen=True):
    """Friends within the radius, nearest first; without a place of one's own (`here` null) nobody is near."""

    at_ms: int
    radius_m: float
    here: Here | None
    near: list[Near]


class FriendReads:
    """One for each server."""

    def __init__(
        self,
        people: People,
        live: LiveStore,
        history: History,
        links: Links,
        clock: Clock,
        default_radius_m: float,
    ) -> None:
        self._people = people
        self._live = live
        self._history = history
        self._links = links
        self._blurring: Blurring = links.blurring
        self._clock = clock
        self._default_radius_m = default_radius_m

    async def near(
        self, viewer_id: str, radius_m: float | None = None, reported: Position | None = None
    ) -> NearNow:
        """Who is near now; another radius than one's own for this answer alone. Raises PortError.

        `reported`: where the viewer has just said that it is, on its way through the log; it counts when it
        is newer than what is known.
        """
        now_ms = self._clock.now_ms()
        watcher = self._links.watchers.get(viewer_id)
        if radius_m is None and reported is None and watcher is not None and watcher.is_sure(now_ms):
            near = [
                Near(link.subject.display_name, round(link.distance_m, 3), place)
                for link, place, _ in self._links.near(watcher)
            ]
            return NearNow(now_ms, watcher.radius_m, _here(watcher.me.position), near)
        if radius_m is None:
            radius_m = await self._people.radius_m(viewer_id, self._default_radius_m)
        mine: LivePosition | Position | None = (await self._live.get([viewer_id], PERSON))[0]
        if reported is not None and (mine is None or mine.device_time_ms < reported.device_time_ms):
            mine = reported
        found: list[Near] = []
        if mine is not None:
            for name, place in await self.visible(viewer_id):
                distance_m = ellipsoid_m(mine.latitude, mine.longitude, place.latitude, place.longitude)
                if distance_m <= radius_m:
                    found.append(Near(name, round(distance_m, 3), place))
        found.sort(key=lambda near: (near.distance_m, near.place.person_id))
        return NearNow(now_ms, radius_m, _here(mine), found)

    async def visible(self, viewer_id: str) -> list[tuple[str, Place]]:
        """Every friend who is live and lets the viewer see where, however far: display name and place.

        Raises PortError.
        """
        now_ms = self._clock.now_ms()
        ties = await self._people.ties_to(viewer_id)
        decided = {id_: seen(owner, tie, now_ms) for id_, (owner, tie) in ties.items()}
        wanted = [id_ for id_, what in decided.items() if what.mode is not Mode.OFF]
        living = [position for position in await self._live.get(wanted, PERSON) if position is not None]
        if not living:
            return []
        names = await self._people.display_names(viewer_id)
        return [
            (names.get(position.rider_id, ""), await self._shown(position, decided[position.rider_id]))
            for position in living
        ]

    async def place(self, viewer_id: str, person_id: str) -> Place:
        """Where a friend is. Raises PortError, LookupError: in the same words for whatever reason."""
        what = await self._people.sees(viewer_id, person_id)
        if what.mode is not Mode.OFF:
            position = (await self._live.get([person_id], PERSON))[0]
            if position is not None:
                return await self._shown(position, what)
        raise LookupError(NO_FRIEND)

    async def _shown(self, position: LivePosition, what: Seen) -> Place:
        if what.mode is Mode.BLURRED:
            return await self._blurring.look_at(position, what.precision)
        return exact_place(position)

    async def track(
        self, viewer_id: str, person_id: str, from_ms: int, to_ms: int
    ) -> AsyncIterator[list[TrackPoint]]:
        """Where a friend was, in pages, as far back as the viewer may see. Ends when it may not any more.

        Raises PortError, LookupError as `place` before the first page.
        """
        first = await self._people.sees(viewer_id, person_id)
        if first.mode is Mode.OFF or first.history_from_ms is None:
            raise LookupError(NO_FRIEND)
        async for page in self._pages(person_id, first, from_ms, to_ms):
            if await self._people.sees(viewer_id, person_id) != first:
                return
            yield page

    def _pages(self, person_id: str, what: Seen, from_ms: int, to_ms: int) -> AsyncIterator[list[TrackPoint]]:
        since_ms = what.history_from_ms
        assert since_ms is not None
        if what.mode is Mode.BLURRED:
            return self._blurring.track(person_id, what.precision, from_ms, to_ms, since_ms)
        return _bare(
            track_pages(self._history, person_id, max(from_ms, since_ms), to_ms, include_marked=False)
        )


async def _bare(pages: AsyncIterator[list[TrackPoint]]) -> AsyncIterator[list[TrackPoint]]:
    """Without what only the owner's devices are concerned with: which of them it was, and how it counted."""
    async for page in pages:
        yield [
            TrackPoint(p.device_time_ms, p.latitude, p.longitude, p.accuracy_m, p.speed_mps, p.heading_deg)
            for p in page
        ]


def _here(position: LivePosition | Position | None) -> Here | None:
    return (
        Here(position.latitude, position.longitude, position.device_time_ms) if position is not None else None
    )
