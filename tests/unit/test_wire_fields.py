"""The loose values of phones: numbers, times, unknown motion, tags, JSON as it comes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majung.positions.check import MAX_TAG_BYTES, MAX_TAGS
from majung.positions.model import MAX_SEQ, Reason
from majung.wire.fields import (
    MAX_UNREADABLE,
    FieldError,
    Unreadable,
    accuracy,
    collect_tags,
    device_time_ms,
    gather,
    heading,
    measure,
    number,
    parse_json,
    percent,
    piece,
    text,
)
from majung.wire.identity import Fix, Sender, identify, seq_of, session_of

FIX = Fix(latitude=37.4979, longitude=127.0276, device_time_ms=1_780_000_000_000, accuracy_m=5.0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1377177267, 1377177267000),
        ("1377177267", 1377177267000),
        (1504763810.25, 1504763810250),
        (1442068686579, 1442068686579),
        ("1442068686579", 1442068686579),
        ("2025-06-15T13:45:12.862Z", 1749995112862),
        ("2016-01-27T18:55:47Z", 1453920947000),
        ("2015-10-01T08:00:00-0700", 1443711600000),
        ("2015-10-01T08:00:00-07:00", 1443711600000),
        ("2014-06-04 09:10:11", 1401873011000),
        ("2026-01-31T09:00:00 09:00", 1769817600000),  # a "+" that a query string made a space
        ("1970-01-01T00:00:00Z", 0),
        (0, 0),
        (-5, -5000),
        ("2100-01-01T00:00:00Z", 4102444800000),
    ],
)
def test_a_time_comes_as_seconds_milliseconds_or_iso(value: object, expected: int) -> None:
    assert device_time_ms(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "yesterday",
        "어제",
        "NaN",
        math.nan,
        math.inf,
        1e300,
        10**400,
        "9" * 65,
        "2025-13-45T00:00:00Z",
        "T" * 10_000,
        [],
        {},
    ],
)
def test_what_is_no_time_is_told(value: object) -> None:
    with pytest.raises(FieldError):
        device_time_ms(value)


@pytest.mark.parametrize(
    ("value", "expected"), [(1, 1.0), (-1.5, -1.5), ("37.4979", 37.4979), (" 1e2 ", 100.0), ("-.5", -0.5)]
)
def test_a_number_may_stand_in_a_string(value: object, expected: float) -> None:
    assert number(value) == expected


def test_nan_and_infinity_are_read_so_that_the_check_can_name_them() -> None:
    assert math.isnan(number("NaN"))
    assert number("-Infinity") == -math.inf


@pytest.mark.parametrize("value", [None, True, "", "abc", "1,5", "1_000", "0x10", "9" * 65, [], {}, 10**400])
def test_what_is_no_number_is_told(value: object) -> None:
    with pytest.raises(FieldError):
        number(value)


def test_unknown_motion_is_unknown_and_not_minus_one() -> None:
    assert measure(-1) is None
    assert measure("fast") is None
    assert measure(math.nan) is None
    assert measure(36, 1 / 3.6) == pytest.approx(10.0)
    assert measure(0) == 0.0
    assert accuracy(0) is None
    assert accuracy(-1) is None
    assert accuracy(12) == 12.0
    assert heading(-1) is None
    assert heading(361) is None
    assert heading(360) == 360.0
    assert percent(0.89) == "89"
    assert percent(-1) == ""
    assert percent(87) == ""


def test_json_as_phones_and_broken_libraries_write_it() -> None:
    assert parse_json(b'{"a": 1, "a": 2}') == {"a": 2}
    assert parse_json('{"name": "김라이더"}'.encode()) == {"name": "김라이더"}
    values = parse_json(b"[NaN, Infinity, -Infinity, 1e999]")
    assert isinstance(values, list)
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, math.inf]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe\x00",
        b"{'a': 1}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 5000 + b"]" * 5000,
        b"[" + b"9" * 5000 + b"]",
    ],
)
def test_what_is_no_json_is_told(body: bytes) -> None:
    with pytest.raises(FieldError):
        parse_json(body)


def test_tags_never_cost_a_phone_its_fix() -> None:
    talkative = [(f"key{i}", "x" * 10_000) for i in range(1000)]
    tags = collect_tags({"battery_pct": 87, "charging": True, "altitude_m": None, "empty": ""}, talkative)
    assert tags is not None
    assert tags["battery_pct"] == "87"
    assert tags["charging"] == "true"
    assert "altitude_m" not in tags
    assert "empty" not in tags
    assert len(tags) <= MAX_TAGS
    assert sum(len(key) + len(value) for key, value in tags.items()) <= MAX_TAG_BYTES
    assert collect_tags({"nothing": None}) is None


def test_a_credential_is_in_no_tag_and_in_no_quarantined_piece() -> None:
    secret = "mjd_secret"
    assert collect_tags({"a": "1"}, [("url", "x?token=mjd_secret"), ("mjd_secret", "1")], secret) == {
        "a": "1"
    }
    assert b"mjd_secret" not in piece({"device_id": "mjd_secret", "pad": "x" * 2040}, secret)


def test_text_can_be_stored_anywhere() -> None:
    assert text("\ud800") == "?"
    assert text(87.0) == "87"
    assert text(["x"]) == ""
    text("\ud800한글").encode("utf-8")


def test_of_very_many_mistakes_a_bounded_number_is_kept_and_every_position() -> None:
    bad = Unreadable(Reason.MALFORMED, "x", b"")
    good = identify(Sender(rider_id="r"), "osmand", FIX, 1)
    decoded = gather([bad] * 5000 + [None] + [good] * 5000)
    assert decoded.count(good) == 5000
    assert len(decoded) == 5000 + MAX_UNREADABLE + 1
    assert isinstance(decoded[-1], Unreadable)
    assert decoded[-1].detail.startswith("4000 more")


def test_the_identity_of_a_resend_is_the_same_and_of_another_fix_another() -> None:
    again = Fix(37.4979, 127.0276, 1_780_000_000_000, 5.0, tags={"battery_pct": "50"})
    moved = Fix(37.4980, 127.0276, 1_780_000_000_000, 5.0)
    later = Fix(37.4979, 127.0276, 1_780_000_001_000, 5.0)
    assert seq_of(FIX) == seq_of(again)
    assert len({seq_of(FIX), seq_of(moved), seq_of(later)}) == 3
    assert seq_of(FIX) // 1024 == 1_780_000_000_000


@given(st.integers(-(2**53), 2**53), st.floats(), st.floats())
def test_seq_is_within_bounds_for_any_time_and_place(time_ms: int, latitude: float, longitude: float) -> None:
    assert 1 <= seq_of(Fix(latitude, longitude, time_ms)) <= MAX_SEQ


def test_a_session_name_is_always_good() -> None:
    assert session_of("osmand", "") == "osmand"
    assert session_of("osmand", "전화 1") == "osmand:전화 1"
    for device in ("x" * 1_000_000, "a/b", "\n", " "):
        session = session_of("osmand", device)
        assert session.startswith("osmand:")
        assert len(session) == len("osmand:") + 8


def test_who_the_rider_is() -> None:
    device = Sender(rider_id="rider-1", user="someone", secret="mjd_secret")
    assert identify(device, "osmand", FIX, 1, named="else", device="else").rider_id == "rider-1"
    assert identify(device, "osmand", FIX, 1, named="else", device="else").session_id == "osmand:else"
    assert identify(device, "osmand", FIX, 1, named="mjd_secret", device="mjd_secret").session_id == "osmand"
    gateway = Sender(user="from-header")
    assert identify(gateway, "osmand", FIX, 1, named="민수", device="민수").rider_id == "민수"
    assert identify(gateway, "osmand", FIX, 1, named="민수", device="민수").session_id == "osmand"
    assert identify(gateway, "osmand", FIX, 1).rider_id == "from-header"
    token_as_id = Sender(secret="mju_secret")
    assert identify(token_as_id, "osmand", FIX, 1, named="mju_secret", device="mju_secret").rider_id == ""
