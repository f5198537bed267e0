"""Boxes on Earth, and an index that says which of many a point may lie in.

Used both ways round: viewers watch areas of every size (a street, a continent), and fences lie anywhere.
Each box is filed under the few grid cells of a level whose cells are about as large as the box, so a
point is looked up once per level in use, however many boxes there are.
"""

import math
from collections.abc import Iterator
from typing import Generic, TypeVar

from majung.positions.geodesy import Box

T = TypeVar("T")

DEEPEST = 18  # cells of 360 / 2**18 degrees: 0.0014°, 150 m at the equator
_PER_DEGREE = 2**DEEPEST / 360
_LAST_COLUMN = 2**DEEPEST - 1


def cell_of(latitude: float, longitude: float) -> tuple[int, int]:
    """Column and row of a point at the deepest level."""
    return min(int((longitude + 180) * _PER_DEGREE), _LAST_COLUMN), int((latitude + 90) * _PER_DEGREE)


def cells_of(box: Box, level: int) -> Iterator[int]:
    """The keys of the cells of `level` that the box touches."""
    shift = DEEPEST - level
    left, bottom = cell_of(box.south, box.west)
    right, top = cell_of(box.north, box.east)
    columns = list(range(left >> shift, (right >> shift) + 1))
    if box.west > box.east:
        columns = sorted({*range(left >> shift, (_LAST_COLUMN >> shift) + 1), *range((right >> shift) + 1)})
    for column in columns:
        for row in range(bottom >> shift, (top >> shift) + 1):
            yield key_of(level, column, row)


def cell_count(box: Box, level: int) -> int:
    """About how many cells of `level` the box touches, without listing them."""
    size_deg = 360 / 2**level
    return (int(_width_deg(box) / size_deg) + 2) * (int((box.north - box.south) / size_deg) + 2)


def key_of(level: int, column: int, row: int) -> int:
    """One number for a cell."""
    return level << 40 | column << 20 | row


def _width_deg(box: Box) -> float:
    return box.east - box.west if box.west <= box.east else box.east - box.west + 360


class BoxIndex(Generic[T]):
    """Items (hashable) filed by box. `at` gives a superset: the caller asks each for its exact shape."""

    def __init__(self) -> None:
        self._cells: dict[int, dict[T, None]] = {}
        self._places: dict[T, tuple[int, list[int]]] = {}
        self._used = [0] * (DEEPEST + 1)
        self._levels: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, item: T, box: Box) -> None:
        """File `item`; it must not be filed already."""
        extent_deg = max(_width_deg(box), box.north - box.south, 360 / 2**DEEPEST)
        level = min(DEEPEST, int(math.log2(360 / extent_deg)))
        keys = list(cells_of(box, level))
        for key in keys:
            self._cells.setdefault(key, {})[item] = None
        self._places[item] = (level, keys)
        self._use(level, 1)

    def remove(self, item: T) -> None:
        """Forget `item`; unknown ones are ignored."""
        level, keys = self._places.pop(item, (-1, []))
        for key in keys:
            cell = self._cells[key]
            del cell[item]
            if not cell:
                del self._cells[key]
        if level >= 0:
            self._use(level, -1)

    def _use(self, level: int, more: int) -> None:
        self._used[level] += more
        self._levels = tuple(level for level, used in enumerate(self._used) if used)

    def at(self, latitude: float, longitude: float) -> list[T]:
        """Everything whose box may contain the point."""
        if not self._levels:
            return []
        column, row = cell_of(latitude, longitude)
        found: list[T] = []
        for level in self._levels:
            shift = DEEPEST - level
            items = self._cells.get(level << 40 | column >> shift << 20 | row >> shift)
            if items:
                found.extend(items)
        return found

    def at_either(self, here: tuple[float, float], there: tuple[float, float]) -> list[T]:
        """Everything whose box may contain one of two points; some may be named twice."""
        column, row = cell_of(*here)
        other_column, other_row = cell_of(*there)
        found: list[T] = []
        for level in self._levels:
            shift = DEEPEST - level
            key = level << 40 | column >> shift << 20 | row >> shift
            other = level << 40 | other_column >> shift << 20 | other_row >> shift
            if key in self._cells:
                found.extend(self._cells[key])
            if other != key and other in self._cells:
                found.extend(self._cells[other])
        return found
