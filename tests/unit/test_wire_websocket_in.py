"""Frames of the device's WebSocket."""

import json

import pytest

from majung.positions.check import check
from majung.positions.model import Position, Reason
from majung.settings import PositionSettings
from majung.wire import websocket_in
from majung.wire.fields import Unreadable
from majung_sdk import location_pb2

NOW_MS = 1_780_000_000_000
FRAME = {
    "rider_id": "민수",
    "session_id": "a1",
    "seq": 7,
    "latitude": 37.4979,
    "longitude": 127.0276,
    "device_time_ms": NOW_MS,
    "accuracy_m": 5.5,
    "speed_mps": 3.0,
    "heading_deg": 90.0,
    "tags": {"battery_pct": "80"},
}


def frame(**changes: object) -> bytes:
    return json.dumps({key: value for key, value in (FRAME | changes).items() if value is not None}).encode()


def test_a_text_frame() -> None:
    (position,) = websocket_in.decode_text(frame(), "민수", NOW_MS)
    assert position == Position(
        rider_id="민수",
        session_id="a1",
        seq=7,
        latitude=37.4979,
        longitude=127.0276,
        device_time_ms=NOW_MS,
        received_at_ms=NOW_MS,
        accuracy_m=5.5,
        speed_mps=3.0,
        heading_deg=90.0,
        tags={"battery_pct": "80"},
        door="websocket",
    )


def test_a_binary_frame_is_the_same_position() -> None:
    message = location_pb2.Position(
        rider_id="민수",
        session_id="a1",
        seq=7,
        latitude=37.4979,
        longitude=127.0276,
        device_time_ms=NOW_MS,
        accuracy_m=5.5,
        speed_mps=3.0,
        heading_deg=90.0,
        tags={"battery_pct": "80"},
    )
    binary = websocket_in.decode_binary(message.SerializeToString(), "민수", NOW_MS)
    assert binary == websocket_in.decode_text(frame(), "민수", NOW_MS)


def test_the_rider_is_the_credentials_own_when_not_named() -> None:
    for changes in ({"rider_id": None}, {"rider_id": ""}):
        (position,) = websocket_in.decode_text(frame(**changes), "own", NOW_MS)
        assert isinstance(position, Position)
        assert position.rider_id == "own"


def test_whole_numbers_may_be_strings_as_in_protobufs_json() -> None:
    (position,) = websocket_in.decode_text(frame(seq="9223372036854775807", device_time_ms="5"), "r", NOW_MS)
    assert isinstance(position, Position)
    assert position.seq == 2**63 - 1
    assert position.device_time_ms == 5


@pytest.mark.parametrize("seq", [0, 2**63, 2**64 - 1])
def test_an_impossible_seq_is_left_to_the_check(seq: int) -> None:
    (position,) = websocket_in.decode_text(frame(seq=seq), "r", NOW_MS)
    assert isinstance(position, Position)
    rejection = check(position, PositionSettings())
    assert rejection is not None
    assert rejection.reason is Reason.BAD_SEQ


def test_an_array_keeps_the_good_ones() -> None:
    body = b"[" + frame() + b",7," + frame(latitude="north") + b"," + frame(seq=8) + b"]"
    decoded = websocket_in.decode_text(body, "r", NOW_MS)
    assert [type(one) for one in decoded] == [Position, Unreadable, Unreadable, Position]
    assert websocket_in.decode_text(b"[]", "r", NOW_MS) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"7",
        b"null",
        b"nonsense",
        b"\xff\xfe",
        b"[7",
        b"[" * 100_000,
        b"[" + b"[" * 100_000,
        b'{"latitude":' * 100_000,
        frame(latitude=float("nan")),
        frame(longitude=float("inf")),
        frame(seq=True),
        frame(seq=-1),
        frame(seq=2**64),
        frame(seq=10**40),
        frame(device_time_ms=2**63),
        frame(session_id=7),
        frame(session_id=None),
        frame(latitude=None),
        frame(tags={"a": 1}),
        frame(tags=[]),
        frame(rider_id={"a": 1}),
    ],
)
def test_what_cannot_be_read_is_set_aside(body: bytes) -> None:
    (unreadable,) = websocket_in.decode_text(body, "r", NOW_MS)
    assert isinstance(unreadable, Unreadable)
    assert unreadable.reason is Reason.MALFORMED
    assert unreadable.detail
    assert len(unreadable.payload) <= 2048


def test_of_two_keys_of_one_name_the_last_counts() -> None:
    (position,) = websocket_in.decode_text(frame()[:-1] + b',"seq":8}', "r", NOW_MS)
    assert isinstance(position, Position)
    assert position.seq == 8


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x0a\xff", b"\x0a\x02\xff\xfe", b"{}"])
def test_a_binary_frame_that_cannot_be_read_is_set_aside(data: bytes) -> None:
    (unreadable,) = websocket_in.decode_binary(data, "r", NOW_MS)
    assert isinstance(unreadable, Unreadable)
    assert unreadable.reason is Reason.MALFORMED


def test_too_many_positions_in_a_frame_are_refused_as_a_whole() -> None:
    body = b"[" + b",".join([frame()] * 1001) + b"]"
    (unreadable,) = websocket_in.decode_text(body, "r", NOW_MS)
    assert isinstance(unreadable, Unreadable)
    assert "at most 1000" in unreadable.detail


def test_an_id_of_a_million_characters_is_left_to_the_check() -> None:
    (position,) = websocket_in.decode_text(frame(rider_id="x" * 1_000_000), "r", NOW_MS)
    assert isinstance(position, Position)
    rejection = check(position, PositionSettings())
    assert rejection is not None
    assert rejection.reason is Reason.BAD_RIDER_ID


def test_answers() -> None:
    assert json.loads(websocket_in.encode_ack(2**63 - 1)) == {"last_acked_seq": 2**63 - 1}
