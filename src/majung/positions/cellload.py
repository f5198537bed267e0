"""How often each cell is read: an exponentially decayed rate.

A read at time t weighs `exp(-(now - t) / SPAN_S) / SPAN_S`, so a steady r reads a second show as r, and
a burst has faded to a third after `SPAN_S`. Kept by forward decay (Cormode et al. 2009): what is added
grows with time instead of everything else shrinking, so that no cell is touched but those that are read.
"""

import math
from collections import Counter
from collections.abc import Iterable

SPAN_S = 10.0
FOLD_EVERY_S = 1.0
_LONGEST_S = 20 * SPAN_S
_FORGET_PER_S = 0.01


class ReadLoad:
    """Reads per second of cells. Owned by one event loop; the caller says what time it is."""

    def __init__(self, now_s: float) -> None:
        self._fresh: Counter[int] = Counter()  # reads since the last fold
        self._sums: dict[int, float] = {}  # cell → Σ exp((t - start) / SPAN_S)
        self._start_s = now_s
        self._folded_s = now_s

    def note(self, cells: Iterable[int]) -> None:
        """Each of these cells was read once."""
        self._fresh.update(cells)

    def is_due(self, now_s: float) -> bool:
        """Whether reads have waited for `FOLD_EVERY_S` to be folded in."""
        return now_s - self._folded_s >= FOLD_EVERY_S

    def fold(self, now_s: float) -> list[int]:
        """Take the fresh reads into the rates; the cells that they were of."""
        if now_s - self._start_s > _LONGEST_S:
            self._restart(now_s)
        weight = math.exp((now_s - self._start_s) / SPAN_S)
        sums = self._sums
        read = list(self._fresh)
        for cell, count in self._fresh.items():
            sums[cell] = sums.get(cell, 0.0) + count * weight
        self._fresh.clear()
        self._folded_s = now_s
        return read

    def per_s(self, cell: int, now_s: float) -> float:
        """Reads a second of a cell; those that were not folded yet do not count."""
        total = self._sums.get(cell)
        return total * math.exp((self._start_s - now_s) / SPAN_S) / SPAN_S if total else 0.0

    def _restart(self, now_s: float) -> None:
        """Begin the weights anew before they overflow, and forget what has faded."""
        factor = math.exp((self._start_s - now_s) / SPAN_S)
        kept = _FORGET_PER_S * SPAN_S
        self._sums = {cell: left for cell, total in self._sums.items() if (left := total * factor) >= kept}
        self._start_s = now_s
