"""How much longer than the straight line a way is, and how long it takes: learned from legs that ended.

Legs are summed up (metres of straight line, metres travelled, seconds) for a cell of 5 km and three hours of
the day, for those hours anywhere, and for everything. A narrower sum counts against the wider one as if that
had been seen for `PRIOR_M` metres (shrinkage), so that one leg in a new quarter changes little, and ten in
the same quarter much. Old legs fade: `MEMORY_M` metres ago a leg weighs a third.

One leg cannot say anything absurd: its factor is held within 1…3 and its speed, measured along the straight
line, within 0.5…20 m/s.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from majung.positions import geohash
from majung.routing.model import Place, Way

DEFAULT_FACTOR = 1.4
DEFAULT_SPEED_MPS = 5.5
"""20 km/h along the way, stops included: a scooter in a city."""
PRIOR_M = 20_000.0
MEMORY_M = 500_000.0
MIN_LEG_M, MAX_LEG_M = 200.0, 100_000.0
MAX_SUMS = 10_000
_CELL = 5
_HOURS_MS = 3 * 3_600_000
_SPANS = 8
_FACTORS = (1.0, 3.0)
_PACES = (1 / 20.0, 1 / 0.5)  # seconds for a metre of straight line

ALL = "*"


class Sums(msgspec.Struct):
    """What legs came to, faded."""

    straight_m: float = 0.0
    travelled_m: float = 0.0
    seconds: float = 0.0


class Ways:
    """Belongs to one event loop. `changed` names the sums that were not stored yet."""

    def __init__(self) -> None:
        self._sums: OrderedDict[str, Sums] = OrderedDict()
        self.changed: set[str] = set()

    def __len__(self) -> int:
        return len(self._sums)

    def estimate(self, start: Place, straight_m: float, at_ms: int) -> Way:
        """The way over a straight line of so many metres that begins there and then."""
        factor, pace = DEFAULT_FACTOR, DEFAULT_FACTOR / DEFAULT_SPEED_MPS
        for key in _keys(start, at_ms):
            sums = self._sums.get(key)
            if sums is not None:
                weight = PRIOR_M + sums.straight_m
                factor = (PRIOR_M * factor + sums.travelled_m) / weight
                pace = (PRIOR_M * pace + sums.seconds) / weight
        return Way(straight_m * factor, straight_m * pace)

    def learn(
        self, start: Place, at_ms: int, straight_m: float, travelled_m: float, duration_s: float
    ) -> bool:
        """A leg ended. Whether it said anything: too short and too long ones, and what is no number, do not."""
        if not MIN_LEG_M <= straight_m <= MAX_LEG_M or not math.isfinite(travelled_m + duration_s):
            return False
        travelled_m = _within(travelled_m / straight_m, _FACTORS) * straight_m
        seconds = _within(duration_s / straight_m, _PACES) * straight_m
        fade = math.exp(-straight_m / MEMORY_M)
        for key in _keys(start, at_ms):
            sums = self._sums.setdefault(key, Sums())
            sums.straight_m = sums.straight_m * fade + straight_m
            sums.travelled_m = sums.travelled_m * fade + travelled_m
            sums.seconds = sums.seconds * fade + seconds
            self._sums.move_to_end(key)
            self.changed.add(key)
        self._bound()
        return True

    def get(self, key: str) -> Sums:
        """One of `changed`, to be stored."""
        return self._sums[key]

    def put(self, stored: Iterable[tuple[str, Sums]]) -> None:
        """What was stored, at start."""
        self._sums.update(stored)
        self._bound()

    def _bound(self) -> None:
        while len(self._sums) > MAX_SUMS:
            key, _ = self._sums.popitem(last=False)
            self.changed.discard(key)


def _keys(start: Place, at_ms: int) -> tuple[str, str, str]:
    """From the widest to the narrowest."""
    span = at_ms // _HOURS_MS % _SPANS
    return ALL, f"{span}", f"{span}:{geohash.cell_of(*start, _CELL):x}"


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])
