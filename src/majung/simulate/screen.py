"""What a simulation shows while it runs: one small table, or a line every ten seconds without a terminal."""

import time
from collections import deque

from rich.console import Console
from rich.live import Live
from rich.table import Table

from majung.simulate.run import Plan, Progress

_OVER_S = 5.0


class Rates:
    """Positions a second over the last seconds, for counters that only grow."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()

    def add(self, now_s: float, reported: int, acked: int) -> tuple[float, float]:
        """Reported and acknowledged a second."""
        self._seen.append((now_s, reported, acked))
        while len(self._seen) > 2 and now_s - self._seen[0][0] > _OVER_S:
            self._seen.popleft()
        then_s, first_reported, first_acked = self._seen[0]
        span_s = now_s - then_s
        if span_s <= 0:
            return 0.0, 0.0
        return (reported - first_reported) / span_s, (acked - first_acked) / span_s


class Screen:
    """`with Screen(plan, console) as screen: await simulate(plan, on_progress=screen.show)`."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=False)
        self._rates = Rates()
        self._every_s = 0.5 if console.is_terminal else 10.0
        self._last_s = 0.0

    def __enter__(self) -> "Screen":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Take what there is to know; draws it now and then."""
        now_s = time.monotonic()
        if now_s - self._last_s < self._every_s:
            return
        self._last_s = now_s
        rows = describe(progress, *self._rates.add(now_s, progress.totals.reported, progress.totals.acked))
        if not self._console.is_terminal:
            self._console.print(
                "  ".join(f"{name}: {value}" for name, value in rows if value), soft_wrap=True
            )
            return
        table = Table(
            title=f"{self._plan.city}: {self._plan.riders:,} riders → {self._plan.to}", show_header=False
        )
        for name, value in rows:
            table.add_row(name, value)
        self._live.update(table)


def describe(progress: Progress, reported_per_s: float, acked_per_s: float) -> list[tuple[str, str]]:
    """The rows of the table: name and value."""
    totals = progress.totals
    problem = progress.problem
    return [
        ("connected", f"{totals.connected:,} of {progress.riders:,}"),
        ("positions/s", f"{reported_per_s:,.0f}"),
        ("acknowledged/s", f"{acked_per_s:,.0f}"),
        ("acknowledged", f"{totals.acked:,} of {totals.reported:,}"),
        ("buffered", f"{progress.buffered:,}"),
        ("ack p50 / p99", f"{totals.ack_ms.percentile(50):.0f} / {totals.ack_ms.percentile(99):.0f} ms"),
        ("reconnects", f"{totals.reconnects:,}"),
        ("without reception", f"{progress.without_reception:,}"),
        ("phone off", f"{progress.silent:,}"),
        ("dropped", f"{totals.dropped + progress.not_taken:,}"),
        ("last problem", f"{problem.code}: {problem.detail[:80]}" if problem else ""),
    ]
