"""The hot spot: 6,000 stores, 1,000 riders and 10,000 orders a minute within 1 km of Gangnam station.

    python -m bench.gangnam [--minutes 10] [--per-min 10000] [--find]

A real `majung serve` in its own process; beside it, on the same machine, the load generator (HTTP and
WebSockets, `gangnam_load.py`) and 1,000 gRPC streams that send 200 positions/s. Afterwards the server is
stopped and its files are read: was an order lost, did a rider have two, do the views say what the events say.

A rider carries one order at a time, so 10,000 orders a minute leave each of 1,000 riders six seconds for one.
Ways are therefore cut to seconds: a rider answers after 0.3 s, food is ready within 2 s, a leg takes 1.5 s on
the mean. Everything else is real. `--find` looks for the highest rate that holds (steps of a minute).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil

from bench.bench_path import CpuOf
from bench.gangnam_check import check
from bench.gangnam_city import RADIUS_M, STATION, City, build
from bench.gangnam_load import Plan
from bench.machine import ROOT
from tests.server import Server

SETS = ("server.rate_per_s=100000", "server.rate_burst=1000000")
POSITIONS_PER_S = 200
CREATED_WITHIN_MS = 1_000
MATCHED_WITHIN_MS = 2_000
QUIET_WITHIN_S = 60.0
_DEGREE_M = 111_320.0
_POSITIONS_START_S = 8.0


class Beside:
    """1,000 gRPC streams, for as long as a run lasts."""

    def __init__(self, server: Server, city: City, seconds: float) -> None:
        wide_deg = RADIUS_M * 1.4 / _DEGREE_M
        corner = f"{STATION[0] - wide_deg / 2},{STATION[1] - wide_deg / 2}"
        command = [sys.executable, "-m", "bench.load", "--to", server.grpc, "--token", city.gateway]
        command += ["--streams", str(len(city.riders)), "--per-s", str(POSITIONS_PER_S)]
        command += ["--seconds", str(seconds), "--prefix", "rider-", "--corner", corner]
        command += ["--wide-deg", str(wide_deg)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.cpu = CpuOf(self._process.pid)

    def result(self) -> dict[str, Any]:
        out, _ = self._process.communicate(timeout=120)
        return dict(json.loads(out.splitlines()[-1]))


class Lags(threading.Thread):
    """What waits to be published, looked at every second from outside."""

    def __init__(self, server: Server, token: str) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._headers = {"Authorization": f"Bearer {token}"}
        self._ended = threading.Event()
        self.outbox: list[int] = []
        self.slowest_s = 0.0

    def run(self) -> None:
        with httpx.Client(headers=self._headers, timeout=30) as client:
            while not self._ended.wait(1.0):
                began_s = time.monotonic()
                stats = client.get(f"{self._server.url}/v1/stats").json()
                self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
                self.outbox.append(int(stats["outbox_records"]))

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self.join()

    def wait_until_published(self) -> float:
        """Seconds until nothing waits any more, and a moment for who reads it."""
        began_s = time.monotonic()
        with httpx.Client(headers=self._headers, timeout=30) as client:
            while time.monotonic() - began_s < QUIET_WITHIN_S:
                if client.get(f"{self._server.url}/v1/stats").json()["outbox_records"] == 0:
                    break
                time.sleep(0.1)
        waited_s = time.monotonic() - began_s
        time.sleep(2.0)
        return waited_s


def threads_of(pid: int) -> dict[int, float]:
    """CPU seconds of each thread."""
    return {one.id: one.user_time + one.system_time for one in psutil.Process(pid).threads()}


def one_run(
    server: Server, city: City, folder: Path, given: argparse.Namespace, per_min: float
) -> dict[str, Any]:
    """Load the running server for `given.minutes` with `per_min` orders a minute."""
    seconds = given.minutes * 60
    plan = Plan(
        host="127.0.0.1",
        port=server.http_port,
        city=city,
        per_min=per_min,
        seconds=seconds,
        streams=given.streams,
        react_s=0.3,
        cook_s=1.0,
        leg_s=1.5,
        drain_s=60.0,
        acknowledged=str(folder / "acknowledged.json"),
    )
    (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
    command = [sys.executable, "-m", "bench.gangnam_load", str(folder / "plan.json")]
    people = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert people.stdin is not None and people.stdout is not None
    if people.stdout.readline().strip() != "ready":
        raise RuntimeError(f"the load generator did not start:\n{server.tail()}")
    positions = Beside(server, city, seconds + _POSITIONS_START_S)
    time.sleep(_POSITIONS_START_S)  # every rider has been heard of
    lags, cpu, rss_mib = Lags(server, city.admin), CpuOf(server.pid), CpuOf(server.pid).rss_mib()
    before, began_s = threads_of(server.pid), time.monotonic()
    lags.start()
    print(f"the server, process {server.pid}, is loaded", flush=True)  # from here a profiler may look
    out, _ = people.communicate("go\n")
    took_s, cpu_s = time.monotonic() - began_s, cpu.seconds()
    after = threads_of(server.pid)
    lags.stop()
    quiet_s = lags.wait_until_published()
    result = dict(json.loads(out.splitlines()[-1]))
    acked = positions.result()
    by_thread = sorted((after[one] - before.get(one, 0.0) for one in after), reverse=True)
    orders = max(1, result["orders acknowledged"])
    return result | {
        "server CPU %": round(cpu_s / took_s * 100, 1),
        "server CPU µs an order": round(cpu_s / orders * 1e6),
        "its threads, CPU µs an order": [round(one / orders * 1e6) for one in by_thread[:6]],
        "server RSS MiB": {"start": rss_mib, "end": cpu.rss_mib()},
        "outbox": {"most": max(lags.outbox, default=0), "at the end": lags.outbox[-1] if lags.outbox else 0},
        "seconds until all was published": round(quiet_s, 1),
        "/v1/stats took at most ms": round(lags.slowest_s * 1000),
        "position ack ms": {
            "p50": acked["ack_p50_ms"],
            "p99": acked["ack_p99_ms"],
            "max": acked["ack_max_ms"],
        },
        "positions acknowledged": f"{acked['acknowledged']} of {acked['sent']}",
    }


def holds(result: dict[str, Any]) -> bool:
    """Whether all that is promised was kept at this rate."""
    ms, checked = result["ms"], result["checked"]
    matched = checked["ms from when it can be matched to its offer"]
    wrong = ("acknowledged and lost", "no path of the table", "two orders in one rider's hands",
             "views that differ from the events", "changes that were not published", "never offered")  # fmt: skip
    return (
        ms["place"]["p99"] < CREATED_WITHIN_MS
        and matched.get("p99", 1e9) < MATCHED_WITHIN_MS
        and result["orders acknowledged"] >= result["orders due"]
        and not any(checked[name] for name in wrong)
    )


def fresh_run(given: argparse.Namespace, per_min: float) -> dict[str, Any]:
    """Provision, serve, load, stop, check."""
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        began_s = time.monotonic()
        city = build(folder / "data", given.stores, given.riders, given.customers)
        print(f"{given.stores} stores, {given.riders} riders, {given.customers} customers made in "
              f"{time.monotonic() - began_s:.0f} s; {per_min:.0f} orders a minute …", flush=True)  # fmt: skip
        server = Server(folder / "data", SETS).start()
        try:
            since_ms = time.time_ns() // 1_000_000
            result = one_run(server, city, folder, given, per_min)
        finally:
            code = server.stop()
        result["server's exit code"] = code
        result["checked"] = check(folder / "data", folder / "acknowledged.json", since_ms, given.riders)
        result["holds"] = holds(result)
        return result


def find(given: argparse.Namespace) -> dict[str, Any]:
    """The highest rate that holds, by halving, to 5 %."""
    low, high, found = 0.0, given.per_min, {}
    rate = given.per_min
    while True:
        result = fresh_run(given, rate)
        print(json.dumps({"orders a minute": rate, "holds": result["holds"], "place ms": result["ms"]["place"],
                          "matched ms": result["checked"]["ms from when it can be matched to its offer"]},
                         ensure_ascii=False), flush=True)  # fmt: skip
        if result["holds"]:
            low, found = rate, result
        else:
            high = rate
        if low >= given.per_min or high - low <= 0.05 * high or high < 100:
            return {"held orders a minute": low, "at that rate": found}
        rate = round((low + high) / 2, -2)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gangnam", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--per-min", type=float, default=10_000, help="orders offered a minute")
    parser.add_argument("--stores", type=int, default=6_000)
    parser.add_argument("--riders", type=int, default=1_000)
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=300, help="customers with the page open")
    parser.add_argument("--find", action="store_true", help="the highest rate that holds (a minute each)")
    parser.add_argument("--folder", default=None, help="where its data goes while it runs")
    return parser


def run(words: list[str] | None = None) -> dict[str, Any]:
    """What `python -m bench gangnam` calls; BENCH_MINUTES shortens it."""
    given = arguments().parse_args(words if words is not None else [])
    if words is None:
        given.minutes = float(os.environ.get("BENCH_MINUTES", given.minutes))
    if given.find:
        given.minutes = min(given.minutes, 1.0)
        return find(given)
    return fresh_run(given, given.per_min)


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1:]), ensure_ascii=False, indent=2))
