"""A device that reports over WebSocket, against a real server."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from majung_sdk import location_pb2
from tests.server import Server, start_server

RIDER = "소켓 라이더"


@pytest.fixture(scope="module")
def token(module_server: Server) -> str:
    return str(module_server.add_device(RIDER)["token"])


def opened(server: Server, token: str) -> connect:
    address = f"ws://127.0.0.1:{server.http_port}/v1/positions/stream"
    return connect(address, additional_headers={"Authorization": f"Bearer {token}"}, compression=None)


@pytest.fixture
async def socket(module_server: Server, token: str) -> AsyncIterator[ClientConnection]:
    async with opened(module_server, token) as connection:
        yield connection


def position(session_id: str, seq: int, **changes: Any) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "seq": seq,
        "latitude": 37.4979,
        "longitude": 127.0276,
        "device_time_ms": int(time.time() * 1000) - 100_000 + seq % 1000,
        "accuracy_m": 5.0,
        "speed_mps": 3.0,
        "heading_deg": 90.0,
        **changes,
    }


async def answer(socket: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(await socket.recv()))


async def acked(socket: ClientConnection, seq: int) -> None:
    """Read answers until `seq` is acknowledged; all before it must be acknowledgements as well."""
    while True:
        got = await answer(socket)
        assert "last_acked_seq" in got, got
        if got["last_acked_seq"] == seq:
            return


def points(server: Server, session_id: str, rider_id: str = RIDER) -> list[int]:
    server.wait_processed()
    track = server.get(f"/v1/riders/{quote(rider_id)}/track")
    rows = track["points"] if isinstance(track, dict) else track
    return [int(row["seq"]) for row in rows if row["session_id"] == session_id]


async def test_one_position_an_array_and_a_protobuf_message(
    module_server: Server, socket: ClientConnection
) -> None:
    await socket.send(json.dumps(position("shapes", 1)))
    await acked(socket, 1)
    await socket.send(json.dumps([position("shapes", 2), position("shapes", 3, rider_id=RIDER)]))
    await acked(socket, 3)
    message = location_pb2.Position(**position("shapes", 4))
    await socket.send(message.SerializeToString())
    await acked(socket, 4)
    assert points(module_server, "shapes") == [1, 2, 3, 4]


async def test_many_in_flight_are_acknowledged_in_order_and_stored_once(
    module_server: Server, socket: ClientConnection
) -> None:
    for seq in range(1, 501):
        await socket.send(json.dumps(position("many", seq)))
    seen = [0]
    while seen[-1] != 500:
        seen.append((await answer(socket))["last_acked_seq"])
    assert seen == sorted(set(seen))
    assert points(module_server, "many") == list(range(1, 501))


async def test_a_resend_is_acknowledged_again_and_changes_nothing(
    module_server: Server, socket: ClientConnection
) -> None:
    sent = json.dumps(position("again", 7))
    for _ in range(3):
        await socket.send(sent)
        await acked(socket, 7)
    assert points(module_server, "again") == [7]


@pytest.mark.parametrize(
    "frame",
    ["", "nonsense", "[" * 100_000, '{"latitude": NaN}', "[7]", b"\xff\xff\xff", '{"위도": 37.5}', "null"],
)
async def test_a_malformed_frame_is_answered_and_the_connection_goes_on(
    socket: ClientConnection, frame: str | bytes
) -> None:
    await socket.send(frame)
    error = (await answer(socket))["error"]
    assert error["status"] == 400
    assert error["type"] == "malformed"
    assert error["detail"]
    await socket.send(json.dumps(position("goes-on", 1)))
    await acked(socket, 1)


async def test_a_frame_with_good_and_bad_pieces(module_server: Server, socket: ClientConnection) -> None:
    await socket.send(json.dumps([position("mixed", 1), {"seq": 2}, {"seq": 3}, position("mixed", 4)]))
    assert await answer(socket) == {"last_acked_seq": 4}
    assert "1 more" in (await answer(socket))["error"]["detail"]
    assert points(module_server, "mixed") == [1, 4]


async def test_what_the_check_refuses_is_acknowledged_and_quarantined(
    module_server: Server, socket: ClientConnection
) -> None:
    bad = [
        position("refused", 0),
        position("refused", 2**64 - 1),
        position("refused", 2, latitude=127.0276, longitude=37.4979),
        position("refused", 3, device_time_ms=0),
        position("refused", 4, device_time_ms=4102444800000),
        position("refused", 5, latitude=0, longitude=0),
        position("refused", 6, tags={"x": "y" * 10_000}),
        position("x" * 100_000, 7),
    ]
    for one in bad:
        await socket.send(json.dumps(one))
        await acked(socket, int(str(one["seq"])))
    assert points(module_server, "refused") == []


@pytest.mark.parametrize("frame", ["x" * 1_048_577, b"x" * 10_000_000])
async def test_a_frame_that_is_too_large_closes_the_connection(
    socket: ClientConnection, frame: str | bytes
) -> None:
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await socket.send(frame)
        await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def closed_with(connection: ClientConnection) -> tuple[int, int]:
    """The status of the error frame, and the code of the close after it."""
    status = int((await answer(connection))["error"]["status"])
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await connection.recv()
    assert closed.value.rcvd is not None
    return status, closed.value.rcvd.code


@pytest.mark.parametrize("forged", ["", "nonsense", "mjd_" + "a" * 12 + "_" + "b" * 32])
async def test_without_a_good_credential(module_server: Server, forged: str) -> None:
    async with opened(module_server, forged) as connection:
        assert await closed_with(connection) == (401, 1008)


async def test_the_token_may_stand_in_the_address(module_server: Server, token: str) -> None:
    address = f"ws://127.0.0.1:{module_server.http_port}/v1/positions/stream?access_token={token}"
    async with connect(address, compression=None) as connection:
        await connection.send(json.dumps(position("address", 1)))
        await acked(connection, 1)
    assert token.rpartition("_")[2] not in module_server.log.read_text()


async def test_a_device_that_reports_for_another(module_server: Server, token: str) -> None:
    async with opened(module_server, token) as connection:
        await connection.send(json.dumps(position("foreign", 1, rider_id="somebody else")))
        assert await closed_with(connection) == (403, 1008)
    assert points(module_server, "foreign", "somebody else") == []


async def test_an_account_that_reports_nothing(module_server: Server) -> None:
    address = f"ws://127.0.0.1:{module_server.http_port}/v1/positions/stream"
    async with connect(address, additional_headers=module_server.admin, compression=None) as connection:
        await connection.send(json.dumps(position("admin", 1, rider_id="by-admin")))
        await acked(connection, 1)
    viewer = module_server.add_user("watcher", "viewer")
    headers = {"Authorization": f"Bearer {module_server.sign_in('watcher', viewer['password'])}"}
    async with connect(address, additional_headers=headers, compression=None) as connection:
        assert await closed_with(connection) == (403, 1008)


async def test_a_gateway_reports_for_many(module_server: Server) -> None:
    gateway = module_server.add_user("fleet-socket", "gateway")
    async with opened(module_server, str(gateway["token"])) as connection:
        frame = [position("gw", seq, rider_id=f"gw-ws-{seq}") for seq in range(1, 6)]
        await connection.send(json.dumps(frame))
        await acked(connection, 5)
    for seq in range(1, 6):
        assert points(module_server, "gw", f"gw-ws-{seq}") == [seq]


async def test_a_device_over_its_rate_is_held_back_and_loses_nothing(tmp_path: Path) -> None:
    with start_server(tmp_path / "data", "server.rate_per_s=200", "server.rate_burst=10") as server:
        device = server.add_device("eager")
        async with opened(server, str(device["token"])) as connection:
            for seq in range(1, 61):
                await connection.send(json.dumps(position("eager", seq)))
            await acked(connection, 60)
        assert points(server, "eager", "eager") == list(range(1, 61))


async def test_what_was_acknowledged_survives_a_kill(server: Server) -> None:
    device = server.add_device("survivor")
    async with opened(server, str(device["token"])) as connection:
        for seq in range(1, 101):
            await connection.send(json.dumps(position("kill", seq)))
        last = 0
        while last < 50:
            last = (await answer(connection))["last_acked_seq"]
        server.kill()
    server.start()
    stored = points(server, "kill", "survivor")
    assert stored[:last] == list(range(1, last + 1))
