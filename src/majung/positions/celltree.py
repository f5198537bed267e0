"""Which cells hold members, and how many: the occupied part of the tree of geohash squares.

A leaf is a cell of precision 6, 7 or 8 that holds members itself; above the leaves stand totals. A
cover reads this tree alone and takes leaves of every precision as they are. That is why a search misses
nobody while a cell is being split or merged: whichever leaf a member is in at that moment, it is found.

Pure bookkeeping, no I/O, no clock; owned by one event loop.
"""

import math
from collections.abc import Mapping, Sized

from majung.positions.geodesy import EARTH_RADIUS_M, Box
from majung.positions.geohash import Window, cell_of, window

COARSE, BASE, FINE = 6, 7, 8
"""Precision of the squares of quiet areas, of most cells, and of hot ones."""

_GRID = 160
"""A cover looks at this many squares at most before it goes to larger ones and down again."""


class CellTree:
    """Totals of squares, and which of their parts are occupied.

    `members` (occupied leaf → its members) belongs to the store and is read here, so that a search looks
    up a leaf once. The store changes it first and then calls `enter`, `leave` or `move`.
    """

    def __init__(self, members: Mapping[int, Sized]) -> None:
        self._members = members
        self._totals: dict[int, int] = {}  # square of precision 0–6 → members in it
        self._children: dict[int, int] = {}  # square of precision 0–7 → bit i: child i has members
        self._split = 0  # how many squares of precision 7 have occupied children

    def enter(self, leaf: int) -> None:
        """A leaf got one member more."""
        if len(self._members[leaf]) == 1:
            self._link(leaf)
        self._count(coarse_of(leaf), 1)

    def leave(self, leaf: int) -> None:
        """A leaf has one member fewer."""
        if leaf not in self._members:
            self._unlink(leaf)
        self._count(coarse_of(leaf), -1)

    def move(self, old: int, new: int) -> None:
        """A member went from a leaf to another."""
        if len(self._members[new]) == 1:
            self._link(new)
        if old not in self._members:
            self._unlink(old)
        from_square, to_square = coarse_of(old), coarse_of(new)
        if from_square != to_square:
            self._count(to_square, 1)
            self._count(from_square, -1)

    @property
    def has_split(self) -> bool:
        """Whether any cell of precision 7 has members in parts of 8."""
        return self._split > 0

    def total(self, cell: int) -> int:
        """Members of a square, itself and beneath. At precision 7 and 8 it costs a look at each child."""
        if cell < 1 << 5 * BASE:
            return self._totals.get(cell, 0)
        return self.size(cell) + sum(self.size(child) for child in self.children(cell))

    def size(self, leaf: int) -> int:
        """Members of a leaf itself."""
        return len(self._members[leaf]) if leaf in self._members else 0

    def children(self, cell: int) -> list[int]:
        """The occupied squares of the next precision in a square."""
        mask = self._children.get(cell, 0)
        found, base = [], cell << 5
        while mask:
            lowest = mask & -mask
            found.append(base | lowest.bit_length() - 1)
            mask ^= lowest
        return found

    def leaves_below(self, cell: int) -> list[int]:
        """The occupied leaves beneath a square, without itself."""
        found: list[int] = []
        self._descend([cell], found, len(self._members))
        return found

    def cover(self, box: Box, at_most: int) -> list[int] | None:
        """Occupied leaves that hold every member inside the box; None when there are more than `at_most`.

        Takes the finest squares of which no more than `_GRID` touch the box, looks up each, and goes
        down from the occupied ones; so a street costs as little as a continent with ten members.
        """
        area = window(box)
        precision = self._precision_for(area)
        members, inner = self._members, self._children
        cells = area.cells(precision)
        found: list[int] = []
        if precision >= COARSE:
            for above in range(COARSE, precision):
                found += [cell for cell in area.cells(above) if cell in members]
            found += [cell for cell in cells if cell in members]
        if precision < BASE or (precision == BASE and self._split):
            self._descend([cell for cell in cells if cell in inner], found, at_most)
        return found if len(found) <= at_most else None

    def reach_for(self, latitude: float, longitude: float, wanted: int) -> float:
        """Radius in metres that should hold `wanted` members, by the density around a place.

        Infinity when the whole tree holds fewer.
        """
        square = cell_of(latitude, longitude, COARSE)
        precision = COARSE
        while (total := self._totals.get(square, 0)) < wanted:
            if precision == 0:
                return math.inf
            square >>= 5
            precision -= 1
        # Half as many again, so that the first ring is seldom too small; never a square of no size.
        return math.sqrt(1.5 * wanted / total * _area_m2(precision, latitude) / math.pi) + 10.0

    def _descend(self, waiting: list[int], found: list[int], at_most: int) -> None:
        """Add the leaves beneath these squares to `found`, until there are more than `at_most`."""
        while waiting and len(found) <= at_most:
            for child in self.children(waiting.pop()):
                if child in self._members:
                    found.append(child)
                if child in self._children:
                    waiting.append(child)

    def _precision_for(self, area: Window) -> int:
        precision = FINE if self._split else BASE
        while area.count(precision) > _GRID:
            precision -= 1
        return precision

    def _count(self, square: int, change: int) -> None:
        totals = self._totals
        while square:
            total = totals.get(square, 0) + change
            if total:
                totals[square] = total
            else:
                del totals[square]
            square >>= 5

    def _link(self, node: int) -> None:
        """Tell the squares above that a square, which was empty, is occupied."""
        while node > 1:
            parent = node >> 5
            mask = self._children.get(parent, 0)
            self._children[parent] = mask | 1 << (node & 31)
            if not mask and parent >> 5 * BASE:
                self._split += 1
            if mask or parent in self._members:  # it was occupied before
                return
            node = parent

    def _unlink(self, node: int) -> None:
        """Tell the squares above that a square may have become empty."""
        while node > 1 and node not in self._members and node not in self._children:
            parent = node >> 5
            mask = self._children.pop(parent) & ~(1 << (node & 31))
            if mask:
                self._children[parent] = mask
            elif parent >> 5 * BASE:
                self._split -= 1
            node = parent


def coarse_of(leaf: int) -> int:
    """The square of precision 6 that a leaf is, or lies in."""
    if leaf < 1 << 5 * BASE:
        return leaf
    return leaf >> 5 if leaf < 1 << 5 * FINE else leaf >> 10


def _area_m2(precision: int, latitude: float) -> float:
    """Area of a square at a latitude, at least a thousandth of that at the equator."""
    squares: int = 1 << 5 * precision
    flat = max(math.cos(math.radians(latitude)), 1e-3)
    return 2 * math.pi**2 * EARTH_RADIUS_M**2 * flat / squares
