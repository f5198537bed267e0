"""What every `History` promises. The suite of an implementation inherits and gives these fixtures:

`clock`: a ManualClock that the history goes by; `make`: opens a history with the given settings, and closes it
at the end of the test; `reopen`: closes that one and opens the same data again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from majung.clock import ManualClock
from majung.ports import History
from majung.positions.model import Position, StoredPosition, TrackPoint
from majung.settings import HistorySettings

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
DAY_MS = 24 * HOUR_MS
START_MS = 1_780_000_000_000 // HOUR_MS * HOUR_MS

# The fixtures hold a folder, in which each example opens a history of its own; the classes hold nothing.
_SUPPRESS = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]

Make = Callable[..., Awaitable[History]]
Reopen = Callable[[], Awaitable[History]]


def fix(
    rider_id: str = "rider-1",
    seq: int = 1,
    at_ms: int = START_MS,
    session_id: str = "session-1",
    mark: str = "",
    **more: object,
) -> StoredPosition:
    values: dict[str, object] = {
        "latitude": 37.4979123 + seq % 1000 * 1e-5,
        "longitude": 127.0276456 - seq % 1000 * 1e-5,
        "received_at_ms": at_ms + 321,
        "door": "grpc",
    }
    position = Position(
        rider_id=rider_id,
        session_id=session_id,
        seq=seq,
        device_time_ms=at_ms,
        **(values | more),  # type: ignore[arg-type]
    )
    return StoredPosition(position, mark)


def identity(stored: StoredPosition) -> tuple[str, str, int]:
    return stored.position.rider_id, stored.position.session_id, stored.position.seq


def expected(
    stored: Iterable[StoredPosition], from_ms: int, to_ms: int, rider_id: str
) -> list[tuple[int, str, int]]:
    """Time, session and seq of each point that a track must show, in its order."""
    return sorted(
        (p.position.device_time_ms, p.position.session_id, p.position.seq)
        for p in stored
        if p.position.rider_id == rider_id and from_ms <= p.position.device_time_ms < to_ms
    )


def keys(points: Iterable[TrackPoint]) -> list[tuple[int, str, int]]:
    return [(p.device_time_ms, p.session_id, p.seq) for p in points]


async def whole_track(
    history: History, rider_id: str = "rider-1", include_marked: bool = True
) -> list[TrackPoint]:
    return await history.track(rider_id, 0, 2**50, 1_000_000, include_marked)


class HistoryContract:
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(START_MS + 2 * HOUR_MS)

    async def test_position_comes_back_as_it_was(self, make: Make) -> None:
        history = await make()
        full = fix(accuracy_m=4.25, speed_mps=12.345, heading_deg=359.99, tags={"전지": "80"}, mark="late")
        bare = fix(seq=2**63 - 1, at_ms=START_MS + 1, latitude=-89.9999999, longitude=-180.0)
        assert await history.append([full, bare]) == [True, True]
        first, second = await whole_track(history)
        assert (first.device_time_ms, first.session_id, first.seq, first.mark) == (
            START_MS,
            "session-1",
            1,
            "late",
        )
        place = (full.position.latitude, full.position.longitude)
        assert (first.latitude, first.longitude) == pytest.approx(place, abs=1e-6)
        assert (first.accuracy_m, first.speed_mps, first.heading_deg) == pytest.approx((4.25, 12.345, 359.99))
        assert (second.latitude, second.longitude) == (-89.9999999, -180.0)
        assert (second.accuracy_m, second.speed_mps, second.heading_deg) == (None, None, None)
        assert (second.seq, second.mark) == (2**63 - 1, "")

    async def test_identity_is_stored_once(self, make: Make) -> None:
        history = await make()
        batch = [fix(seq=1), fix(seq=2, at_ms=START_MS + 1000), fix(seq=1)]
        assert await history.append(batch) == [True, True, False]
        assert await history.append([fix(seq=3, at_ms=START_MS + 2000), *batch]) == [
            True,
            False,
            False,
            False,
        ]
        assert await history.count() == 3

    async def test_seq_of_another_session_or_rider_is_another_position(self, make: Make) -> None:
        history = await make()
        batch = [fix(), fix(session_id="session-2"), fix(rider_id="rider-2")]
        assert await history.append(batch) == [True, True, True]
        assert len(await whole_track(history)) == 2
        assert len(await whole_track(history, "rider-2")) == 1

    async def test_late_data_takes_its_place(self, make: Make) -> None:
        history = await make()
        newer = [fix(seq=n, at_ms=START_MS + n * 1000) for n in range(50, 100)]
        older = [fix(seq=n, at_ms=START_MS + n * 1000) for n in range(50)]
        assert all(await history.append(newer))
        assert all(await history.append(older))
        assert [p.seq for p in await whole_track(history)] == list(range(100))

    async def test_track_is_bounded_by_time_and_limit(self, make: Make) -> None:
        history = await make()
        stored = [fix(seq=n, at_ms=START_MS + n * 20 * MINUTE_MS) for n in range(6)]
        await history.append(stored)
        from_ms, to_ms = START_MS + 20 * MINUTE_MS, START_MS + 100 * MINUTE_MS
        points = await history.track("rider-1", from_ms, to_ms, 100)
        assert [p.seq for p in points] == [1, 2, 3, 4]
        assert [p.seq for p in await history.track("rider-1", from_ms, to_ms, 2)] == [1, 2]
        assert await history.track("nobody", from_ms, to_ms, 2) == []
        assert await history.track("rider-1", to_ms, from_ms, 2) == []
        assert await history.track("rider-1", from_ms, to_ms, 0) == []

    async def test_doubtful_positions_are_left_out_unless_asked_for(self, make: Make) -> None:
        history = await make()
        marks = ["", "jump", "late", "inaccurate", ""]
        await history.append([fix(seq=n, at_ms=START_MS + n, mark=mark) for n, mark in enumerate(marks)])
        plain = await history.track("rider-1", START_MS, START_MS + HOUR_MS, 3)
        assert [(p.seq, p.mark) for p in plain] == [(0, ""), (2, "late"), (4, "")]
        assert [p.mark for p in await whole_track(history)] == marks

    async def test_stored_is_there_after_reopening(self, make: Make, reopen: Reopen) -> None:
        history = await make()
        stored = [fix(seq=n, at_ms=START_MS + n * 7 * MINUTE_MS) for n in range(20)]
        await history.append(stored[:10])
        history = await reopen()
        assert await history.append(stored) == [False] * 10 + [True] * 10
        assert keys(await whole_track(history)) == expected(stored, 0, 2**50, "rider-1")
        assert await history.count() == 20

    async def test_names_may_be_anything(self, make: Make) -> None:
        history = await make()
        names = ["김 라이더", "a'b\"c", "%_", "NULL", "\N{PILE OF POO}", "x" * 128]
        await history.append([fix(rider_id=name, session_id=name) for name in names])
        for name in names:
            [point] = await whole_track(history, name)
            assert point.session_id == name

    async def test_detail_becomes_one_a_minute_then_nothing(self, make: Make, clock: ManualClock) -> None:
        history = await make()
        stored = [fix(seq=n, at_ms=START_MS + n * 5000) for n in range(2 * 720)]
        await history.append(stored)
        assert await history.drop_old(clock.now_ms()) == 0
        clock.set_wall_ms(START_MS + HOUR_MS + DAY_MS)  # the first of the two hours is a day old
        assert await history.drop_old(clock.now_ms()) > 0
        points = await whole_track(history)
        assert [p.seq for p in points] == [*range(0, 720, 12), *range(720, 1440)]
        assert await history.count() == 60 + 720
        clock.set_wall_ms(START_MS + HOUR_MS + 7 * DAY_MS)
        await history.drop_old(clock.now_ms())
        assert [p.seq for p in await whole_track(history)] == list(range(720, 1440, 12))
        clock.advance(HOUR_MS / 1000)
        await history.drop_old(clock.now_ms())
        assert await whole_track(history) == []
        assert await history.count() == 0

    async def test_minute_is_kept_by_its_first_plain_position(self, make: Make, clock: ManualClock) -> None:
        history = await make()
        marks = {1: "jump", 2: "", 3: "", 61: "inaccurate", 62: "jump", 125: "late"}
        await history.append([fix(seq=n, at_ms=START_MS + n * 1000, mark=mark) for n, mark in marks.items()])
        clock.set_wall_ms(START_MS + HOUR_MS + DAY_MS)
        await history.drop_old(clock.now_ms())
        assert [p.seq for p in await whole_track(history)] == [2, 61, 125]

    async def test_late_data_for_a_thinned_hour_competes_for_its_minute(
        self, make: Make, clock: ManualClock
    ) -> None:
        history = await make()
        await history.append([fix(seq=30, at_ms=START_MS + 30_000), fix(seq=70, at_ms=START_MS + 70_000)])
        clock.set_wall_ms(START_MS + HOUR_MS + DAY_MS)
        await history.drop_old(clock.now_ms())
        late = [fix(seq=n, at_ms=START_MS + n * 1000, session_id="other") for n in (20, 80, 150)]
        assert await history.append(late) == [True, False, True]
        assert [p.seq for p in await whole_track(history)] == [20, 70, 150]
        assert await history.append(late) == [False, False, False]
        assert await history.count() == 3

    async def test_late_data_for_an_hour_without_any_goes_by_the_minute(
        self, make: Make, clock: ManualClock
    ) -> None:
        history = await make()
        at_ms = START_MS - 2 * DAY_MS
        late = [fix(seq=n, at_ms=at_ms + n * 10_000) for n in range(12)]
        assert await history.append(late) == [n in (0, 6) for n in range(12)]
        assert [p.seq for p in await whole_track(history)] == [0, 6]

    async def test_what_is_older_than_all_is_not_stored(self, make: Make) -> None:
        history = await make()
        assert await history.append([fix(at_ms=START_MS - 8 * DAY_MS), fix()]) == [False, True]
        assert await history.count() == 1

    async def test_tracks_of_many_years_ago_are_kept_when_asked_for(
        self, make: Make, clock: ManualClock
    ) -> None:
        history = await make(detail_for="20y")
        stored = [fix(seq=n, at_ms=START_MS - 6000 * DAY_MS + n * 10 * HOUR_MS) for n in range(60)]
        assert all(await history.append(stored))
        await history.drop_old(clock.now_ms())
        assert keys(await whole_track(history)) == expected(stored, 0, 2**50, "rider-1")

    async def test_erased_rider_is_gone_everywhere_and_the_others_stay(
        self, make: Make, reopen: Reopen, clock: ManualClock
    ) -> None:
        history = await make()
        for rider_id in ("rider-1", "rider-2"):
            await history.append([fix(rider_id, n, START_MS + n * 20 * MINUTE_MS) for n in range(6)])
        clock.set_wall_ms(START_MS + HOUR_MS + DAY_MS)
        await history.drop_old(clock.now_ms())
        history = await reopen()
        await history.append([fix("rider-1", 100, clock.now_ms())])
        assert await history.erase("rider-1") == 7
        assert await history.erase("rider-1") == 0
        assert await whole_track(history) == []
        assert len(await whole_track(history, "rider-2")) == 6
        assert await history.count() == 6

    async def test_readers_never_miss_what_was_stored_while_others_write(self, make: Make) -> None:
        history = await make()
        stored = [fix(seq=n, at_ms=START_MS + n * 1000) for n in range(3000)]
        done = 0

        async def write() -> None:
            nonlocal done
            for start in range(0, len(stored), 100):
                await history.append(stored[start : start + 100])
                done = start + 100

        writing = asyncio.ensure_future(write())
        while not writing.done():
            sure = done
            points = await whole_track(history)
            assert [p.seq for p in points] == list(range(len(points)))
            assert len(points) >= sure
        await writing
        assert len(await whole_track(history)) == 3000

    @settings(max_examples=25, deadline=None, suppress_health_check=_SUPPRESS)
    @given(data=st.data())
    async def test_any_sequence_of_appends_equals_a_dictionary(self, make: Make, data: st.DataObject) -> None:
        """Duplicates, out of order, sessions side by side, hours apart: as a dict by identity."""
        numbers = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 40))

        def position(numbers: tuple[int, int, int]) -> StoredPosition:
            rider, session, seq = numbers  # the time follows from the identity, as it does for a resend
            at_ms = START_MS - 3 * HOUR_MS + (seq * 7919 + session * 104_729) % (4 * HOUR_MS)
            mark = ("", "late", "jump")[seq % 3]
            return fix(f"rider-{rider}", seq, at_ms, f"session-{session}", mark)

        history = await make()
        model: dict[tuple[str, str, int], StoredPosition] = {}
        for batch in data.draw(st.lists(st.lists(numbers, max_size=30), max_size=6)):
            stored = [position(one) for one in batch]
            new = []
            for one in stored:
                new.append(identity(one) not in model)
                model.setdefault(identity(one), one)
            assert await history.append(stored) == new
        from_ms = START_MS + data.draw(st.integers(-4 * HOUR_MS, 2 * HOUR_MS))
        to_ms = START_MS + data.draw(st.integers(-4 * HOUR_MS, 2 * HOUR_MS))
        limit = data.draw(st.integers(0, 100))
        for rider_id in ("rider-1", "rider-2"):
            everything = expected(model.values(), from_ms, to_ms, rider_id)
            assert keys(await history.track(rider_id, from_ms, to_ms, limit, True)) == everything[:limit]
            plain = [p for p in model.values() if p.mark != "jump"]
            assert (
                keys(await history.track(rider_id, from_ms, to_ms, limit))
                == (expected(plain, from_ms, to_ms, rider_id)[:limit])
            )
        assert await history.count() == len(model)

    @settings(max_examples=15, deadline=None, suppress_health_check=_SUPPRESS)
    @given(data=st.data())
    async def test_thinning_keeps_exactly_one_a_minute_whenever_it_comes(
        self, make: Make, clock: ManualClock, data: st.DataObject
    ) -> None:
        """Some before, some after the hour is thinned: the same positions stay, the first of each minute."""
        numbers = st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(0, 3599))
        stored = [
            fix("rider-1", seconds + 1, START_MS + seconds * 1000, f"session-{session}")
            for _, session, seconds in data.draw(st.lists(numbers, max_size=60, unique_by=lambda n: n[2]))
        ]
        cut = data.draw(st.integers(0, len(stored)))
        clock.set_wall_ms(START_MS + 2 * HOUR_MS)
        history = await make()
        await history.append(stored[:cut])
        clock.set_wall_ms(START_MS + HOUR_MS + DAY_MS)
        await history.drop_old(clock.now_ms())
        await history.append(stored[cut:])
        first: dict[int, int] = {}
        for one in sorted(stored, key=lambda p: p.position.device_time_ms, reverse=True):
            first[one.position.device_time_ms // MINUTE_MS] = one.position.seq
        points = await whole_track(history)
        assert {p.device_time_ms // MINUTE_MS: p.seq for p in points} == first
        assert len(points) == len(first) == await history.count()


def settings_of(**values: object) -> HistorySettings:
    return HistorySettings.model_validate(values)
