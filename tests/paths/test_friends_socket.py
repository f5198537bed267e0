"""What a phone reports over the stream of friends: all of it taken and answered in order, however fast it comes."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.friends_kit import WITHIN_S, Person, people
from tests.server import Server, start_server

FRAMES = 300


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with start_server(tmp_path / "data", "server.rate_per_s=400", "server.rate_burst=50") as running:
        yield running


def open_stream(anna: Person) -> ClientConnection:
    address = anna.server.url.replace("http", "ws", 1)
    return connect(f"{address}/v1/friends/live?access_token={anna.token}", compression=None)


def position(seq: int) -> str:
    """A fix that the log of the day will hold."""
    at_ms = time.time_ns() // 1_000_000
    return json.dumps(
        {"session_id": "s", "seq": seq, "latitude": 37.5, "longitude": 127.0, "device_time_ms": at_ms}
    )


def answers(socket: ClientConnection, until_seq: int) -> list[dict[str, Any]]:
    """Acknowledgements and errors, until this seq is acknowledged."""
    found: list[dict[str, Any]] = []
    while not (found and found[-1].get("last_acked_seq") == until_seq):
        message = json.loads(socket.recv(WITHIN_S))
        if "type" not in message:
            found.append(message)
    return found


def test_more_than_may_be_on_the_way_is_taken_in_order(server: Server) -> None:
    """Past the rate and past `MAX_IN_FLIGHT` nothing is read; nothing of it is lost."""
    (anna,) = people(server, 1, "walker")
    with open_stream(anna) as socket:
        for seq in range(1, FRAMES + 1):
            socket.send("{" if seq == FRAMES // 2 else position(seq))
        told = answers(socket, FRAMES)
    acked = [one["last_acked_seq"] for one in told if "last_acked_seq" in one]
    assert acked == sorted(set(acked))
    (error,) = [one["error"] for one in told if "error" in one]
    assert error["status"] == 400
    before = told[: told.index({"error": error})]
    assert before[-1]["last_acked_seq"] == FRAMES // 2 - 1, (
        "what came before the bad frame is answered before it"
    )
    stats = server.wait_processed()
    assert stats["stored"] == FRAMES - 1


def test_a_position_of_somebody_else_ends_the_stream(server: Server) -> None:
    anna, ben = people(server, 2, "pair")
    with open_stream(anna) as socket:
        foreign = json.loads(position(1)) | {"rider_id": ben.id}
        socket.send(json.dumps(foreign))
        while "type" in (message := json.loads(socket.recv(WITHIN_S))):
            pass
        assert message["error"]["status"] == 403
        with pytest.raises(ConnectionClosed):
            socket.recv(WITHIN_S)
        assert socket.close_code == 1008
