"""The bytes on the wire. The only module of the SDK that knows protobuf messages."""

from collections.abc import Mapping

from majung_sdk.location_pb2 import Position, StreamAck

TRACK_POSITIONS = "/majung.location.v1.LocationService/TrackPositions"


def encode(
    rider_id: str,
    session_id: str,
    seq: int,
    latitude: float,
    longitude: float,
    device_time_ms: int,
    accuracy_m: float | None = None,
    speed_mps: float | None = None,
    heading_deg: float | None = None,
    tags: Mapping[str, str] | None = None,
) -> bytes:
    """One position, serialised once: the same bytes go to disk and to the wire."""
    return Position(
        rider_id=rider_id,
        session_id=session_id,
        seq=seq,
        latitude=latitude,
        longitude=longitude,
        device_time_ms=device_time_ms,
        accuracy_m=accuracy_m,
        speed_mps=speed_mps,
        heading_deg=heading_deg,
        tags=tags,
    ).SerializeToString()


def decode_ack(raw: bytes) -> int:
    """The seq up to which (in the order sent) this call's positions are durable."""
    return StreamAck.FromString(raw).last_acked_seq
