"""When a store is open: pure functions of its hours, its time zone and the time.

A span belongs to the weekday on which it begins; one that ends at or before its beginning ends on the
next day. Times are of the clock on the wall: on the day when clocks change, so does the length of a span.
"""

import functools
import itertools
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from majung.stores.model import Hours, Weekday

DAY = 1440
MAX_SPANS = 6
_LOOK_AHEAD_DAYS = 8
LOOK_AHEAD_MS = _LOOK_AHEAD_DAYS * 86_400_000
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|(24:00))\Z", re.ASCII)
_WEEKDAYS = tuple(Weekday)


@functools.lru_cache(4096)
def parse_span(text: str) -> tuple[int, int]:
    """`"17:00-02:00"` → (1020, 1560): minutes from the day's begin, the end past 1440 when on the next day.

    Raises ValueError.
    """
    found = _SPAN.match(text)
    if found is None:
        raise ValueError(f"{text[:20]!r} is no span of time: write it like 11:00-22:00")
    opens = int(found[1]) * 60 + int(found[2])
    closes = DAY if found[5] else int(found[3]) * 60 + int(found[4])
    if opens == closes:
        raise ValueError(f"{text!r} begins when it ends: the whole day is 00:00-24:00")
    return opens, closes if closes > opens else closes + DAY


@functools.lru_cache(1024)
def zone(tz: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises ValueError."""
    try:
        return ZoneInfo(tz)
    except (KeyError, ValueError, OSError):  # an unknown name, one that is a path, a folder of names
        raise ValueError(f"there is no time zone {tz[:64]!r}: write it like Asia/Seoul") from None


def check_hours(hours: Hours) -> None:
    """Raises ValueError for a span that cannot be read, and for spans of a day that overlap."""
    for weekday, texts in hours.items():
        if len(texts) > MAX_SPANS:
            raise ValueError(f"{weekday}: at most {MAX_SPANS} spans a day")
        spans = sorted(parse_span(text) for text in texts)
        for (_, closes), (opens, _) in itertools.pairwise(spans):
            if opens < closes:
                raise ValueError(f"{weekday}: the spans overlap")


def is_open(hours: Hours, tz: str, at_ms: int) -> bool:
    """Whether the hours say open at that time."""
    local = _local(tz, at_ms)
    minute, weekday = local.hour * 60 + local.minute, local.weekday()
    today = (parse_span(text) for text in hours.get(_WEEKDAYS[weekday], ()))
    if any(opens <= minute < closes for opens, closes in today):
        return True
    before = (parse_span(text) for text in hours.get(_WEEKDAYS[weekday - 1], ()))
    return any(minute + DAY < closes for _, closes in before)


def opens_next_ms(hours: Hours, tz: str, at_ms: int) -> int | None:
    """The first time at or after `at_ms` at which the hours say open; None when not within eight days."""
    if is_open(hours, tz, at_ms):
        return at_ms
    today = _local(tz, at_ms).date()
    begins = (begin for day in range(_LOOK_AHEAD_DAYS) for begin in _begins(hours, tz, today, day))
    return min((begin for begin in begins if begin > at_ms), default=None)


def _begins(hours: Hours, tz: str, today: date, day: int) -> Iterator[int]:
    that = today + timedelta(days=day)
    for text in hours.get(_WEEKDAYS[that.weekday()], ()):
        opens, _ = parse_span(text)
        local = datetime(that.year, that.month, that.day, opens // 60, opens % 60, tzinfo=zone(tz))
        yield round(local.timestamp() * 1000)


def _local(tz: str, at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, zone(tz))
