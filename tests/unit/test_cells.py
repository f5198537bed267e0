"""The rules of cells, with the smallest store that can follow them."""

from collections.abc import Iterable
from datetime import timedelta
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from majung.clock import ManualClock
from majung.positions import geohash
from majung.positions.cellload import SAMPLE, ReadLoad
from majung.positions.cells import BASE, COARSE, FINE, CellIndex, Change
from majung.positions.geodesy import Box, box_around, distance_m, inside
from majung.settings import CellSettings

SEOUL = (37.5, 127.0)
Place = tuple[float, float]


def cell_settings(**changes: Any) -> CellSettings:
    given = {"split_members": 8, "coarse_members": 4, "hold_for": timedelta(seconds=30)} | changes
    return CellSettings.model_validate(given)


class Bags:
    """Members in sets, moved one at a time when told to."""

    def __init__(self, settings: CellSettings, clock: ManualClock) -> None:
        self.bags: dict[int, set[str]] = {}
        self.index = CellIndex(settings, clock, self.bags)
        self.places: dict[str, Place] = {}
        self.leaves: dict[str, int] = {}
        self.changes: list[Change] = []

    def put(self, name: str, place: Place) -> None:
        self.places[name] = place
        self.send(name)

    def put_many(self, count: int, place: Place, prefix: str = "m") -> None:
        for i in range(count):
            self.put(f"{prefix}{i}", place)

    def send(self, name: str) -> None:
        """Take a member to where it belongs now."""
        old, new = self.leaves.get(name), self.index.leaf_of(geohash.cell_of(*self.places[name], FINE))
        if old == new:
            return
        if old is not None:
            self.take(name, old)
        self.bags.setdefault(new, set()).add(name)
        self.leaves[name] = new
        if old is None:
            self.index.enter(new)
        else:
            self.index.move(old, new)

    def take(self, name: str, leaf: int) -> None:
        self.bags[leaf].remove(name)
        if not self.bags[leaf]:
            del self.bags[leaf]

    def remove(self, name: str) -> None:
        del self.places[name]
        leaf = self.leaves.pop(name)
        self.take(name, leaf)
        self.index.leave(leaf)

    def begin(self) -> list[Change]:
        begun = self.index.due()
        self.changes += begun
        return begun

    def move_one(self) -> None:
        """The smallest step of a change that a store could take."""
        for change in self.changes:
            for leaf in self.index.sources(change):
                self.send(min(self.bags[leaf]))
                return
            self.index.finish(change)
            self.changes.remove(change)
            return

    def settle(self) -> list[Change]:
        """Follow the rules until nothing is left to do; what changed."""
        done = self.begin()
        while self.changes:
            while self.changes:
                self.move_one()
            done += self.begin()
        return done

    def within(self, leaves: Iterable[int]) -> set[str]:
        return {name for leaf in leaves for name in self.bags[leaf]}

    def cells(self) -> dict[str, int]:
        return {geohash.to_text(leaf): len(bag) for leaf, bag in self.bags.items()}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def cell(place: Place, precision: int) -> int:
    return geohash.cell_of(*place, precision)


def read(bags: Bags, clock: ManualClock, reads_per_s: int, seconds: int, place: Place = SEOUL) -> None:
    """Search around a place so often, and let the index think after each second."""
    for _ in range(seconds):
        for _ in range(reads_per_s):
            next(bags.index.rings(*place, 10, 1, 100))
        clock.advance(1)
        bags.settle()


def test_a_quiet_square_is_one_coarse_cell_until_it_fills(clock: ManualClock) -> None:
    bags = Bags(cell_settings(coarse_members=4), clock)
    bags.put_many(4, SEOUL)
    assert bags.settle() == []
    assert bags.cells() == {geohash.encode(*SEOUL, COARSE): 4}
    bags.put("one more", SEOUL)
    assert bags.settle() == [Change(cell(SEOUL, COARSE), finer=True)]
    assert bags.cells() == {geohash.encode(*SEOUL, BASE): 5}


def test_coarse_members_0_keeps_every_cell_at_7(clock: ManualClock) -> None:
    bags = Bags(cell_settings(coarse_members=0), clock)
    bags.put("a", SEOUL)
    assert bags.cells() == {geohash.encode(*SEOUL, BASE): 1}
    assert bags.settle() == []


def test_a_cell_past_its_members_is_split_into_8(clock: ManualClock) -> None:
    bags = Bags(cell_settings(split_members=8), clock)
    bags.put_many(8, SEOUL)
    bags.settle()
    assert bags.cells() == {geohash.encode(*SEOUL, BASE): 8}
    corner = geohash.centre(geohash.children(cell(SEOUL, BASE))[0])
    bags.put("one more", corner)
    assert bags.settle() == [Change(cell(SEOUL, BASE), finer=True)]
    assert bags.cells() == {geohash.encode(*SEOUL, FINE): 8, geohash.encode(*corner, FINE): 1}


def test_a_part_of_8_is_never_split(clock: ManualClock) -> None:
    bags = Bags(cell_settings(split_members=8), clock)
    bags.put_many(100, SEOUL)
    bags.settle()
    clock.advance(100)
    assert bags.settle() == []
    assert bags.cells() == {geohash.encode(*SEOUL, FINE): 100}


def test_split_cells_merge_only_well_below_the_bound_and_after_a_rest(clock: ManualClock) -> None:
    bags = Bags(cell_settings(split_members=8, merge_ratio=0.5, coarse_members=2), clock)
    bags.put_many(9, SEOUL)
    bags.settle()
    for i in range(4):
        bags.remove(f"m{i}")
    clock.advance(60)
    assert bags.settle() == []  # five are below the bound of eight, yet not below half of it
    bags.remove("m4")
    clock.advance(2)
    assert bags.settle() == [Change(cell(SEOUL, BASE), finer=False)]
    assert bags.cells() == {geohash.encode(*SEOUL, BASE): 4}


def test_no_cell_changes_twice_within_hold_for(clock: ManualClock) -> None:
    bags = Bags(cell_settings(split_members=8, coarse_members=2, hold_for=timedelta(seconds=30)), clock)
    bags.put_many(9, SEOUL)
    bags.settle()
    for i in range(5):
        bags.remove(f"m{i}")
    clock.advance(29)
    assert bags.settle() == []
    clock.advance(1)
    assert bags.settle() == [Change(cell(SEOUL, BASE), finer=False)]
    bags.put_many(9, SEOUL, "again")
    assert bags.settle() == []  # full again, but changed a moment ago
    clock.advance(29)
    assert bags.settle() == []
    clock.advance(1)
    assert bags.settle() == [Change(cell(SEOUL, BASE), finer=True)]


def test_a_change_is_finished_before_the_cell_changes_again(clock: ManualClock) -> None:
    bags = Bags(cell_settings(split_members=4, coarse_members=0, hold_for=timedelta(0)), clock)
    bags.put_many(5, SEOUL)
    bags.settle()
    bags.remove("m0")
    bags.remove("m1")
    bags.remove("m2")
    clock.advance(1)
    assert bags.begin() == [Change(cell(SEOUL, BASE), finer=False)]
    bags.put_many(9, SEOUL, "new")  # the cell is full again before its members are back
    assert bags.begin() == []
    while bags.changes:
        bags.move_one()
    assert bags.cells() == {geohash.encode(*SEOUL, BASE): 11}
    clock.advance(1)
    assert bags.settle() == [Change(cell(SEOUL, BASE), finer=True)]


def test_an_area_that_empties_goes_back_step_by_step(clock: ManualClock) -> None:
    bags = Bags(cell_settings(split_members=8, coarse_members=4, hold_for=timedelta(seconds=5)), clock)
    bags.put_many(20, SEOUL)
    bags.settle()
    for i in range(2, 20):
        bags.remove(f"m{i}")
    clock.advance(6)
    assert bags.settle() == [Change(cell(SEOUL, BASE), finer=False)]
    clock.advance(6)
    assert bags.settle() == [Change(cell(SEOUL, COARSE), finer=False)]
    assert bags.cells() == {geohash.encode(*SEOUL, COARSE): 2}


def test_nothing_is_remembered_of_an_area_that_emptied(clock: ManualClock) -> None:
    bags = Bags(cell_settings(hold_for=timedelta(seconds=5)), clock)
    for i in range(50):
        bags.put_many(20, (37.5 + i, 127.0), f"{i}-")
    bags.settle()
    for name in list(bags.places):
        bags.remove(name)
    for _ in range(5):
        clock.advance(6)
        bags.settle()
    state = vars(bags.index) | vars(bags.index._tree)
    sizes = {name: len(value) for name, value in state.items() if hasattr(value, "__len__")}
    assert sizes.pop("_changed_s") <= 50  # those of the last step, until they have rested
    assert not any(sizes.values()), sizes


def test_a_hot_cell_with_few_members_is_split_by_its_reads(clock: ManualClock) -> None:
    bags = Bags(cell_settings(split_reads_per_s=200, coarse_members=4), clock)
    bags.put_many(3, SEOUL)
    read(bags, clock, 150, 40)
    assert bags.cells() == {geohash.encode(*SEOUL, COARSE): 3}
    read(bags, clock, 400, 80)
    assert bags.cells() == {geohash.encode(*SEOUL, FINE): 3}
    assert bags.index.reads_per_s(cell(SEOUL, FINE)) == pytest.approx(400, rel=0.25)


def test_a_cell_that_was_hot_merges_when_its_readers_are_gone(clock: ManualClock) -> None:
    bags = Bags(cell_settings(split_reads_per_s=200, hold_for=timedelta(seconds=5)), clock)
    bags.put_many(2, SEOUL)
    read(bags, clock, 400, 40)
    assert bags.cells() == {geohash.encode(*SEOUL, FINE): 2}
    read(bags, clock, 150, 30)  # below the bound, above half of it
    assert bags.cells() == {geohash.encode(*SEOUL, FINE): 2}
    read(bags, clock, 0, 60)
    assert bags.cells() == {geohash.encode(*SEOUL, COARSE): 2}


def test_reads_of_a_split_cell_count_once_however_many_parts_a_search_reads(clock: ManualClock) -> None:
    bags = Bags(cell_settings(split_members=8, coarse_members=0), clock)
    for i, part in enumerate(geohash.children(cell(SEOUL, BASE))):
        bags.put(f"m{i}", geohash.centre(part))
    bags.settle()
    assert len(bags.bags) == 32
    for _ in range(20):
        for _ in range(100):
            bags.index.cover(geohash.bounds(cell(SEOUL, BASE)), 100)
        clock.advance(1)
        bags.settle()
    assert bags.index.reads_per_s(cell(SEOUL, BASE)) == pytest.approx(100, rel=0.35)


def test_reads_fade(clock: ManualClock) -> None:
    load = ReadLoad(0.0)
    for second in range(1, 101):
        for _ in range(80):
            if load.wants():
                load.note([7])
        assert load.is_due(float(second))
        load.fold(float(second), 1e9)
    assert load.per_s(7, 100.0) == pytest.approx(80, rel=0.3)
    assert load.per_s(7, 110.0) == pytest.approx(load.per_s(7, 100.0) / np.e)
    assert load.per_s(8, 100.0) == 0


def test_read_rates_survive_years_and_forget_what_has_faded() -> None:
    load = ReadLoad(0.0)
    for year in range(1, 4):
        now_s = year * 31_557_600.0
        load.note([year])
        assert load.fold(now_s, SAMPLE / 10 - 0.01) == [year]
        assert load.per_s(year, now_s) == pytest.approx(SAMPLE / 10)
        assert load.per_s(year - 1, now_s) == 0
    assert len(load._sums) == 1


def test_a_search_reads_only_occupied_cells_and_stops_early(clock: ManualClock) -> None:
    bags = Bags(cell_settings(coarse_members=0, split_members=1000), clock)
    rng = np.random.default_rng(1)
    for i, (north, east) in enumerate(rng.uniform(-0.05, 0.05, (2000, 2))):
        bags.put(f"m{i}", (SEOUL[0] + north, SEOUL[1] + east))
    bags.settle()
    first = next(bags.index.rings(*SEOUL, 5000, 10, 10_000))
    assert first.leaves is not None
    assert 10 <= len(bags.within(first.leaves)) <= 100
    assert first.reach_m < 500
    rings = list(islice(bags.index.rings(*SEOUL, 5000, 10, 10_000), 20))
    leaves = [leaf for ring in rings for leaf in ring.leaves or []]
    assert len(leaves) == len(set(leaves))
    assert rings[-1].reach_m == 5000


def test_a_search_that_needs_too_many_cells_says_so(clock: ManualClock) -> None:
    bags = Bags(cell_settings(coarse_members=0), clock)
    for i in range(50):
        bags.put(f"m{i}", (i, i))
    assert [ring.leaves for ring in bags.index.rings(25, 25, 2e7, 100, 10)] == [None]
    assert bags.index.cover(Box(-90, -180, 90, 180), 49) is None
    assert len(bags.index.cover(Box(-90, -180, 90, 180), 50) or []) == 50


def test_an_empty_index_has_nothing_to_read(clock: ManualClock) -> None:
    bags = Bags(cell_settings(), clock)
    assert [ring.leaves for ring in bags.index.rings(*SEOUL, 1000, 5, 100)] == [[]]
    assert bags.index.cover(Box(-90, -180, 90, 180), 100) == []


# A handful of cells that lie together, at the antimeridian and at a pole, so that moves meet splits.
near = st.builds(
    lambda focus, north, east: (
        max(-90.0, min(90.0, focus[0] + north * 1e-4)),
        (focus[1] + east * 1e-4 + 180) % 360 - 180,
    ),
    st.sampled_from([SEOUL, (0.0, 180.0), (90.0, 10.0), (37.49, 127.01)]),
    st.integers(-12, 12),
    st.integers(-12, 12),
)
member = st.sampled_from([f"m{i}" for i in range(40)])


class ReadersMissNobody(RuleBasedStateMachine):
    """Any order of writes, changes one member at a time, and searches: each search finds everybody."""

    @initialize(
        split_members=st.integers(2, 6),
        coarse_members=st.integers(0, 4),
        reads=st.sampled_from([0.2, 5.0, 2000.0]),
        hold_s=st.sampled_from([0, 3]),
    )
    def start(self, split_members: int, coarse_members: int, reads: float, hold_s: int) -> None:
        self.clock = ManualClock()
        self.bags = Bags(
            cell_settings(
                split_members=split_members,
                coarse_members=coarse_members,
                split_reads_per_s=reads,
                hold_for=timedelta(seconds=hold_s),
            ),
            self.clock,
        )

    @rule(names=st.lists(member, max_size=12), place=near)
    def put(self, names: list[str], place: Place) -> None:
        for i, name in enumerate(names):
            self.bags.put(name, (place[0], place[1] + i * 2e-5 if place[1] < 179.99 else place[1]))

    @rule(name=member)
    def remove(self, name: str) -> None:
        if name in self.bags.places:
            self.bags.remove(name)

    @rule(seconds=st.sampled_from([0.5, 1, 5]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def begin(self) -> None:
        self.bags.begin()

    @rule(names=st.sets(member, min_size=20))
    def most_leave(self, names: set[str]) -> None:
        for name in names & set(self.bags.places):
            self.bags.remove(name)
        self.clock.advance(5)
        self.bags.settle()

    @rule(steps=st.integers(1, 10))
    def move(self, steps: int) -> None:
        for _ in range(steps):
            self.bags.move_one()

    @rule(place=near, radius_m=st.sampled_from([0, 5, 60, 400, 5000, 3e6]), wanted=st.integers(1, 12))
    def search(self, place: Place, radius_m: float, wanted: int) -> None:
        found: set[str] = set()
        for ring in self.bags.index.rings(*place, radius_m, wanted, 1000):
            assert ring.leaves is not None
            found |= self.bags.within(ring.leaves)
            there = {n for n, p in self.bags.places.items() if distance_m(*place, *p) <= ring.reach_m}
            assert there <= found
            if len(there) >= wanted:
                return
        assert {n for n, p in self.bags.places.items() if distance_m(*place, *p) <= radius_m} <= found

    @rule(place=near, radius_m=st.sampled_from([5, 60, 5000]))
    def look(self, place: Place, radius_m: float) -> None:
        box = box_around(*place, radius_m)
        found = self.bags.within(self.bags.index.cover(box, 1000) or [])
        for name, (latitude, longitude) in self.bags.places.items():
            if inside(box, np.array([latitude]), np.array([longitude]))[0]:
                assert name in found

    @invariant()
    def totals_agree(self) -> None:
        if hasattr(self, "bags"):
            tree = self.bags.index._tree
            assert tree.total(1) == len(self.bags.places)
            assert set(tree.leaves_below(1)) == set(self.bags.bags)
            assert tree.has_split == any(geohash.precision_of(leaf) == FINE for leaf in self.bags.bags)
            for leaf in self.bags.bags:
                square = geohash.cell_of(*geohash.centre(leaf), COARSE)
                parts = [len(bag) for part, bag in self.bags.bags.items() if part in below(square)]
                assert tree.total(square) == sum(parts)

    def teardown(self) -> None:
        if hasattr(self, "bags"):
            self.bags.settle()
            misplaced = {
                name
                for name, leaf in self.bags.leaves.items()
                if leaf != self.bags.index.leaf_of(cell(self.bags.places[name], FINE))
            }
            assert not misplaced


class below:  # noqa: N801 - reads like the word
    def __init__(self, square: int) -> None:
        self.square = square

    def __contains__(self, leaf: int) -> bool:
        return leaf >> 5 * (geohash.precision_of(leaf) - geohash.precision_of(self.square)) == self.square


TestReadersMissNobody = ReadersMissNobody.TestCase
TestReadersMissNobody.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
