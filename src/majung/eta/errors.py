"""The errors that were made, as a histogram that fades: what an interval is made of.

An error is relative to what was left to go and a minute: `(arrived - predicted) / (left + 60 s)`. So far-off
and near arrivals are learned together, and the seconds before the door do not count as many times too late.
Quantiles of the histogram are the interval: when tomorrow is like today, as many arrivals fall between the
10 % and the 90 % quantile as these names say, whatever the shape of the errors (empirical quantiles; compare
split conformal prediction, Vovk et al. 2005).
"""

import math
from typing import Any

import numpy as np

SCALE_S = 60.0
LOW, MIDDLE, HIGH = 0.10, 0.50, 0.90
AIMED_INSIDE = HIGH - LOW

_FROM, _TO, _WIDTH = -1.0, 4.0, 0.02
_BINS = round((_TO - _FROM) / _WIDTH)
_PRIOR_WEIGHT = 15.0
_MEMORY = 1_500.0
# Before anything is learned: 10 % are more than a quarter early, 10 % more than 40 % late (two exponentials).
_PRIOR_LEFT, _PRIOR_RIGHT = 0.25 / math.log(5), 0.40 / math.log(5)


class Errors:
    """Of one stage. Quantiles are computed when errors have come that could move them by half a percent."""

    def __init__(self, counts: list[float] | None = None, seen: int = 0) -> None:
        self._counts: np.ndarray[Any, np.dtype[np.float64]] = _prior()
        if counts is not None and len(counts) == _BINS and all(0 <= one < 1e9 for one in counts):
            self._counts = np.array(counts)
        self.seen = seen
        self._since = 0
        self.low, self.middle, self.high = self._quantiles()

    def add(self, error: float) -> None:
        """One more. What is not a number is left out."""
        if not math.isfinite(error):
            return
        self._counts *= 1 - 1 / _MEMORY
        self._counts[min(max(int((error - _FROM) / _WIDTH), 0), _BINS - 1)] += 1.0
        self.seen += 1
        self._since += 1
        if self._since > min(self.seen, _MEMORY) / 200:
            self._since = 0
            self.low, self.middle, self.high = self._quantiles()

    def stored(self) -> tuple[int, list[float]]:
        """How many were seen, and the histogram."""
        return self.seen, [round(float(one), 5) for one in self._counts]

    def _quantiles(self) -> tuple[float, float, float]:
        sums = np.cumsum(self._counts)
        total = float(sums[-1])
        found = []
        for share in (LOW, MIDDLE, HIGH):
            wanted = share * total
            i = min(int(np.searchsorted(sums, wanted)), _BINS - 1)
            before = float(sums[i - 1]) if i else 0.0
            part = (wanted - before) / max(float(self._counts[i]), 1e-12)
            found.append(_FROM + (i + min(max(part, 0.0), 1.0)) * _WIDTH)
        return found[0], found[1], found[2]


def _prior() -> np.ndarray[Any, np.dtype[np.float64]]:
    middles = _FROM + (np.arange(_BINS) + 0.5) * _WIDTH
    left = np.exp(middles / _PRIOR_LEFT) / _PRIOR_LEFT
    right = np.exp(-middles / _PRIOR_RIGHT) / _PRIOR_RIGHT
    shape = np.where(middles < 0, left, right)
    prior: np.ndarray[Any, np.dtype[np.float64]] = shape / shape.sum() * _PRIOR_WEIGHT
    return prior
