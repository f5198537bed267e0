"""Connections that are many, slow, silent or rude: each is bounded, and the neighbours feel nothing."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.conftest import ROOT
from tests.faults.neighbours import Neighbours, memory_of, sockets_of, wait_for
from tests.paths.grpc_client import position, stream_positions
from tests.server import Server, start_server

pytestmark = [pytest.mark.fault]

RUDE = 1000
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits for a second where others wait for ten."""
    with start_server(tmp_path_factory.mktemp("impatient") / "data", "server.header_timeout=1s") as running:
        yield running


# ------------------------------------------------------------------------------------------ streams


@contextlib.contextmanager
def open_streams(
    server: Server, token: str, streams: int, per_s: float = 0, refused: int = 0
) -> Iterator["Streams"]:
    command = [sys.executable, "-m", "tests.faults.open_streams", "--to", server.grpc, "--token", token]
    command += ["--streams", str(streams), "--per-s", str(per_s), "--refused", str(refused)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Streams(process)
        finally:
            process.kill()


class Streams:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in: IO[str] = process.stdin
        self._out: IO[str] = process.stdout

    def opened(self) -> int:
        """Wait until all have been opened; how many still are."""
        return int(json.loads(self._out.readline())["open"])

    def report(self) -> dict[str, Any]:
        """A position on each; how many were acknowledged, and how all ended."""
        self._in.write("\n")
        self._in.flush()
        return dict(json.loads(self._out.readline()))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("per_s", [120, 0], ids=["slowly", "at once"])
def test_five_thousand_idle_streams_are_held(server: Server, per_s: float) -> None:
    token = str(server.add_user("fleet", "gateway")["token"])
    with Neighbours(server) as neighbours, open_streams(server, token, 5000, per_s) as streams:
        assert streams.opened() == 5000
        wait_for("5,000 streams", lambda: server.stats()["device_streams"] >= 5000, 60)
        ended = streams.report()
    neighbours.check()
    assert ended == {"acknowledged": 5000, "ends": {"OK": 5000}}
    server.wait_processed()
    assert server.stats()["ledger_errors"] == []


def test_streams_past_the_bound_are_told_so(tmp_path: Path) -> None:
    with start_server(tmp_path / "data", "server.max_streams=50") as server:
        token = str(server.add_user("fleet", "gateway")["token"])
        with open_streams(server, token, 60, refused=10) as streams:
            streams.opened()
            wait_for("50 streams", lambda: server.stats()["device_streams"] == 50)
            ended = streams.report()
        assert ended["acknowledged"] == 50
        assert ended["ends"] == {"OK": 50, "RESOURCE_EXHAUSTED too many open streams; try again later": 10}
        wait_for("all gone", lambda: server.stats()["device_streams"] == 0)
        assert stream_positions(server.grpc, token, [position(1, rider_id="later")]) == 1


def test_one_device_does_not_take_the_streams_of_all(module_server: Server) -> None:
    token = str(module_server.add_device("greedy")["token"])
    with open_streams(module_server, token, 40) as streams:
        streams.opened()
        wait_for("32 streams", lambda: module_server.stats()["device_streams"] == 32)
        other = str(module_server.add_device("modest")["token"])
        assert stream_positions(module_server.grpc, other, [position(1)]) == 1


# ------------------------------------------------------------------------------- slow and silent TCP

Rude = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def says(data: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(data)
    await writer.drain()


async def silent(_: asyncio.StreamWriter) -> None:
    """Opens and says nothing."""


async def headers_byte_by_byte(writer: asyncio.StreamWriter) -> None:
    for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 1000:
        await says(bytes([byte]), writer)
        await asyncio.sleep(0.2)


async def endless_body(writer: asyncio.StreamWriter) -> None:
    await says(b"POST /v1/oauth/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n", writer)
    await says(b"Content-Type: application/x-www-form-urlencoded\r\n\r\n", writer)
    while True:
        await says(b"1\r\na\r\n", writer)
        await asyncio.sleep(0.5)


async def empty_lines(writer: asyncio.StreamWriter) -> None:
    """A good request, and then what is neither a request nor silence."""
    await says(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", writer)
    while True:
        await says(b"\r\n", writer)
        await asyncio.sleep(0.2)


async def half_a_preface(writer: asyncio.StreamWriter) -> None:
    await says(HTTP2_PREFACE[:9], writer)


async def preface_and_no_settings(writer: asyncio.StreamWriter) -> None:
    await says(HTTP2_PREFACE, writer)


async def until_closed(port: int, rude: Rude) -> bool:
    """Connect, be rude, and stay until the server closes; False when it never did."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    being_rude = asyncio.create_task(rude(writer))
    try:
        async with asyncio.timeout(60):
            while not reader.at_eof():
                await reader.read(65_536)
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    finally:
        being_rude.cancel()
        await asyncio.gather(being_rude, return_exceptions=True)
        writer.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("door", "rude"),
    [
        ("http", silent),
        ("http", headers_byte_by_byte),
        ("http", endless_body),
        ("http", empty_lines),
        ("grpc", silent),
        ("grpc", half_a_preface),
        ("grpc", preface_and_no_settings),
    ],
)
async def test_a_thousand_slow_connections_are_closed(impatient: Server, door: str, rude: Rude) -> None:
    port = impatient.http_port if door == "http" else impatient.grpc_port
    sockets, memory = sockets_of(impatient), memory_of(impatient)
    with Neighbours(impatient) as neighbours:
        closed = await asyncio.gather(*(until_closed(port, rude) for _ in range(RUDE)))
    assert all(closed)
    neighbours.check()
    await asyncio.to_thread(wait_for, "sockets back", lambda: sockets_of(impatient) <= sockets)
    assert memory_of(impatient) - memory < 64 << 20


UPGRADE = (
    "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("line", "more", "status"),
    [
        (f"/v1/orders/live?access_token={'x' * 20_000}", "", b"414"),
        ("/v1/live", "".join(f"x-{number}: 1\r\n" for number in range(300)), b"431"),
        ("/v1/live", f"x-long: {'x' * 9_000}\r\n", b"431"),
    ],
)
def test_a_handshake_that_cannot_be_read_is_answered_and_the_server_stops_cleanly(
    tmp_path: Path, line: str, more: str, status: bytes
) -> None:
    with start_server(tmp_path / "data") as server:  # its exit code is looked at
        with socket.create_connection(("127.0.0.1", server.http_port), timeout=60) as sock:
            sock.sendall(f"GET {line} HTTP/1.1\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\n{more}\r\n".encode())
            answer = b""
            while piece := sock.recv(4096):
                answer += piece
        assert answer.split(b" ", 2)[1] == status
