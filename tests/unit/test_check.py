"""Each check refuses what it names, and only that."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from majung.positions.check import check, is_good_id
from majung.positions.model import Position, Reason
from majung.settings import PositionSettings

NOW_MS = 1_780_000_000_000
SETTINGS = PositionSettings()
GOOD = Position(
    "rider-1", "session", 1, 37.4979, 127.0276, NOW_MS - 1000, NOW_MS, 8.0, 5.5, 90.0, {"battery": "80"}
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rider_id": ""}, Reason.BAD_RIDER_ID),
        ({"rider_id": "x" * 1_000_000}, Reason.BAD_RIDER_ID),
        ({"rider_id": "a/b"}, Reason.BAD_RIDER_ID),
        ({"rider_id": "a\x00b"}, Reason.BAD_RIDER_ID),
        ({"rider_id": " a"}, Reason.BAD_RIDER_ID),
        ({"session_id": ""}, Reason.BAD_SESSION_ID),
        ({"session_id": "\n"}, Reason.BAD_SESSION_ID),
        ({"seq": 0}, Reason.BAD_SEQ),
        ({"seq": 2**63}, Reason.BAD_SEQ),
        ({"seq": 2**64 - 1}, Reason.BAD_SEQ),
        ({"latitude": math.nan}, Reason.NOT_A_NUMBER),
        ({"longitude": math.inf}, Reason.NOT_A_NUMBER),
        ({"latitude": -math.inf}, Reason.NOT_A_NUMBER),
        ({"latitude": 127.0276, "longitude": 37.4979}, Reason.OUT_OF_RANGE),
        ({"latitude": 90.0001}, Reason.OUT_OF_RANGE),
        ({"longitude": -180.0001}, Reason.OUT_OF_RANGE),
        ({"latitude": 0.0, "longitude": 0.0}, Reason.NULL_ISLAND),
        ({"latitude": -0.0, "longitude": 0.0}, Reason.NULL_ISLAND),
        ({"device_time_ms": 0}, Reason.TOO_OLD),
        ({"device_time_ms": -(2**63)}, Reason.TOO_OLD),
        ({"device_time_ms": 4_102_444_800_000}, Reason.CLOCK_AHEAD),
        ({"device_time_ms": NOW_MS + 60_001}, Reason.CLOCK_AHEAD),
        ({"accuracy_m": -1.0}, Reason.BAD_ACCURACY),
        ({"accuracy_m": math.nan}, Reason.BAD_ACCURACY),
        ({"speed_mps": math.inf}, Reason.BAD_MOTION),
        ({"speed_mps": -0.1}, Reason.BAD_MOTION),
        ({"heading_deg": 360.1}, Reason.BAD_MOTION),
        ({"heading_deg": math.nan}, Reason.BAD_MOTION),
        ({"tags": {str(i): "" for i in range(33)}}, Reason.BAD_TAGS),
        ({"tags": {"a": "x" * 10_000_000}}, Reason.BAD_TAGS),
    ],
)
def test_refused(changes: dict[str, Any], reason: Reason) -> None:
    rejection = check(msgspec.structs.replace(GOOD, **changes), SETTINGS)
    assert rejection is not None
    assert rejection.reason is reason
    assert rejection.detail


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rider_id": "라이더 7", "session_id": "아이폰"},
        {"seq": 2**63 - 1},
        {"latitude": 90.0, "longitude": 180.0},
        {"latitude": 0.0, "longitude": 0.0001},
        {"accuracy_m": None, "speed_mps": None, "heading_deg": None, "tags": None},
        {"accuracy_m": 0.0, "heading_deg": 360.0},
        {"device_time_ms": NOW_MS + 59_000},
        {"device_time_ms": NOW_MS - 6 * 86_400_000},
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    assert check(msgspec.structs.replace(GOOD, **changes), SETTINGS) is None


def test_swapped_coordinates_are_named_as_such() -> None:
    rejection = check(msgspec.structs.replace(GOOD, latitude=127.0, longitude=37.5), SETTINGS)
    assert rejection is not None
    assert "swapped" in rejection.detail


@given(st.text(max_size=200))
def test_any_text_is_an_id_or_is_not(text: str) -> None:
    if is_good_id(text):
        assert 0 < len(text) <= 128
        assert "/" not in text
        text.encode()  # a lone surrogate would fail here, and in every store


@given(st.floats(), st.floats(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64 - 1))
def test_check_never_raises(latitude: float, longitude: float, time_ms: int, seq: int) -> None:
    position = msgspec.structs.replace(
        GOOD, latitude=latitude, longitude=longitude, device_time_ms=time_ms, seq=seq
    )
    if check(position, SETTINGS) is None:
        assert -90 <= latitude <= 90
        assert -180 <= longitude <= 180
        assert seq >= 1
