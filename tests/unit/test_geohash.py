import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from majung.positions import geohash
from majung.positions.geodesy import Box

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)


@pytest.mark.parametrize(
    ("latitude", "longitude", "text"),
    [
        (57.64911, 10.40744, "u4pruydqqvj8"),  # the example of Wikipedia and of geohash.org
        (42.6, -5.6, "ezs42e44yx96"),
        (-90.0, -180.0, "000000000000"),
        (90.0, 180.0, "zzzzzzzzzzzz"),
        (0.0, 0.0, "s00000000000"),
    ],
)
def test_known_geohashes(latitude: float, longitude: float, text: str) -> None:
    for precision in range(1, 13):
        assert geohash.encode(latitude, longitude, precision) == text[:precision]


def by_bisection(latitude: float, longitude: float, precision: int) -> str:
    """Geohash as its inventor describes it: halve, and write down which half."""
    halves = {0: [-180.0, 180.0], 1: [-90.0, 90.0]}
    bits = 0
    for i in range(5 * precision):
        low, high = halves[i % 2]
        middle = (low + high) / 2
        is_upper = (longitude, latitude)[i % 2] >= middle
        bits = bits << 1 | is_upper
        halves[i % 2] = [middle, high] if is_upper else [low, middle]
    return "".join(geohash.ALPHABET[bits >> 5 * i & 31] for i in reversed(range(precision)))


@given(st.integers(-90_000_000, 90_000_000), st.integers(-180_000_000, 180_000_000), st.integers(1, 9))
def test_agrees_with_bisection(latitude_e6: int, longitude_e6: int, precision: int) -> None:
    latitude, longitude = latitude_e6 / 1e6, longitude_e6 / 1e6
    assert geohash.encode(latitude, longitude, precision) == by_bisection(latitude, longitude, precision)


@given(st.lists(st.tuples(latitudes, longitudes), max_size=20), st.integers(0, 8))
def test_columns_agree_with_scalars(places: list[tuple[float, float]], precision: int) -> None:
    column = np.array(places, np.float64).reshape(-1, 2)
    cells = geohash.cells_of(column[:, 0], column[:, 1], precision)
    assert cells.tolist() == [geohash.cell_of(*place, precision) for place in places]


@given(latitudes, longitudes, st.integers(1, 12))
def test_a_cell_holds_its_place_and_its_parent_holds_it(
    latitude: float, longitude: float, precision: int
) -> None:
    cell = geohash.cell_of(latitude, longitude, precision)
    box = geohash.bounds(cell)
    assert box.south - 1e-9 <= latitude <= box.north + 1e-9
    assert box.west - 1e-9 <= longitude <= box.east + 1e-9
    assert geohash.precision_of(cell) == precision
    assert cell >> 5 == geohash.cell_of(latitude, longitude, precision - 1)
    assert geohash.from_text(geohash.to_text(cell)) == cell
    assert geohash.cell_of(*geohash.centre(cell), precision) == cell


def test_decode_gives_the_middle() -> None:
    assert geohash.decode("ezs42") == pytest.approx((42.605, -5.603), abs=1e-3)


@pytest.mark.parametrize("text", ["ezs4a", "마중", "ezs42 ", "0" * 13])
def test_what_is_no_geohash_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="geohash"):
        geohash.from_text(text)


@pytest.mark.parametrize("precision", [0, 13])
def test_impossible_precision_is_refused(precision: int) -> None:
    with pytest.raises(ValueError, match="precision"):
        geohash.encode(0, 0, precision)


def test_columns_have_precision_up_to_8() -> None:
    with pytest.raises(ValueError, match="precision"):
        geohash.cells_of(np.zeros(1), np.zeros(1), 9)


def names(cells: list[int]) -> set[str]:
    return {geohash.to_text(cell) for cell in cells}


def test_neighbours() -> None:
    around = names(geohash.neighbours(geohash.from_text("ezs42")))
    assert around == {"ezefr", "ezs43", "ezefx", "ezs48", "ezs49", "ezefp", "ezs40", "ezs41"}


def test_neighbours_go_round_the_antimeridian_and_end_at_the_poles() -> None:
    east = geohash.cell_of(0.1, 179.999, 7)
    assert geohash.cell_of(0.1, -179.999, 7) in geohash.neighbours(east)
    assert len(geohash.neighbours(east)) == 8
    assert len(geohash.neighbours(geohash.cell_of(90, 0, 7))) == 5
    assert geohash.neighbours(geohash.cell_of(0, 0, 0)) == []


boxes = st.builds(
    lambda a, b, c, d: Box(min(a, b), c, max(a, b), d), latitudes, latitudes, longitudes, longitudes
)


@given(boxes, st.integers(0, 3))
def test_a_window_has_every_cell_that_touches_the_box_once(box: Box, precision: int) -> None:
    window = geohash.window(box)
    cells = window.cells(precision)
    assert len(set(cells)) == len(cells) == window.count(precision)
    rows, columns = 1 << 5 * precision // 2, 1 << (5 * precision + 1) // 2
    first, last = geohash.column_of(box.west, precision), geohash.column_of(box.east, precision)
    touched = {
        geohash.cell_at(row, column, precision)
        for row in range(rows)
        for column in range(columns)
        if geohash.row_of(box.south, precision) <= row <= geohash.row_of(box.north, precision)
        and (first <= column <= last if box.west <= box.east else column >= first or column <= last)
    }
    assert set(cells) == touched


@given(boxes, latitudes, longitudes, st.integers(0, 3))
def test_a_place_in_the_box_is_in_a_cell_of_the_window(
    box: Box, latitude: float, longitude: float, precision: int
) -> None:
    within = box.west <= longitude <= box.east
    if box.west > box.east:
        within = longitude >= box.west or longitude <= box.east
    cells = geohash.window(box).cells(precision)
    if box.south <= latitude <= box.north and within:
        assert geohash.cell_of(latitude, longitude, precision) in cells
