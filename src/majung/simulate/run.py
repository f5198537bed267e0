"""Drive a simulated city against a real server, in real time.

Riders report one after another, spread evenly over `rate_s`, as they would in life. What they report
depends on the seed, the start and the step alone: `positions` is pure, `simulate` only sends it.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from majung.clock import Clock, SystemClock
from majung.simulate.city import City
from majung.simulate.mishaps import Fixes, Odds, Phones
from majung.simulate.streets import Streets
from majung.simulate.traffic import Drive
from majung_sdk import BufferFull, Fleet, Problem, Reporter, Totals

_KOREA_H = 9  # ahead of UTC: rush hours are local
_TICK_S = 0.05


@dataclass(frozen=True)
class Plan:
    """What to simulate, and where to send it. Times in seconds; `speed` 2: the city runs twice as fast.

    `ids`: what the riders are called, and `tokens` a credential for each, when `token` is not for all.
    """

    to: str
    token: str
    riders: int = 1_000
    city: str = "gangnam"
    seed: int = 7
    rate_s: float = 5.0
    speed: float = 1.0
    duration_s: float | None = None
    prefix: str = "rider-"
    buffer: Path | None = None
    root_certificates: bytes | None = None
    connections: int = 4
    odds: Odds = field(default_factory=Odds)
    ids: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()

    def rider_ids(self) -> list[str]:
        """`ids`, or `rider-0001` …, as wide as the last one needs."""
        if self.ids:
            return list(self.ids)
        width = max(4, len(str(self.riders)))
        return [f"{self.prefix}{number:0{width}d}" for number in range(1, self.riders + 1)]


@dataclass
class Progress:
    """What a status line shows."""

    totals: Totals
    riders: int
    buffered: int = 0
    silent: int = 0
    without_reception: int = 0
    not_taken: int = 0
    problem: Problem | None = None
    told_s: float = -1.0
    drained: bool = False


@dataclass(frozen=True)
class Step:
    """One round of all riders: each row of `fixes` is due at its `due_ms` (Unix time, UTC)."""

    start_ms: float
    due_ms: list[float]
    fixes: Fixes


class Moving(Protocol):
    """Whatever moves `Plan.riders` riders: `City`, which drives by itself, or one that is told where to."""

    @property
    def streets(self) -> Streets:
        """What they drive on."""
        ...

    def step(self, seconds: float, hour: float) -> Drive:
        """Let `seconds` pass at the local `hour`; where everybody is then."""
        ...


def positions(plan: Plan, start_ms: int, city: Moving | None = None) -> Iterator[Step]:
    """Round after round of everybody's fixes, without end. The same plan and start give the same."""
    city = city or City(plan.city, plan.riders, plan.seed)
    phones = Phones(city.streets, plan.riders, plan.seed, plan.odds)
    round_ms = plan.rate_s / plan.speed * 1_000.0
    number = 0
    while True:
        at_ms = start_ms + number * round_ms
        hour = (start_ms / 3_600_000.0 + number * plan.rate_s / 3_600.0 + _KOREA_H) % 24.0
        fixes = phones.step(plan.rate_s, city.step(plan.rate_s, hour))
        due_ms = [at_ms + row * round_ms / plan.riders for row in range(plan.riders)]
        yield Step(at_ms, due_ms, fixes)
        number += 1


async def simulate(
    plan: Plan,
    *,
    clock: Clock | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: asyncio.Event | None = None,
    drain_s: float = 10.0,
    city: Moving | None = None,
) -> Progress:
    """Run until `stop` is set or `duration_s` is over, then wait up to `drain_s` for what is buffered.

    `on_progress` is called about four times a second. Raises ValueError for an unknown city and
    `BufferInUse` when another simulator has the buffer.
    """
    clock = clock or SystemClock()
    stop = stop or asyncio.Event()
    rounds = positions(plan, clock.now_ms(), city)
    async with _fleet(plan) as (fleet, progress):
        sender = _Sender(await fleet.add(plan.rider_ids(), plan.tokens or None), progress)
        ends_s = None if plan.duration_s is None else clock.monotonic_s() + plan.duration_s
        late_ms = 0.0
        for step in rounds:
            sender.begin(step)
            while not sender.done:
                now_ms = clock.now_ms() - late_ms
                if now_ms - step.start_ms > 10_000.0 + 2_000.0 * plan.rate_s / plan.speed:
                    # The machine slept: go on from now, without a burst of what was missed.
                    late_ms += now_ms - step.start_ms
                    now_ms = step.start_ms
                sender.send_due(now_ms, late_ms)
                _tell(fleet, progress, on_progress, clock.monotonic_s())
                if await _stopped(stop, ends_s, clock):
                    await _drain(fleet, sender, progress, drain_s)
                    return progress
    return progress


@asynccontextmanager
async def _fleet(plan: Plan) -> AsyncIterator[tuple[Fleet, Progress]]:
    with tempfile.TemporaryDirectory(prefix="majung-simulate-") as scratch:
        progress = Progress(Totals(), plan.riders)
        fleet = Fleet(
            plan.to,
            plan.token,
            plan.buffer or Path(scratch) / "buffer.db",
            root_certificates=plan.root_certificates,
            connections=plan.connections,
            max_buffered=10_000,
            sync=False,  # these phones all die with this machine
            on_problem=lambda problem: setattr(progress, "problem", problem),
        )
        progress.totals = fleet.totals
        async with fleet:
            yield fleet, progress


def _tell(
    fleet: Fleet, progress: Progress, on_progress: Callable[[Progress], None] | None, now_s: float
) -> None:
    if on_progress is not None and now_s - progress.told_s >= 0.25:
        progress.told_s = now_s
        progress.buffered = fleet.buffered
        on_progress(progress)


async def _stopped(stop: asyncio.Event, ends_s: float | None, clock: Clock) -> bool:
    try:
        async with asyncio.timeout(_TICK_S):
            await stop.wait()
    except TimeoutError:
        return ends_s is not None and clock.monotonic_s() >= ends_s
    return True


async def _drain(fleet: Fleet, sender: "_Sender", progress: Progress, drain_s: float) -> None:
    sender.everybody_online()
    try:
        async with asyncio.timeout(drain_s):
            await fleet.drained()
            progress.drained = True
    except TimeoutError:
        pass
    progress.buffered = fleet.buffered


class _Sender:
    """Hands the rows of a round to the SDK as they fall due."""

    def __init__(self, reporters: list[Reporter], progress: Progress) -> None:
        self._reporters = reporters
        self._progress = progress
        self._row = 0
        self._due_ms: list[float] = []
        self._rows: list[tuple[float, float, float, float, float, float, bool, bool, bool]] = []

    @property
    def done(self) -> bool:
        """Whether every row of the round was handed over."""
        return self._row >= len(self._rows)

    def begin(self, step: Step) -> None:
        """Take the next round."""
        fixes = step.fixes
        self._row = 0
        self._due_ms = step.due_ms
        columns = (
            fixes.latitude,
            fixes.longitude,
            fixes.accuracy_m,
            fixes.speed_mps,
            fixes.heading_deg,
            fixes.clock_off_ms,
            fixes.reports,
            fixes.online,
            fixes.repeats,
        )
        self._rows = list(zip(*(column.tolist() for column in columns), strict=True))
        self._progress.silent = len(self._rows) - int(fixes.reports.sum())
        self._progress.without_reception = len(self._rows) - int(fixes.online.sum())

    def send_due(self, now_ms: float, late_ms: float) -> None:
        """Report every row whose time has come; the phones' clocks show when that was."""
        while not self.done and self._due_ms[self._row] <= now_ms:
            self._report(self._row, self._due_ms[self._row] + late_ms)
            self._row += 1

    def everybody_online(self) -> None:
        """Reception for all, so that everything can be sent."""
        for reporter in self._reporters:
            reporter.online = True

    def _report(self, row: int, at_ms: float) -> None:
        latitude, longitude, accuracy_m, speed_mps, heading_deg, off_ms, reports, online, repeats = (
            self._rows[row]
        )
        reporter = self._reporters[row]
        reporter.online = online and reports
        if not reports:
            return
        if repeats:
            reporter.uplink.lose_next_ack()
        try:
            reporter.report(
                latitude,
                longitude,
                device_time_ms=round(at_ms + off_ms),
                accuracy_m=accuracy_m,
                speed_mps=speed_mps,
                heading_deg=heading_deg,
            )
        except BufferFull:
            self._progress.not_taken += 1
