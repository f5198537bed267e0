"""Who of mine is near me now: the live side of friends, one for each server.

The pipeline hands over where people are (`positions`, `gone`), `People` says that somebody has decided something
(`changed`), other servers tell through `channels.py` (`heard`, `heard_gone`, `heard_came`). All of it ends in
`links.py`, which serves the mailboxes of the open streams; nothing of it waits. What has to be read (consent,
names, the places of friends at the beginning) is read by `linker.py`.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta

import structlog

from majung.auth.changes import Changes
from majung.auth.model import AuthError, Forbidden, Principal
from majung.clock import Clock
from majung.friends.blur import Blurring
from majung.friends.channels import Channels
from majung.friends.linker import Linker
from majung.friends.links import Links
from majung.friends.people import People
from majung.friends.viewer import FriendViewer, See
from majung.live.audience import SWEEP_EVERY_S, Audience
from majung.observe.families import Counted, Figure, Level, Spread
from majung.ports import History, LiveStore, PortError
from majung.positions.model import PERSON, LivePosition
from majung.settings import FriendsSettings, LiveSettings

log = structlog.get_logger("majung.friends")

TEND_EVERY_S = 10.0
_LATE_MS = 15_000
_EVERYBODY = 10_000_000


class Nearby:
    """Open streams of people, and what they see. Start `run` under the supervisor."""

    def __init__(
        self,
        settings: FriendsSettings,
        live_settings: LiveSettings,
        clock: Clock,
        people: People,
        live: LiveStore,
        history: History,
        channels: Channels,
        rights: Changes,
    ) -> None:
        self.monotonic_s = clock.monotonic_s
        self.now_ms = clock.now_ms
        self.blurring = Blurring(history, _ms(settings.blur_every))
        self.links = Links(self.blurring, settings.hysteresis)
        self.coalesced = 0
        self.delay = Spread(
            "majung_friends_seconds",
            "From a friend's position at the door to its friend's stream.",
            (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
        )
        self._clock = clock
        self._live = live
        self._channels = channels
        self._rights = rights
        self._gone_after_ms = _ms(settings.gone_after)
        self._flush_every_s = live_settings.flush_every.total_seconds()
        self._linker = Linker(people, live, self.blurring, self.links, channels, clock, settings.radius_m)
        self._audience = Audience[FriendViewer](
            clock, live_settings.max_viewers, self._look_again, self.leave
        )
        self._reporting: set[str] = set()  # who reports to this server, and has been announced
        self._version = 0
        self._later: list[FriendViewer] = []
        self._ready: list[FriendViewer] = []
        self._updates = 0
        self._deliveries = 0
        people.listeners.append(self._linker.changed)

    # --------------------------------------------------------------------------- who reports here

    def positions(self, positions: Sequence[LivePosition]) -> None:
        """The newest positions of people, from the pipeline."""
        self._updates += len(positions)
        for position in positions:
            self.heard(position)
            self._channels.tell(position)
            if position.rider_id not in self._reporting:
                self._reporting.add(position.rider_id)
                self._linker.came(position.rider_id, announce=True)

    def gone(self, person_ids: Sequence[str]) -> None:
        """These were silent for too long."""
        for person_id in person_ids:
            self._reporting.discard(person_id)
            self.links.gone(person_id)
            self._channels.tell_gone(person_id)

    def heard(self, position: LivePosition) -> None:
        """Somebody is somewhere else, says the pipeline or another server."""
        if self.links.moved(position):
            self._linker.look_at(position.rider_id)

    def heard_gone(self, person_id: str) -> None:
        """Another server says that somebody is silent."""
        self.links.gone(person_id)

    def heard_came(self, person_id: str, marks: Sequence[int]) -> None:
        """Another server says that somebody with such friends has begun to report."""
        if not self.links.marks.keys().isdisjoint(marks):
            self._linker.came(person_id)

    # ---------------------------------------------------------------------------------- who watches

    async def open(self, principal: Principal, see: See) -> FriendViewer:
        """A new stream of the person who calls; `see` verifies its credential again, and raises when it is over.

        Raises Overloaded past `live.max_viewers`, PortError.
        """
        self._audience.admit()
        watcher = self.links.watcher(principal.rider_id)
        viewer = FriendViewer(self, principal, see, watcher)
        watcher.streams.append(viewer)
        self._audience.add(viewer)
        try:
            if not watcher.ready:
                await self._linker.build(watcher)
        except BaseException:
            self.leave(viewer)
            raise
        viewer.wake()
        return viewer

    def leave(self, viewer: FriendViewer) -> None:
        """The stream is over; forget it. May be called twice."""
        if not self._audience.remove(viewer):
            return
        watcher = viewer.watcher
        watcher.streams.remove(viewer)
        if not watcher.streams:
            self._linker.left(watcher)
            self.links.stop_watching(watcher)
        viewer.close(1000, "closed")

    def close(self) -> None:
        """The server stops: every stream ends, so that its viewer comes back to the next one."""
        self._audience.close()

    async def _look_again(self, viewer: FriendViewer) -> None:
        if viewer.verified == self._version:
            return  # no right has been taken from anybody since
        version = self._version
        try:
            await viewer.see()
        except (AuthError, Forbidden) as problem:
            viewer.close(4401, str(problem))
        except PortError:
            return  # not known just now: what was true half a second ago stands
        else:
            viewer.verified = version

    # -------------------------------------------------------------------------------- pace and work

    def mark(self, viewer: FriendViewer) -> None:
        """Something waits for this stream: wake it now, or when its pause is over."""
        viewer.dirty = True
        if self.monotonic_s() - viewer.flushed_s >= self._flush_every_s:
            viewer.wake()
        else:
            self._later.append(viewer)

    def ready(self, viewer: FriendViewer) -> None:
        """This stream has a door that is called (`FriendViewer.serve`): when all that comes now has come."""
        self._ready.append(viewer)
        if len(self._ready) == 1:
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        ready, self._ready = self._ready, []
        for viewer in ready:
            if viewer.tell is not None:
                try:
                    viewer.tell()
                except Exception:  # one door's failure is not the others'
                    log.exception("friend_stream_failed")
                    viewer.abort()

    def flush(self) -> None:
        """Wake everybody whose pause is over; ask about the decisions that have ended."""
        waiting, self._later = self._later, []
        for viewer in waiting:
            if viewer.dirty:
                viewer.wake()
        self._linker.look_at_ends()

    async def sweep(self) -> None:
        """Who may still watch, who does not read, who heard nothing."""
        with contextlib.suppress(PortError):  # then what was true half a second ago stands
            self._version = await self._rights.version()
        await self._audience.sweep()

    async def tend(self) -> None:
        """Hear no more of those whom nobody here sees; let go who is silent, should nobody have said so."""
        idle = [person_id for person_id in self.links.idle if person_id not in self.links.subjects]
        self.links.idle.clear()
        await self._channels.unfollow(idle)
        before_ms = self.now_ms() - self._gone_after_ms - _LATE_MS
        for subject in list(self.links.subjects.values()):
            if subject.position is not None and subject.position.received_at_ms < before_ms:
                self.links.gone(subject.person_id)

    async def load(self) -> None:
        """Know who is live already: a server that starts anew need not announce them. Raises PortError."""
        found = await self._live.in_area(-90.0, -180.0, 90.0, 180.0, _EVERYBODY, PERSON)
        self._reporting.update(position.rider_id for position in found)

    async def run(self) -> None:
        """Wake streams, look after rights and slow sockets, link and follow, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._channels.run(self))
            group.create_task(self._linker.run())
            group.create_task(self._tick())

    async def _tick(self) -> None:
        swept_s = tended_s = self.monotonic_s()
        while True:
            await asyncio.sleep(self._flush_every_s)
            self.flush()
            if self.monotonic_s() - swept_s >= SWEEP_EVERY_S:
                swept_s = self.monotonic_s()
                await self.sweep()
            if self.monotonic_s() - tended_s >= TEND_EVERY_S:
                tended_s = self.monotonic_s()
                await self.tend()

    # -------------------------------------------------------------------------------------- figures

    def delivered(self, after_ms: int) -> None:
        """A friend's position has been given to a stream, so long after it came in."""
        self._deliveries += 1
        self.delay.add(after_ms / 1000)

    @property
    def viewers(self) -> int:
        """Open streams."""
        return len(self._audience)

    @property
    def waiting(self) -> int:
        """Reads of decisions, names and looks that are due or being done; 0: all is as it has to be."""
        return self._linker.waiting

    def figures(self) -> list[Figure]:
        """For `/metrics`."""
        return [
            Level("majung_friends_viewers", "Open streams of friends.", self.viewers),
            Level("majung_friends_watchers", "People with an open stream here.", len(self.links.watchers)),
            Level("majung_friends_links", "Pairs of a watcher and a friend who is live.", self.links.count),
            Level("majung_friends_reads", "Reads of decisions that are due.", self.waiting),
            Level("majung_friends_followed", "People whom this server hears of.", self._channels.followed),
            Counted(
                "majung_friends_messages",
                "Positions of people in, what became of them out.",
                "outcome",
                {
                    "updates": self._updates,
                    "deliveries": self._deliveries,
                    "coalesced": self.coalesced,
                    "dropped": self._channels.dropped,
                    "closed_slow": self._audience.closed_slow,
                },
            ),
            self.delay,
        ]


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
