"""Send recorded tracks through the gRPC door: each readable row exactly once, in file order.

A track of one rider in one file is one session, and the row's place among the readable ones is its
`seq`. The file is the buffer: nothing is copied to disk, rows are encoded as they are sent.

Times. With `keep_time` they are sent as recorded, and the session's name comes from the content, so
that replaying the same file again changes nothing. Otherwise all times are moved by one span of time,
such that the newest is sent at its time: at speed 1 the first is now; at a higher speed the first lies
in the past, since no time may lie in the future and the distances between times must stay true (or the
vehicle would seem to fly, and be taken off the map).
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from majung.clock import Clock, SystemClock
from majung.simulate.tracks import Options, Track, Unreadable
from majung_sdk import Connection, Problem, Retry, Totals, Uplink
from majung_sdk.channels import Target
from majung_sdk.codec import encode

_WINDOW = 1_024
_SHORTEST_WAIT_S = 0.02
_LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class ReplayPlan:
    """What to send where. `speed` None: as fast as the server takes it."""

    to: str
    token: str
    files: Sequence[Path] = ()
    speed: float | None = 1.0
    keep_time: bool = False
    options: Options = field(default_factory=Options)
    root_certificates: bytes | None = None
    connections: int = 2
    give_up_s: float = 60.0
    retry: Retry = field(default_factory=lambda: Retry(first_s=0.2, longest_s=5.0))

    @property
    def streams(self) -> int:
        """How many riders are under way at once; at a given speed all must be, within reason."""
        return 64 if self.speed is None else 2_000


@dataclass
class ReplayProgress:
    """How far it is. `positions` is what was readable; all is well when `acknowledged` equals it."""

    positions: int
    riders: int
    unreadable: list[Unreadable]
    totals: Totals = field(default_factory=Totals)
    sent: int = 0
    problem: Problem | None = None
    gave_up: str = ""

    @property
    def acknowledged(self) -> int:
        """Positions that the server has made durable."""
        return self.totals.acked

    @property
    def complete(self) -> bool:
        """Whether there was something to send and all of it was acknowledged."""
        return 0 < self.positions == self.acknowledged


class _Rows:
    """A track as the source of an uplink: rows become wire bytes when they are sent."""

    def __init__(self, track: Track, session_id: str, shift_ms: int, progress: ReplayProgress) -> None:
        self._progress = progress
        self._highest = 0
        self._track = track
        self._session_id = session_id
        self._shift_ms = shift_ms

    async def page(self, first: int, last: int) -> Sequence[tuple[int, bytes]]:
        """See `Source.page`. Each row counts once as sent, however often it has to be repeated."""
        self._progress.sent += max(0, last - self._highest)
        self._highest = max(self._highest, last)
        return [(seq, self._encode(seq)) for seq in range(first, last + 1)]

    def settle(self, first: int, last: int) -> None:
        """The file stays as it is."""

    def _encode(self, seq: int) -> bytes:
        track, row = self._track, seq - 1
        return encode(
            track.rider_id,
            self._session_id,
            seq,
            track.latitude[row],
            track.longitude[row],
            track.time_ms[row] + self._shift_ms,
            _known(track.accuracy_m[row]),
            _known(track.speed_mps[row]),
            _known(track.heading_deg[row]),
        )


def _known(value: float) -> float | None:
    return value if value == value else None  # NaN: not recorded


def shift_ms(tracks: Iterable[Track], speed: float | None, now_ms: int) -> int:
    """By how much all times move so that the newest is sent at its time, when sending begins now."""
    first = min(min(track.time_ms) for track in tracks)
    last = max(max(track.time_ms) for track in tracks)
    takes_ms = 0.0 if speed is None else (last - first) / speed
    return now_ms + round(takes_ms) - last


async def replay(
    plan: ReplayPlan,
    tracks: Sequence[Track],
    unreadable: Sequence[Unreadable] = (),
    *,
    clock: Clock | None = None,
    on_progress: Callable[[ReplayProgress], None] | None = None,
    stop: asyncio.Event | None = None,
) -> ReplayProgress:
    """Send all tracks; returns when everything is acknowledged, `stop` is set, or it gives up.

    It gives up when the server refuses the credential, or acknowledges nothing for `give_up_s`.
    """
    tracks = [track for track in tracks if len(track)]
    riders: dict[str, list[Track]] = {}
    for track in sorted(tracks, key=lambda track: min(track.time_ms)):
        riders.setdefault(track.rider_id, []).append(track)
    progress = ReplayProgress(sum(map(len, tracks)), len(riders), list(unreadable))
    if not tracks:
        return progress
    run = _Run(plan, progress, tracks, clock or SystemClock())
    work = asyncio.ensure_future(run.all(riders))
    watch = asyncio.ensure_future(run.watch(on_progress))
    halt = asyncio.ensure_future((stop or asyncio.Event()).wait())
    tasks: list[asyncio.Future[object]] = [work, watch, halt]  # type: ignore[list-item]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if halt.done() and not work.done():
            progress.gave_up = "it was stopped"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await run.close()
    for done in (work, watch):
        if not done.cancelled() and (error := done.exception()) is not None:
            raise error
    if on_progress is not None:
        on_progress(progress)
    return progress


class _Run:
    """One replay under way."""

    def __init__(
        self, plan: ReplayPlan, progress: ReplayProgress, tracks: Sequence[Track], clock: Clock
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self._origin_ms = min(min(track.time_ms) for track in tracks)
        self._shift_ms = 0 if plan.keep_time else shift_ms(tracks, plan.speed, clock.now_ms())
        target = Target(plan.to, plan.root_certificates)
        self._connections = [Connection(target, shared=plan.connections > 1) for _ in range(plan.connections)]
        self._slots = asyncio.Semaphore(plan.streams)
        self._uplinks: set[Uplink] = set()

    async def all(self, riders: dict[str, list[Track]]) -> None:
        """Every rider beside the others; the tracks of one rider one after the other."""
        async with asyncio.TaskGroup() as group:
            for number, tracks in enumerate(riders.values()):
                connection = self._connections[number % len(self._connections)]
                group.create_task(self._rider(tracks, connection))

    async def watch(self, on_progress: Callable[[ReplayProgress], None] | None) -> None:
        """Report, look after connections that went silent, and return when there is no hope."""
        acked, moved_s = 0, time.monotonic()
        while not self._progress.gave_up:
            await asyncio.sleep(_LOOK_EVERY_S)
            now_s = time.monotonic()
            for uplink in list(self._uplinks):
                await uplink.check_silence(now_s)
            if self._progress.acknowledged > acked or not any(map(len, self._uplinks)):
                acked, moved_s = self._progress.acknowledged, now_s
            if now_s - moved_s > self._plan.give_up_s:
                self._progress.gave_up = f"nothing was acknowledged for {self._plan.give_up_s:.0f} s"
            if on_progress is not None:
                on_progress(self._progress)

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            await connection.close()

    async def _rider(self, tracks: Sequence[Track], connection: Connection) -> None:
        for track in tracks:
            due_s = self._due_s(track)
            await self._until(due_s[0])
            async with self._slots:
                await self._track(track, due_s, connection)

    async def _track(
        self, track: Track, due_s: "np.ndarray[tuple[int], np.dtype[np.float64]]", on: Connection
    ) -> None:
        name = track.fingerprint() if self._plan.keep_time else uuid.uuid4().hex
        uplink = Uplink(
            _Rows(track, f"replay-{name}", self._shift_ms, self._progress),
            on,
            self._plan.token,
            window=_WINDOW,
            newest_first=False,
            retry=self._plan.retry,
            totals=self._progress.totals,
            on_problem=self._failed,
        )
        self._uplinks.add(uplink)
        uplink.start()
        try:
            held = 0
            while held < len(track):
                elapsed_s = self._clock.monotonic_s() - self._began_s
                due = int(np.searchsorted(due_s, elapsed_s, side="right"))
                if due > held:
                    uplink.hold(held + 1, due)
                    held = due
                else:
                    await self._until(due_s[held])
            await uplink.drained()
        finally:
            await uplink.close()
            self._uplinks.discard(uplink)

    def _due_s(self, track: Track) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """When each row is due, in seconds from the beginning: never before the row that precedes it."""
        if self._plan.speed is None:
            return np.zeros(len(track))
        times = np.maximum.accumulate(np.frombuffer(track.time_ms, dtype=np.int64))
        return (times - self._origin_ms) / (1_000.0 * self._plan.speed)

    async def _until(self, due_s: float) -> None:
        while (wait_s := self._began_s + due_s - self._clock.monotonic_s()) > 0:
            await asyncio.sleep(max(wait_s, _SHORTEST_WAIT_S))

    def _failed(self, problem: Problem) -> None:
        self._progress.problem = problem
        if problem.permanent:
            self._progress.gave_up = f"{problem.code}: {problem.detail}"
