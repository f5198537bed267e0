"""The cell index: which square of the Earth keeps a member, and when squares split, merge or coarsen.

A cell is a geohash square. Most are of precision 7. One that is hot (too many members, or too many
reads a second) is split into squares of 8; a square of 6 with few members is kept as one cell, to save
memory, until it fills. What was refined goes back only when it is well below the bound (`merge_ratio`)
and has not changed for `hold_for`, so nothing flutters.

The rules live here and nowhere else; a store (`backends/`) keeps the members and follows them:

* `leaf_of` says where a member belongs *now*. A change takes effect for writers when it begins.
* `due` says which changes begin. The store then moves the members of `sources(change)` to their
  `leaf_of`, as many at a time as it likes, and calls `finish` when no source is left.
* `cover` and `rings` go by occupied leaves, not by the rules, so a member is found wherever it is while
  a change is under way. A store whose reads are not one step (a cluster) adds a member to the new leaf
  before it takes it from the old one, and drops the duplicate.

Pure: no I/O. Owned by one event loop; every method returns at once.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import NamedTuple

from majung.clock import Clock
from majung.positions.cellload import ReadLoad
from majung.positions.celltree import BASE, COARSE, FINE, CellTree, coarse_of
from majung.positions.geodesy import Box, box_around
from majung.positions.geohash import children
from majung.settings import CellSettings

__all__ = ["BASE", "COARSE", "FINE", "CellIndex", "Change", "Ring"]

_LOOKS = 1_000
"""How many quiet squares are looked at in one go: the work of one call is bounded."""


class Change(NamedTuple):
    """A cell goes to smaller squares (`finer`) or takes the smaller ones back."""

    cell: int
    finer: bool


class Ring(NamedTuple):
    """A step of a search: with these leaves, all members within `reach_m` have been handed out.

    `leaves` is None when there are too many; the store then reads all its members instead.
    """

    reach_m: float
    leaves: list[int] | None


class CellIndex:
    """Leaves, their members and reads, and the changes between them, for one kind of member.

    `members` (occupied leaf → what is in it) belongs to the store, which adds and takes away, deletes a
    leaf that is empty, and then says so by `enter`, `leave` or `move`. Only its sizes are read here.
    """

    def __init__(self, settings: CellSettings, clock: Clock, members: Mapping[int, Sized]) -> None:
        self._clock = clock
        self._tree = CellTree(members)
        self._load = ReadLoad(clock.monotonic_s())
        self._coarse_members = min(settings.coarse_members, settings.split_members)
        self._split_members = settings.split_members
        self._split_reads_per_s = settings.split_reads_per_s
        self._ratio = settings.merge_ratio
        self._hold_s = settings.hold_for.total_seconds()
        self._refined: set[int] = set()  # squares of 6 whose members are in 7, and of 7 in 8
        self._changing: set[int] = set()
        self._changed_s: dict[int, float] = {}  # oldest first
        self._quiet_members = int(self._ratio * self._coarse_members)
        self._full: set[int] = set()  # leaves to look at: they may have to go finer
        self._held: set[int] = set()  # full, but changed a moment ago
        self._quiet: deque[int] = deque()  # refined squares to look at: they may go back
        self._watched: set[int] = set()  # what is in _quiet

    # ------------------------------------------------------------------------------------- members

    def leaf_of(self, cell: int) -> int:
        """The leaf to which a place belongs, given its cell of precision 8."""
        refined = self._refined
        if self._coarse_members and cell >> 10 not in refined:
            return cell >> 10
        return cell if cell >> 5 in refined else cell >> 5

    def enter(self, leaf: int) -> None:
        """A new member is in `leaf`."""
        self._tree.enter(leaf)
        self._check_full(leaf)

    def leave(self, leaf: int) -> None:
        """A member of `leaf` is gone."""
        self._tree.leave(leaf)
        self._check_quiet(leaf)

    def move(self, old: int, new: int) -> None:
        """A member went from `old` to `new`, which differ."""
        self._tree.move(old, new)
        self._check_full(new)
        self._check_quiet(old)

    # ------------------------------------------------------------------------------------ searches

    def cover(self, box: Box, at_most: int) -> list[int] | None:
        """Occupied leaves that hold everybody inside the box, noted as read; None: more than `at_most`."""
        leaves = self._tree.cover(box, at_most)
        if leaves is not None and self._load.wants():
            self._note(leaves)
        return leaves

    def rings(
        self, latitude: float, longitude: float, radius_m: float, wanted: int, at_most: int
    ) -> Iterator[Ring]:
        """Growing rings round a place up to `radius_m`, each with the leaves that are new in it.

        The first is sized to hold `wanted` members by the density there, each next one reaches twice
        as far. Stop asking as soon as there are enough. A ring that would need more than `at_most`
        leaves has None and is the last.
        """
        reach_m = min(self._tree.reach_for(latitude, longitude, wanted), radius_m)
        read: set[int] = set()
        is_noted = self._load.wants()
        while True:
            leaves = self._tree.cover(box_around(latitude, longitude, reach_m), at_most)
            if leaves is None:
                yield Ring(radius_m, None)
                return
            if read:
                leaves = [leaf for leaf in leaves if leaf not in read]
            if is_noted:
                self._note(leaves)
            yield Ring(reach_m, leaves)
            if reach_m >= radius_m:
                return
            read.update(leaves)
            reach_m = min(reach_m * 2, radius_m)

    def reads_per_s(self, leaf: int) -> float:
        """How often a leaf is read."""
        return self._load.per_s(leaf, self._clock.monotonic_s())

    def _note(self, leaves: Sequence[int]) -> None:
        self._load.note(leaves)
        if self._tree.has_split:  # a split cell is read once by a search, however many of its parts are
            self._load.note({leaf >> 5 for leaf in leaves if leaf >> 5 * FINE})

    # ------------------------------------------------------------------------------------- changes

    def has_work(self) -> bool:
        """Whether `due` is worth a call now: a leaf is full, or a second has passed."""
        return bool(self._full) or self._load.is_due(self._clock.monotonic_s())

    def due(self) -> list[Change]:
        """Begin what has become necessary. From now on writers go to the new leaves."""
        now_s = self._clock.monotonic_s()
        changes: list[Change] = []
        full, self._full = self._full, set()
        if self._load.is_due(now_s):
            full.update(self._load.fold(now_s, self._split_reads_per_s), self._held)
            self._held = set()
            self._forget_old_changes(now_s)
            changes += self._merges(now_s)
        changes += self._splits(full, now_s)
        for change in changes:
            self._begin(change, now_s)
        return changes

    def sources(self, change: Change) -> list[int]:
        """The occupied leaves that a change still has to empty."""
        if change.finer:
            return [change.cell] if self._tree.size(change.cell) else []
        return self._tree.leaves_below(change.cell)

    def finish(self, change: Change) -> None:
        """The sources are empty."""
        self._changing.discard(change.cell)

    def _begin(self, change: Change, now_s: float) -> None:
        cell, finer = change
        self._changing.add(cell)
        self._changed_s.pop(cell, None)
        self._changed_s[cell] = now_s
        if finer:
            self._refined.add(cell)
            self._watch(cell)
        else:
            self._refined.discard(cell)

    def _rests(self, cell: int, now_s: float) -> bool:
        """Whether a cell may change again."""
        changed_s = self._changed_s.get(cell)
        return cell not in self._changing and (changed_s is None or now_s - changed_s >= self._hold_s)

    def _forget_old_changes(self, now_s: float) -> None:
        while self._changed_s:
            cell, changed_s = next(iter(self._changed_s.items()))
            if now_s - changed_s < self._hold_s:
                return
            del self._changed_s[cell]

    # ------------------------------------------------------------------------- full cells go finer

    def _check_full(self, leaf: int) -> None:
        bound = self._split_members if leaf >> 5 * BASE else self._coarse_members
        if self._tree.size(leaf) > bound and not leaf >> 5 * FINE:
            self._full.add(leaf)

    def _splits(self, leaves: set[int], now_s: float) -> list[Change]:
        changes = []
        for leaf in leaves:
            if not self._is_current(leaf) or not self._is_full(leaf, now_s):
                continue
            if self._rests(leaf, now_s):
                changes.append(Change(leaf, finer=True))
            else:
                self._held.add(leaf)
        return changes

    def _is_current(self, leaf: int) -> bool:
        """Whether writers still go to this leaf, and it can go finer."""
        if leaf >> 5 * FINE or leaf in self._refined:
            return False
        if leaf >> 5 * BASE:
            return not self._coarse_members or leaf >> 5 in self._refined
        return bool(self._coarse_members)

    def _is_full(self, leaf: int, now_s: float) -> bool:
        bound = self._split_members if leaf >> 5 * BASE else self._coarse_members
        return self._tree.size(leaf) > bound or self._load.per_s(leaf, now_s) > self._split_reads_per_s

    # ------------------------------------------------------------------------- quiet cells go back

    def _check_quiet(self, leaf: int) -> None:
        square = coarse_of(leaf)
        if square in self._refined and self._tree.total(square) <= self._quiet_members:
            self._watch(square)

    def _watch(self, cell: int) -> None:
        if cell not in self._watched:
            self._watched.add(cell)
            self._quiet.append(cell)

    def _merges(self, now_s: float) -> list[Change]:
        changes = []
        for _ in range(min(len(self._quiet), _LOOKS)):
            cell = self._quiet.popleft()
            if self._rests(cell, now_s) and self._is_calm(cell, now_s):
                changes.append(Change(cell, finer=False))
                self._watched.discard(cell)
            elif cell >> 5 * BASE or self._tree.total(cell) <= self._quiet_members:
                self._quiet.append(cell)
            else:  # it filled again; a member who leaves brings it back here
                self._watched.discard(cell)
        return changes

    def _is_calm(self, cell: int, now_s: float) -> bool:
        """Whether a refined square is well below the bounds that would refine it."""
        if cell >> 5 * BASE:
            reads_per_s, bound = self._load.per_s(cell, now_s), self._ratio * self._split_members
        else:
            if any(part in self._refined or part in self._changing for part in children(cell)):
                return False  # one step after the other: its cells of 7 first
            parts = (cell, *self._tree.children(cell))
            reads_per_s, bound = sum(self._load.per_s(part, now_s) for part in parts), self._quiet_members
        return self._tree.total(cell) <= bound and reads_per_s <= self._ratio * self._split_reads_per_s
