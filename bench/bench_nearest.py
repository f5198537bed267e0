"""The live store: 50,000 riders as dense as in a city (259 within 1 km), one after the other on one core.

Beside it the designs that were weighed against it (docs/decisions/0002-live-store.md), each searching the
same riders for the same answer. CPU microseconds of this thread, the least of some rounds: other work on the machine
only ever adds. Searches go all over the city, so caches are as cold as with real watchers.
"""

import asyncio
import gc
import math
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from majung.backends.embedded.livestore import EmbeddedLiveStore
from majung.clock import SystemClock
from majung.positions.geodesy import (
    chords_to_m,
    distance_m,
    m_to_chord,
    squared_chords,
    unit_vector,
    unit_vectors,
)
from majung.positions.geohash import bounds, cell_of
from majung.positions.model import LivePosition
from majung.settings import CellSettings

RIDERS = int(os.environ.get("BENCH_RIDERS", "50000"))
SEARCHES = 3_000
ROUNDS = 7
BATCH = 500
RADIUS_M, WANTED, HITS = 1_000.0, 20, 259
SOUTH, WEST = 37.42, 126.9
_SIDE_M = math.sqrt(RIDERS / HITS * math.pi) * RADIUS_M
HEIGHT = _SIDE_M / 111_195
WIDTH = HEIGHT / math.cos(math.radians(SOUTH + HEIGHT / 2))
CELL_DEG = 180 / (1 << 17)  # the height of a geohash square of precision 7, and at 37.5° N its width

Place = tuple[float, float]
Columns = npt.NDArray[np.float64]
Answer = list[tuple[float, str]]


def spread(rng: np.random.Generator, count: int, margin: float = 0.0) -> Columns:
    """Places all over the city, shape (2, count)."""
    part = rng.uniform(margin, 1 - margin, (2, count))
    return part * [[HEIGHT], [WIDTH]] + [[SOUTH], [WEST]]


def positions_at(ids: list[str], degrees: Columns, round_: int) -> list[LivePosition]:
    rows = zip(ids, *degrees.tolist(), strict=True)
    at_ms = 1_780_000_000_000 + round_ * 5_000
    return [LivePosition(i, a, b, at_ms, at_ms + 80, 5.0, 7.5, 90.0) for i, a, b in rows]


def least(work: Callable[[], None], count: int, rounds: int = ROUNDS) -> dict[str, float]:
    """CPU microseconds for one of `count`: the least and the median of some rounds."""
    took = []
    for _ in range(rounds):
        started = time.thread_time()
        work()
        took.append((time.thread_time() - started) / count * 1e6)
    return {"cpu_us": round(min(took), 2), "median": round(median(took), 2)}


class Design(Protocol):
    """Another way to find the nearest 20 within 1 km."""

    def nearest(self, latitude: float, longitude: float) -> Answer: ...


class DictGrid:
    """A dict of cells, each a list of riders; each measured by the haversine formula. Pure Python."""

    def __init__(self, ids: list[str], degrees: Columns) -> None:
        self._cells: dict[tuple[int, int], list[tuple[str, float, float]]] = {}
        for rider_id, latitude, longitude in zip(ids, *degrees.tolist(), strict=True):
            key = int(latitude / CELL_DEG), int(longitude / CELL_DEG)
            self._cells.setdefault(key, []).append((rider_id, latitude, longitude))

    def nearest(self, latitude: float, longitude: float) -> Answer:
        row, column = int(latitude / CELL_DEG), int(longitude / CELL_DEG)
        hits: Answer = []
        for ring in range(12):
            for r in range(row - ring, row + ring + 1):
                step = 1 if abs(r - row) == ring else 2 * ring or 1
                for c in range(column - ring, column + ring + 1, step):
                    for rider_id, a, b in self._cells.get((r, c), ()):
                        hits.append((distance_m(latitude, longitude, a, b), rider_id))
            reached_m = ring * CELL_DEG * 111_195 * math.cos(math.radians(latitude))
            hits.sort()
            if len(hits) >= WANTED and hits[WANTED - 1][0] <= reached_m:
                break
        return [hit for hit in hits[:WANTED] if hit[0] <= RADIUS_M]


class Points:
    """What the designs in columns share: unit vectors, and the nearest of some slots."""

    def __init__(self, ids: list[str], degrees: Columns) -> None:
        self.ids = ids
        self.points = unit_vectors(*degrees)

    def best(self, chords: Columns, slots: npt.NDArray[np.int64] | None) -> Answer:
        near = (chords <= m_to_chord(RADIUS_M)).nonzero()[0]
        if near.size > WANTED:
            near = near[chords[near].argpartition(WANTED)[:WANTED]]
        found = near if slots is None else slots[near]
        return sorted(
            zip(chords_to_m(chords[near]).tolist(), [self.ids[i] for i in found.tolist()], strict=True)
        )


class BruteForce(Points):
    """No cells: every rider, in three columns."""

    def nearest(self, latitude: float, longitude: float) -> Answer:
        return self.best(squared_chords(self.points, unit_vector(latitude, longitude)), None)


class SortedCells(Points):
    """Slots in the order of their cell, row after row; who changed cell since the last sort is in a tail."""

    def __init__(self, ids: list[str], degrees: Columns) -> None:
        super().__init__(ids, degrees)
        self.sort(degrees)

    def sort(self, degrees: Columns) -> None:
        rows, columns = (degrees / CELL_DEG).astype(np.int64)
        keys = rows << 20 | columns
        self._slots = keys.argsort()
        self._keys = keys[self._slots]
        self._is_in_tail = np.zeros(len(self.ids), bool)
        self._tail = np.zeros(0, np.int64)

    def change(self, slots: npt.NDArray[np.int64]) -> None:
        self._tail = slots
        self._is_in_tail[slots] = True

    def nearest(self, latitude: float, longitude: float) -> Answer:
        reach = 341.0 / 111_195  # what the density around asks for; the whole radius when that was not enough
        answer: Answer = []
        while len(answer) < WANTED:
            up, side = reach, reach / math.cos(math.radians(latitude))
            first, last = int((latitude - up) / CELL_DEG), int((latitude + up) / CELL_DEG)
            west, east = int((longitude - side) / CELL_DEG), int((longitude + side) / CELL_DEG)
            edges = [row << 20 | end for row in range(first, last + 1) for end in (west, east + 1)]
            cuts = self._keys.searchsorted(edges).tolist()
            slots = np.concatenate(
                [self._slots[a:b] for a, b in zip(cuts[::2], cuts[1::2], strict=True)] + [self._tail]
            )
            if self._tail.size:
                slots = slots[
                    ~self._is_in_tail[slots] | (np.arange(slots.size) >= slots.size - self._tail.size)
                ]
            chords = squared_chords(self.points.take(slots, 1), unit_vector(latitude, longitude))
            answer = self.best(chords, slots)
            answer = [hit for hit in answer if hit[0] <= reach * 111_195]
            if reach * 111_195 >= RADIUS_M:
                break
            reach = min(reach * 2, RADIUS_M / 111_195)
        return answer


def others(ids: list[str], degrees: Columns, places: list[Place], expected: list[Answer]) -> dict[str, Any]:
    """The designs that were not taken, searching for the same."""
    in_order = SortedCells(ids, degrees)
    designs: list[tuple[str, Design, int]] = [
        ("dict of cells, pure Python", DictGrid(ids, degrees), 300),
        ("brute force in NumPy", BruteForce(ids, degrees), 300),
        ("sorted cells", in_order, SEARCHES),
    ]
    for name, design, _ in designs:
        for place, answer in zip(places, expected, strict=False):
            assert [hit[1] for hit in design.nearest(*place)] == [hit[1] for hit in answer], name
    result = {f"nearest 20, {name}": cost_of(design, places[:count]) for name, design, count in designs}
    for tail in (500, 3_000):
        in_order.change(np.random.default_rng(tail).permutation(RIDERS)[:tail])
        result[f"nearest 20, sorted cells, {tail} in its tail"] = cost_of(in_order, places)
    result["to sort the cells again"] = least(lambda: in_order.sort(degrees), 1, 5)
    return result


def cost_of(design: Design, places: list[Place]) -> dict[str, float]:
    def search() -> None:
        for place in places:
            design.nearest(*place)

    return least(search, len(places), 4)


async def measured(
    work: Callable[[], Coroutine[Any, Any, None]], count: int, rounds: int = ROUNDS
) -> dict[str, float]:
    took = []
    for _ in range(rounds):
        gc.collect()
        started = time.thread_time()
        await work()
        took.append((time.thread_time() - started) / count * 1e6)
    return {"cpu_us": round(min(took), 2), "median": round(median(took), 2)}


async def filled(
    folder: Path, batches: Iterable[list[LivePosition]], settings: CellSettings | None = None
) -> EmbeddedLiveStore:
    settings = settings or CellSettings.model_validate({})
    store = await EmbeddedLiveStore.open(folder, settings, SystemClock())
    for batch in batches:
        await store.put(batch)
    return store


def in_batches(positions: list[LivePosition]) -> list[list[LivePosition]]:
    return [positions[start : start + BATCH] for start in range(0, len(positions), BATCH)]


async def measure(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    ids = [f"rider-{i:06d}" for i in range(RIDERS)]
    degrees = spread(rng, RIDERS)
    store = await filled(folder, in_batches(positions_at(ids, degrees, 0)))
    places: list[Place] = list(zip(*spread(rng, SEARCHES, 0.08).tolist(), strict=True))
    within = [len(await store.nearest(*place, RADIUS_M, 10_000)) for place in places[:200]]
    result: dict[str, Any] = {
        "riders": RIDERS,
        "within 1 km, mean": round(sum(within) / len(within)),
        "cells": len(await store.cells()),
    }

    def searches(radius_m: float, limit: int, count: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def search() -> None:
            for place in places[:count]:
                await store.nearest(*place, radius_m, limit)

        return search

    result["nearest 20 within 1 km"] = await measured(searches(RADIUS_M, WANTED, SEARCHES), SEARCHES)
    for radius_m, limit in ((1_000, 1), (1_000, 1_000), (100_000, 20), (100_000, 1_000)):
        result[f"nearest {limit} within {radius_m // 1000} km"] = await measured(
            searches(radius_m, limit, 300), 300, 3
        )
    expected = [
        [(hit.distance_m, hit.rider_id) for hit in await store.nearest(*place, RADIUS_M, WANTED)]
        for place in places[:50]
    ]

    # A rider goes 40 m in 5 s; about a third of them into another cell.
    steps = rng.normal(0, 28 / 111_195, (2, RIDERS))
    rounds = [in_batches(positions_at(ids, degrees + steps * (turn % 2), turn)) for turn in range(1, 5)]
    turns = iter(rounds)

    async def put() -> None:
        for batch in next(turns):
            await store.put(batch)

    result["put in batches of 500, a position"] = await measured(put, RIDERS, len(rounds))
    asked = [[ids[i] for i in rng.integers(0, RIDERS, BATCH)] for _ in range(100)]
    encode = msgspec.json.Encoder().encode

    async def get() -> None:
        for some in asked:
            await store.get(some)

    async def get_and_encode() -> None:
        for some in asked:
            encode(await store.get(some))

    result["get 500, a position"] = await measured(get, 100 * BATCH)
    result["get 500 and encode as JSON, a position"] = await measured(get_and_encode, 100 * BATCH)
    result |= await hot_spot(folder)
    await store.close()
    result |= await by_coarse_members(folder, ids, degrees, places)
    return result | others(ids, degrees, places, expected)


async def by_coarse_members(
    folder: Path, ids: list[str], degrees: Columns, places: list[Place]
) -> dict[str, Any]:
    """What a search costs by how many members a square of 6 may have before it is cut into cells of 7."""
    result: dict[str, Any] = {}
    for bound in (0, 16, 64, 256):
        settings = CellSettings.model_validate({"coarse_members": bound})
        store = await filled(folder / str(bound), in_batches(positions_at(ids, degrees, 0)), settings)

        async def search(store: EmbeddedLiveStore = store) -> None:
            for place in places:
                await store.nearest(*place, RADIUS_M, WANTED)

        spent = await measured(search, SEARCHES, 4)
        result[f"nearest 20, coarse_members {bound}"] = spent | {"cells": len(await store.cells())}
        await store.close()
    return result


async def hot_spot(folder: Path) -> dict[str, Any]:
    """60,000 in one square of 150 m: split to 8, and the longest that one put held the loop meanwhile."""
    rng = np.random.default_rng(3)
    ids = [f"hot-{i:06d}" for i in range(60_000)]
    south, west, north, east = bounds(cell_of(37.4979, 127.0276, 7))
    spot = np.array([rng.uniform(south, north, 60_000), rng.uniform(west, east, 60_000)])
    store = await EmbeddedLiveStore.open(folder / "hot", CellSettings.model_validate({}), SystemClock())
    longest_s = 0.0
    for batch in in_batches(positions_at(ids, spot, 0)):
        started = time.thread_time()
        await store.put(batch)
        longest_s = max(longest_s, time.thread_time() - started)
    places: list[Place] = list(zip(*spot[:, :300].tolist(), strict=True))

    async def search() -> None:
        for place in places:
            await store.nearest(*place, RADIUS_M, WANTED)

    figures = {
        "hot spot of 60,000: cells": len(await store.cells()),
        "hot spot: longest put of 500 while splitting, ms": round(longest_s * 1000, 2),
        "hot spot: nearest 20": await measured(search, 300, 3),
    }
    await store.close()
    return figures


async def memory(folder: Path) -> dict[str, Any]:
    """Bytes a rider: of the position as an object, and of everything that finds it."""
    degrees = spread(np.random.default_rng(2), RIDERS)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    positions = positions_at([f"rider-{i:06d}" for i in range(RIDERS)], degrees, 0)
    objects = tracemalloc.get_traced_memory()[0] - before
    store = await filled(folder, in_batches(positions))
    index = tracemalloc.get_traced_memory()[0] - before - objects
    tracemalloc.stop()
    await store.close()
    return {"bytes a rider": {"position": round(objects / RIDERS), "index": round(index / RIDERS)}}


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(measure(Path(folder) / "speed"))
        return result | asyncio.run(memory(Path(folder) / "memory"))
