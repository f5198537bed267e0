"""Could the vehicle have made this move? What could not is kept in history, marked, and not shown.

A single outlier is marked and the marker stays. When `CONFIRMATIONS` implausible fixes in a row agree
with each other, it is the old place that was wrong (a first fix from a cell tower, a flight with the
phone off), and the marker moves there.

A person has several devices, the phone in the pocket and the tablet at home. Each session is judged by
itself, and the freshest fix of all is where the person is.
"""

from majung.positions.geodesy import distance_m
from majung.positions.model import Mark, Position
from majung.positions.state import RiderState, Trail
from majung.settings import PositionSettings

CONFIRMATIONS = 3
MAX_TRAILS = 8
"""Sessions of a person that are judged side by side; past it, the one unused for longest begins anew."""
_SLACK_M = 100.0


def could_reach(earlier: Position, later: Position, max_speed_mps: float) -> bool:
    """Whether `later` is within reach of `earlier` at `max_speed_mps`, given both accuracies.

    Fixes of the same moment (or coarse timestamps) get a slack of 100 m.
    """
    seconds = (later.device_time_ms - earlier.device_time_ms) / 1000
    reach_m = max_speed_mps * max(seconds, 0.0) + _SLACK_M
    # Degrees are cheap to compare, and most fixes are near the one before: 1° of latitude is 111 km.
    rough_m = 111_200 * (abs(later.latitude - earlier.latitude) + abs(later.longitude - earlier.longitude))
    if rough_m <= reach_m:
        return True
    slack_m = (earlier.accuracy_m or 0.0) + (later.accuracy_m or 0.0)
    apart_m = distance_m(earlier.latitude, earlier.longitude, later.latitude, later.longitude)
    return apart_m <= reach_m + slack_m


def is_newer(position: Position, newest: Position) -> bool:
    """Forward in device time; among fixes of one moment (coarse clocks), forward in the session's count."""
    if position.device_time_ms != newest.device_time_ms:
        return position.device_time_ms > newest.device_time_ms
    return position.session_id == newest.session_id and position.seq > newest.seq


def judge(state: RiderState | Trail, position: Position, settings: PositionSettings) -> Mark:
    """The mark of a position that has not been seen before; moves `state` on when it is plain."""
    newest = state.newest
    if newest is not None and not is_newer(position, newest):
        return Mark.LATE
    if position.accuracy_m is not None and position.accuracy_m > settings.max_accuracy_m:
        return Mark.INACCURATE
    if newest is None or could_reach(newest, position, settings.max_speed_mps):
        state.newest = position
        state.doubt = None
        state.doubts = 0
        return Mark.PLAIN
    doubt = state.doubt
    if doubt is not None and could_reach(doubt, position, settings.max_speed_mps):
        state.doubts += 1
    else:
        state.doubts = 1
    state.doubt = position
    if state.doubts < CONFIRMATIONS:
        return Mark.JUMP
    state.newest = position
    state.doubt = None
    state.doubts = 0
    return Mark.PLAIN


def judge_person(state: RiderState, position: Position, settings: PositionSettings) -> Mark:
    """`judge` for people: against the same session, then late when another device has been heard of since."""
    newest, session_id = state.newest, position.session_id
    if state.trails is None:
        if newest is None or newest.session_id == session_id:
            return judge(state, position, settings)
        state.trails = {newest.session_id: Trail(newest, state.doubt, state.doubts)}
        state.doubt, state.doubts = None, 0
    mark = judge(_trail(state.trails, session_id), position, settings)
    if mark is not Mark.PLAIN:
        return mark
    if newest is not None and not is_newer(position, newest):
        return Mark.LATE
    state.newest = position
    return Mark.PLAIN


def _trail(trails: dict[str, Trail], session_id: str) -> Trail:
    """That of a session, which becomes the one used last."""
    trail = trails.pop(session_id, None)
    if trail is None:
        if len(trails) >= MAX_TRAILS:
            del trails[next(iter(trails))]
        trail = Trail()
    trails[session_id] = trail
    return trail
