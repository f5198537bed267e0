"""The device SDK against a real gRPC server that is late, rude, gone, or kills calls."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from majung_sdk import Device, Fleet, Problem, Retry
from majung_sdk.location_pb2 import Position
from tests.sdk_server import AckServer

QUICK = Retry(first_s=0.02, longest_s=0.1, refused_s=0.05, ack_timeout_s=30.0)


@pytest.fixture
async def server() -> AsyncIterator[AckServer]:
    server = await AckServer().start()
    yield server
    server.may_ack.set()
    await server.die()


def device(server: AckServer, path: Path, **options: Any) -> Device:
    return Device(server.target, "mjd_x", "rider-1", path / "buffer.db", **{"retry": QUICK, **options})


def report(device: Device, count: int) -> None:
    for step in range(count):
        device.report(37.5 + step / 1e4, 127.0, device_time_ms=1_700_000_000_000 + step)


async def drained(device: Device | Fleet) -> None:
    async with asyncio.timeout(60):
        await device.drained()


async def test_what_is_reported_arrives_as_it_is(server: AckServer, tmp_path: Path) -> None:
    async with device(server, tmp_path) as rider:
        seq = rider.report(
            37.4979,
            127.0276,
            device_time_ms=1_700_000_000_123,
            accuracy_m=8.5,
            speed_mps=0.0,
            tags={"battery": "71"},
        )
        await drained(rider)
        session_id = rider.session_id
    assert server.calls[0].metadata["authorization"] == "Bearer mjd_x"
    assert server.positions == [
        Position(
            rider_id="rider-1",
            session_id=session_id,
            seq=seq,
            latitude=37.4979,
            longitude=127.0276,
            device_time_ms=1_700_000_000_123,
            accuracy_m=8.5,
            speed_mps=0.0,
            tags={"battery": "71"},
        )
    ]
    assert not server.positions[0].HasField("heading_deg")


async def test_acknowledged_positions_are_erased_and_told(server: AckServer, tmp_path: Path) -> None:
    acked: list[int] = []
    async with device(server, tmp_path, on_acked=acked.extend) as rider:
        report(rider, 50)
        await drained(rider)
        assert rider.buffered == 0
    async with device(server, tmp_path) as again:
        assert again.buffered == 0
        assert again.report(37.5, 127.0) == 51
        await drained(again)
    assert acked == list(range(1, 51))
    assert [position.seq for position in server.positions] == list(range(1, 52))


async def test_a_late_server_is_not_flooded(server: AckServer, tmp_path: Path) -> None:
    async with device(server, tmp_path, window=16) as rider:
        report(rider, 1)
        await drained(rider)
        server.may_ack.clear()
        report(rider, 100)
        await rider.saved()
        assert rider._reporter is not None
        async with asyncio.timeout(60):
            while rider.totals.sent < 17:
                await asyncio.sleep(0)
        await server.until(lambda: len(server.positions) >= 2)
        assert (rider._reporter.uplink.in_flight, rider.buffered) == (16, 100)
        server.may_ack.set()
        await drained(rider)
        assert rider.totals.sent == 101


async def test_a_call_begins_with_one_position(server: AckServer, tmp_path: Path) -> None:
    server.may_ack.clear()
    async with device(server, tmp_path) as rider:
        report(rider, 20)
        await rider.saved()
        await server.until(lambda: len(server.positions) == 1)
        assert rider.totals.sent == 1
        server.may_ack.set()
        await drained(rider)


async def test_a_call_that_dies_is_opened_again_and_nothing_is_missing(
    server: AckServer, tmp_path: Path
) -> None:
    problems: list[Problem] = []
    async with device(server, tmp_path, on_problem=problems.append) as rider:
        for round_ in range(5):
            server.abort_after = 7
            report(rider, 20)
            await drained(rider)
            assert len(server.calls) == round_ + 2
    assert {position.seq for position in server.positions} == set(range(1, 101))
    assert {problem.code for problem in problems} == {"UNAVAILABLE"}, problems


async def test_a_server_that_dies_and_returns_gets_what_it_had_not_acknowledged(
    server: AckServer, tmp_path: Path
) -> None:
    server.may_ack.clear()
    async with device(server, tmp_path) as rider:
        report(rider, 5)
        await server.until(lambda: len(server.positions) >= 1)
        await server.die()
        report(rider, 5)
        await rider.saved()
        server.may_ack.set()
        await server.start()
        await drained(rider)
    assert server.calls[-1].seqs == list(range(1, 11))


async def test_it_waits_for_a_server_that_is_not_there_yet(tmp_path: Path) -> None:
    server = await AckServer().start()
    await server.die()
    failed = asyncio.Event()
    async with device(server, tmp_path, on_problem=lambda _: failed.set()) as rider:
        report(rider, 3)
        await failed.wait()
        await server.start()
        await drained(rider)
    assert server.calls[-1].seqs == [1, 2, 3]
    await server.die()


async def test_a_refused_credential_is_reported_and_tried_again(server: AckServer, tmp_path: Path) -> None:
    server.refuse = grpc.StatusCode.UNAUTHENTICATED
    problems: list[Problem] = []
    tokens = iter(["old", "new", *["newer"] * 1000])

    def on_problem(problem: Problem) -> None:
        problems.append(problem)
        server.refuse = None

    async with Device(
        server.target, lambda: next(tokens), "r", tmp_path / "b.db", retry=QUICK, on_problem=on_problem
    ) as rider:
        rider.report(37.5, 127.0)
        await drained(rider)
    assert problems[0] == Problem("UNAUTHENTICATED", "go away", permanent=True)
    assert [call.metadata["authorization"] for call in server.calls[:2]] == ["Bearer old", "Bearer new"]


async def test_after_a_tunnel_the_newest_position_goes_first(server: AckServer, tmp_path: Path) -> None:
    async with device(server, tmp_path, window=8) as rider:
        rider.online = False
        report(rider, 30)
        await rider.saved()
        rider.online = True
        await drained(rider)
    assert server.calls[0].seqs == [30, *range(1, 30)]


async def test_a_short_backlog_goes_in_order(server: AckServer, tmp_path: Path) -> None:
    async with device(server, tmp_path, window=64) as rider:
        rider.online = False
        report(rider, 30)
        await rider.saved()
        rider.online = True
        await drained(rider)
    assert server.calls[0].seqs == list(range(1, 31))


async def test_without_reception_the_call_ends_and_is_opened_again(server: AckServer, tmp_path: Path) -> None:
    async with device(server, tmp_path) as rider:
        report(rider, 1)
        await drained(rider)
        assert rider.connected
        rider.online = False
        report(rider, 5)
        await rider.saved()
        assert rider.buffered == 5
        rider.online = True
        await drained(rider)
        assert rider.totals.failed_calls == 0
    assert [call.seqs for call in server.calls] == [[1], [2, 3, 4, 5, 6]]


async def test_the_buffer_is_bounded_and_the_oldest_go(server: AckServer, tmp_path: Path) -> None:
    async with device(server, tmp_path, max_buffered=10) as rider:
        rider.online = False
        report(rider, 25)
        await rider.saved()
        assert (rider.buffered, rider.totals.dropped) == (10, 15)
        rider.online = True
        await drained(rider)
    assert server.calls[0].seqs == list(range(16, 26))


async def test_a_connection_that_has_gone_silent_is_replaced(server: AckServer, tmp_path: Path) -> None:
    server.may_ack.clear()
    problems: list[Problem] = []

    def on_problem(problem: Problem) -> None:
        problems.append(problem)
        server.may_ack.set()

    retry = Retry(first_s=0.02, longest_s=0.1, ack_timeout_s=0.2)
    async with device(server, tmp_path, retry=retry, on_problem=on_problem) as rider:
        report(rider, 3)
        await drained(rider)
        assert rider._fleet._connections[0].generation >= 2
    assert problems[0].code == "DEADLINE_EXCEEDED"
    assert server.calls[-1].seqs == [1, 2, 3]


async def test_a_lost_acknowledgement_means_the_same_position_again(
    server: AckServer, tmp_path: Path
) -> None:
    async with device(server, tmp_path) as rider:
        assert rider._reporter is not None
        rider._reporter.uplink.lose_next_ack()
        report(rider, 1)
        await drained(rider)
    first, second = server.positions
    assert first == second


async def test_an_app_that_is_killed_goes_on_where_it_was(server: AckServer, tmp_path: Path) -> None:
    server.may_ack.clear()
    app = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom majung_sdk import Device\n"
        "async def main():\n"
        "    async with Device(sys.argv[1], 't', 'rider-1', Path(sys.argv[2])) as d:\n"
        "        while True:\n"
        "            d.report(37.5, 127.0)\n"
        "            await d.saved()\n"
        "            await asyncio.sleep(0.001)\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "buffer.db"
    seen: list[set[int]] = []
    sessions: set[str] = set()
    for _ in range(3):
        command = [sys.executable, "-c", app, server.target, str(path)]
        before = len(server.positions)
        process = subprocess.Popen(command, env={"PYTHONPATH": ":".join(sys.path)})
        try:
            await server.until(lambda before=before: len(server.positions) > before)  # type: ignore[misc]
            server.may_ack.set()
            await server.until(lambda before=before: len(server.positions) > before + 50)  # type: ignore[misc]
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)
    async with device(server, tmp_path) as rider:
        report(rider, 1)
        await drained(rider)
        sessions.add(rider.session_id)
    sessions |= {position.session_id for position in server.positions}
    seen.append({position.seq for position in server.positions})
    assert len(sessions) == 1
    assert seen[0] == set(range(1, max(seen[0]) + 1))
    # A seq that came twice is the same position both times: none was given out again.
    by_seq: dict[int, set[int]] = {}
    for position in server.positions:
        by_seq.setdefault(position.seq, set()).add(position.device_time_ms)
    assert all(len(times) == 1 for times in by_seq.values())


async def test_an_error_in_the_apps_own_callback_does_not_stop_it(server: AckServer, tmp_path: Path) -> None:
    problems: list[Problem] = []

    def on_acked(seqs: Sequence[int]) -> None:
        if 1 in seqs:
            raise ZeroDivisionError

    async with device(server, tmp_path, on_acked=on_acked, on_problem=problems.append) as rider:
        report(rider, 1)
        await server.until(lambda: len(server.positions) == 1)
        report(rider, 5)
        await drained(rider)
    assert [problem.code for problem in problems] == ["INTERNAL"]
    assert {position.seq for position in server.positions} == set(range(1, 7))


async def test_a_fleet_keeps_its_riders_apart(server: AckServer, tmp_path: Path) -> None:
    acked: dict[str, list[int]] = {}

    def on_acked(rider_id: str, seqs: Sequence[int]) -> None:
        acked.setdefault(rider_id, []).extend(seqs)

    names = [f"rider-{number}" for number in range(40)]
    async with Fleet(server.target, "t", tmp_path / "b.db", retry=QUICK, on_acked=on_acked) as fleet:
        reporters = await fleet.add(names)
        for _ in range(25):
            for reporter in reporters:
                reporter.report(37.5, 127.0)
        await drained(fleet)
        assert (fleet.totals.acked, fleet.totals.connected, fleet.buffered) == (1000, 40, 0)
        assert 0 < fleet.totals.ack_ms.percentile(50) <= fleet.totals.ack_ms.percentile(99)
    assert {(call.positions[0].rider_id, tuple(call.seqs)) for call in server.calls} == {
        (name, tuple(range(1, 26))) for name in names
    }
    assert acked == {name: list(range(1, 26)) for name in names}


async def test_a_fleet_outlives_its_server(server: AckServer, tmp_path: Path) -> None:
    async with Fleet(server.target, "t", tmp_path / "b.db", retry=QUICK) as fleet:
        reporters = await fleet.add([f"rider-{number}" for number in range(20)])
        for round_ in range(4):
            for reporter in reporters:
                reporter.report(37.5, 127.0)
            await server.until(lambda round_=round_: len(server.positions) > 20 * round_)  # type: ignore[misc]
            await server.die()
            for reporter in reporters:
                reporter.report(37.5, 127.0)
            await fleet.saved()
            await server.start()
            await drained(fleet)
        assert fleet.totals.acked == 160
    got = {(position.rider_id, position.seq) for position in server.positions}
    assert got == {(f"rider-{number}", seq) for number in range(20) for seq in range(1, 9)}


async def test_tls_with_the_certificate_of_the_house(tmp_path: Path) -> None:
    authority = trustme.CA()
    server = AckServer()
    server.certificate = authority.issue_cert("localhost")
    await server.start()
    roots = authority.cert_pem.bytes()
    async with Device(
        f"localhost:{server.port}", "t", "r", tmp_path / "b.db", root_certificates=roots, retry=QUICK
    ) as rider:
        rider.report(37.5, 127.0)
        await drained(rider)
    await server.die()
    assert [position.seq for position in server.positions] == [1]
