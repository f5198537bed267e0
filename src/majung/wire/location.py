"""gRPC wire: bytes of `majung.location.v1.Position` ↔ `Position`. No I/O."""

from google.protobuf.message import DecodeError

from majung.positions.model import Position
from majung_sdk import location_pb2

DOOR = "grpc"


class Malformed(ValueError):
    """These bytes are not a Position."""


def decode_position(data: bytes, own_rider_id: str, received_at_ms: int) -> Position:
    """Parse one message. An empty rider_id becomes `own_rider_id` (of the credential).

    Raises Malformed. Ranges are not looked at here: that is the check's work.
    """
    try:
        message = location_pb2.Position.FromString(data)
    except DecodeError as problem:
        raise Malformed(f"not a majung.location.v1.Position: {problem}") from None
    return Position(
        message.rider_id or own_rider_id,
        message.session_id,
        message.seq,
        message.latitude,
        message.longitude,
        message.device_time_ms,
        received_at_ms,
        message.accuracy_m if message.HasField("accuracy_m") else None,
        message.speed_mps if message.HasField("speed_mps") else None,
        message.heading_deg if message.HasField("heading_deg") else None,
        dict(message.tags) or None,
        DOOR,
    )


def encode_ack(last_acked_seq: int) -> bytes:
    """A StreamAck."""
    return location_pb2.StreamAck(last_acked_seq=last_acked_seq).SerializeToString()
