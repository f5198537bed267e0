"""The process of the phones: `python -m bench.friends_run PLAN.json`, which prints one JSON line.

Everybody connects, reports for a while, and what came is held against what should have; or, after a crash of the
server, everybody comes back at once and waits for a right list.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import psutil

from bench.friends_crowd import Crowd, Plan


def percentile(counts: Counter[int], part: float) -> int:
    """The least value that is not exceeded by this part of all."""
    total, seen = sum(counts.values()), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= total * part:
            return value
    return -1


def moving(crowd: Crowd) -> dict[str, Any]:
    """Connect, settle, report for a while; what that cost and whether it was right."""
    server = psutil.Process(crowd.plan.server_pid)
    empty_mib = server.memory_info().rss / 2**20
    cpu_s = _cpu(server)
    connected_s = crowd.connect()
    settled_s = crowd.quiet()
    people = sum(phone.open for phone in crowd.by_number)
    connect_cpu_s, full_mib = _cpu(server) - cpu_s, server.memory_info().rss / 2**20
    before, counted, read = _cpu(server), Counter(crowd.counts), crowd.bytes
    own_s, began_s = time.process_time(), time.monotonic()
    crowd.move()
    crowd.drain()
    took_s, used_s = time.monotonic() - began_s, _cpu(server) - before
    generator_s = time.process_time() - own_s
    expected, missing, surplus = crowd.due()
    updates = sum(phone.sent - 1 for phone in crowd.by_number)
    deliveries = sum(crowd.latencies_ms.values())
    frames = crowd.counts - counted
    return {
        "people online": people,
        "connect": {"seconds": round(connected_s, 2), "people/s": round(people / connected_s),
                    "until quiet s": round(settled_s, 1),
                    "server CPU µs each": round(connect_cpu_s / people * 1e6)},
        "updates": updates,
        "updates/s": round(updates / crowd.plan.seconds, 1),
        "acknowledged": sum(phone.acked == phone.sent for phone in crowd.by_number),
        "deliveries": deliveries,
        "deliveries/s": round(deliveries / crowd.plan.seconds, 1),
        "expected": expected, "missing": missing, "surplus": surplus,
        "looked at": crowd.right + len(crowd.wrong), "wrong": len(crowd.wrong), "as": crowd.wrong[:5],
        "latency ms": {name: percentile(crowd.latencies_ms, part) for name, part in
                       (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))},
        "frames": dict(frames), "MB/s": round((crowd.bytes - read) / took_s / 1e6, 2),
        "server CPU %": round(used_s / took_s * 100, 1),
        "server CPU µs an update (all in)": round(used_s / max(1, updates) * 1e6),
        "server CPU µs a delivery (all in)": round(used_s / max(1, deliveries) * 1e6, 1),
        "generator CPU %": round(generator_s / took_s * 100, 1),
        "generator late ms": round(crowd.late_ms),
        "server RSS MiB": {"empty": round(empty_mib), "full": round(full_mib),
                           "end": round(server.memory_info().rss / 2**20)},
        "KiB a person": round((full_mib - empty_mib) * 1024 / people, 1),
        "lost": dict(crowd.failed),
    }  # fmt: skip


def returning(crowd: Crowd) -> dict[str, Any]:
    """All at once, and when each had the right list again."""
    connected_s = crowd.connect()
    end_s = time.monotonic() + 30
    while len(crowd.complete_s) < crowd.plan.people and time.monotonic() < end_s:
        crowd.listen(0.1)
    done = sorted(crowd.complete_s)
    return {"came back": len(crowd.by_number), "connected after s": round(connected_s, 2),
            "with a right list": len(done), "wrong": crowd.wrong[:5],
            "seconds": {"p50": round(done[len(done) // 2], 2), "max": round(done[-1], 2)} if done else {},
            "lost": dict(crowd.failed)}  # fmt: skip


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Do what the plan says."""
    crowd = Crowd(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan))
    print(json.dumps(moving(crowd) if crowd.plan.moving else returning(crowd), ensure_ascii=False))


if __name__ == "__main__":
    main()
