"""What a vehicle cannot do is marked; what a wrong first fix caused is mended."""

import msgspec

from majung.positions.model import Mark, Position
from majung.positions.plausible import CONFIRMATIONS, judge
from majung.positions.state import RiderState
from majung.settings import PositionSettings

SETTINGS = PositionSettings()
HOME = Position("r", "s", 1, 37.5, 127.0, 1_000_000, 1_000_000, 5.0)


def at(second: float, latitude: float = 37.5, longitude: float = 127.0, **changes: object) -> Position:
    time_ms = 1_000_000 + int(second * 1000)
    return msgspec.structs.replace(
        HOME, latitude=latitude, longitude=longitude, device_time_ms=time_ms, **changes
    )


def marks(*positions: Position) -> list[Mark]:
    state = RiderState(sessions={})
    return [judge(state, position, SETTINGS) for position in positions]


def test_driving_is_plain() -> None:
    assert marks(*(at(5 * i, 37.5 + 0.0005 * i) for i in range(10))) == [Mark.PLAIN] * 10


def test_a_single_outlier_is_marked_and_the_next_fix_is_plain() -> None:
    assert marks(at(0), at(5, 38.5), at(10, 37.5001)) == [Mark.PLAIN, Mark.JUMP, Mark.PLAIN]


def test_a_wrong_first_fix_does_not_hold_the_marker_for_ever() -> None:
    wrong_then_right = [at(0, 35.0), *(at(5 * i, 37.5 + 0.0001 * i) for i in range(1, 6))]
    found = marks(*wrong_then_right)
    assert found == [Mark.PLAIN] + [Mark.JUMP] * (CONFIRMATIONS - 1) + [Mark.PLAIN] * (6 - CONFIRMATIONS)


def test_outliers_that_disagree_do_not_confirm_each_other() -> None:
    assert (
        marks(at(0), at(5, 38.5), at(10, 36.0), at(15, 39.0), at(20, 35.0)) == [Mark.PLAIN] + [Mark.JUMP] * 4
    )


def test_older_than_the_marker_is_late_and_moves_nothing() -> None:
    state = RiderState(sessions={})
    judge(state, at(100), SETTINGS)
    assert judge(state, at(50, 37.6), SETTINGS) is Mark.LATE
    assert judge(state, at(100, 37.6), SETTINGS) is Mark.LATE
    assert state.newest == at(100)


def test_inaccurate_is_marked_and_moves_nothing() -> None:
    state = RiderState(sessions={})
    judge(state, at(0), SETTINGS)
    assert judge(state, at(5, accuracy_m=5000.0), SETTINGS) is Mark.INACCURATE
    assert state.newest == at(0)


def test_across_the_antimeridian_is_no_jump() -> None:
    assert marks(at(0, 0.5, 179.999), at(5, 0.5, -179.999)) == [Mark.PLAIN, Mark.PLAIN]


def test_accuracy_widens_the_reach() -> None:
    near = 37.5 + 700 / 111_200  # 700 m in 5 s is 140 m/s, too fast, unless both fixes may be 150 m off
    assert marks(at(0), at(5, near)) == [Mark.PLAIN, Mark.JUMP]
    assert marks(at(0, accuracy_m=150.0), at(5, near, accuracy_m=150.0)) == [Mark.PLAIN, Mark.PLAIN]


def test_fixes_of_one_moment_are_ordered_by_the_sessions_count() -> None:
    assert marks(at(0), at(0, 37.50001, seq=2), at(0, 37.5, seq=1)) == [Mark.PLAIN, Mark.PLAIN, Mark.LATE]
    assert marks(at(0), at(0, seq=2, session_id="other")) == [Mark.PLAIN, Mark.LATE]
