"""Distances that friends read, against GeographicLib: to the millimetre, and an answer anywhere."""

import math

import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from majung.positions.geodesy import ellipsoid_m

WGS84 = Geodesic.WGS84
HALF_MERIDIAN_M = 20_003_931.46

latitudes = st.floats(-90, 90) | st.sampled_from([-90.0, 0.0, 45.0, 90.0])
longitudes = st.floats(-180, 180) | st.sampled_from([-180.0, 0.0, 180.0])


def true_m(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    return float(WGS84.Inverse(latitude, longitude, to_latitude, to_longitude, Geodesic.DISTANCE)["s12"])


@settings(max_examples=2_000, deadline=None)
@given(latitudes, longitudes, st.floats(0, 360), st.floats(0, 6).map(lambda power: 10**power))
@example(37.4979, 127.0276, 90.0, 29_999.9)
@example(37.4979, 127.0276, 90.0, 30_000.1)
@example(89.9999, 10.0, 0.0, 25_000.0)
@example(0.0, 179.99999, 90.0, 30_000.0)
def test_within_a_millimetre_up_to_a_thousand_kilometres(
    latitude: float, longitude: float, bearing_deg: float, distance_m: float
) -> None:
    there = WGS84.Direct(latitude, longitude, bearing_deg, distance_m)
    place = (latitude, longitude, there["lat2"], there["lon2"])
    assert ellipsoid_m(*place) == pytest.approx(true_m(*place), abs=1e-3)


@settings(max_examples=2_000, deadline=None)
@given(latitudes, longitudes, latitudes, longitudes)
@example(0.0, 0.0, 0.0, 180.0)
@example(0.0, 0.0, 0.3, 179.7)
@example(90.0, 0.0, -90.0, 77.0)
@example(5e-324, 0.0, -5e-324, 180.0)
def test_any_two_places_have_a_distance(
    latitude: float, longitude: float, to_latitude: float, to_longitude: float
) -> None:
    place = (latitude, longitude, to_latitude, to_longitude)
    metres = ellipsoid_m(*place)
    assert math.isfinite(metres)
    assert 0 <= metres <= HALF_MERIDIAN_M
    assert metres == pytest.approx(true_m(*place), rel=0.005, abs=1e-3)
    assert metres == pytest.approx(ellipsoid_m(*place[2:], *place[:2]), rel=1e-9, abs=1e-6)


@settings(max_examples=500, deadline=None)
@given(latitudes, longitudes, latitudes, longitudes)
def test_far_from_the_other_side_of_the_globe_the_millimetre_holds(
    latitude: float, longitude: float, to_latitude: float, to_longitude: float
) -> None:
    place = (latitude, longitude, to_latitude, to_longitude)
    expected_m = true_m(*place)
    assume(expected_m < 19_000_000)
    assert ellipsoid_m(*place) == pytest.approx(expected_m, abs=1e-3)


@pytest.mark.parametrize("longitude", [0.0, 180.0, -180.0, 127.0])
def test_the_same_place_is_at_no_distance(longitude: float) -> None:
    assert ellipsoid_m(37.5, longitude, 37.5, longitude) == 0.0
    assert ellipsoid_m(37.5, 180.0, 37.5, -180.0) == pytest.approx(0.0, abs=1e-6)
    assert ellipsoid_m(90.0, longitude, 90.0, 12.0) == pytest.approx(0.0, abs=1e-6)
