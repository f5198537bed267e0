"""Friends under load: who moves is seen by the friends who are near, within a second.

    python -m bench.friends_load [--people 1000] [--seconds 20] [--near-part 1] [--find]

A real `majung serve` in its own process; beside it, on the same machine, everybody's phone in one lean process
(`friends_run.py`): a WebSocket each, a position every 30 s, 400 friends each of whom 40 are online. Deliveries
are counted against what there should be, timed from the moment a position was due to the moment when the friend's
phone has read it, and of every 16th person looked at in full. Then the server is killed, and 1,000 people come
back at once. `--find` does it for 1,000, 5,000, 10,000 and 20,000 people (about seven minutes).

Worst case by default: all 40 friends are within the radius. `--near-part 0.25` leaves a quarter of them there.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec

from bench.friends_crowd import Plan
from bench.friends_town import TOWN, build
from bench.machine import ROOT
from tests.server import Server

SETS = ("server.rate_per_s=100000", "server.rate_burst=1000000", "server.max_streams=64")
SIZES = (1_000, 5_000, 10_000, 20_000)
FRIENDS, ONLINE = 400, 40
INTERVAL_S = 30.0
BACK = 1_000
DELIVERED_WITHIN_MS = 1_000
BACK_WITHIN_S = 5.0
_SPARE_FILES = 700


def crowd(
    folder: Path, server: Server, given: argparse.Namespace, people: int, moving: bool
) -> dict[str, Any]:
    """Run the generator against the running server."""
    plan = Plan(
        host="127.0.0.1",
        port=server.http_port,
        world=str(folder / "world.msgpack"),
        people=people,
        seconds=given.seconds,
        interval_s=given.interval,
        near_part=given.near_part,
        server_pid=server.pid,
        moving=moving,
    )
    (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
    command = [sys.executable, "-m", "bench.friends_run", str(folder / "plan.json")]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=given.seconds + 400)
    if done.returncode:
        raise RuntimeError(f"the generator failed; the server said:\n{server.tail()}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def steps(server: Server, admin: str) -> dict[str, float]:
    """Where the pipeline spent its time, connecting included."""
    headers = {"Authorization": f"Bearer {admin}"}
    stats = httpx.get(f"{server.url}/v1/stats", headers=headers, timeout=60).json()
    return {
        name: round(took_s / stats["processed"] * 1e6, 1) for name, took_s in stats["step_seconds"].items()
    }


def one_size(folder: Path, given: argparse.Namespace, people: int, admin: str) -> dict[str, Any]:
    """Serve, load, kill, come back."""
    server = Server(folder / "data", SETS).start()
    try:
        began_s = time.monotonic()
        result = crowd(folder, server, given, people, moving=True)
        result["run took s"] = round(time.monotonic() - began_s, 1)
        result["pipeline, wall µs an update by step"] = steps(server, admin)
        if not given.no_return:
            server.kill()
            server.start()
            result["after kill -9"] = crowd(folder, server, given, min(BACK, people), moving=False)
    finally:
        code = server.stop()
    return result | {"server's exit code": code, "holds": holds(result)}


def holds(result: dict[str, Any]) -> bool:
    """Whether everything was delivered, in time, and to nobody else."""
    back = result.get("after kill -9")
    returned = back is None or (
        back["with a right list"] == back["came back"] and back["seconds"]["max"] <= BACK_WITHIN_S
    )
    return bool(
        returned
        and result["missing"] == result["surplus"] == result["wrong"] == 0
        and not result["lost"]
        and result["latency ms"]["p99"] < DELIVERED_WITHIN_MS
    )


def possible(people: int) -> int:
    """So many connections as one process may open here (`ulimit -n`), generator and server alike."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return people if hard == resource.RLIM_INFINITY else min(people, hard - _SPARE_FILES)


def measure(given: argparse.Namespace, sizes: list[int]) -> dict[str, Any]:
    """One world for the largest size; a server anew for each."""
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        began_s = time.monotonic()
        everybody = -(-max(sizes) // TOWN) * TOWN
        world = build(folder / "data", everybody, FRIENDS, ONLINE)
        (folder / "world.msgpack").write_bytes(msgspec.msgpack.encode(world))
        print(f"{everybody} people with {FRIENDS} friends each made in {time.monotonic() - began_s:.0f} s",
              flush=True)  # fmt: skip
        results: dict[str, Any] = {}
        for wanted in sizes:
            people = possible(wanted)
            results[f"{wanted} people"] = result = one_size(folder, given, people, world.admin)
            if people < wanted:
                result["fewer, since ulimit -n is"] = people + _SPARE_FILES
            print(json.dumps({f"{wanted} people": result}, ensure_ascii=False), flush=True)
        return {"near part": given.near_part, "seconds": given.seconds, **results}


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.friends_load", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--interval", type=float, default=INTERVAL_S, help="seconds between two reports")
    parser.add_argument(
        "--near-part", type=float, default=1.0, help="of the online friends, within the radius"
    )
    parser.add_argument("--find", action="store_true", help="1,000, 5,000, 10,000 and 20,000 people")
    parser.add_argument("--no-return", action="store_true", help="without the kill and the return of 1,000")
    parser.add_argument("--folder", default=None, help="where its data goes while it runs")
    return parser


def run(words: list[str] | None = None) -> dict[str, Any]:
    """What `python -m bench friends_load` calls (all sizes); BENCH_SECONDS shortens it."""
    given = arguments().parse_args(words if words is not None else ["--find"])
    if words is None:
        given.seconds = float(os.environ.get("BENCH_SECONDS", given.seconds))
    return measure(given, list(SIZES) if given.find else [given.people])


if __name__ == "__main__":
    run(sys.argv[1:])
