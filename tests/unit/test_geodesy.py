import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from majung.positions.geodesy import (
    EARTH_RADIUS_M,
    Box,
    box_around,
    chords_to_m,
    destination,
    distance_m,
    distances_m,
    inside,
    m_to_chord,
    squared_chords,
    unit_vector,
    unit_vectors,
    wrap_longitude,
)

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
HALF_GLOBE_M = math.pi * EARTH_RADIUS_M


def test_known_distances() -> None:
    seoul, busan = (37.5665, 126.9780), (35.1796, 129.0756)
    assert distance_m(*seoul, *busan) == pytest.approx(325_100, rel=1e-3)
    assert distance_m(0, 0, 0, 180) == pytest.approx(HALF_GLOBE_M)
    assert distance_m(90, 17, -90, -44) == pytest.approx(HALF_GLOBE_M)
    assert distance_m(12.5, 179.9995, 12.5, -179.9995) == pytest.approx(108.56, rel=1e-3)
    assert distance_m(37.5, 127.0, 37.5, 127.0) == 0


@given(latitudes, longitudes, latitudes, longitudes)
def test_columns_and_chords_agree_with_the_scalar_formula(a: float, b: float, c: float, d: float) -> None:
    expected = distance_m(a, b, c, d)
    # Near the antipode the formula itself loses digits: an ulp of the sine is a decimetre there.
    tolerance = 1e-6 if expected < 0.9 * HALF_GLOBE_M else 0.5
    assert distances_m(a, b, np.array([c]), np.array([d]))[0] == pytest.approx(expected, abs=tolerance)
    chords = squared_chords(unit_vectors(np.array([c]), np.array([d])), unit_vector(a, b))
    assert chords_to_m(chords)[0] == pytest.approx(expected, abs=tolerance)


@given(st.floats(0, HALF_GLOBE_M * 0.99))
def test_chord_and_metres_are_inverse(metres: float) -> None:
    assert chords_to_m(np.array([m_to_chord(metres)]))[0] == pytest.approx(metres, abs=1e-6, rel=1e-9)


def test_more_than_half_the_globe_is_everything() -> None:
    assert m_to_chord(HALF_GLOBE_M * 2) == 4


@given(st.floats(-89.9, 89.9), longitudes, st.floats(0, 360), st.floats(0, 5_000_000))
def test_destination_is_as_far_as_asked(a: float, b: float, bearing_deg: float, metres: float) -> None:
    latitude, longitude = destination(a, b, bearing_deg, metres)
    assert -90 <= latitude <= 90
    assert -180 <= longitude <= 180
    assert distance_m(a, b, latitude, longitude) == pytest.approx(metres, abs=1e-3)


def test_destination_goes_where_the_bearing_points() -> None:
    north, east = destination(37.5, 127.0, 0, 1000), destination(37.5, 127.0, 90, 1000)
    assert north == pytest.approx((37.508993, 127.0), abs=1e-6)
    assert east == pytest.approx((37.5, 127.011336), abs=1e-5)
    assert destination(0, 179.999, 90, 1000)[1] == pytest.approx(-179.992007, abs=1e-6)


@given(st.floats(-1000, 1000))
def test_wrapped_longitude_is_the_same_meridian(longitude: float) -> None:
    wrapped = wrap_longitude(longitude)
    assert -180 <= wrapped <= 180
    assert math.cos(math.radians(wrapped - longitude)) == pytest.approx(1)


@given(latitudes, longitudes, st.floats(0, HALF_GLOBE_M), st.floats(0, 360), st.floats(0, 1))
def test_box_holds_everything_within_the_radius(
    a: float, b: float, radius_m: float, bearing_deg: float, part: float
) -> None:
    latitude, longitude = destination(a, b, bearing_deg, radius_m * part)
    assume(distance_m(a, b, latitude, longitude) <= radius_m)
    box = box_around(a, b, radius_m)
    assert inside(box, np.array([latitude]), np.array([longitude]))[0]


@pytest.mark.parametrize("latitude", [0.0, 37.5, -63.0, 85.0])
def test_box_is_no_larger_than_needed(latitude: float) -> None:
    box = box_around(latitude, 20.0, 1000)
    middle = (box.south + box.north) / 2
    assert distance_m(box.south, 20, box.north, 20) == pytest.approx(2000, rel=1e-6)
    assert distance_m(middle, box.west, middle, box.east) == pytest.approx(2000, rel=1e-2)


def test_box_over_a_pole_goes_all_round() -> None:
    box = box_around(89.999, 45.0, 1000)
    assert (box.west, box.north, box.east) == (-180, 90, 180)
    assert box.south == pytest.approx(89.999 - 1000 / 111_195, abs=1e-6)
    assert box_around(-89.999, 45.0, 1000).south == -90


def test_box_over_the_antimeridian_has_its_west_in_the_east() -> None:
    box = box_around(0.0, 179.999, 1000)
    assert box.west == pytest.approx(179.990007, abs=1e-6)
    assert box.east == pytest.approx(-179.992007, abs=1e-6)


def test_inside_counts_the_borders_and_both_sides_of_the_antimeridian() -> None:
    places = np.array([[0.0, 0.0, 0.0, 1.0, 1.1], [179.0, -179.0, 0.0, 180.0, 180.0]])
    assert inside(Box(-1, 178, 1, -178), *places).tolist() == [True, True, False, True, False]
    assert inside(Box(0, -179, 1, 0), *places).tolist() == [False, True, True, False, False]
