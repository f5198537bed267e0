from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from majung.clock import ManualClock
from majung.simulate.city import City, Doing, demand
from majung.simulate.mishaps import Odds, Phones
from majung.simulate.run import Plan, Step, positions
from majung.simulate.streets import CITIES, Streets
from majung.simulate.traffic import Drive

CALM = Odds(0, 0, 0, 0, 0, 0, 0, tunnels=0)


def plan(**changes: object) -> Plan:
    return Plan(**{"to": "nowhere:1", "token": "t", "riders": 50, **changes})  # type: ignore[arg-type]


def rounds(of: Plan, count: int) -> list[Step]:
    return list(islice(positions(of, ManualClock().now_ms()), count))


def table(step: Step) -> list[tuple[object, ...]]:
    fixes = step.fixes
    columns = (fixes.latitude, fixes.longitude, fixes.accuracy_m, fixes.speed_mps, fixes.heading_deg)
    flags = (fixes.clock_off_ms, fixes.reports, fixes.online, fixes.repeats)
    return list(zip(step.due_ms, *(column.tolist() for column in (*columns, *flags)), strict=True))


def test_the_same_seed_gives_the_same_positions_to_the_last_bit() -> None:
    first, second = rounds(plan(), 40), rounds(plan(), 40)
    assert [table(step) for step in first] == [table(step) for step in second]


def test_another_seed_gives_another_drive() -> None:
    assert table(rounds(plan(), 1)[0]) != table(rounds(plan(seed=8), 1)[0])


def test_riders_report_one_after_another_over_the_whole_round() -> None:
    first, second = rounds(plan(riders=10, rate_s=5.0, speed=2.0), 2)
    steps = np.diff([*first.due_ms, *second.due_ms])
    assert np.allclose(steps, 250.0, atol=1e-3)


@pytest.mark.parametrize("name", sorted(CITIES))
def test_everybody_stays_on_a_street_and_in_the_city(name: str) -> None:
    city = City(name, riders=200, seed=3)
    for _ in range(200):
        at = city.step(5.0, hour=12.3).at
        off = [np.abs(at[:, axis, None] - city.streets.lines[axis]).min(axis=1) for axis in (0, 1)]
        assert np.minimum(*off).max() < 1e-6
        assert np.abs(at).max() <= CITIES[name].half_size_m


def test_riders_drive_stand_and_change_what_they_do() -> None:
    city = City("gangnam", riders=300, seed=1)
    seen, speeds = [], []
    for _ in range(400):
        speeds.append(city.step(5.0, hour=12.3).speed_mps)
        seen.append(city.doing.copy())
    speed_mps = np.array(speeds)
    assert 0.2 < (speed_mps > 0.5).mean() < 0.8
    assert speed_mps.max() < 20.0
    doing = np.array(seen)
    assert set(np.unique(doing)) == {int(what) for what in Doing}
    changes = (np.diff(doing, axis=0) != 0).sum(axis=0)
    assert (changes >= 2).mean() > 0.9
    # A rider goes from the shop to the customer, never straight to the next shop.
    after_shop = doing[1:][(doing[:-1] == Doing.AT_SHOP) & (doing[1:] != Doing.AT_SHOP)]
    assert set(np.unique(after_shop)) == {Doing.TO_CUSTOMER}


def test_rush_hours_are_busier() -> None:
    assert demand(12.3) > 3 * demand(4.0)
    assert demand(18.8) > 3 * demand(15.5)


def test_an_unknown_city_is_named() -> None:
    with pytest.raises(ValueError, match=r"atlantis.*gangnam"):
        City("atlantis", 1, 1)


@given(st.floats(-2000, 2000), st.floats(-2000, 2000), st.sampled_from(sorted(CITIES)))
@settings(max_examples=50)
def test_a_metre_in_the_city_is_a_metre_on_earth(east: float, north: float, name: str) -> None:
    streets = Streets(CITIES[name], np.random.default_rng(1))
    longitude, latitude = np.radians(streets.degrees(np.array([[east, north], [0.0, 0.0]]))).T
    half = np.sin(np.diff(latitude) / 2) ** 2
    half = half + np.cos(latitude[0]) * np.cos(latitude[1]) * np.sin(np.diff(longitude) / 2) ** 2
    distance_m = 2 * 6_371_000.0 * np.arcsin(np.sqrt(half[0]))
    assert distance_m == pytest.approx(np.hypot(east, north), rel=2e-3, abs=0.01)


def test_the_heading_is_where_the_drive_leads() -> None:
    streets = Streets(CITIES["gangnam"], np.random.default_rng(1))
    axis = np.array([0, 0, 1, 1])
    forward = np.array([True, False, True, False])
    way = np.zeros((4, 2))
    way[np.arange(4), axis] = np.where(forward, 100.0, -100.0)
    to, origin = streets.degrees(way), streets.degrees(np.zeros((4, 2)))
    east = (to[:, 0] - origin[:, 0]) * np.cos(np.radians(37.4979))
    bearing = np.degrees(np.arctan2(east, to[:, 1] - origin[:, 1])) % 360
    assert np.allclose(streets.headings(axis, forward), bearing, atol=0.1)


def still(count: int, indoors: bool = False) -> Drive:
    at = np.full((count, 2), 1_500.0)
    return Drive(at, np.zeros(count), np.zeros(count), np.full(count, indoors))


def phones(odds: Odds, count: int = 2_000) -> Phones:
    return Phones(Streets(CITIES["gangnam"], np.random.default_rng(1)), count, 5, odds)


def test_without_mishaps_everybody_reports_and_is_heard() -> None:
    fixes = phones(CALM).step(5.0, still(2_000))
    assert fixes.reports.all()
    assert fixes.online.all()
    assert not fixes.repeats.any()
    assert not fixes.clock_off_ms.any()


def test_noise_hangs_together_in_time_and_has_the_size_it_claims() -> None:
    made = phones(CALM)
    metres = []
    for _ in range(60):
        fixes = made.step(5.0, still(2_000))
        metres.append(fixes.latitude * 111_195.0)
    error_m = np.array(metres) - np.mean(metres)
    assert 2.0 < error_m.std() < 8.0
    assert np.corrcoef(error_m[-1], error_m[-2])[0, 1] > 0.7
    assert abs(np.corrcoef(error_m[-1], error_m[0])[0, 1]) < 0.2


def test_a_flat_battery_is_silent_and_comes_back() -> None:
    made = phones(Odds(flat_battery_per_h=2.0, outage_per_h=0, cellar_share=0, tunnels=0))
    on = np.array([made.step(60.0, still(2_000)).reports for _ in range(120)])
    silent = ~on
    assert silent.any(axis=0).mean() > 0.5
    assert (on[1:] & silent[:-1]).any(axis=0).mean() > 0.4
    assert silent.sum(axis=0).max() < 120


def test_a_cellar_takes_the_reception_until_the_rider_leaves() -> None:
    made = phones(Odds(0, 0, cellar_share=1.0, tunnels=0))
    assert made.step(5.0, still(2_000)).online.all()
    assert not made.step(5.0, still(2_000, indoors=True)).online.any()
    assert not made.step(5.0, still(2_000, indoors=True)).online.any()
    assert made.step(5.0, still(2_000)).online.all()


def test_a_tunnel_takes_the_reception_of_who_drives_through() -> None:
    city = City("gangnam", riders=1_000, seed=7)
    made = Phones(city.streets, 1_000, 7, Odds(0, 0, 0, 0, 0, 0, 0, tunnels=6))
    online = np.array([made.step(5.0, city.step(5.0, 12.3)).online for _ in range(300)])
    lost = ~online.all(axis=0)
    assert 0 < lost.sum() < 1_000
    assert online[:, lost].any(axis=0).mean() > 0.9


def test_wrong_clocks_stay_wrong_in_the_same_way() -> None:
    made = phones(Odds(clock_off_share=0.1, clock_minutes_ahead_share=0.05, clock_hours_behind_share=0.05))
    first, second = (made.step(5.0, still(2_000)).clock_off_ms for _ in range(2))
    assert (first == second).all()
    assert 0.15 < (first != 0).mean() < 0.25
    assert {300_000.0, -10_800_000.0} < set(first)


def test_the_positions_of_a_thousand_riders_look_like_the_issue_says() -> None:
    steps = rounds(plan(riders=1_000), 60)
    latitudes = np.concatenate([step.fixes.latitude for step in steps])
    assert 37.46 < latitudes.min() < latitudes.max() < 37.54
    assert sum(int((~step.fixes.online).sum()) for step in steps) > 0
    assert sum(int(step.fixes.repeats.sum()) for step in steps) > 0
