"""What happened lately, held in bounded memory so that viewers can resume.

Beside the plain order of changes, each is filed under the cells it touches (where the rider is, and
where it was), so that ten thousand viewers who come back at once cost what they missed, not what the
whole city did.
"""

from collections import deque
from collections.abc import Iterator

import msgspec

from majung.positions.boxes import DEEPEST, cell_count, cell_of, cells_of, key_of
from majung.positions.geodesy import Box

POSITION, GONE, EVENT = 0, 1, 2
NOWHERE = float("nan")
OVERHEAD_BYTES = 450  # of a change beside its body: the struct, its numbers, its places in the indexes

NO_CELL = -1
_LEVEL = 13  # cells of 0.044°: a city is a hundred of them
_SHIFT = DEEPEST - _LEVEL


class Change(msgspec.Struct, gc=False, weakref=False):
    """One published change, shared by everybody who has to hear of it.

    `body` is the JSON of the position or event, b"" for a rider who is gone. `was_latitude` and
    `was_longitude` say where the rider was shown before (NaN: nowhere). An offset of 0 means that the
    hub did not publish this but learned it from the LiveStore. `cell` and `was_cell` are those of the ring.
    """

    offset: int
    kind: int
    rider_id: str
    body: bytes
    latitude: float
    longitude: float
    was_latitude: float
    was_longitude: float
    at_s: float
    cell: int = NO_CELL
    was_cell: int = NO_CELL
    fence_id: str = ""


def ring_cell(latitude: float, longitude: float) -> int:
    """The cell under which the ring files a place."""
    column, row = cell_of(latitude, longitude)
    return key_of(_LEVEL, column >> _SHIFT, row >> _SHIFT)


class Ring:
    """The last changes, by time and bytes. Everything with `offset > floor` is held."""

    def __init__(self, max_bytes: int, keep_s: float, floor: int) -> None:
        self.max_bytes = max_bytes
        self.keep_s = keep_s
        self.floor = floor
        self.bytes = 0
        self._changes: deque[Change] = deque()
        self._by_cell: dict[int, deque[Change]] = {}
        self._events: deque[Change] = deque()

    def __len__(self) -> int:
        return len(self._changes)

    def add(self, change: Change) -> None:
        """Remember a change. Call `trim` once after a batch."""
        self._changes.append(change)
        self.bytes += len(change.body) + OVERHEAD_BYTES
        if change.kind == EVENT:
            self._events.append(change)
            return
        cell, was_cell = change.cell, change.was_cell
        if cell != NO_CELL:
            self._file(cell, change)
        if was_cell != cell and was_cell != NO_CELL:
            self._file(was_cell, change)

    def _file(self, cell: int, change: Change) -> None:
        filed = self._by_cell.get(cell)
        if filed is None:
            self._by_cell[cell] = deque((change,))
        else:
            filed.append(change)

    def trim(self, now_s: float) -> list[Change]:
        """Forget what is past the bounds, and return it."""
        oldest_s = now_s - self.keep_s
        dropped: list[Change] = []
        while self._changes and (self.bytes > self.max_bytes or self._changes[0].at_s < oldest_s):
            change = self._changes.popleft()
            self.bytes -= len(change.body) + OVERHEAD_BYTES
            self.floor = change.offset
            self._forget(change)
            dropped.append(change)
        return dropped

    def touching(self, box: Box, after: int) -> Iterator[Change]:
        """Positions and departures after that offset whose cells the box touches; in no order."""
        if cell_count(box, _LEVEL) < len(self._by_cell):
            cells = [self._by_cell[key] for key in cells_of(box, _LEVEL) if key in self._by_cell]
        else:
            cells = list(self._by_cell.values())
        for cell in cells:
            for change in reversed(cell):
                if change.offset <= after:
                    break
                yield change

    def events(self, after: int) -> list[Change]:
        """Events after that offset, oldest first."""
        found = []
        for change in reversed(self._events):
            if change.offset <= after:
                break
            found.append(change)
        return found[::-1]

    def _forget(self, change: Change) -> None:
        if change.kind == EVENT:
            self._events.popleft()
            return
        for key in {change.cell, change.was_cell} - {NO_CELL}:
            cell = self._by_cell[key]
            cell.popleft()  # within a cell the order is the same, so the oldest of all is its oldest
            if not cell:
                del self._by_cell[key]
