"""What is learned of ways: it moves towards what happens, stays within bounds, and never says nonsense."""

import math

from hypothesis import given
from hypothesis import strategies as st

from majung.clock import ManualClock
from majung.positions.geodesy import destination, distance_m
from majung.routing.model import STRAIGHT, Place
from majung.routing.service import Routing
from majung.routing.straight import StraightRouter
from majung.routing.ways import DEFAULT_FACTOR, DEFAULT_SPEED_MPS, MAX_SUMS, Ways

GANGNAM = Place(37.4979, 127.0276)
BUSAN = Place(35.1796, 129.0756)
AT_MS = 1_780_000_000_000
HOUR_MS = 3_600_000
numbers = st.floats(allow_nan=True, allow_infinity=True)
latitudes, longitudes = st.floats(-90, 90), st.floats(-180, 180)


def test_before_anything_is_learned_the_defaults_count() -> None:
    way = Ways().estimate(GANGNAM, 1_000, AT_MS)
    assert math.isclose(way.distance_m, 1_000 * DEFAULT_FACTOR)
    assert math.isclose(way.duration_s, 1_000 * DEFAULT_FACTOR / DEFAULT_SPEED_MPS)


def test_one_leg_changes_little_and_many_change_all_of_it() -> None:
    ways = Ways()
    before = ways.estimate(GANGNAM, 1_000, AT_MS)
    ways.learn(GANGNAM, AT_MS, 1_000, 2_000, 1_000)
    once = ways.estimate(GANGNAM, 1_000, AT_MS)
    assert before.duration_s < once.duration_s < before.duration_s * 1.5
    for _ in range(1_000):
        ways.learn(GANGNAM, AT_MS, 1_000, 2_000, 1_000)
    often = ways.estimate(GANGNAM, 1_000, AT_MS)
    assert math.isclose(often.distance_m, 2_000, rel_tol=0.02)
    assert math.isclose(often.duration_s, 1_000, rel_tol=0.03)


def test_a_slow_evening_here_is_not_a_slow_morning_elsewhere() -> None:
    ways = Ways()
    for _ in range(100):
        ways.learn(GANGNAM, AT_MS, 1_000, 1_400, 1_000)
    for _ in range(100):
        ways.learn(BUSAN, AT_MS + 6 * HOUR_MS, 1_000, 1_400, 150)
    here = ways.estimate(GANGNAM, 1_000, AT_MS).duration_s
    there = ways.estimate(BUSAN, 1_000, AT_MS + 6 * HOUR_MS).duration_s
    unknown = ways.estimate(Place(33.5, 126.5), 1_000, AT_MS + 12 * HOUR_MS).duration_s
    assert here > 850 and there < 250
    assert there < unknown < here


def test_it_follows_when_the_city_changes() -> None:
    ways = Ways()
    for _ in range(2_000):
        ways.learn(GANGNAM, AT_MS, 1_000, 1_400, 200)
    for _ in range(2_000):
        ways.learn(GANGNAM, AT_MS, 1_000, 1_400, 500)
    assert math.isclose(ways.estimate(GANGNAM, 1_000, AT_MS).duration_s, 500, rel_tol=0.1)


@given(numbers, numbers, numbers, latitudes, longitudes)
def test_no_leg_makes_nonsense(
    straight: float, travelled: float, seconds: float, latitude: float, longitude: float
) -> None:
    ways, start = Ways(), Place(latitude, longitude)
    for _ in range(20):
        ways.learn(start, AT_MS, straight, travelled, seconds)
    way = ways.estimate(start, 1_000, AT_MS)
    assert 999.9 <= way.distance_m <= 3_000.1 and 49.9 <= way.duration_s <= 2_000.1


def test_what_is_remembered_is_bounded_and_survives() -> None:
    ways, place = Ways(), GANGNAM
    for number in range(12_000):
        place = Place(-80 + number // 300 * 0.3, -170 + number % 300)
        ways.learn(place, AT_MS, 1_000, 1_400, 300)
    assert len(ways) <= MAX_SUMS >= len(ways.changed)
    again = Ways()
    again.put((key, ways.get(key)) for key in ways.changed)
    assert again.estimate(place, 700, AT_MS) == ways.estimate(place, 700, AT_MS)


@given(latitudes, longitudes, latitudes, longitudes)
async def test_a_straight_way_is_never_negative_and_grows_with_the_line(
    a: float, b: float, c: float, d: float
) -> None:
    router = StraightRouter(Ways(), ManualClock())
    start, end = Place(a, b), Place(c, d)
    route = await router.route(start, end)
    assert route.source == STRAIGHT and route.points == ((b, a), (d, c))
    assert route.distance_m >= distance_m(a, b, c, d) * 0.999 - 0.1 >= -0.1 and route.duration_s >= 0
    assert [[router.way(start, end)]] == await router.many([start], [end])


def test_a_longer_line_takes_longer() -> None:
    routing = Routing(ManualClock(), Ways())
    ends = [Place(*destination(*GANGNAM, 90, metres)) for metres in range(0, 5_000, 250)]
    durations = [routing.way(GANGNAM, end).duration_s for end in ends]
    assert durations == sorted(durations) and durations[0] == 0
