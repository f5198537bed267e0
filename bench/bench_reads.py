"""Doors out over HTTP: what a read costs the server, in CPU microseconds.

A keep-alive client on a bare socket sends one prepared request after the other. Counted is the CPU time of
the server's process between the first request and the last, less what it uses in the same time when nobody
asks. Beside them stands `/healthz`, which does nothing: what HTTP itself costs.
"""

import contextlib
import json
import os
import random
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.bench_path import CpuOf
from tests.paths.grpc_client import position, stream_positions
from tests.server import Server, start_server

RIDERS = int(os.environ.get("BENCH_RIDERS", "5000"))
BATCH = 500
SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
ROUNDS = 3


class Asking:
    """One connection that asks the same thing again and again."""

    def __init__(self, server: Server, method: str, path: str, body: bytes = b"") -> None:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.http_port}\r\n"
            f"Authorization: {server.admin['Authorization']}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._socket = socket.create_connection(("127.0.0.1", server.http_port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> bytes:
        """The body of one answer."""
        self._socket.sendall(self._request)
        data = self._socket.recv(1 << 20)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._socket.recv(1 << 20)
        head = data[:end].lower()
        assert head.startswith(b"http/1.1 200"), data[:500]
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(data) < end + 4 + length:
            data += self._socket.recv(1 << 20)
        return data[end + 4 :]

    def close(self) -> None:
        self._socket.close()


def idle_cpu_per_s(server: Server) -> float:
    cpu, began_s = CpuOf(server.pid), time.monotonic()
    time.sleep(2)
    return cpu.seconds() / (time.monotonic() - began_s)


def cpu_us(server: Server, asking: Asking, idle: float) -> float:
    """CPU microseconds of the server for one answer: the median of the rounds."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        cpu, began_s, asked = CpuOf(server.pid), time.monotonic(), 0
        while time.monotonic() - began_s < SECONDS / ROUNDS:
            asking.ask()
            asked += 1
        rounds.append((cpu.seconds() - idle * (time.monotonic() - began_s)) / asked * 1e6)
    return round(sorted(rounds)[ROUNDS // 2], 1)


@contextlib.contextmanager
def filled_server() -> Iterator[Server]:
    """A server with `RIDERS` riders over Gangnam."""
    with tempfile.TemporaryDirectory() as folder, start_server(Path(folder) / "data") as server:
        gateway = server.add_user("fleet", "gateway")["token"]
        chance = random.Random(7)
        stream_positions(
            server.grpc,
            gateway,
            (
                position(
                    1,
                    rider_id=f"rider-{number:05}",
                    latitude=37.4979 + chance.gauss(0, 0.02),
                    longitude=127.0276 + chance.gauss(0, 0.02),
                    speed_mps=chance.uniform(0, 14),
                    heading_deg=chance.uniform(0, 360),
                )
                for number in range(RIDERS)
            ),
        )
        server.wait_processed()
        yield server


def run() -> dict[str, Any]:
    with filled_server() as server:
        ids = [f"rider-{number:05}" for number in range(min(BATCH, RIDERS))]
        near = "lat=37.4979&lon=127.0276&radius_m=1000&limit=20"
        asked = {
            "healthz": Asking(server, "GET", "/healthz"),
            "one": Asking(server, "GET", "/v1/riders/rider-00042/position"),
            "batch": Asking(
                server, "POST", "/v1/positions/batch-get", json.dumps({"rider_ids": ids}).encode()
            ),
            "nearest": Asking(server, "GET", f"/v1/riders/nearest?{near}"),
        }
        assert len(json.loads(asked["batch"].ask())["positions"]) == len(ids)
        assert len(json.loads(asked["nearest"].ask())["riders"]) == 20
        idle = idle_cpu_per_s(server)
        costs = {name: cpu_us(server, asking, idle) for name, asking in asked.items()}
        for asking in asked.values():
            asking.close()
    return {
        "riders": RIDERS,
        "idle_cpu_percent": round(idle * 100, 2),
        "nothing_us": costs["healthz"],
        "latest_position_us": costs["one"],
        f"batch_of_{len(ids)}_us": costs["batch"],
        "batch_us_per_position": round(costs["batch"] / len(ids), 3),
        "nearest_20_us": costs["nearest"],
    }
