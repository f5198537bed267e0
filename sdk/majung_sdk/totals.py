"""Counters that an app, the simulator and the replay show. Plain numbers, added to on the event loop."""

from bisect import bisect_left
from dataclasses import dataclass, field

# Upper bounds of the buckets in ms: a tenth of a power of two wide, 0.1 ms to about 27 minutes.
_BOUNDS_MS = [0.1 * 2 ** (i / 10) for i in range(240)]


class Latencies:
    """A histogram of milliseconds; percentiles are right within 7 %. Constant memory."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_MS) + 1)
        self.count = 0

    def add(self, value_ms: float, times: int = 1) -> None:
        """Count `value_ms` (`times` times)."""
        self._counts[bisect_left(_BOUNDS_MS, value_ms)] += times
        self.count += times

    def percentile(self, percent: float) -> float:
        """The value below which `percent` of all lie, in ms; 0.0 when there are none."""
        wanted = self.count * percent / 100
        seen = 0
        for at, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return _BOUNDS_MS[min(at, len(_BOUNDS_MS) - 1)]
        return 0.0


@dataclass
class Totals:
    """What happened since start, for one device or a whole fleet."""

    reported: int = 0
    sent: int = 0
    acked: int = 0
    dropped: int = 0
    connected: int = 0
    calls: int = 0
    failed_calls: int = 0
    ack_ms: Latencies = field(default_factory=Latencies)

    @property
    def reconnects(self) -> int:
        """Calls that ended for whatever reason and had to be opened again."""
        return self.failed_calls
