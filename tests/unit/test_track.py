"""Simplification keeps the line, and the promise about distances."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from majung.positions.geodesy import distance_m
from majung.positions.model import TrackPoint
from majung.positions.track import simplify

M_PER_DEG = 111_195.0


def line(*places: tuple[float, float]) -> list[TrackPoint]:
    return [TrackPoint(1000 * n, latitude, longitude) for n, (latitude, longitude) in enumerate(places)]


def off_segment_m(point: TrackPoint, start: TrackPoint, end: TrackPoint) -> float:
    """Distance to the segment on a plane around the point: written anew, to check with."""
    scale = math.cos(math.radians(point.latitude))

    def flat(other: TrackPoint) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        east = (other.longitude - point.longitude + 180) % 360 - 180
        return np.array([east * scale * M_PER_DEG, (other.latitude - point.latitude) * M_PER_DEG])

    a, b = flat(start), flat(end)
    along = b - a
    length2 = float(along @ along)
    share = 0.0 if length2 == 0 else min(1.0, max(0.0, float(-a @ along) / length2))
    return float(np.hypot(*(a + share * along)))


def worst_m(points: list[TrackPoint], kept: list[TrackPoint]) -> float:
    worst, at = 0.0, 0
    for point in points:
        if at + 1 < len(kept) and point is kept[at + 1]:
            at += 1
        if at + 1 < len(kept):
            worst = max(worst, off_segment_m(point, kept[at], kept[at + 1]))
    return worst


def test_straight_line_is_its_two_ends() -> None:
    points = line(*((37.5 + n * 1e-4, 127.0) for n in range(1000)))
    assert simplify(points, 1.0) == [points[0], points[-1]]


def test_corner_stays() -> None:
    points = line(
        *((37.5, 127.0 + n * 1e-4) for n in range(50)), *((37.5 + n * 1e-4, 127.0049) for n in range(1, 50))
    )
    assert simplify(points, 1.0) == [points[0], points[49], points[-1]]


def test_tolerance_is_in_metres_at_any_latitude() -> None:
    for latitude in (0.0, 60.0, -80.0):
        north = line((latitude, 10.0), (latitude + 10 / M_PER_DEG, 10.05), (latitude, 10.1))
        assert len(simplify(north, 9)) == 3
        assert len(simplify(north, 11)) == 2
        step = 10 / M_PER_DEG / math.cos(math.radians(latitude))
        east = line((latitude - 0.05, 10.0), (latitude, 10.0 + step), (latitude + 0.05, 10.0))
        assert len(simplify(east, 9)) == 3
        assert len(simplify(east, 11)) == 2


def test_zero_keeps_all_and_short_tracks_stay_as_they_are() -> None:
    points = line((1, 1), (1, 1), (1, 1))
    assert simplify(points, 0) == points
    assert simplify(points[:2], 100) == points[:2]
    assert simplify([], 100) == []


def test_standing_still_is_two_points() -> None:
    points = line(*((37.5, 127.0),) * 20_000)
    kept = simplify(points, 5)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert len(kept) <= 2 + 20_000 // 4096


def test_line_across_the_antimeridian_is_one_line() -> None:
    points = line(*((10.0, 179.5 + n * 0.01 if n < 50 else -180.5 + n * 0.01) for n in range(100)))
    assert simplify(points, 10) == [points[0], points[-1]]


def test_track_round_the_world_keeps_its_promise() -> None:
    points = line(
        *((40 * math.sin(n / 300), (n * 0.05 + 180) % 360 - 180 + 0.001 * (n % 7)) for n in range(9000))
    )
    kept = simplify(points, 500)
    assert 100 < len(kept) < 3000
    assert worst_m(points, kept) < 500 * 1.02


def test_which_of_equal_places_remains_is_known_by_its_time() -> None:
    points = line((37.5, 127.0), (37.51, 127.0), (37.5, 127.0), (37.5, 127.01), (37.5, 127.0))
    assert [p.device_time_ms for p in simplify(points, 5)] == [0, 1000, 2000, 3000, 4000]


steps = st.lists(st.tuples(st.floats(-0.002, 0.002), st.floats(-0.002, 0.002)), min_size=2, max_size=80)


@settings(deadline=None)
@given(steps=steps, latitude=st.floats(-70, 70), tolerance_m=st.floats(0.5, 300))
def test_nothing_left_out_lies_further_away_than_the_tolerance(
    steps: list[tuple[float, float]], latitude: float, tolerance_m: float
) -> None:
    walked = np.cumsum(np.array(steps, dtype=float), axis=0) + np.array([latitude, 179.95])
    points = line(*((a, (b + 180) % 360 - 180) for a, b in walked.tolist()))
    kept = simplify(points, tolerance_m)
    assert kept[0] is points[0]
    assert kept[-1] is points[-1]
    times = [p.device_time_ms for p in kept]
    assert times == sorted(set(times))
    assert worst_m(points, kept) <= tolerance_m * 1.01 + 0.01


@pytest.mark.parametrize("far", [0.6, 3.0, 90.0])
def test_leaps_between_all_points_are_kept(far: float) -> None:
    points = line(*((far / 2 * (n % 2), far * (n % 3)) for n in range(300)))
    assert len(simplify(points, 10)) == 300
    assert distance_m(0, 0, far / 2, far) > 10
