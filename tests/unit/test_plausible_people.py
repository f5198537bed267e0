"""One person, several devices: each judged by itself, and the freshest is where the person is."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from majung.positions.model import Mark, Position
from majung.positions.plausible import CONFIRMATIONS, MAX_TRAILS, judge_person
from majung.positions.state import RiderState
from majung.settings import PositionSettings

SETTINGS = PositionSettings()
HOMES = {"phone": 37.5, "tablet": 35.1, "watch": -33.9}


def fix(session_id: str, second: float, off: float = 0.0) -> Position:
    latitude = HOMES.get(session_id, 10.0) + off
    time_ms = 1_000_000 + int(second * 1000)
    return Position("person-a", session_id, 1, latitude, 127.0, time_ms, time_ms, 5.0)


def again(state: RiderState) -> RiderState:
    """Through the checkpoint and back."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=RiderState)


reports = st.lists(st.tuples(st.sampled_from(list(HOMES)), st.integers(0, 600)), max_size=40)


@given(reports, st.integers(0, 40))
def test_devices_do_not_doubt_each_other_and_the_freshest_counts(
    made: list[tuple[str, int]], restarted_at: int
) -> None:
    state = RiderState()
    freshest: Position | None = None
    for number, (session_id, second) in enumerate(made):
        if number == restarted_at:
            state = again(state)
        position = fix(session_id, second, second * 1e-5)
        mark = judge_person(state, position, SETTINGS)
        is_fresh = freshest is None or position.device_time_ms > freshest.device_time_ms
        assert mark in (Mark.PLAIN, Mark.LATE)
        if is_fresh:
            assert mark is Mark.PLAIN
            freshest = position
        assert state.newest == freshest


def test_an_outlier_of_one_device_is_found_whatever_the_others_do() -> None:
    state = RiderState()
    told = [fix("phone", 0), fix("tablet", 1), fix("phone", 2, 9.0), fix("tablet", 3), fix("phone", 4)]
    marks = [judge_person(state, position, SETTINGS) for position in told]
    assert marks == [Mark.PLAIN, Mark.PLAIN, Mark.JUMP, Mark.PLAIN, Mark.PLAIN]


def test_a_doubt_goes_on_when_a_second_device_comes() -> None:
    """Two of three fixes that agree on a new place; then a tablet; then the third."""
    state = RiderState()
    marks = [judge_person(state, fix("phone", 0), SETTINGS)]
    marks += [judge_person(state, fix("phone", second, 9.0), SETTINGS) for second in range(1, CONFIRMATIONS)]
    marks.append(judge_person(state, fix("tablet", 10), SETTINGS))
    marks.append(judge_person(state, fix("phone", 11, 9.0), SETTINGS))
    assert marks == [Mark.PLAIN, *[Mark.JUMP] * (CONFIRMATIONS - 1), Mark.PLAIN, Mark.PLAIN]


def test_one_device_costs_nothing_more_and_many_are_bounded() -> None:
    state = RiderState()
    for second in range(10):
        judge_person(state, fix("phone", second), SETTINGS)
    assert state.trails is None
    for number in range(50):
        judge_person(state, fix(f"new-{number}", 20 + number), SETTINGS)
    assert state.trails is not None
    assert list(state.trails) == [f"new-{number}" for number in range(50 - MAX_TRAILS, 50)]


def test_a_checkpoint_of_the_version_before_is_read() -> None:
    old = msgspec.msgpack.encode([fix("phone", 5), {"phone": [1, 1]}, None, 0, None])
    state = msgspec.msgpack.decode(old, type=RiderState)
    assert state.trails is None
    assert judge_person(state, fix("tablet", 6), SETTINGS) is Mark.PLAIN
