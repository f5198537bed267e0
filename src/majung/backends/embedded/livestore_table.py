"""One kind of member of the live store, in memory: columns for arithmetic, cells to find them by.

A member has a slot: a place in every column. A cell is an array of slots, joined by the megabyte with
one `bytes.join` and looked up in the columns by one `take`; leaving a cell is a swap with its last one.
Which cell, and when cells change, is decided by `positions.cells`.

Belongs to one event loop. No method waits, so nobody ever sees half a change.
"""

import math
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from operator import ge

import numpy as np
import numpy.typing as npt

from majung.clock import Clock
from majung.ports import CellLoad
from majung.positions import geohash
from majung.positions.cells import FINE, CellIndex, Change
from majung.positions.geodesy import (
    Box,
    Floats,
    chords_to_m,
    inside,
    m_to_chord,
    squared_chords,
    unit_vector,
    unit_vectors,
)
from majung.positions.model import LivePosition, Nearby
from majung.settings import CellSettings

Slots = npt.NDArray[np.int64]

_FIRST_CAPACITY = 1024
_NEVER = np.iinfo(np.int64).max
_NOBODY = LivePosition("", math.nan, math.nan, 0, 0)
_TIE = 1 + 1e-12
"""Chords this close are compared as metres and by id, so that rounding does not decide."""


class LiveTable:
    """Members of one kind. `move_members` bounds how many change cells in one step of a change."""

    def __init__(self, settings: CellSettings, clock: Clock, move_members: int) -> None:
        self._cells: dict[int, array[int]] = {}  # leaf → slots
        self._index = CellIndex(settings, clock, self._cells)
        self._changes: deque[Change] = deque()
        self._move_members = move_members
        self._slot_of: dict[str, int] = {}
        self._free: list[int] = []
        self._positions: list[LivePosition] = []  # by slot, as are all that follow
        self._leaf = array("q")
        self._place = array("q")  # where in the array of its cell
        self._points: Floats = np.full((3, 0), np.nan)  # unit vectors; NaN: free
        self._degrees: Floats = np.full((2, 0), np.nan)
        self._cell8 = np.zeros(0, np.int64)
        self._received_ms = np.full(0, _NEVER)

    def __len__(self) -> int:
        return len(self._slot_of)

    # -------------------------------------------------------------------------------------- writes

    def put(self, positions: Iterable[LivePosition]) -> None:
        """Set these, all or none; of several with one id the last counts. ValueError: no place on Earth."""
        newest = {position.rider_id: position for position in positions}
        latitudes = np.array([position.latitude for position in newest.values()], np.float64)
        longitudes = np.array([position.longitude for position in newest.values()], np.float64)
        if not ((np.abs(latitudes) <= 90) & (np.abs(longitudes) <= 180)).all():
            raise ValueError("a position is not within -90…90, -180…180 degrees")
        slots = self._slots_for(newest)
        at = np.array(slots, np.int64)
        cells = geohash.cells_of(latitudes, longitudes, FINE)
        changed = self._cell8[at] != cells
        self._points[:, at] = unit_vectors(latitudes, longitudes)
        self._degrees[:, at] = latitudes, longitudes
        self._received_ms[at] = [position.received_at_ms for position in newest.values()]
        self._cell8[at] = cells
        kept = self._positions
        for slot, position in zip(slots, newest.values(), strict=True):
            kept[slot] = position
        leaf_of, leaf = self._index.leaf_of, self._leaf
        for slot, cell in zip(at[changed].tolist(), cells[changed].tolist(), strict=True):
            new = leaf_of(cell)
            if leaf[slot] != new:
                self._relocate(slot, new)
        self.step()

    def remove(self, ids: Iterable[str]) -> None:
        """Forget these; unknown ids are ignored."""
        slots = [slot for rider_id in ids if (slot := self._slot_of.pop(rider_id, None)) is not None]
        for slot in slots:
            leaf = self._leaf[slot]
            self._take_out(slot, leaf)
            self._index.leave(leaf)
            self._leaf[slot] = 0
            self._positions[slot] = _NOBODY
        self._points[:, slots] = np.nan
        self._degrees[:, slots] = np.nan
        self._cell8[slots] = 0
        self._received_ms[slots] = _NEVER
        self._free += slots
        self.step()

    def expire(self, before_ms: int) -> list[LivePosition]:
        """Remove and return those received before `before_ms`."""
        slots = (self._received_ms[: len(self._positions)] < before_ms).nonzero()[0].tolist()
        gone = [self._positions[slot] for slot in slots]
        self.remove([position.rider_id for position in gone])
        return gone

    def _slots_for(self, ids: Iterable[str]) -> list[int]:
        slots = []
        for rider_id in ids:
            slot = self._slot_of.get(rider_id)
            if slot is None:
                slot = self._slot_of[rider_id] = self._free.pop() if self._free else self._new_slot()
            slots.append(slot)
        return slots

    def _new_slot(self) -> int:
        slot = len(self._positions)
        self._positions.append(_NOBODY)
        self._leaf.append(0)
        self._place.append(0)
        if slot >= len(self._cell8):
            self._grow(max(_FIRST_CAPACITY, slot + slot // 2))
        return slot

    def _grow(self, capacity: int) -> None:
        more = capacity - len(self._cell8)
        self._points = np.hstack((self._points, np.full((3, more), np.nan)))
        self._degrees = np.hstack((self._degrees, np.full((2, more), np.nan)))
        self._cell8 = np.hstack((self._cell8, np.zeros(more, np.int64)))
        self._received_ms = np.hstack((self._received_ms, np.full(more, _NEVER)))

    def _relocate(self, slot: int, new: int) -> None:
        old = self._leaf[slot]
        if old:
            self._take_out(slot, old)
        self._leaf[slot] = new
        members = self._cells.get(new)
        if members is None:
            self._cells[new] = array("q", (slot,))
            self._place[slot] = 0
        else:
            self._place[slot] = len(members)
            members.append(slot)
        if old:
            self._index.move(old, new)
        else:
            self._index.enter(new)

    def _take_out(self, slot: int, leaf: int) -> None:
        members, place = self._cells[leaf], self._place[slot]
        last = members.pop()
        if last != slot:
            members[place] = last
            self._place[last] = place
        if not members:
            del self._cells[leaf]

    # --------------------------------------------------------------------------------------- reads

    def get(self, ids: Sequence[str]) -> list[LivePosition | None]:
        """The position of each id, None where there is none."""
        positions, slot_of = self._positions, self._slot_of.get
        return [None if (slot := slot_of(rider_id)) is None else positions[slot] for rider_id in ids]

    def nearest(self, latitude: float, longitude: float, radius_m: float, limit: int) -> list[Nearby]:
        """Exactly the `limit` nearest within the radius; ties go by id."""
        self._step_if_due()
        centre = unit_vector(latitude, longitude)
        slots: Slots = np.empty(0, np.int64)
        chords: Floats = np.empty(0)
        near = slots
        for reach_m, leaves in self._index.rings(latitude, longitude, radius_m, limit, self._at_most()):
            within = m_to_chord(reach_m) * _TIE
            found = self._members(leaves)
            found_chords = squared_chords(self._points.take(found, 1), centre)
            if slots.size and leaves is not None:
                found = np.concatenate((slots, found))
                found_chords = np.concatenate((chords, found_chords))
            slots, chords = found, found_chords
            near = (chords <= within).nonzero()[0]
            if near.size >= limit:
                break
        if near.size > limit:
            near = (chords <= np.partition(chords[near], limit - 1)[limit - 1] * _TIE).nonzero()[0]
        return self._as_nearby(slots[near], chords[near], radius_m, limit)

    def in_area(self, box: Box, limit: int) -> list[LivePosition]:
        """Up to `limit` of those inside the box, in no order."""
        self._step_if_due()
        slots = self._members(self._index.cover(box, self._at_most()))
        latitudes, longitudes = self._degrees.take(slots, 1)
        hits = slots[inside(box, latitudes, longitudes)][:limit]
        return [self._positions[slot] for slot in hits.tolist()]

    def cells(self) -> list[CellLoad]:
        """Every occupied cell, in the order of its geohash."""
        self._step_if_due()
        index = self._index
        loads = [
            CellLoad(geohash.to_text(leaf), len(members), round(index.reads_per_s(leaf), 3))
            for leaf, members in self._cells.items()
        ]
        return sorted(loads, key=lambda load: load.cell)

    def _at_most(self) -> int:
        """Leaves past which reading everybody in order is cheaper: a leaf costs 0.7 µs, a member 0.002."""
        return 64 + len(self._slot_of) // 400

    def _members(self, leaves: list[int] | None) -> Slots:
        if leaves is None:
            return np.arange(len(self._positions))
        return np.frombuffer(b"".join(map(self._cells.__getitem__, leaves)), np.int64)

    def _as_nearby(self, slots: Slots, chords: Floats, radius_m: float, limit: int) -> list[Nearby]:
        order = chords.argsort()
        metres = chords_to_m(chords[order]).tolist()
        found = [self._positions[slot] for slot in slots[order].tolist()]
        hits = [Nearby(hit.rider_id, m, hit) for hit, m in zip(found, metres, strict=True) if m <= radius_m]
        if any(map(ge, metres, metres[1:])):
            hits.sort(key=lambda hit: (hit.distance_m, hit.rider_id))
        return hits[:limit]

    # ------------------------------------------------------------------------------------- changes

    def step(self) -> None:
        """Begin the changes of cells that are due, and move a bounded number of members."""
        if self._index.has_work():
            self._changes += self._index.due()
        left = self._move_members
        while self._changes and left > 0:
            change = self._changes[0]
            for leaf in self._index.sources(change):
                left -= self._move_some(leaf, left)
            if self._index.sources(change):
                return
            self._index.finish(change)
            self._changes.popleft()

    def _step_if_due(self) -> None:
        if self._changes or self._index.has_work():
            self.step()

    def _move_some(self, leaf: int, at_most: int) -> int:
        slots = self._cells[leaf][-at_most:] if at_most > 0 else array("q")
        for slot in slots:
            self._relocate(slot, self._index.leaf_of(int(self._cell8[slot])))
        return len(slots)
