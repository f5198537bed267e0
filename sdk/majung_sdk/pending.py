"""Which seqs are on disk but not yet on their way: disjoint ranges, and which of them to send next.

What a viewer sees decides the order. A backlog that fits into one window is sent oldest first: it is
all in the air within a round trip, and the server can evaluate it in order. A longer one (a night in a
cellar) would leave the marker behind for as long as the backlog takes, so the newest position overtakes
it, and so does every new one while the backlog follows oldest first.
"""

from bisect import bisect_left
from collections.abc import Iterable


class Pending:
    """Disjoint, ascending ranges of seqs. Pure; not thread-safe."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._ranges: list[tuple[int, int]] = []
        self._count = 0
        self._overtook = 0
        for first, last in ranges:
            self.add(first, last)

    def __len__(self) -> int:
        return self._count

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The ranges, both ends included."""
        return list(self._ranges)

    def add(self, first: int, last: int) -> None:
        """Put `first`…`last` in. None of them may be in already (a seq has one owner at a time)."""
        self._count += last - first + 1
        ranges = self._ranges
        if ranges and ranges[-1][1] == first - 1:  # the usual case: the next position
            ranges[-1] = (ranges[-1][0], last)
            return
        at = bisect_left(ranges, (first, last))
        if at < len(ranges) and ranges[at][0] == last + 1:
            last = ranges.pop(at)[1]
        if at > 0 and ranges[at - 1][1] == first - 1:
            at -= 1
            first = ranges.pop(at)[0]
        ranges.insert(at, (first, last))

    def next(self, limit: int, window: int | None) -> tuple[int, int]:
        """Take the range to send next, at most `limit` long. `window` None: always the oldest first.

        Call it only when something is in.
        """
        if window is not None and self._count > window and self._ranges[-1][1] > self._overtook:
            return self._take_newest()
        return self.take_oldest(limit)

    def put_back(self, seqs: Iterable[int]) -> None:
        """What was sent and not acknowledged is to be sent again; the newest may overtake anew."""
        self._overtook = 0
        for first, last in as_ranges(seqs):
            self.add(first, last)

    def take_oldest(self, limit: int) -> tuple[int, int]:
        """Take up to `limit` seqs from the lowest range."""
        first, last = self._ranges[0]
        end = min(last, first + limit - 1)
        if end == last:
            del self._ranges[0]
        else:
            self._ranges[0] = (end + 1, last)
        self._count -= end - first + 1
        return first, end

    def _take_newest(self) -> tuple[int, int]:
        first, last = self._ranges[-1]
        if first == last:
            del self._ranges[-1]
        else:
            self._ranges[-1] = (first, last - 1)
        self._count -= 1
        self._overtook = last
        return last, last


def as_ranges(seqs: Iterable[int]) -> list[tuple[int, int]]:
    """Seqs, in any order and each once, as ascending ranges."""
    ranges: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges
