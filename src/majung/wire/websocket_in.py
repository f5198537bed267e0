"""The device's WebSocket, `/v1/positions/stream`: what its frames hold, and what it is answered.

A text frame is one position as a JSON object, or an array of them; the names are those of
`majung.location.v1.Position`: rider_id, latitude, longitude, device_time_ms, seq, accuracy_m, speed_mps,
heading_deg, session_id, tags. Latitude, longitude, device_time_ms, seq and session_id must be there;
whole numbers may be strings, as protobuf's JSON writes 64-bit ones. A binary frame is one position as a
protobuf message. An empty rider_id is the rider that the credential belongs to.

    device → {"session_id":"a1","seq":7,"latitude":37.4979,"longitude":127.0276,"device_time_ms":…}
    server → {"last_acked_seq":7}     every position before it on this connection is durable as well
    server → {"error":{"type":…,"title":…,"status":…,"detail":…}}

The contract is ours, so nothing is guessed here: a wrong type is `Unreadable`. Unlike in the phones'
protocols nothing need be deduced for an identity: the device counts.
"""

import msgspec

from majung.positions.model import Position, Reason
from majung.wire.fields import MAX_PAYLOAD, Decoded, Unreadable
from majung.wire.location import Malformed, decode_position

DOOR = "websocket"
MAX_FRAME_POSITIONS = 1000


class PositionFrame(msgspec.Struct, frozen=True):
    """One position in a text frame. Field names and units are those of the proto; others are ignored."""

    latitude: float
    longitude: float
    device_time_ms: int
    seq: int
    session_id: str
    rider_id: str = ""
    accuracy_m: float | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    tags: dict[str, str] | None = None


_decode_object = msgspec.json.Decoder(PositionFrame, strict=False).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


def decode(message: bytes, is_text: bool, own_rider_id: str, now_ms: int) -> Decoded:
    """The positions of a message."""
    return (decode_text if is_text else decode_binary)(message, own_rider_id, now_ms)


def decode_text(frame: bytes, own_rider_id: str, now_ms: int) -> Decoded:
    """The positions of a text frame, in its order."""
    if frame.lstrip()[:1] != b"[":
        return [_position(frame, own_rider_id, now_ms)]
    try:
        pieces = _decode_array(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return [_unreadable(frame, error)]
    if len(pieces) > MAX_FRAME_POSITIONS:
        detail = f"{len(pieces)} positions in a frame; at most {MAX_FRAME_POSITIONS}; none is taken"
        return [Unreadable(Reason.MALFORMED, detail, frame[:MAX_PAYLOAD])]
    return [_position(bytes(one), own_rider_id, now_ms) for one in pieces]


def decode_binary(frame: bytes, own_rider_id: str, now_ms: int) -> Decoded:
    """The position of a binary frame."""
    try:
        position = decode_position(frame, own_rider_id, now_ms)
    except Malformed as error:
        return [Unreadable(Reason.MALFORMED, str(error), frame[:MAX_PAYLOAD])]
    return [msgspec.structs.replace(position, door=DOOR)]


def encode_ack(last_acked_seq: int) -> bytes:
    """The answer that says how far everything is durable."""
    return b'{"last_acked_seq":%d}' % last_acked_seq


def encode_error(problem: msgspec.Struct) -> bytes:
    """The answer that says what was wrong, as RFC 9457 problem details."""
    return msgspec.json.encode({"error": problem})


def _position(data: bytes, own_rider_id: str, now_ms: int) -> Position | Unreadable:
    try:
        frame = _decode_object(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _unreadable(data, error)
    if not (-(2**63) <= frame.device_time_ms < 2**63 and 0 <= frame.seq < 2**64):
        return Unreadable(Reason.MALFORMED, "seq or device_time_ms is out of range", data[:MAX_PAYLOAD])
    return Position(
        rider_id=frame.rider_id or own_rider_id,
        session_id=frame.session_id,
        seq=frame.seq,
        latitude=frame.latitude,
        longitude=frame.longitude,
        device_time_ms=frame.device_time_ms,
        received_at_ms=now_ms,
        accuracy_m=frame.accuracy_m,
        speed_mps=frame.speed_mps,
        heading_deg=frame.heading_deg,
        tags=frame.tags or None,
        door=DOOR,
    )


def _unreadable(data: bytes, error: Exception) -> Unreadable:
    detail = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return Unreadable(Reason.MALFORMED, f"not a position: {detail}", data[:MAX_PAYLOAD])
