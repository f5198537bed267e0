"""What every `LiveStore` promises. The suite of an implementation inherits and gives one fixture:

`open_store(settings, clock)`: opens the store over the data of this test; what is open is closed first.
"""

import math
import random
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from majung.clock import Clock, ManualClock
from majung.ports import CellLoad, LiveStore
from majung.positions import geohash
from majung.positions.geodesy import EARTH_RADIUS_M, Box, distances_m, inside
from majung.positions.model import LivePosition
from majung.settings import CellSettings

OpenStore = Callable[[CellSettings, Clock], Awaitable[LiveStore]]
Place = tuple[float, float]

SEOUL = (37.4979, 127.0276)
FOCI = [SEOUL, (0.0, 180.0), (65.0, -179.9999), (90.0, 0.0), (-90.0, 12.0), (-33.45, -70.66)]
RADII_M = [0.0, 3.0, 50.0, 1_000.0, 30_000.0, 2_000_000.0, math.pi * EARTH_RADIUS_M]
TINY = {"split_members": 4, "coarse_members": 2, "split_reads_per_s": 5.0, "hold_for": timedelta(seconds=1)}


def at(rider_id: str, place: Place = SEOUL, received_at_ms: int = 1_000, **more: Any) -> LivePosition:
    return LivePosition(rider_id, place[0], place[1], received_at_ms - 500, received_at_ms, **more)


def place_near(rng: random.Random) -> Place:
    """Somewhere about one of the foci, from a metre to a thousand kilometres away; seldom anywhere."""
    if rng.random() < 0.1:
        return rng.uniform(-90, 90), rng.uniform(-180, 180)
    latitude, longitude = rng.choice(FOCI)
    spread = 10 ** rng.uniform(-5, 1)
    latitude = max(-90.0, min(90.0, latitude + rng.gauss(0, spread)))
    return latitude, (longitude + rng.gauss(0, spread) + 180) % 360 - 180


def all_nearest(live: Iterable[LivePosition], place: Place, radius_m: float) -> list[tuple[float, str]]:
    """Everyone within the radius, by looking at each."""
    people = list(live)
    latitudes = np.array([p.latitude for p in people], np.float64)
    longitudes = np.array([p.longitude for p in people], np.float64)
    metres = distances_m(*place, latitudes, longitudes).tolist()
    return sorted((m, p.rider_id) for m, p in zip(metres, people, strict=True) if m <= radius_m)


async def assert_nearest(
    store: LiveStore, live: dict[str, LivePosition], place: Place, radius_m: float, limit: int
) -> None:
    """`nearest` gives what looking at each gives; those equally far to the millimetre may change places."""
    hits = await store.nearest(*place, radius_m, limit)
    expected = all_nearest(live.values(), place, radius_m)
    distance_of = {rider_id: metres for metres, rider_id in expected}
    assert len(hits) == min(limit, len(expected))
    assert [(hit.distance_m, hit.rider_id) for hit in hits] == sorted(
        (h.distance_m, h.rider_id) for h in hits
    )
    for hit, (metres, _) in zip(hits, expected, strict=False):
        # Near the antipode an ulp of a cosine is a decimetre.
        assert hit.distance_m == pytest.approx(metres, abs=1e-3 if metres < 1.9e7 else 0.5)
        assert hit.distance_m == pytest.approx(distance_of[hit.rider_id], abs=1e-3 if metres < 1.9e7 else 0.5)
        assert hit.position == live[hit.rider_id]
    assert len({hit.rider_id for hit in hits}) == len(hits)


async def assert_in_area(store: LiveStore, live: dict[str, LivePosition], box: Box) -> None:
    found = await store.in_area(*box, limit=10_000)
    people = list(live.values())
    hits = inside(
        box,
        np.array([p.latitude for p in people], np.float64),
        np.array([p.longitude for p in people], np.float64),
    )
    assert sorted(p.rider_id for p in found) == sorted(
        p.rider_id for p, h in zip(people, hits, strict=True) if h
    )
    some = await store.in_area(*box, limit=3)
    assert len(some) == min(3, len(found))
    assert all(position in found for position in some)


async def settled_cells(store: LiveStore) -> dict[str, CellLoad]:
    """The cells when changes are done. A change goes on a step whenever the store is used."""
    for _ in range(60):
        await store.cells()
    return {load.cell: load for load in await store.cells()}


class LiveStoreContract:
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    async def store(self, open_store: OpenStore, clock: ManualClock) -> LiveStore:
        return await open_store(CellSettings.model_validate({}), clock)

    @pytest.fixture
    async def tiny(self, open_store: OpenStore, clock: ManualClock) -> LiveStore:
        """Cells that change with a handful of members."""
        return await open_store(CellSettings.model_validate(TINY), clock)

    # ------------------------------------------------------------------------------- put, get, remove

    async def test_get_gives_the_newest_in_the_order_asked(self, store: LiveStore) -> None:
        first, second = at("라이더 하나"), at("b", (0.0, -180.0), speed_mps=3.5, heading_deg=359.0)
        await store.put([first, second])
        assert await store.get(["b", "nobody", "라이더 하나", "b"]) == [second, None, first, second]
        moved = at("b", (1.0, 2.0), 2_000)
        await store.put([moved])
        assert await store.get(["b"]) == [moved]
        assert await store.count() == 2

    async def test_of_several_in_one_put_the_last_counts(self, store: LiveStore) -> None:
        await store.put([at("a", (1.0, 1.0)), at("b"), at("a", (2.0, 2.0)), at("a", SEOUL)])
        assert await store.get(["a"]) == [at("a", SEOUL)]
        assert [hit.rider_id for hit in await store.nearest(1.0, 1.0, 1000, 5)] == []
        assert await store.count() == 2

    async def test_an_empty_put_and_an_empty_get(self, store: LiveStore) -> None:
        await store.put([])
        assert await store.get([]) == []
        assert await store.count() == 0

    async def test_a_place_not_on_earth_is_refused_and_nothing_is_set(self, store: LiveStore) -> None:
        for bad in [(90.1, 0.0), (0.0, -180.1), (math.nan, 0.0), (0.0, math.inf)]:
            with pytest.raises(ValueError, match="degrees"):
                await store.put([at("good"), at("bad", bad)])
            with pytest.raises(ValueError, match="degrees"):
                await store.nearest(*bad, 1000, 5)
            with pytest.raises(ValueError, match="degrees"):
                await store.in_area(*bad, 1.0, 1.0, 5)
        for radius_m in (-1.0, math.nan):
            with pytest.raises(ValueError, match="radius_m"):
                await store.nearest(*SEOUL, radius_m, 5)
        assert await store.count() == 0

    async def test_removed_is_nowhere(self, store: LiveStore) -> None:
        await store.put([at("a"), at("b")])
        await store.remove(["a", "nobody"])
        assert await store.get(["a", "b"]) == [None, at("b")]
        assert [hit.rider_id for hit in await store.nearest(*SEOUL, 1000, 5)] == ["b"]
        assert [position.rider_id for position in await store.in_area(30, 120, 40, 130, 5)] == ["b"]
        assert await store.count() == 1
        await store.put([at("a", (1.0, 1.0))])
        assert await store.get(["a"]) == [at("a", (1.0, 1.0))]

    async def test_kinds_do_not_mix(self, store: LiveStore) -> None:
        shop, order = at("1", kind="shop"), at("1", (37.49, 127.02), kind="order")
        await store.put([at("1"), shop, order])
        assert await store.get(["1"]) == [at("1")]
        assert await store.get(["1"], kind="shop") == [shop]
        assert [hit.position for hit in await store.nearest(*SEOUL, 10_000, 5, kind="order")] == [order]
        await store.remove(["1"], kind="shop")
        assert [await store.count(kind) for kind in ("rider", "shop", "order")] == [1, 0, 1]
        assert await store.cells("shop") == []
        assert await store.expire(10_000, kind="order") == [order]
        assert await store.in_area(-90, -180, 90, 180, 5, kind="order") == []
        assert await store.count() == 1

    async def test_expire_removes_and_returns_who_was_received_before(self, store: LiveStore) -> None:
        await store.put([at("old", received_at_ms=999), at("edge", received_at_ms=1_000), at("new")])
        await store.put([at("was old", received_at_ms=1)])
        await store.put([at("was old", received_at_ms=2_000)])
        assert await store.expire(1_000) == [at("old", received_at_ms=999)]
        assert await store.expire(1_000) == []
        assert await store.get(["old", "edge"]) == [None, at("edge", received_at_ms=1_000)]
        assert await store.count() == 3

    # ----------------------------------------------------------------------------------------- search

    async def test_nearest_first_and_only_within_the_radius(self, store: LiveStore) -> None:
        for metres in (5, 10, 20, 40, 80, 160, 320):
            await store.put([at(f"{metres}", (SEOUL[0] + metres / 111_195.08, SEOUL[1]))])
        hits = await store.nearest(*SEOUL, 100, 4)
        assert [hit.rider_id for hit in hits] == ["5", "10", "20", "40"]
        assert [hit.distance_m for hit in hits] == pytest.approx([5, 10, 20, 40], rel=1e-4)
        assert [hit.rider_id for hit in await store.nearest(*SEOUL, 100, 50)] == ["5", "10", "20", "40", "80"]
        assert await store.nearest(*SEOUL, 4, 50) == []
        assert await store.nearest(*SEOUL, 100, 0) == []

    async def test_the_radius_counts_itself(self, store: LiveStore) -> None:
        await store.put([at("a", (37.5, 127.01))])
        (hit,) = await store.nearest(*SEOUL, 10_000, 5)
        assert await store.nearest(*SEOUL, hit.distance_m, 5) == [hit]
        assert await store.nearest(*SEOUL, hit.distance_m * (1 - 1e-12), 5) == []

    async def test_those_equally_far_come_by_id(self, store: LiveStore) -> None:
        names = [f"r{i}" for i in range(30)]
        random.Random(1).shuffle(names)
        await store.put([at(name, (37.4981, 127.0276)) for name in names])
        await store.put([at("a nearer one", (37.4980, 127.0276))])
        hits = await store.nearest(*SEOUL, 1000, 7)
        assert [hit.rider_id for hit in hits] == ["a nearer one", *sorted(names)[:6]]

    async def test_over_the_antimeridian_and_over_a_pole(self, store: LiveStore) -> None:
        await store.put([at("east", (0.0, 179.9999)), at("west", (0.0, -179.9999)), at("line", (0.0, 180.0))])
        await store.put(
            [at("pole", (90.0, 40.0)), at("beyond", (89.9999, -100.0)), at("south", (-90.0, 0.0))]
        )
        hits = await store.nearest(0.0, 179.99993, 100, 5)
        assert [hit.rider_id for hit in hits] == ["east", "line", "west"]
        assert [hit.rider_id for hit in await store.nearest(0.0, -180.0, 1, 5)] == ["line"]
        assert [hit.rider_id for hit in await store.nearest(89.9999, 80.0, 50, 5)] == ["pole", "beyond"]
        assert [hit.rider_id for hit in await store.nearest(-89.9999, 123.0, 50, 5)] == ["south"]
        assert sorted(p.rider_id for p in await store.in_area(-1, 179, 1, -179, 5)) == [
            "east",
            "line",
            "west",
        ]
        assert [p.rider_id for p in await store.in_area(-1, 179, 1, 179.99995, 5)] == ["east"]
        assert await store.in_area(1, 179, -1, -179, 5) == []

    @pytest.mark.parametrize("seed", range(3))
    async def test_search_equals_looking_at_each(self, store: LiveStore, seed: int) -> None:
        rng = random.Random(seed)
        live = {f"r{i}": at(f"r{i}", place_near(rng)) for i in range(4_000)}
        await store.put(list(live.values()))
        gone = rng.sample(list(live), 1_500)
        await store.remove(gone)
        for name in gone:
            del live[name]
        for _ in range(60):
            place, limit = place_near(rng), rng.choice([1, 3, 20, 500, 100_000])
            await assert_nearest(store, live, place, rng.choice(RADII_M), limit)
            corner = place_near(rng)
            low, high = sorted((place[0], corner[0]))
            await assert_in_area(store, live, Box(low, place[1], high, corner[1]))

    # ------------------------------------------------------------------------------------------ cells

    async def test_cells_tell_members_and_reads(self, store: LiveStore, clock: ManualClock) -> None:
        await store.put([at(f"r{i}") for i in range(100)] + [at("far", (0.0, 0.1))])
        cells = await settled_cells(store)
        assert cells[geohash.encode(*SEOUL, 7)].members == 100
        assert cells[geohash.encode(0.0, 0.1, 6)].members == 1
        assert sum(load.members for load in cells.values()) == await store.count() == 101
        for _ in range(10):
            for _ in range(100):
                await store.nearest(*SEOUL, 10, 1)
            clock.advance(1)
        (read,) = [load for load in await store.cells() if load.reads_per_s > 0]
        assert read.cell == geohash.encode(*SEOUL, 7)
        assert 20 < read.reads_per_s < 150

    async def test_cells_split_when_full_and_go_back_when_quiet(
        self, tiny: LiveStore, clock: ManualClock
    ) -> None:
        await tiny.put([at(f"r{i}") for i in range(3)])
        assert list(await settled_cells(tiny)) == [geohash.encode(*SEOUL, 7)]
        await tiny.put([at(f"r{i}") for i in range(6)])
        assert list(await settled_cells(tiny)) == [geohash.encode(*SEOUL, 8)]
        await tiny.remove([f"r{i}" for i in range(1, 6)])
        seen: set[str] = set()
        for _ in range(5):
            clock.advance(2)
            seen.update(await settled_cells(tiny))
        assert list(await settled_cells(tiny)) == [geohash.encode(*SEOUL, 6)]
        assert geohash.encode(*SEOUL, 7) in seen

    async def test_cells_split_when_often_read(self, tiny: LiveStore, clock: ManualClock) -> None:
        await tiny.put([at("one")])
        for _ in range(60):
            for _ in range(20):
                assert len(await tiny.nearest(*SEOUL, 10, 1)) == 1
            clock.advance(1)
        assert list(await settled_cells(tiny)) == [geohash.encode(*SEOUL, 8)]

    @settings(
        max_examples=120,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(seed=st.integers(0, 2**32), steps=st.integers(1, 80), wild=st.booleans())
    async def test_a_reader_never_misses_anybody_while_cells_change(
        self, open_store: OpenStore, seed: int, steps: int, wild: bool
    ) -> None:
        rng, clock = random.Random(seed), ManualClock()
        changes = {"hold_for": timedelta(0), "coarse_members": rng.choice([0, 1, 3])} if wild else {}
        store = await open_store(CellSettings.model_validate(TINY | changes), clock)
        await store.remove([f"r{i}" for i in range(60)])
        live: dict[str, LivePosition] = {}
        for step in range(steps):
            what = rng.random()
            if what < 0.5:
                batch = [at(f"r{rng.randrange(60)}", place_near(rng), step) for _ in range(rng.randrange(30))]
                await store.put(batch)
                live.update((position.rider_id, position) for position in batch)
            elif what < 0.6:
                gone = [f"r{rng.randrange(60)}" for _ in range(rng.randrange(40))]
                await store.remove(gone)
                live = {name: position for name, position in live.items() if name not in gone}
            elif what < 0.65:
                expired = {position.rider_id for position in await store.expire(step - 20)}
                assert expired == {name for name, p in live.items() if p.received_at_ms < step - 20}
                live = {name: position for name, position in live.items() if name not in expired}
            else:
                clock.advance(rng.choice([0.2, 1, 3]))
            await assert_nearest(store, live, place_near(rng), rng.choice(RADII_M), rng.choice([1, 5, 100]))
            (south, west), (north, east) = sorted((place_near(rng), place_near(rng)))
            await assert_in_area(store, live, Box(south, west, north, east))
            assert sum(load.members for load in await store.cells()) == await store.count() == len(live)

    # ------------------------------------------------------------------------------------- checkpoint

    async def test_states_and_meta_are_there_after_reopening(
        self, store: LiveStore, open_store: OpenStore, clock: ManualClock
    ) -> None:
        states = {"라이더 '하나'": b"\x00\xff", "b": b"", "c": bytes(300_000)}
        await store.save_states(states, {"offsets": b"1"})
        assert await store.load_states(["c", "nobody", "라이더 '하나'"]) == {
            "c": states["c"],
            "라이더 '하나'": states["라이더 '하나'"],
        }
        again = await open_store(CellSettings.model_validate({}), clock)
        assert await again.load_states(list(states)) == states
        assert await again.load_meta() == {"offsets": b"1"}

    async def test_a_save_adds_states_and_replaces_meta(self, store: LiveStore) -> None:
        assert await store.load_meta() == {}
        await store.save_states({"a": b"1", "b": b"1"}, {"x": b"1", "y": b"1"})
        await store.save_states({"b": b"2"}, {"x": b"2"})
        assert await store.load_states(["a", "b"]) == {"a": b"1", "b": b"2"}
        assert await store.load_meta() == {"x": b"2"}

    async def test_all_states_come_in_chunks_each_once(self, store: LiveStore) -> None:
        states = {f"r{i:05d}": str(i).encode() for i in range(2_500)}
        await store.save_states(states, {})
        chunks = [chunk async for chunk in store.all_states()]
        assert len(chunks) > 1
        assert [pair for chunk in chunks for pair in chunk] == sorted(states.items())

    async def test_all_states_of_nothing(self, store: LiveStore) -> None:
        assert [chunk async for chunk in store.all_states()] == []

    async def test_forgotten_states_are_gone(
        self, store: LiveStore, open_store: OpenStore, clock: ManualClock
    ) -> None:
        await store.save_states({"a": b"1", "b": b"2"}, {"x": b"1"})
        await store.forget_states(["a", "nobody"])
        again = await open_store(CellSettings.model_validate({}), clock)
        assert await again.load_states(["a", "b"]) == {"b": b"2"}
        assert await again.load_meta() == {"x": b"1"}

    async def test_positions_are_a_view_and_do_not_come_back_by_themselves(
        self, store: LiveStore, open_store: OpenStore, clock: ManualClock
    ) -> None:
        await store.put([at("a")])
        await store.save_states({"a": b"1"}, {})
        again = await open_store(CellSettings.model_validate({}), clock)
        await again.put([at("b")])
        assert await again.get(["b"]) == [at("b")]
