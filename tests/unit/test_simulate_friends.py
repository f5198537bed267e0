"""People who walk: the same by seed, at a walker's pace, and they do meet and part."""

from itertools import combinations, pairwise

import pytest

from majung.positions.geodesy import ellipsoid_m
from majung.simulate.friends import YEOKSAM, Walk, ghosted, pairs, wish

PEOPLE, HOUR_S, STEP_S = 12, 3_600, 10


def tracks(seed: int) -> list[list[tuple[float, float]]]:
    walks = [Walk(number, seed) for number in range(PEOPLE)]
    return [[walk.step(STEP_S) for _ in range(HOUR_S // STEP_S)] for walk in walks]


def test_the_same_seed_is_the_same_walk() -> None:
    assert tracks(7) == tracks(7)
    assert tracks(7) != tracks(8)


def test_steps_of_any_length_lead_to_the_same_place() -> None:
    short, long = Walk(3, 7), Walk(3, 7)
    for _ in range(599):
        short.step(1.0)
    assert short.step(1.0) == pytest.approx(long.step(600.0), abs=1e-9)


def test_nobody_runs_and_nobody_goes_far() -> None:
    for track in tracks(7):
        for one, other in pairwise(track):
            assert ellipsoid_m(*one, *other) <= 1.7 * STEP_S * 1.01
        assert max(ellipsoid_m(*place, *YEOKSAM) for place in track) < 3_000


def test_they_meet_and_part() -> None:
    meetings = 0
    for one, other in combinations(tracks(7), 2):
        near = [ellipsoid_m(*a, *b) < 50 for a, b in zip(one, other, strict=True)]
        meetings += sum(not before and now for before, now in pairwise(near))
    assert meetings > 20


def test_some_are_blurred_and_some_are_ghosts_at_times() -> None:
    assert {str(wish(number)["mode"]) for number in range(PEOPLE)} == {"exact", "blurred"}
    times = [[ghosted(number, at_s) for at_s in range(0, HOUR_S, STEP_S)] for number in range(PEOPLE)]
    assert any(any(ghost) and not all(ghost) for ghost in times)
    assert any(not any(ghost) for ghost in times)


@pytest.mark.parametrize("people", [1, 2, 3, 12, 21, 22, 100])
def test_everybody_has_the_ten_on_either_side_once(people: int) -> None:
    found = list(pairs(people))
    assert len(found) == len(set(found))
    each = [sum(number in pair for pair in found) for number in range(people)]
    assert each == [min(people - 1, 20)] * people
