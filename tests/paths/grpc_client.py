"""A plain gRPC client for tests: raw bytes in, statuses out."""

from collections.abc import Iterable
from typing import Any

import grpc

from majung_sdk import location_pb2

SERVICE = "/majung.location.v1.LocationService"


def position(seq: int, **fields: Any) -> bytes:
    """A serialised Position; fields not given are those of a good one at Gangnam, now."""
    import time

    values: dict[str, Any] = {
        "session_id": "test",
        "seq": seq,
        "latitude": 37.4979 + seq * 1e-5,
        "longitude": 127.0276,
        "device_time_ms": time.time_ns() // 1_000_000,
        "accuracy_m": 5.0,
    }
    return location_pb2.Position(**{**values, **fields}).SerializeToString()


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),) if token else ()


def stream_positions(address: str, token: str, messages: Iterable[bytes]) -> int:
    """`StreamPositions`; the last acknowledged seq. Raises grpc.RpcError."""
    with grpc.insecure_channel(address) as channel:
        call = channel.stream_unary(f"{SERVICE}/StreamPositions")
        answer = call(iter(messages), metadata=metadata(token), timeout=60)
    return int(location_pb2.StreamAck.FromString(answer).last_acked_seq)


def track_positions(address: str, token: str, messages: Iterable[bytes]) -> list[int]:
    """`TrackPositions`; every acknowledgement. Raises grpc.RpcError."""
    with grpc.insecure_channel(address) as channel:
        call = channel.stream_stream(f"{SERVICE}/TrackPositions")
        answers = call(iter(messages), metadata=metadata(token), timeout=60)
        return [int(location_pb2.StreamAck.FromString(answer).last_acked_seq) for answer in answers]


def status_of(address: str, token: str, messages: Iterable[bytes]) -> tuple[str, str]:
    """The status and details that `StreamPositions` ends with; ("OK", "") when it succeeds."""
    try:
        stream_positions(address, token, messages)
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""
