"""Events out of positions: each exactly when it should be, and never because a phone jumped."""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from datetime import timedelta as td
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from majung.positions.fence_model import Circle, Fence, NewFence
from majung.positions.geodesy import destination
from majung.positions.model import Position
from majung.positions.standing import FenceStates, KnownFence
from majung.positions.triggers import EventKind, RiderEvent, Triggers
from majung.settings import TriggerSettings

START_MS = 1_780_000_000_000
HOME = (37.4979, 127.0276)
QUIET = TriggerSettings(silent_after=td(0))
_encode, _decode = msgspec.msgpack.encode, msgspec.msgpack.Decoder(FenceStates).decode


def fence(fence_id: str = "f", version: int = 1, **form: object) -> Fence:
    form = form or {"circle": Circle(*HOME, 100)}
    wish = NewFence(name=f"fence {fence_id}", **form)  # type: ignore[arg-type]
    return Fence(
        **msgspec.structs.asdict(wish),
        fence_id=fence_id,
        version=version,
        created_at_ms=0,
        updated_at_ms=version,
    )


def at(second: float, metres: float, accuracy_m: float | None = 5.0, rider_id: str = "r") -> Position:
    """A fix so many metres east of HOME."""
    time_ms = START_MS + round(second * 1000)
    place = destination(*HOME, 90, metres) if metres else HOME
    return Position(rider_id, "s", 1 + round(second * 10), *place, time_ms, time_ms + 200, accuracy_m)


def run(triggers: Triggers, fixes: Iterable[Position], state: FenceStates | None = None) -> list[RiderEvent]:
    state = state or triggers.new_state()
    return [event for fix in fixes for event in triggers.step(state, fix)]


def told(events: Iterable[RiderEvent]) -> list[tuple[str, float]]:
    """Kind, and seconds since the start."""
    return [(str(event.kind), (event.at_ms - START_MS) / 1000) for event in events]


def with_fences(*fences: Fence, settings: TriggerSettings = QUIET) -> Triggers:
    triggers = Triggers(settings)
    for one in fences:
        triggers.put(one)
    return triggers


# ------------------------------------------------------------------------------------- enter, exit


def test_enter_and_exit_count_when_they_last_and_tell_when_they_began() -> None:
    drive = [at(5 * i, 300 - 40 * i) for i in range(16)]  # at 300, 260, … -300
    events = run(with_fences(fence()), drive)
    assert told(events) == [("enter", 30.0), ("exit", 55.0)]
    enter = events[0]
    assert (enter.rider_id, enter.fence_id, enter.fence_name) == ("r", "f", "fence f")
    assert (enter.latitude, enter.longitude) == (drive[6].latitude, drive[6].longitude)


@pytest.mark.parametrize(
    ("seconds", "fixes", "period_s", "expected"),
    [(10, 2, 5, 3), (10, 2, 1, 11), (10, 2, 30, 2), (0, 3, 1, 3), (0, 1, 5, 1), (60, 1, 20, 4)],
)
def test_both_the_fixes_and_the_seconds_must_be_reached(
    seconds: int, fixes: int, period_s: int, expected: int
) -> None:
    triggers = with_fences(fence(circle=Circle(*HOME, 100), confirm_s=seconds, confirm_fixes=fixes))
    state = triggers.new_state()
    counts = [len(triggers.step(state, at(period_s * i, 0))) for i in range(12)]
    assert counts.index(1) + 1 == expected and sum(counts) == 1


def test_x6_a_phone_lying_still_that_jumps_200_m_with_2_m_accuracy_triggers_nothing() -> None:
    still = [at(5 * i, 200 if i % 7 in (3, 4) else 0, accuracy_m=2.0) for i in range(500)]
    assert told(run(with_fences(fence()), still)) == [("enter", 0.0)]


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 9)), max_size=30))
def test_jumps_shorter_than_the_patience_never_trigger(phases: list[tuple[int, int]]) -> None:
    """Seconds at home, then up to 9 s elsewhere, at one fix a second."""
    second, fixes = 15, [at(i, 0) for i in range(15)]
    for home_s, away_s in phases:
        for metres, length_s in ((0, home_s), (200, away_s)):
            fixes += [at(second + i, metres, 2.0) for i in range(length_s)]
            second += length_s
    assert told(run(with_fences(fence()), [*fixes, at(second, 0)])) == [("enter", 0.0)]


def test_a_fix_nearer_to_the_edge_than_its_accuracy_says_nothing() -> None:
    triggers = with_fences(fence())
    assert run(triggers, [at(i, 90, accuracy_m=20) for i in range(30)]) == []
    assert told(run(triggers, [at(i, 90, accuracy_m=5) for i in range(30)])) == [("enter", 0.0)]
    unclear_then_out = [*(at(i, 0) for i in range(12)), *(at(12 + i, 110, 20) for i in range(60))]
    assert told(run(triggers, unclear_then_out)) == [("enter", 0.0)]


def test_the_middle_of_a_small_fence_is_inside_however_bad_the_accuracy() -> None:
    assert told(run(with_fences(fence()), [at(i, 0, accuracy_m=180) for i in range(12)])) == [("enter", 0.0)]


@pytest.mark.parametrize("accuracy_m", [None, 0.0])
def test_without_an_accuracy_the_position_itself_decides(accuracy_m: float | None) -> None:
    assert told(run(with_fences(fence()), [at(i, 99.9, accuracy_m) for i in range(12)])) == [("enter", 0.0)]


def test_late_and_repeated_fixes_never_trigger() -> None:
    triggers = with_fences(fence())
    state = triggers.new_state()
    run(triggers, [at(100, 500)], state)
    assert run(triggers, [at(i, 0) for i in range(60)], state) == []
    assert run(triggers, [at(100, 0)] * 50, state) == []


def test_a_fence_for_some_riders_leaves_the_others_alone() -> None:
    triggers = with_fences(fence(circle=Circle(*HOME, 100), rider_ids=("mine",)))
    assert run(triggers, [at(i, 0) for i in range(20)]) == []
    assert told(run(triggers, [at(i, 0, rider_id="mine") for i in range(20)])) == [("enter", 0.0)]


def test_a_polygon_works_like_a_circle() -> None:
    square = tuple(destination(*HOME, bearing, 150) for bearing in (45, 135, 225, 315))
    drive = [at(5 * i, 300 - 40 * i) for i in range(16)]
    assert [kind for kind, _ in told(run(with_fences(fence(polygon=square)), drive))] == ["enter", "exit"]


def test_overlapping_fences_are_told_apart() -> None:
    triggers = with_fences(fence("small"), fence("large", circle=Circle(*HOME, 400)))
    events = run(triggers, [at(5 * i, 600 - 40 * i) for i in range(32)])
    assert [(e.kind, e.fence_id) for e in events] == [
        ("enter", "large"), ("enter", "small"), ("exit", "small"), ("exit", "large"),
    ]  # fmt: skip


def test_of_ten_thousand_fences_a_position_looks_at_few(monkeypatch: pytest.MonkeyPatch) -> None:
    triggers = Triggers(QUIET)
    looked: list[str] = []
    for number in range(10_000):
        place = (37.0 + number % 100 * 0.01, 126.5 + number // 100 * 0.01)
        triggers.put(fence(f"f{number}", circle=Circle(*place, 100)))
    monkeypatch.setattr(KnownFence, "side", lambda known, _: looked.append(known.fence.fence_id))
    triggers.step(triggers.new_state(), at(0, 0))
    assert looked == []
    triggers.put(fence("home"))
    triggers.step(triggers.new_state(), at(1, 0))
    assert looked == ["home"]


# ------------------------------------------------------------------------------------- dwell, near


def test_dwell_is_told_once_for_each_stay() -> None:
    triggers = with_fences(fence(circle=Circle(*HOME, 100), dwell_s=60))
    stays = [at(5 * i, 0 if i % 50 < 30 else 300) for i in range(100)]
    assert told(run(triggers, stays)) == [
        ("enter", 0.0), ("dwell", 60.0), ("exit", 150.0), ("enter", 250.0), ("dwell", 310.0), ("exit", 400.0),
    ]  # fmt: skip


def test_who_leaves_earlier_does_not_dwell() -> None:
    triggers = with_fences(fence(circle=Circle(*HOME, 100), dwell_s=60))
    assert [k for k, _ in told(run(triggers, [at(5 * i, 0 if i < 11 else 300) for i in range(40)]))] == [
        "enter",
        "exit",
    ]


def test_near_is_told_quickly_once_for_each_visit_and_nothing_else() -> None:
    triggers = with_fences(fence(near=Circle(*HOME, 100), confirm_s=3))
    visits = [at(5 * i, 0 if i % 40 < 10 else 500) for i in range(100)]
    assert told(run(triggers, visits)) == [("near", 0.0), ("near", 200.0), ("near", 400.0)]


def test_d8_a_rider_at_30_km_h_is_announced_before_it_is_there() -> None:
    triggers = with_fences(fence(near=Circle(*HOME, 100)))
    state, arrives_s = triggers.new_state(), 60.0
    for second in range(0, 60, 5):
        if triggers.step(state, at(second, 8.3 * (arrives_s - second), accuracy_m=10)):
            assert 5 <= arrives_s - second <= 12
            return
    raise AssertionError("nobody was told")


# -------------------------------------------------------------------------- silence, expiry, edits

WATCHED = TriggerSettings(silent_after=td(seconds=60))


def test_silent_after_a_minute_and_back_with_the_next_fix() -> None:
    triggers = with_fences(settings=WATCHED)
    state = triggers.new_state()
    assert triggers.due(START_MS) == []
    assert run(triggers, [at(0, 0), at(70, 5)], state)[-1].kind == "back"  # looked at by nobody in between
    last = at(70, 5)
    assert triggers.due(last.received_at_ms + 59_999) == []
    now_ms = last.received_at_ms + 60_000
    assert triggers.due(now_ms) == ["r"] and triggers.due(now_ms) == []
    (silent,) = triggers.look(state, last, now_ms)
    assert (silent.kind, silent.at_ms) == ("silent", now_ms)
    assert (silent.latitude, silent.longitude) == (last.latitude, last.longitude)
    assert triggers.look(state, last, now_ms + 1) == []
    assert told(run(triggers, [at(300, 0)], state)) == [("back", 300.2)]


def test_a_late_or_doubtful_fix_is_a_sign_of_life() -> None:
    triggers = with_fences(settings=WATCHED)
    state = triggers.new_state()
    triggers.due(START_MS)
    run(triggers, [at(0, 0)], state)
    doubtful = msgspec.structs.replace(at(50, 9999), device_time_ms=START_MS - 999)
    assert triggers.hear(state, doubtful) == []
    assert triggers.due(START_MS + 100_000) == []
    assert triggers.due(START_MS + 120_000) == ["r"]


def test_what_was_not_heard_while_the_server_was_down_is_no_silence() -> None:
    before = with_fences(settings=WATCHED)
    state = before.new_state()
    run(before, [at(0, 0)], state)
    after = with_fences(settings=WATCHED)
    after.remember("r", state)
    started_ms = START_MS + 600_000
    assert after.due(started_ms) == after.due(started_ms + 59_000) == []
    assert run(after, [at(650, 0)], state) == []
    assert after.due(started_ms + 200_000) == ["r"]


def test_zero_seconds_mean_never_silent() -> None:
    triggers = with_fences()
    state = triggers.new_state()
    assert run(triggers, [at(0, 0), at(9999, 0)], state) == []
    assert triggers.due(START_MS + 10**9) == [] and not triggers.active()


def test_a_rider_that_expires_leaves_every_fence() -> None:
    triggers = with_fences(fence("f"), fence("g"), fence("n", near=Circle(*HOME, 50)), settings=WATCHED)
    state = triggers.new_state()
    fixes = [at(i, 0) for i in range(12)]
    run(triggers, fixes, state)
    events = triggers.expire(state, fixes[-1], START_MS + 600_000)
    assert [(e.kind, e.fence_id) for e in events] == [("silent", ""), ("exit", "f"), ("exit", "g")]
    assert state.fences == {} and triggers._inside == {}
    assert triggers.expire(state, fixes[-1], START_MS + 700_000) == []
    again = run(triggers, [at(700 + i, 0) for i in range(12)], state)
    assert [e.kind for e in again] == ["back", "near", "enter", "enter"] or len(again) == 4
    assert len({e.event_id for e in events + again}) == 7


def test_a_deleted_fence_lets_its_riders_go_with_the_next_tick_or_fix() -> None:
    triggers = with_fences(fence())
    still, moving = triggers.new_state(), triggers.new_state()
    run(triggers, [at(i, 0) for i in range(12)], still)
    run(triggers, [at(i, 0, rider_id="m") for i in range(12)], moving)
    triggers.remove("f")
    assert told(run(triggers, [at(20, 0, rider_id="m")], moving)) == [("exit", 20.0)]
    assert triggers.due(START_MS + 30_000) == ["m", "r"]
    (event,) = triggers.look(still, at(11, 0), START_MS + 30_000)
    assert (event.kind, event.fence_id, event.fence_name) == ("exit", "f", "fence f")
    assert triggers.look(moving, at(20, 0), START_MS + 30_000) == []
    assert triggers.due(START_MS + 31_000) == [] and still.fences == moving.fences == {}


def test_an_edited_fence_keeps_who_is_in_it_and_lets_the_others_go() -> None:
    triggers = with_fences(fence())
    near, far = triggers.new_state(), triggers.new_state()
    run(triggers, [at(i, 0) for i in range(12)], near)
    run(triggers, [at(i, 80, rider_id="far") for i in range(12)], far)
    triggers.put(fence(version=2, circle=Circle(*HOME, 50)))
    assert triggers.due(START_MS + 20_000) == ["far", "r"]
    assert triggers.look(near, at(11, 0), START_MS + 20_000) == []
    assert [e.kind for e in triggers.look(far, at(11, 80, rider_id="far"), START_MS + 20_000)] == ["exit"]
    assert near.fences["f"].version == 2


def test_a_fence_that_went_while_the_server_was_down_lets_its_riders_go() -> None:
    before = with_fences(fence("gone"), fence("edited"), fence("same"))
    state = before.new_state()
    run(before, [at(i, 0) for i in range(12)], state)
    after = with_fences(fence("edited", version=2, circle=Circle(*HOME, 5000)), fence("same"))
    restored = _decode(_encode(state))
    after.remember("r", restored)
    assert after.due(START_MS) == ["r"]
    assert [e.fence_id for e in after.look(restored, at(11, 0), START_MS + 20_000)] == ["gone"]


# -------------------------------------------------------------------------- exactly once, in pairs

WALK = st.lists(
    st.tuples(st.sampled_from([1, 5, 20, 90]), st.sampled_from([0, 60, 95, 105, 300])), max_size=60
)
FENCES = (
    fence("c", circle=Circle(*HOME, 100), dwell_s=30),
    fence("n", near=Circle(*HOME, 70)),
    fence("big", circle=Circle(*HOME, 200), confirm_fixes=1, confirm_s=0),
)


def walked(walk: Sequence[tuple[int, int]]) -> list[Position]:
    second, fixes = 0, []
    for pause_s, metres in walk:
        second += pause_s
        fixes.append(at(second, metres, 8.0))
    return fixes


def check_pairs(events: Sequence[RiderEvent], left_inside: set[str]) -> None:
    """Per fence: enter, then perhaps one dwell, then exit, and so on."""
    by_fence: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if event.kind in (EventKind.ENTER, EventKind.EXIT, EventKind.DWELL):
            by_fence[event.fence_id].append(event.kind)
    for fence_id, kinds in by_fence.items():
        text = "".join(kind[1] for kind in kinds)  # e-n-ter, e-x-it, d-w-ell
        assert text.replace("w", "").replace("nx", "") in ("", "n"), (fence_id, kinds)
        assert "ww" not in text and "xw" not in text and not text.startswith("w"), (fence_id, kinds)
        assert (text.replace("w", "").endswith("n")) == (fence_id in left_inside), (fence_id, kinds)


@given(WALK)
def test_enter_and_exit_come_in_pairs(walk: list[tuple[int, int]]) -> None:
    triggers = with_fences(*FENCES, settings=WATCHED)
    state = triggers.new_state()
    fixes = walked(walk)
    events = run(triggers, fixes, state)
    assert len({event.event_id for event in events}) == len(events)
    check_pairs(events, {fence_id for fence_id, standing in state.fences.items() if standing.inside})
    if fixes:
        events += triggers.expire(state, fixes[-1], fixes[-1].received_at_ms + 10**6)
        check_pairs(events, set())
        silences = [event.kind for event in events if event.kind in (EventKind.SILENT, EventKind.BACK)]
        assert silences == [EventKind.SILENT, EventKind.BACK] * (len(silences) // 2) + [EventKind.SILENT]


@given(WALK, st.data())
def test_doing_it_again_after_a_crash_gives_the_same_events(
    walk: list[tuple[int, int]], data: st.DataObject
) -> None:
    fixes = walked(walk)
    straight = run(with_fences(*FENCES, settings=WATCHED), fixes)
    saved_at = data.draw(st.integers(0, len(fixes)))
    died_at = data.draw(st.integers(saved_at, len(fixes)))
    first = with_fences(*FENCES, settings=WATCHED)
    state = first.new_state()
    events = run(first, fixes[:saved_at], state)
    checkpoint = _encode(state)
    events += run(first, fixes[saved_at:died_at], state)
    second = with_fences(*FENCES, settings=WATCHED)
    restored = _decode(checkpoint)
    second.remember("r", restored)
    events += run(second, fixes[saved_at:], restored)
    assert {event.event_id: event for event in events} == {event.event_id: event for event in straight}


# ---------------------------------------------------------------------------------- recorded tracks


def geolife(folder: Path) -> dict[str, list[Position]]:
    riders: dict[str, list[Position]] = defaultdict(list)
    with gzip.open(folder / "geolife" / "geolife_sample.txt.gz", "rt") as file:
        for seq, row in enumerate(csv.DictReader(file), 1):
            moment = datetime.strptime(row["datetime"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            place, time_ms = (float(row["lat"]), float(row["lng"])), int(moment.timestamp() * 1000)
            riders[row["uid"]].append(Position(row["uid"], "s", seq, *place, time_ms, time_ms))
    return riders


def buses(folder: Path) -> dict[str, list[Position]]:
    riders: dict[str, list[Position]] = defaultdict(list)
    with (folder / "liverpool_bus" / "route14_outbound.csv").open() as file:
        for row in csv.DictReader(file):
            moment = datetime.strptime(row["timestamp"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            place, time_ms = (float(row["latitude"]), float(row["longitude"])), int(moment.timestamp() * 1000)
            bus = row["vehicle_id"]
            riders[bus].append(Position(bus, row["trip_id"], int(row["id"]), *place, time_ms, time_ms))
    return {bus: sorted(fixes, key=lambda fix: fix.device_time_ms) for bus, fixes in riders.items()}


@pytest.mark.shared_data
@pytest.mark.parametrize("read", [geolife, buses])
def test_on_recorded_tracks_enters_and_exits_pair_up(read, shared_data: Path) -> None:  # type: ignore[no-untyped-def]
    riders: dict[str, list[Position]] = read(shared_data)
    triggers = Triggers(QUIET)
    for rider_id, fixes in riders.items():  # fences along the way: a place visited every so often
        for number, fix in enumerate(fixes[:: max(1, len(fixes) // 40)]):
            circle = Circle(fix.latitude, fix.longitude, 200)
            triggers.put(fence(f"{rider_id}-{number}", circle=circle, dwell_s=120))
    total = 0
    for fixes in riders.values():
        state = triggers.new_state()
        events = run(triggers, fixes, state)
        check_pairs(events, {name for name, standing in state.fences.items() if standing.inside})
        events += triggers.expire(state, fixes[-1], fixes[-1].received_at_ms)
        check_pairs(events, set())
        assert len({event.event_id for event in events}) == len(events)
        total += len(events)
    assert total > 100


@pytest.mark.shared_data
def test_a_bus_is_seen_at_its_stop_on_every_trip(shared_data: Path) -> None:
    """Every trip of the recorded route passes the same place; each passing is one enter and one exit."""
    riders = buses(shared_data)
    trip = max((fixes for fixes in riders.values()), key=len)
    middle = trip[len(trip) // 2]
    triggers = with_fences(fence(circle=Circle(middle.latitude, middle.longitude, 400)))
    seen = {bus for bus, fixes in riders.items() if any(e.kind == "enter" for e in run(triggers, fixes))}
    assert seen == set(riders)
