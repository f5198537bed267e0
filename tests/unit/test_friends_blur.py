"""Blur: what is shown is a function of the cells at the looks, whatever the true path and whoever asks."""

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from majung.backends.embedded.history import EmbeddedHistory
from majung.clock import ManualClock
from majung.friends.blur import DAY_MS, STICKY, Blurring, Look, look, place_of, still_in
from majung.friends.model import Place
from majung.positions import geohash
from majung.positions.model import LivePosition, Mark, Position, StoredPosition, TrackPoint
from majung.settings import HistorySettings

EVERY_MS = 300_000
NOON = 1_780_012_800_000 // DAY_MS * DAY_MS + DAY_MS // 2
ANNA = "person-anna"
Told = tuple[list[Place], list[Place], list[TrackPoint], list[Place | None]]
"""By asking, by asking a server that has just begun, as a track, and live."""

latitudes = st.floats(-89.9, 89.9)
longitudes = st.floats(-180, 180)
precisions = st.integers(3, 7)


def fix(at_ms: int, latitude: float, longitude: float, seq: int = 0) -> Position:
    return Position(ANNA, "phone", seq or at_ms, latitude, longitude, at_ms, at_ms)


def live(at_ms: int, latitude: float, longitude: float) -> LivePosition:
    return LivePosition(ANNA, latitude, longitude, at_ms, at_ms, kind="person")


@asynccontextmanager
async def a_history(folder: Path) -> AsyncIterator[EmbeddedHistory]:
    clock = ManualClock(NOON + 3_600_000)
    history = EmbeddedHistory(folder / "history", HistorySettings(), clock)
    await history.open()
    try:
        yield history
    finally:
        await history.close()


async def keep(history: EmbeddedHistory, fixes: Iterable[Position], mark: Mark = Mark.PLAIN) -> None:
    await history.append([StoredPosition(one, mark) for one in fixes])


@given(latitudes, longitudes, precisions)
def test_a_first_look_is_the_cell_of_the_fix(latitude: float, longitude: float, precision: int) -> None:
    seen = look(None, NOON, latitude, longitude)
    place = place_of(ANNA, seen, precision)
    assert place.cell == geohash.encode(round(latitude, 7), round(longitude, 7), precision)
    assert place.bounds is not None
    assert place.bounds.south <= place.latitude <= place.bounds.north
    assert place.accuracy_m is None and place.speed_mps is None and place.heading_deg is None


@given(latitudes, longitudes, precisions, st.floats(-0.59, 0.59), st.floats(-0.59, 0.59))
def test_a_cell_sticks_within_a_tenth_beside_it(
    latitude: float, longitude: float, precision: int, up: float, across: float
) -> None:
    seen = look(None, NOON, latitude, longitude)
    box = geohash.bounds(seen.cell(precision))
    beside = geohash.centre(seen.cell(precision))
    to_latitude = beside[0] + up * (box.north - box.south)
    to_longitude = (beside[1] + across * (box.east - box.west) + 180) % 360 - 180
    if abs(to_latitude) <= 90:
        assert look(seen, NOON + EVERY_MS, to_latitude, to_longitude).cell(precision) == seen.cell(precision)


@given(
    latitudes, longitudes, precisions, st.sampled_from([(0.62, 0.0), (-0.62, 0.0), (0.0, 0.62), (0.0, -0.62)])
)
def test_a_cell_is_left_further_out(
    latitude: float, longitude: float, precision: int, step: tuple[float, float]
) -> None:
    cell = geohash.cell_of(latitude, longitude, precision)
    box = geohash.bounds(cell)
    at = geohash.centre(cell)
    to = at[0] + step[0] * (box.north - box.south), at[1] + step[1] * (box.east - box.west)
    assert not still_in(cell, *to) and STICKY < 0.12


def test_what_sticks_is_forgotten_at_the_beginning_of_a_day() -> None:
    seen = look(None, NOON, 37.5, 127.0)
    box = geohash.bounds(seen.cell(5))
    outside = box.north + 0.05 * (box.north - box.south), 127.0
    assert look(seen, NOON + EVERY_MS, *outside).cell(5) == seen.cell(5)
    assert look(seen, NOON + DAY_MS, *outside).cell(5) != seen.cell(5)


def paths_in(cells: list[int], rng: random.Random) -> list[Position]:
    """A path that is in these cells at its looks, and anywhere at all between them.

    It enters a cell by its inner part, where no other cell holds it; it stays anywhere within or a bit beside.
    """
    fixes = []
    for number, cell in enumerate(cells):
        box = geohash.bounds(cell)
        begin_ms = NOON + number * EVERY_MS
        first_ms = begin_ms + rng.randrange(EVERY_MS // 2)
        reach = 0.59 if number and cell == cells[number - 1] else 0.39
        latitude, longitude = geohash.centre(cell)
        latitude += rng.uniform(-reach, reach) * (box.north - box.south)
        longitude += rng.uniform(-reach, reach) * (box.east - box.west)
        fixes.append(fix(first_ms, latitude, longitude))
        for _ in range(rng.randrange(4)):
            at_ms = rng.randrange(first_ms + 1, begin_ms + EVERY_MS)
            fixes.append(fix(at_ms, rng.uniform(-80, 80), rng.uniform(-179, 179)))
    return sorted(fixes, key=lambda one: one.device_time_ms)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), precision=st.sampled_from([3, 5, 7]))
async def test_two_paths_through_the_same_cells_cannot_be_told_apart(
    tmp_path_factory: pytest.TempPathFactory, seed: int, precision: int
) -> None:
    """Live as it happens, asked for at any moment, asked by a server that has just begun, and as a track."""
    rng = random.Random(seed)
    start = geohash.cell_of(rng.uniform(-60, 60), rng.uniform(-170, 170), precision)
    cells = [start]
    for _ in range(rng.randrange(1, 6)):
        cells.append(rng.choice([cells[-1], *geohash.neighbours(cells[-1])]))
    told = []
    for _ in range(2):
        folder = tmp_path_factory.mktemp("blur")
        async with a_history(folder) as history:
            told.append(await _everything_told(history, paths_in(cells, rng), precision))
    assert told[0] == told[1]
    shown = [one for one in told[0][-1] if one]
    assert [place.cell for place in shown] == [geohash.to_text(cell) for cell in cells]


async def _everything_told(history: EmbeddedHistory, fixes: list[Position], precision: int) -> Told:
    running = Blurring(history, EVERY_MS)
    asked: list[Place] = []
    fresh: list[Place] = []
    changes: list[Place | None] = []
    for one in fixes:
        await keep(history, [one])
        newest = live(one.device_time_ms, one.latitude, one.longitude)
        before = running.place(ANNA, precision)
        if before is None or running.is_due(newest):
            await running.learn(newest)
            changes.append(running.place(ANNA, precision))
        shown = await running.look_at(newest, precision)
        anew = await Blurring(history, EVERY_MS).look_at(newest, precision)
        assert shown == anew, "a server that has just begun shows the same"
        if not asked or asked[-1] != shown:
            asked.append(shown)
            fresh.append(anew)
    end_ms = NOON + DAY_MS
    whole = [p async for page in running.track(ANNA, precision, NOON, end_ms, 0) for p in page]
    for part_ms in (NOON + 1, NOON + EVERY_MS, NOON + 2 * EVERY_MS + 17):
        part = [p async for page in running.track(ANNA, precision, part_ms, end_ms, 0) for p in page]
        assert part == [point for point in whole if point.device_time_ms >= part_ms]
    assert [(point.latitude, point.longitude, point.device_time_ms) for point in whole] == [
        (place.latitude, place.longitude, place.device_time_ms) for place in changes if place
    ], "the track is what was shown"
    return asked, fresh, whole, changes


async def test_what_came_late_or_was_not_believed_is_no_look(tmp_path: Path) -> None:
    async with a_history(tmp_path) as history:
        await keep(history, [fix(NOON + 20_000, 37.5, 127.0)])
        await keep(history, [fix(NOON + 10_000, 10.0, 10.0)], Mark.LATE)
        await keep(history, [fix(NOON + 5_000, 20.0, 20.0)], Mark.JUMP)
        place = await Blurring(history, EVERY_MS).look_at(live(NOON + 20_000, 37.5, 127.0), 5)
        assert place.cell == geohash.encode(37.5, 127.0, 5) and place.device_time_ms == NOON
        points = [
            p async for page in Blurring(history, EVERY_MS).track(ANNA, 5, NOON, NOON + 1, 0) for p in page
        ]
        assert [(p.latitude, p.longitude) for p in points] == [(place.latitude, place.longitude)]


async def test_a_track_has_nothing_that_was_looked_at_before_it_may_be_seen(tmp_path: Path) -> None:
    async with a_history(tmp_path) as history:
        await keep(
            history, [fix(NOON + number * EVERY_MS + 1_000, 37.5, 127.0 + number) for number in range(5)]
        )
        blurring = Blurring(history, EVERY_MS)
        since_ms = NOON + 2 * EVERY_MS + 1_001
        points = [p async for page in blurring.track(ANNA, 5, NOON, NOON + DAY_MS, since_ms) for p in page]
        assert [p.device_time_ms for p in points] == [NOON + 3 * EVERY_MS, NOON + 4 * EVERY_MS]


def test_stretches_are_the_same_for_everybody(tmp_path: Path) -> None:
    blurring = Blurring(EmbeddedHistory(tmp_path, HistorySettings(), ManualClock()), EVERY_MS)
    assert (
        blurring.stretch_ms(NOON + 299_999) == NOON and blurring.stretch_ms(NOON + 300_000) == NOON + 300_000
    )
    assert Look(NOON, (1, 2, 3, 4, 5)).cell(3) == 1 and Look(NOON, (1, 2, 3, 4, 5)).cell(7) == 5
