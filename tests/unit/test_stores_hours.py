"""Opening hours against a model that knows nothing of spans: one flag for each minute of the week."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majung.stores.hours import DAY, check_hours, is_open, opens_next_ms, parse_span, zone
from majung.stores.model import Hours, Weekday

WEEK = 7 * DAY
SEOUL = "Asia/Seoul"
MONDAY = datetime(2026, 11, 23, tzinfo=ZoneInfo(SEOUL))


def text_of(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def seoul_ms(minute_of_week: int, seconds: int = 0) -> int:
    return round((MONDAY + timedelta(minutes=minute_of_week, seconds=seconds)).timestamp() * 1000)


# Ends and begins close together, so that spans touch, meet midnight and reach into the next day's.
MINUTES = st.one_of(st.integers(0, DAY - 1), st.sampled_from([0, 1, 60, 720, DAY - 60, DAY - 1]))
SPANS = st.tuples(MINUTES, MINUTES).filter(lambda span: span[0] != span[1])
DAYS = st.one_of(st.just([(0, DAY)]), st.lists(SPANS, max_size=3))
WEEKS = st.dictionaries(st.sampled_from(list(Weekday)), DAYS, max_size=7)


def hours_of(week: dict[Weekday, list[tuple[int, int]]]) -> Hours:
    return {
        day: [f"{text_of(opens)}-{'24:00' if closes == DAY else text_of(closes)}" for opens, closes in spans]
        for day, spans in week.items()
    }


def open_minutes(week: dict[Weekday, list[tuple[int, int]]]) -> list[bool]:
    """Walk the clock from each beginning to its end, one minute after the other."""
    flags = [False] * WEEK
    for number, day in enumerate(Weekday):
        for opens, closes in week.get(day, []):
            minute = opens
            while True:
                flags[(number * DAY + minute) % WEEK] = True
                minute += 1
                if minute % DAY == closes % DAY:
                    break
    return flags


@given(WEEKS, st.lists(st.integers(0, WEEK - 1), min_size=20, max_size=60), st.integers(0, 59))
def test_open_is_what_the_minutes_say(
    week: dict[Weekday, list[tuple[int, int]]], minutes: list[int], seconds: int
) -> None:
    hours, flags = hours_of(week), open_minutes(week)
    edges = [
        (number * DAY + edge + step) % WEEK
        for number, day in enumerate(Weekday)
        for span in week.get(day, [])
        for edge in span
        for step in (-1, 0, 1)
    ]
    for minute in minutes + edges:
        assert is_open(hours, SEOUL, seoul_ms(minute, seconds)) is flags[minute], minute


@given(WEEKS, st.integers(0, WEEK - 1))
def test_the_next_opening_is_the_first_open_minute(
    week: dict[Weekday, list[tuple[int, int]]], minute: int
) -> None:
    flags = open_minutes(week)
    ahead = next((step for step in range(WEEK) if flags[(minute + step) % WEEK]), None)
    found = opens_next_ms(hours_of(week), SEOUL, seoul_ms(minute))
    assert found == (None if ahead is None else seoul_ms(minute + ahead))


def test_a_break_and_past_midnight() -> None:
    friday_night: Hours = {Weekday.FRI: ["11:00-15:00", "17:00-02:00"]}
    friday = 4 * DAY
    for minute, expected in [
        (friday + 10 * 60 + 59, False),
        (friday + 11 * 60, True),
        (friday + 15 * 60, False),
        (friday + 17 * 60, True),
        (friday + DAY + 119, True),  # Saturday, 01:59
        (friday + DAY + 120, False),
        (friday - DAY + 60, False),
    ]:
        assert is_open(friday_night, SEOUL, seoul_ms(minute)) is expected, minute


def test_sunday_night_reaches_into_monday() -> None:
    assert is_open({Weekday.SUN: ["22:00-04:00"]}, SEOUL, seoul_ms(3 * 60 + 59))
    assert not is_open({Weekday.SUN: ["22:00-04:00"]}, SEOUL, seoul_ms(4 * 60))


def test_the_same_moment_in_two_zones() -> None:
    lunch: Hours = {day: ["11:00-14:00"] for day in Weekday}
    noon_in_seoul = seoul_ms(12 * 60)
    assert is_open(lunch, SEOUL, noon_in_seoul)
    assert not is_open(lunch, "Europe/Paris", noon_in_seoul)


def test_when_the_clocks_change_the_wall_counts() -> None:
    night: Hours = {Weekday.SAT: ["20:00-04:00"]}
    paris = ZoneInfo("Europe/Paris")
    # 2026-03-29: 02:00 becomes 03:00.
    before = datetime(2026, 3, 29, 1, 59, tzinfo=paris).timestamp() * 1000
    assert is_open(night, "Europe/Paris", round(before))
    assert is_open(night, "Europe/Paris", round(before) + 60_000)  # 03:00 on the wall
    assert not is_open(night, "Europe/Paris", round(before) + 61 * 60_000)  # 04:00


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9:00-17:00",
        "09:00",
        "24:00-10:00",
        "09:60-10:00",
        "09:00-25:00",
        "09:00-09:00",
        "09:00-24:30",
        "09:00-17:00\n",
        "０9:00-17:00",
        "00:00-00:00",
        "09:00–17:00",
    ],
)
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match=r"span|begins when"):
        parse_span(text)


def test_spans_of_a_day_do_not_overlap_and_are_not_endless() -> None:
    check_hours({Weekday.MON: ["17:00-02:00", "11:00-17:00"]})
    with pytest.raises(ValueError, match="mon: the spans overlap"):
        check_hours({Weekday.MON: ["11:00-15:00", "14:59-16:00"]})
    with pytest.raises(ValueError, match="at most"):
        check_hours({Weekday.MON: [f"{hour:02}:00-{hour:02}:30" for hour in range(7)]})


@pytest.mark.parametrize("tz", ["Mars/Base", "../../etc/passwd", "/etc/localtime", "Asia", "a\0b"])
def test_no_such_zone(tz: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        zone(tz)
