import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import typer
from typer.testing import CliRunner

from majung.cli_replay import register
from majung.clock import SystemClock
from majung.simulate.replay import ReplayPlan, ReplayProgress, replay, shift_ms
from majung.simulate.tracks import Options, Track, load
from majung_sdk import Retry
from tests.sdk_server import AckServer

SHARED = Path(
    os.environ.get("MAJUNG_SHARED_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")
)
BUSES = SHARED / "liverpool_bus" / "route14_outbound.csv"
QUICK = Retry(first_s=0.02, longest_s=0.1, ack_timeout_s=30.0)


@pytest.fixture
async def server() -> AsyncIterator[AckServer]:
    server = await AckServer().start()
    yield server
    server.may_ack.set()
    await server.die()


def recorded(path: Path, rider_id: str, seconds: list[float]) -> Track:
    lines = [f"{37.5 + n / 1e6},127.0,{1_769_443_022 + second}" for n, second in enumerate(seconds)]
    file = path / f"{rider_id}.csv"
    file.write_text("\n".join(["lat,lon,time", *lines]))
    [track] = load(file, Options()).tracks
    return track


async def send(server: AckServer, tracks: list[Track], **changes: object) -> ReplayProgress:
    values = {"speed": None, "keep_time": True, "retry": QUICK, **changes}
    plan = ReplayPlan(server.target, "t", **values)  # type: ignore[arg-type]
    async with asyncio.timeout(60):
        return await replay(plan, tracks)


def by_rider(server: AckServer) -> dict[str, list[tuple[int, int, float, float]]]:
    got: dict[str, list[tuple[int, int, float, float]]] = {}
    for position in server.positions:
        row = (position.seq, position.device_time_ms, position.latitude, position.longitude)
        got.setdefault(position.rider_id, []).append(row)
    return got


@pytest.mark.shared_data
async def test_each_row_becomes_one_position_in_file_order(server: AckServer) -> None:
    tracks = load(BUSES).tracks
    progress = await send(server, tracks)
    assert (progress.complete, progress.acknowledged, progress.riders) == (True, 1_533, 8)
    assert by_rider(server) == {
        track.rider_id: [
            (n + 1, *row)
            for n, row in enumerate(zip(track.time_ms, track.latitude, track.longitude, strict=True))
        ]
        for track in tracks
    }
    [first] = [position for position in server.positions if position.rider_id == "4716" and position.seq == 1]
    assert not first.HasField("heading_deg")
    assert not first.HasField("speed_mps")


async def test_with_kept_times_the_same_content_has_the_same_identity(
    server: AckServer, tmp_path: Path
) -> None:
    for _ in range(2):
        await send(server, [recorded(tmp_path, "r", [0, 1, 2])])
    first, second = (call.positions for call in server.calls)
    assert first == second


async def test_a_replay_now_is_another_session_each_time(server: AckServer, tmp_path: Path) -> None:
    for _ in range(2):
        await send(server, [recorded(tmp_path, "r", [0, 1, 2])], keep_time=False)
    assert len({call.positions[0].session_id for call in server.calls}) == 2


async def test_a_replay_at_max_ends_now_and_keeps_the_distances(server: AckServer, tmp_path: Path) -> None:
    before_ms = SystemClock().now_ms()
    await send(server, [recorded(tmp_path, "r", [0, 1, 3600])], keep_time=False)
    times_ms = [position.device_time_ms for position in server.positions]
    assert [time - times_ms[0] for time in times_ms] == [0, 1_000, 3_600_000]
    assert before_ms <= times_ms[-1] <= SystemClock().now_ms()


def test_at_speed_one_the_first_is_now_and_nothing_is_ever_in_the_future(tmp_path: Path) -> None:
    tracks = [recorded(tmp_path, "r", [0, 100, 200]), recorded(tmp_path, "s", [50, 300])]
    first, last = 1_769_443_022_000, 1_769_443_322_000
    now_ms = 1_800_000_000_000
    assert first + shift_ms(tracks, 1.0, now_ms) == now_ms
    assert last + shift_ms(tracks, 10.0, now_ms) == now_ms + 30_000
    assert last + shift_ms(tracks, None, now_ms) == now_ms


async def test_speed_shortens_the_waiting(server: AckServer, tmp_path: Path) -> None:
    arrived_s: list[float] = []
    server.on_position = lambda _: arrived_s.append(asyncio.get_running_loop().time())
    progress = await send(server, [recorded(tmp_path, "r", [0, 30, 60])], speed=100.0, keep_time=False)
    assert progress.complete
    # Never earlier than due (how much later is the machine's business).
    assert arrived_s[1] - arrived_s[0] > 0.25
    assert arrived_s[2] - arrived_s[0] > 0.55


async def test_rows_out_of_order_in_time_are_sent_in_file_order(server: AckServer, tmp_path: Path) -> None:
    progress = await send(server, [recorded(tmp_path, "r", [0, 20, 5, 30, 10])], speed=1000.0)
    assert progress.complete
    seconds = [(position.device_time_ms - 1_769_443_022_000) // 1000 for position in server.positions]
    assert seconds == [0, 20, 5, 30, 10]


async def test_files_of_one_rider_follow_each_other_in_time(server: AckServer, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    later, earlier = recorded(tmp_path / "a", "r", [100, 101]), recorded(tmp_path / "b", "r", [0, 1])
    await send(server, [later, earlier])
    assert [call.seqs for call in server.calls] == [[1, 2], [1, 2]]
    times_ms = [position.device_time_ms for position in server.positions]
    assert times_ms == sorted(times_ms)


async def test_a_server_that_dies_on_the_way_gets_the_rest_later(server: AckServer, tmp_path: Path) -> None:
    server.abort_after = 500
    progress = await send(server, [recorded(tmp_path, "r", [float(n) for n in range(2_000)])])
    assert progress.complete
    assert {position.seq for position in server.positions} == set(range(1, 2_001))
    assert progress.problem is not None


async def test_a_refused_credential_ends_it_with_the_reason(server: AckServer, tmp_path: Path) -> None:
    server.refuse = grpc.StatusCode.UNAUTHENTICATED
    progress = await send(server, [recorded(tmp_path, "r", [0, 1])])
    assert not progress.complete
    assert progress.gave_up == "UNAUTHENTICATED: go away"


async def test_it_gives_up_when_nothing_is_acknowledged(server: AckServer, tmp_path: Path) -> None:
    server.may_ack.clear()
    progress = await send(server, [recorded(tmp_path, "r", [0, 1])], give_up_s=0.3)
    assert not progress.complete
    assert "nothing was acknowledged" in progress.gave_up


async def test_it_can_be_stopped(server: AckServer, tmp_path: Path) -> None:
    stop = asyncio.Event()
    server.on_position = lambda _: stop.set()
    plan = ReplayPlan(server.target, "t", speed=1.0, retry=QUICK)
    async with asyncio.timeout(60):
        progress = await replay(plan, [recorded(tmp_path, "r", [0, 3600])], stop=stop)
    assert (progress.complete, progress.gave_up) == (False, "it was stopped")


async def test_nothing_to_send_is_not_complete(server: AckServer) -> None:
    assert not (await send(server, [])).complete


async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "majung", "replay", *arguments]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, env=environment)


async def test_the_command_says_what_it_did(server: AckServer, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("lat,lon,time\n37.5,127,1769443022\nnorth,127,1769443023\n37.6,127,1769443024\n")
    ran = await run(str(file), "--to", server.target, "--token", "t", "--speed", "max", "--rider-id", "me")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "sent 2 of 2 positions of 1 riders, acknowledged 2, unreadable rows 1\n"
    assert "a.csv:3: 'north' is no number" in ran.stderr
    assert {position.rider_id for position in server.positions} == {"me"}


async def test_the_command_fails_when_not_all_was_acknowledged(server: AckServer, tmp_path: Path) -> None:
    server.refuse = grpc.StatusCode.PERMISSION_DENIED
    file = tmp_path / "a.geojson"
    point = {"type": "Point", "coordinates": [127, 37.5]}
    file.write_text(json.dumps({"type": "Feature", "geometry": point, "properties": {"time": 1769443022}}))
    ran = await run(str(file), "--to", server.target, "--token", "t", "--speed", "max")
    assert ran.returncode == 1
    assert "PERMISSION_DENIED: go away" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--speed", "fast"], "--speed"),
        (["--speed", "0"], "--speed"),
        (["--timezone", "Mars/Olympus"], "Mars/Olympus"),
        (["--ca", "/nowhere/ca.pem"], "ca.pem"),
        ([], "nowhere.csv"),
    ],
)
def test_errors_of_use_are_explained(arguments: list[str], complaint: str) -> None:
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(
        app, ["/nowhere.csv", "--to", "x:1", "--token", "t", *arguments], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 2
    assert complaint in result.output
