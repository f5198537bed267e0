"""Time, in one place: code asks a `Clock`, so that tests move time by hand instead of sleeping."""

import time
from typing import Protocol


class Clock(Protocol):
    """What the rest of Majung knows of time."""

    def now_ms(self) -> int:
        """Wall clock: Unix time in milliseconds, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go backwards, from an arbitrary start."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Wall clock: Unix time in milliseconds, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until a test advances it."""

    def __init__(self, now_ms: int = 1_780_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic_ms = 0

    def now_ms(self) -> int:
        """Wall clock: Unix time in milliseconds, UTC."""
        return self._now_ms

    def monotonic_s(self) -> float:
        """Seconds since the clock was made."""
        return self._monotonic_ms / 1000

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        step_ms = round(seconds * 1000)
        self._now_ms += step_ms
        self._monotonic_ms += step_ms

    def set_wall_ms(self, now_ms: int) -> None:
        """Jump the wall clock alone, as an administrator or NTP does."""
        self._now_ms = now_ms
