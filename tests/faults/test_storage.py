"""Disk full and damaged files: said clearly, nothing acknowledged that is not stored, the rest served."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import leave_out
from tests.faults.harness import Place, compare
from tests.paths.grpc_client import position, status_of
from tests.server import Server

BATCH = 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        leave_out("root, to mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        leave_out(f"a small file system (mount: {mounted.stderr.decode().strip()})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def send(server: Server, token: str, first_seq: int, acked: dict[int, Place]) -> tuple[str, str]:
    """One call of BATCH positions; notes what was acknowledged. The call's status."""
    now_ms = time.time_ns() // 1_000_000
    places = {seq: (37.49 + seq * 1e-6, 127.02) for seq in range(first_seq, first_seq + BATCH)}
    messages = [
        position(
            seq,
            rider_id="r",
            latitude=lat,
            longitude=lon,
            device_time_ms=now_ms + seq,
            tags={"x": "y" * 2000},
        )
        for seq, (lat, lon) in places.items()
    ]
    status = status_of(server.grpc, token, messages)
    if status[0] == "OK":
        acked.update(places)
    return status


@pytest.mark.fault
@pytest.mark.slow
def test_full_disk_is_said_to_the_device_and_service_resumes(small_disk: Path, tmp_path: Path) -> None:
    server = Server(small_disk / "data", ("positions.max_ahead=1h",))
    server.log = tmp_path / "server.log"
    ballast = small_disk / "ballast"
    acked: dict[int, Place] = {}
    server.start()
    try:
        token = str(server.add_user("fleet", "gateway")["token"])
        seq = 1
        assert send(server, token, seq, acked)[0] == "OK"
        server.wait_processed()
        headers = server.admin
        with contextlib.suppress(OSError), ballast.open("wb") as filler:
            while True:
                filler.write(b"\0" * 65536)
                filler.flush()
        refused = ("OK", "")
        for _ in range(60):
            seq += BATCH
            refused = send(server, token, seq, acked)
            if refused[0] != "OK":
                break
        assert refused[0] in ("RESOURCE_EXHAUSTED", "UNAVAILABLE"), refused
        assert "full" in refused[1] or "space" in refused[1], refused
        assert headers
        ballast.unlink()
        deadline = time.monotonic() + 60
        while send(server, token, seq, acked)[0] != "OK":
            assert time.monotonic() < deadline, "service did not resume when there was room"
        stats = server.wait_processed(60)
        points = server.get(
            "/v1/riders/r/track", **{"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
        )["points"]
        verdict = compare({"r": acked}, {"r": points})
        print(f"\ndisk full: the device was told {refused}; afterwards {verdict}")
        assert verdict.clean, verdict
        assert stats["ledger_errors"] == []
    finally:
        server.kill()


def newest_segment(server: Server) -> Path:
    return max((server.data / "log").glob("[0-9]*.db"), key=lambda path: path.stat().st_mtime)


@pytest.mark.fault
@pytest.mark.parametrize("damage", ["truncated", "bit-flipped"])
def test_a_damaged_log_file_is_reported_and_the_rest_served(tmp_path: Path, damage: str) -> None:
    server = Server(tmp_path / "data", ("positions.max_ahead=1h",)).start()
    token = str(server.add_user("fleet", "gateway")["token"])
    acked: dict[int, Place] = {}
    try:
        for batch in range(20):
            assert send(server, token, 1 + batch * BATCH, acked)[0] == "OK"
        server.wait_processed()
        assert server.get("/readyz")["damage"] == []
        assert server.stop() == 0
        segment = newest_segment(server)
        content = bytearray(segment.read_bytes())
        if damage == "truncated":
            segment.write_bytes(content[: len(content) // 2])
        else:
            for at in range(len(content) // 3, len(content) // 3 + 64):
                content[at] ^= 0xFF
            segment.write_bytes(content)
        server.start()
        deadline = time.monotonic() + 60
        # A flipped bit is found when its chunk is read: go back to the beginning, as a new consumer would.
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        found = server.get("/readyz")["damage"]
        while not found and time.monotonic() < deadline:
            server.stop()
            for view in server.data.glob("live.db*"):
                view.unlink()
            server.start()
            server.stats()
            found = server.get("/readyz")["damage"]
        assert found, "the damage was not found"
        assert send(server, token, 1 + 20 * BATCH, acked)[0] == "OK", "appends must go on"
        server.wait_processed(60)
        points = server.get(
            "/v1/riders/r/track", **{"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
        )["points"]
        verdict = compare({"r": acked}, {"r": points})
        print(f"\n{damage}: {found}; history: {verdict}")
        assert verdict.clean, verdict
    finally:
        server.kill()


@pytest.mark.fault
def test_compare_finds_what_was_planted() -> None:
    def point(seq: int, latitude: float, time_ms: int) -> dict[str, float]:
        return {"seq": seq, "latitude": latitude, "longitude": 127.0, "device_time_ms": time_ms}

    acked = {"r": {1: (37.0, 127.0), 2: (37.1, 127.0), 3: (37.2, 127.0)}}
    good = [point(1, 37.0, 10), point(2, 37.1, 20), point(3, 37.2, 30)]
    assert compare(acked, {"r": good}).clean
    assert compare(acked, {"r": good[:2]}).lost == ["r/3"]
    assert compare(acked, {}).lost == ["r/1", "r/2", "r/3"]
    assert compare(acked, {"r": [*good, good[2]]}).duplicated == ["r/3"]
    assert compare(acked, {"r": [good[1], good[0], good[2]]}).reordered
    assert compare(acked, {"r": [point(1, 37.00001, 10), *good[1:]]}).altered == ["r/1"]
