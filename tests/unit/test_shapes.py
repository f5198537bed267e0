"""Circles and polygons: what is inside, how deep, and which shapes are none."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from majung.positions.fence_model import MAX_CORNERS, Circle, NewFence, check_fence
from majung.positions.geodesy import destination, distance_m
from majung.positions.shapes import CircleShape, PolygonShape, compile_shape

Corners = tuple[tuple[float, float], ...]
SQUARE: Corners = ((37.49, 127.02), (37.49, 127.04), (37.51, 127.04), (37.51, 127.02))


def inside_by_ray(corners: Corners, latitude: float, longitude: float) -> bool:
    """The even-odd rule along a parallel; undefined on the edge."""
    inside = False
    for (lat1, lon1), (lat2, lon2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (lat1 > latitude) != (lat2 > latitude):
            inside ^= longitude < lon1 + (latitude - lat1) / (lat2 - lat1) * (lon2 - lon1)
    return inside


@st.composite
def stars(draw: st.DrawFn) -> Corners:
    """Polygons without crossings: corners in the order of their directions from a middle."""
    middle = draw(st.tuples(st.floats(-60, 60), st.floats(-170, 170)))
    count = draw(st.integers(3, 12))
    reach = draw(st.lists(st.floats(0.01, 1.0), min_size=count, max_size=count))
    turn = draw(st.floats(0, 1))
    angles = [(number + turn) * math.tau / count for number in range(count)]
    return tuple(
        (middle[0] + r * math.sin(angle), middle[1] + r * math.cos(angle))
        for r, angle in zip(reach, angles, strict=True)
    )


@given(stars(), st.floats(-1.2, 1.2), st.floats(-1.2, 1.2), st.booleans())
def test_a_polygon_holds_what_a_ray_says(corners: Corners, up: float, right: float, backwards: bool) -> None:
    shape = PolygonShape(corners[::-1] if backwards else corners)
    latitude, longitude = corners[0][0] + up, corners[0][1] + right
    depth_m = shape.depth_m(latitude, longitude)
    assume(abs(depth_m) > 0.01)
    inside = inside_by_ray(corners, latitude, longitude)
    assert shape.contains(latitude, longitude) == inside == (depth_m > 0)
    box = shape.box()
    if inside:
        assert box.south <= latitude <= box.north and box.west <= longitude <= box.east


@given(stars(), st.floats(-1.2, 1.2), st.floats(-1.2, 1.2), st.floats(-360, 360))
def test_a_polygon_is_the_same_wherever_round_the_earth_it_lies(
    corners: Corners, up: float, right: float, by_deg: float
) -> None:
    def turned(longitude: float) -> float:
        return (longitude + by_deg + 180) % 360 - 180

    latitude, longitude = corners[0][0] + up, corners[0][1] + right
    here, there = PolygonShape(corners), PolygonShape(tuple((lat, turned(lon)) for lat, lon in corners))
    depth_m = here.depth_m(latitude, longitude)
    assert there.depth_m(latitude, turned(longitude)) == pytest.approx(depth_m, abs=0.01)
    box = there.box()
    if depth_m > 1:
        wide = turned(longitude)
        assert (
            (box.west <= wide <= box.east) if box.west <= box.east else (wide >= box.west or wide <= box.east)
        )


@given(
    st.floats(-89, 89),
    st.floats(-180, 180),
    st.floats(1, 1_000_000),
    st.floats(0, 360),
    st.floats(0.01, 1.99),
)
def test_a_circle_is_measured_along_the_great_circle(
    latitude: float, longitude: float, radius_m: float, bearing_deg: float, part: float
) -> None:
    shape = CircleShape(Circle(latitude, longitude, radius_m))
    place = destination(latitude, longitude, bearing_deg, radius_m * part)
    assert shape.depth_m(*place) == pytest.approx(radius_m * (1 - part), abs=radius_m * 1e-6 + 1e-3)
    assume(abs(part - 1) > 1e-4)
    assert shape.contains(*place) == (part < 1)


def test_depth_in_a_polygon_is_metres_to_the_nearest_edge() -> None:
    shape = PolygonShape(SQUARE)
    north = distance_m(37.5, 127.03, 37.51, 127.03)
    east = distance_m(37.5, 127.03, 37.5, 127.04)
    assert shape.depth_m(37.5, 127.03) == pytest.approx(min(north, east), rel=1e-3)
    assert shape.depth_m(37.5, 127.05) == pytest.approx(-east, rel=1e-3)


def test_edges_and_corners_belong_to_it_and_a_closing_corner_is_no_corner() -> None:
    shape = PolygonShape((*SQUARE, SQUARE[0]))
    assert shape.contains(37.49, 127.02) and shape.contains(37.49, 127.03)


@pytest.mark.parametrize(
    ("corners", "said"),
    [
        ((), "3 to 1000"),
        (SQUARE[:2], "3 to 1000"),
        ((SQUARE[0], SQUARE[1], SQUARE[0], SQUARE[1]), "3 to 1000"),
        (tuple((i * 0.001, (i % 2) * 0.1) for i in range(MAX_CORNERS + 1)), "3 to 1000"),
        (
            (SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3]),
            r"crosses or touches itself at \(37.500000, 127.030000\)",
        ),
        (((37.0, 127.0), (37.5, 127.0), (38.0, 127.0)), "touches itself|no area"),
        (((37.0, 127.0), (37.0, 127.0000001), (37.0000001, 127.0)), "no area"),
        (((math.nan, 127.0), *SQUARE), "finite"),
        (((37.0, math.inf), *SQUARE), "finite"),
        (((127.02, 37.49), (127.04, 37.49), (127.04, 37.51)), "swapped"),
        (((37.0, 181.0), *SQUARE), "point 1"),
        (((80.0, 0.0), (80.0, 120.0), (80.0, -120.0)), "less than 180"),
    ],
)
def test_what_is_no_polygon_is_refused_in_words(corners: Corners, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PolygonShape(corners)


@pytest.mark.parametrize(
    ("circle", "said"),
    [
        (Circle(91, 0, 10), "point 1"),
        (Circle(127, 37, 10), "swapped"),
        (Circle(math.nan, 0, 10), "finite"),
        (Circle(0, 0, 0), "radius_m: 1 to 1e"),
        (Circle(0, 0, -5), "radius_m"),
        (Circle(0, 0, math.nan), "radius_m"),
        (Circle(0, 0, math.inf), "radius_m"),
    ],
)
def test_what_is_no_circle_is_refused_in_words(circle: Circle, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CircleShape(circle)


CIRCLE = Circle(37.5, 127.0, 100)


@pytest.mark.parametrize(
    ("fence", "said"),
    [
        (NewFence("x"), "exactly one"),
        (NewFence("x", circle=CIRCLE, near=CIRCLE), "exactly one"),
        (NewFence("", circle=CIRCLE), "name"),
        (NewFence("  ", circle=CIRCLE), "name"),
        (NewFence("x" * 101, circle=CIRCLE), "name"),
        (NewFence("a\nb", circle=CIRCLE), "name"),
        (NewFence("x", circle=CIRCLE, dwell_s=-1), "dwell_s"),
        (NewFence("x", circle=CIRCLE, dwell_s=math.nan), "dwell_s"),
        (NewFence("x", circle=CIRCLE, confirm_fixes=0), "confirm_fixes"),
        (NewFence("x", circle=CIRCLE, confirm_s=1e9), "confirm_s"),
        (NewFence("x", circle=CIRCLE, rider_ids=("a/b",)), "rider_ids"),
        (NewFence("x", circle=CIRCLE, rider_ids=tuple(map(str, range(1001)))), "rider_ids"),
        (NewFence("x", near=CIRCLE, dwell_s=5), "near point has none"),
    ],
)
def test_what_is_no_fence_is_refused_in_words(fence: NewFence, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_fence(fence)


def test_every_form_compiles() -> None:
    for fence in (
        NewFence("강남역", circle=CIRCLE),
        NewFence("x", near=CIRCLE),
        NewFence("x", polygon=SQUARE),
    ):
        check_fence(fence)
        assert compile_shape(fence).contains(37.5, 127.03 if fence.polygon else 127.0)
