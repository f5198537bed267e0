"""SIGKILL at random moments under load: nothing acknowledged is lost, nothing is applied twice."""

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from tests.faults.harness import Traffic, Verdict, compare, read_tracks, wait_ready
from tests.server import Server

KILLS = 20
RIDERS = 400
PER_S = 2000.0
SEED = int(os.environ.get("MAJUNG_FAULT_SEED", str(int(time.time()))))

# The planted fault: a server that acknowledges when it has the position in memory, a common shortcut.
ACKNOWLEDGES_TOO_EARLY = """
import asyncio
from majung.positions.ingest import Ingest
append = Ingest._append
def hasty(self, good, bad):
    real = append(self, good, bad)
    real.add_done_callback(lambda f: f.exception())
    early = asyncio.get_running_loop().create_future()
    early.set_result(None)
    return early
Ingest._append = hasty
from majung.cli import main
main()
"""


async def kill_again_and_again(
    server: Server, tmp_path: Path, kills: int, rng: random.Random, sets: tuple[float, float]
) -> tuple[Verdict, list[float]]:
    token = server.add_user("fleet", "gateway")["token"]
    recovery_s: list[float] = []
    async with Traffic(server, token, tmp_path / "devices.db", RIDERS, PER_S) as traffic:
        for _ in range(kills):
            await asyncio.sleep(rng.uniform(*sets))
            server.kill()
            before = time.monotonic()
            server.start(wait=False)
            await wait_ready(server)
            while traffic.last_ack_at < before:
                await asyncio.sleep(0.01)
            recovery_s.append(traffic.last_ack_at - before)
        await traffic.stop_and_drain()
        await asyncio.to_thread(server.wait_processed, 60)
        tracks = await read_tracks(server, list(traffic.acked))
        return compare(traffic.acked, tracks), recovery_s


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_nothing_acknowledged_is_lost_over_many_kills(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    server = Server(tmp_path / "data").start()
    try:
        verdict, recovery_s = await kill_again_and_again(server, tmp_path, KILLS, rng, (0.3, 2.0))
        stats = server.wait_processed()
    finally:
        server.kill()
    print(
        f"\nseed {SEED}: {KILLS} kills at {PER_S:.0f} positions/s: {verdict}; recovery (kill to first "
        f"acknowledgement) median {sorted(recovery_s)[len(recovery_s) // 2]:.2f} s, worst {max(recovery_s):.2f} s"
    )
    assert verdict.clean, (verdict, verdict.lost[:5], verdict.duplicated[:5])
    assert verdict.acknowledged > 10_000
    assert stats["ledger_errors"] == []
    assert stats["stored"] == verdict.acknowledged


@pytest.mark.fault
@pytest.mark.timeout(600)
async def test_the_test_finds_a_server_that_acknowledges_too_early(tmp_path: Path) -> None:
    server = Server(
        tmp_path / "data", ("log.commit_every=200ms",), entry=("-c", ACKNOWLEDGES_TOO_EARLY)
    ).start()
    try:
        verdict, _ = await kill_again_and_again(server, tmp_path, 2, random.Random(1), (1.0, 1.5))
    finally:
        server.kill()
    assert verdict.lost
