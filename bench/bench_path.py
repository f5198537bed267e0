"""The whole path: received, checked, durable, acknowledged, deduplicated, indexed, shown.

1,000 gRPC streams, the load generator on the same two cores, and beside it, in the same run, a bare
grpc.aio server that decodes, acknowledges and drops. Then door to screen at 2,000 positions/s.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import websockets

from bench.machine import ROOT
from tests.server import Server, free_port

STREAMS = int(os.environ.get("BENCH_STREAMS", "1000"))
PER_S = float(os.environ.get("BENCH_PER_S", "6000"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))


def load(target: str, token: str, per_s: float, seconds: float, streams: int = STREAMS) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.load", "--to", target, "--token", token]
    command += ["--streams", str(streams), "--per-s", str(per_s), "--seconds", str(seconds)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=seconds + 120
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


class CpuOf:
    """CPU seconds and memory of a process between two looks."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._before = self._used()

    def _used(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def seconds(self) -> float:
        return self._used() - self._before

    def rss_mib(self) -> float:
        return round(self._process.memory_info().rss / 1024**2, 1)


def bare(per_s: float, seconds: float) -> dict[str, Any]:
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.bare", address], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        cpu = CpuOf(process.pid)
        result = load(address, "", per_s, seconds)
        result["server_cpu_us_per_position"] = round(cpu.seconds() / result["acknowledged"] * 1e6, 1)
        return result
    finally:
        process.terminate()
        process.wait()


def ours(server: Server, token: str) -> dict[str, Any]:
    before = server.stats()
    cpu = CpuOf(server.pid)
    result = load(server.grpc, token, PER_S, SECONDS)
    lag = server.stats()["lag_records"]
    stats = server.wait_processed()
    processed = stats["processed"] - before["processed"]
    result["lag_records_at_the_end"] = lag
    result["server_cpu_us_per_position"] = round(cpu.seconds() / processed * 1e6, 1)
    result["wall_us_per_position_by_step"] = {
        step: round((seconds - before["step_seconds"][step]) / processed * 1e6, 2)
        for step, seconds in stats["step_seconds"].items()
    }
    result["stored"] = stats["stored"] - before["stored"]
    result["shown"] = stats["shown"] - before["shown"]
    result["ledger_errors"] = stats["ledger_errors"]
    result["server_rss_mib"] = cpu.rss_mib()
    return result


async def door_to_screen(server: Server, token: str, per_s: float, seconds: float) -> dict[str, Any]:
    """Latency from the device's clock (same machine) to a viewer's socket, for every shown position."""
    latencies_ms: list[float] = []
    url = f"ws://127.0.0.1:{server.http_port}/v1/live?access_token={server.admin['Authorization'][7:]}"
    world = {"south": -90, "west": -180, "north": 90, "east": 180}
    async with websockets.connect(url, max_size=None, compression=None) as socket:
        await socket.send(json.dumps({"subscribe": {"id": "all", "area": world}}))
        running = asyncio.create_task(asyncio.to_thread(load, server.grpc, token, per_s, seconds))
        since_ms = time.time_ns() // 1_000_000
        while not running.done():
            try:
                message = json.loads(await asyncio.wait_for(socket.recv(), 1.0))
            except TimeoutError:
                continue
            now_ms = time.time_ns() // 1_000_000
            if message["type"] == "positions":
                latencies_ms += [
                    now_ms - position["device_time_ms"]
                    for position in message["positions"]
                    if position["device_time_ms"] > since_ms
                ]
        result = running.result()
    latencies_ms.sort()
    return {
        "sent_per_s": result["sent_per_s"],
        "seen": len(latencies_ms),
        "p50_ms": latencies_ms[len(latencies_ms) // 2],
        "p99_ms": latencies_ms[int(len(latencies_ms) * 0.99)],
        "max_ms": latencies_ms[-1],
    }


def idle_stream_kib(server: Server, token: str, streams: int = 2000) -> float:
    """Memory of one open, silent gRPC call in the server."""
    before = psutil.Process(server.pid).memory_info().rss
    command = [sys.executable, "-m", "bench.load", "--to", server.grpc, "--token", token]
    command += ["--streams", str(streams), "--per-s", str(streams / 10), "--seconds", "6"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while server.stats()["device_streams"] < streams and time.monotonic() < deadline:
            time.sleep(0.1)
        after = psutil.Process(server.pid).memory_info().rss
        process.wait()
    return round((after - before) / streams / 1024, 1)


async def viewer_kib(server: Server, viewers: int = 500) -> float:
    """Memory of one open viewer of an area in the server."""
    url = f"ws://127.0.0.1:{server.http_port}/v1/live?access_token={server.admin['Authorization'][7:]}"
    area = {"south": 37.4, "west": 126.9, "north": 37.6, "east": 127.1}
    before = psutil.Process(server.pid).memory_info().rss
    sockets = []
    for number in range(viewers):
        socket = await websockets.connect(url, max_size=None, compression=None)
        await socket.send(json.dumps({"subscribe": {"id": str(number), "area": area}}))
        await socket.recv()
        sockets.append(socket)
    after = psutil.Process(server.pid).memory_info().rss
    await asyncio.gather(*(socket.close() for socket in sockets))
    return round((after - before) / viewers / 1024, 1)


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(
            Path(folder) / "data", ("server.rate_burst=1000000", "server.rate_per_s=100000")
        ).start()
        try:
            token = str(server.add_user("load", "gateway")["token"])
            memory = {
                "kib_per_idle_stream": idle_stream_kib(server, token),
                "kib_per_viewer": asyncio.run(viewer_kib(server)),
            }
            whole = ours(server, token)
            screen = asyncio.run(door_to_screen(server, token, 2000, min(SECONDS, 20)))
        finally:
            server.stop()
    beside = bare(PER_S, min(SECONDS, 20))
    ratio = whole["server_cpu_us_per_position"] / beside["server_cpu_us_per_position"]
    return {
        "whole_path": whole,
        "bare_grpc_aio": beside,
        "cpu_ratio_to_bare": round(ratio, 2),
        "door_to_screen_at_2000_per_s": screen,
        "memory": memory,
    }
