"""How often each cell is read: an exponentially decayed rate, from a sample of the searches.

A read at time t weighs `exp(-(now - t) / SPAN_S) / SPAN_S`, so a steady r reads a second show as r, and
a burst has faded to a third after `SPAN_S`. Kept by forward decay (Cormode et al. 2009): what is added
grows with time instead of everything else shrinking, so that no cell is touched but those that are read.

One search in `SAMPLE` is noted and counts for as many: a search reads some dozens of cells, and counting in
each would cost it a tenth of its time and more. Which one is left to chance, so that no rhythm of searches
hides a cell. At the 2,000 reads a second that split a cell the error is 2 %.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable

SPAN_S = 10.0
FOLD_EVERY_S = 1.0
SAMPLE = 8
_LONGEST_S = 20 * SPAN_S
_FORGET_PER_S = 0.01


class ReadLoad:
    """Reads per second of cells. Owned by one event loop; the caller says what time it is."""

    def __init__(self, now_s: float) -> None:
        self._random = random.Random(0)  # noqa: S311 - a sample, not a secret
        self._fresh: Counter[int] = Counter()  # noted since the last fold
        self._sums: dict[int, float] = {}  # cell → Σ exp((t - start) / SPAN_S)
        self._start_s = now_s
        self._folded_s = now_s

    def wants(self) -> bool:
        """Whether this search is one of the sample; if so, `note` what it reads."""
        return self._random.random() * SAMPLE < 1

    def note(self, cells: Iterable[int]) -> None:
        """Each of these cells was read by a search of the sample."""
        self._fresh.update(cells)

    def is_due(self, now_s: float) -> bool:
        """Whether reads have waited for `FOLD_EVERY_S` to be folded in."""
        return now_s - self._folded_s >= FOLD_EVERY_S

    def fold(self, now_s: float, bound_per_s: float) -> list[int]:
        """Take the fresh reads into the rates; the cells among them that are now past the bound."""
        if now_s - self._start_s > _LONGEST_S:
            self._restart(now_s)
        weight = math.exp((now_s - self._start_s) / SPAN_S)
        sums = self._sums
        bound = bound_per_s * SPAN_S * weight
        past = []
        for cell, count in self._fresh.items():
            total = sums[cell] = sums.get(cell, 0.0) + count * SAMPLE * weight
            if total > bound:
                past.append(cell)
        self._fresh.clear()
        self._folded_s = now_s
        return past

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
