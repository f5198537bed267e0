"""Clients that send without end or take nothing: the server's memory has a bound, and they are let go."""

import base64
import contextlib
import os
import re
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from majung_sdk import location_pb2
from tests.faults.neighbours import Neighbours, memory_of, wait_for
from tests.paths.grpc_client import SERVICE, metadata, position
from tests.server import Server, start_server

pytestmark = [pytest.mark.fault]

MIB = 1 << 20
PIECE = 64 * 1024


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits for a second where others wait for ten."""
    with start_server(tmp_path_factory.mktemp("greedy") / "data", "server.header_timeout=1s") as running:
        yield running


@contextlib.contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.http_port)) as sock:
        sock.settimeout(30)
        yield sock


def pour(sock: socket.socket, piece: bytes, at_most: int) -> int:
    """Send `piece` again and again until the server has closed; how many bytes that took."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < at_most:
            sent += sock.send(piece)
    return sent


# --------------------------------------------------------------------------------------------- HTTP

CHUNKED = b"POST /osmand HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /", b"a" * PIECE),
        (b"GET / HTTP/1.1\r\nX-Long: ", b"a" * PIECE),
        (b"GET / HTTP/1.1\r\n", b"X-Many: a\r\n" * 1000),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"X-Trailer: a\r\n" * 1000),
        (CHUNKED + b"1;", b"a" * PIECE),
    ],
    ids=["path", "header", "headers", "trailers", "chunk extension"],
)
def test_what_stands_around_a_body_has_a_bound(impatient: Server, begin: bytes, piece: bytes) -> None:
    with connected(impatient) as sock:
        sock.sendall(begin)
        # What the kernel and the event loop read ahead is bounded too; without our bound it goes on.
        assert pour(sock, piece, 512 * MIB) < 32 * MIB


REQUEST = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


def test_an_answer_that_nobody_takes_is_given_up(impatient: Server) -> None:
    before = memory_of(impatient)
    with Neighbours(impatient) as neighbours, connected(impatient) as sock:
        sock.sendall(REQUEST * 50)  # answers of many MiB, past what the kernel keeps
        # Not reading, only looking whether the connection is still there.
        wait_for("let go", lambda: gone(sock))
    neighbours.check()
    assert memory_of(impatient) - before < 64 * MIB


def gone(sock: socket.socket) -> bool:
    try:
        sock.send(b"\r\n")
    except ConnectionError:
        return True
    return False


def test_requests_far_ahead_of_their_answers_are_refused(impatient: Server) -> None:
    before = memory_of(impatient)
    with Neighbours(impatient) as neighbours, connected(impatient) as sock:
        assert pour(sock, REQUEST * 500, 512 * MIB) < 32 * MIB
    neighbours.check()
    assert memory_of(impatient) - before < 64 * MIB


def test_requests_a_little_ahead_of_their_answers_are_answered_in_order(impatient: Server) -> None:
    with connected(impatient) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" * 30)
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 60 and (data := sock.recv(PIECE)):
            answers += data
    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"200", b"404"] * 30


# ---------------------------------------------------------------------------------------- WebSocket

TEXT, PING, CLOSE, CONTINUATION = 0x1, 0x9, 0x8, 0x0


def frame(opcode: int, payload: bytes, final: bool = True) -> bytes:
    """A client's frame (RFC 6455 §5.2), masked with zeros."""
    size = len(payload)
    head = bytes([opcode | (0x80 if final else 0)])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65_536:
        head += struct.pack("!BH", 0x80 | 126, size)
    else:
        head += struct.pack("!BQ", 0x80 | 127, size)
    return head + bytes(4) + payload


@contextlib.contextmanager
def websocket(server: Server, path: str = "/v1/live") -> Iterator[socket.socket]:
    with connected(server) as sock:
        key = base64.b64encode(os.urandom(16)).decode()
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        request += f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        request += f"Authorization: {server.admin['Authorization']}\r\n\r\n"
        sock.sendall(request.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(1)
        assert b" 101 " in answer
        yield sock


def frames(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """What the server sends until it closes the connection: opcode and payload."""
    with contextlib.suppress(ConnectionError), sock.makefile("rb") as stream:
        while head := stream.read(2):
            size = head[1] & 0x7F
            if size >= 126:
                [size] = struct.unpack("!H" if size == 126 else "!Q", stream.read(2 if size == 126 else 8))
            yield head[0] & 0x0F, stream.read(size)


def close_code(sock: socket.socket) -> int:
    """Read to the end; the code that the server closed with."""
    [code] = [struct.unpack("!H", payload[:2])[0] for opcode, payload in frames(sock) if opcode == CLOSE]
    return int(code)


def test_a_websocket_that_answers_no_ping_is_dropped(impatient: Server) -> None:
    with websocket(impatient) as sock:
        seen = list(frames(sock))
    opcodes = [opcode for opcode, _ in seen]
    assert PING in opcodes
    assert seen[-1][0] == CLOSE
    assert struct.unpack("!H", seen[-1][1][:2])[0] == 1011


@pytest.mark.parametrize("path", ["/v1/live", "/v1/positions/stream"])
def test_an_oversize_frame_is_refused(impatient: Server, path: str) -> None:
    with websocket(impatient, path) as sock:
        sock.sendall(frame(TEXT, b"a" * (MIB + 1))[:20])  # its announced size is enough
        assert close_code(sock) == 1009


def test_a_message_of_endless_pieces_is_refused(impatient: Server) -> None:
    with websocket(impatient) as sock:
        sock.sendall(frame(TEXT, b"", final=False) + frame(CONTINUATION, b"", final=False) * 2000)
        assert close_code(sock) == 1009


def test_pings_of_somebody_who_reads_nothing_are_not_kept(impatient: Server) -> None:
    before = memory_of(impatient)
    with Neighbours(impatient) as neighbours, websocket(impatient) as sock:
        assert pour(sock, frame(PING, b"a" * 125) * 500, 1024 * MIB) < 1024 * MIB
    neighbours.check()
    assert memory_of(impatient) - before < 64 * MIB


# --------------------------------------------------------------------------------------------- gRPC

POSITIONS = 200_000


class Deaf:
    """A call that sends and does not read. `window` bytes is all it lets the server send unread."""

    def __init__(self, server: Server, token: str, window: int, positions: int) -> None:
        self.positions = positions
        self.sent = 0
        self.sending = True
        options = [("grpc.http2.lookahead_bytes", window), ("grpc.http2.bdp_probe", 0)]
        self._channel = grpc.insecure_channel(server.grpc, options=options)
        method = self._channel.stream_stream(f"{SERVICE}/TrackPositions")
        self.call = method(self._positions(), metadata=metadata(token))

    def _positions(self) -> Iterator[bytes]:
        template: dict[str, Any] = {"rider_id": "deaf"}
        while self.sending and self.sent < self.positions:
            self.sent += 1
            yield position(self.sent, latitude=37.5, **template)

    def hear(self) -> list[int]:
        """Every acknowledgement, to the end."""
        return [int(location_pb2.StreamAck.FromString(answer).last_acked_seq) for answer in self.call]

    def close(self) -> None:
        self._channel.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_acknowledgements_that_nobody_reads_do_not_pile_up(impatient: Server) -> None:
    """There is room for 7,281 unread ones in the stream's window, and fewer are sent: they cover many."""
    token = str(impatient.add_user("deaf", "gateway")["token"])
    before = memory_of(impatient)
    deaf = Deaf(impatient, token, 65_536, POSITIONS)
    with Neighbours(impatient) as neighbours:
        wait_for("all sent", lambda: deaf.sent == POSITIONS, 90)
        acks = deaf.hear()
    deaf.close()
    neighbours.check()
    assert acks[-1] == POSITIONS
    assert acks == sorted(acks)
    assert len(acks) < POSITIONS / 10
    assert memory_of(impatient) - before < 256 * MIB


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_device_that_takes_no_acknowledgement_is_not_read_on(impatient: Server) -> None:
    """A window of 64 bytes has room for seven acknowledgements; then the server waits, and so does the device."""
    token = str(impatient.add_user("deafer", "gateway")["token"])
    deaf = Deaf(impatient, token, 64, sys.maxsize)
    with Neighbours(impatient) as neighbours:
        wait_for("the device is held", lambda: unchanged(lambda: deaf.sent), 60)
        held_at = deaf.sent
        assert held_at > 0
        deaf.sending = False
        acks = deaf.hear()
    deaf.close()
    neighbours.check()
    assert acks[-1] == deaf.sent
    assert deaf.sent <= held_at + 1
    print(f"held after {held_at} positions; {len(acks)} acknowledgements")


def unchanged(value: Callable[[], int]) -> bool:
    """Whether it stays the same for a second."""
    first, until_s = value(), time.monotonic() + 1
    while value() == first:
        if time.monotonic() > until_s:
            return True
        time.sleep(0.05)
    return False
