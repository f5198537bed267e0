"""What the embedded log costs: CPU microseconds a record for append, commit and poll.

The load is steady (6,000 records/s of 110 bytes): as fast as possible would only measure large groups.
`bare` is the same pace with nothing behind it; it is subtracted. CPU is that of the whole process, so the
writer thread is in it.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import uvloop

from majung.backends.embedded.log import EmbeddedLog
from majung.clock import SystemClock
from majung.settings import LogSettings

RATE, SECONDS, TICK_S = 6000, 5.0, 0.005
VALUE = b"v" * 100
KEYS = [f"rider-{n:04}" for n in range(1000)]

Append = Callable[[list[tuple[str, bytes]]], None]


async def pace(append: Append) -> float:
    """Call `append` with what is due, every TICK_S, for SECONDS. CPU seconds used."""
    loop = asyncio.get_running_loop()
    start, cpu, sent = loop.time(), time.process_time(), 0
    while sent < RATE * SECONDS:
        due = int((loop.time() - start) * RATE) - sent
        append([(KEYS[(sent + n) % 1000], VALUE) for n in range(due)])
        sent += due
        await asyncio.sleep(TICK_S)
    return time.process_time() - cpu


async def measure(folder: Path, commit_every_ms: int, at_once: int, consume: bool) -> dict[str, float]:
    """CPU µs a record, and how long acknowledgements took in ms."""
    log = await EmbeddedLog.open(
        folder, LogSettings(commit_every=timedelta(milliseconds=commit_every_ms)), SystemClock()
    )
    waits: list[float] = []

    def append(records: list[tuple[str, bytes]]) -> None:
        began = time.perf_counter()
        future = None
        for first in range(0, len(records), at_once):
            future = log.append("t", records[first : first + at_once])
        if future is not None:
            future.add_done_callback(lambda _: waits.append((time.perf_counter() - began) * 1000))

    polled = 0

    async def consumer() -> None:
        nonlocal polled
        member = log.consumer("t", "bench")
        while True:
            polled += len(await member.poll(1000, 0.04))

    reading = asyncio.ensure_future(consumer()) if consume else None
    cpu_s = await pace(append)
    if reading is not None:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    commits = log.counters["commits"]
    await log.close()
    ordered = sorted(waits)
    return {
        "cpu_us": cpu_s / (RATE * SECONDS) * 1e6,
        "records_per_commit": RATE * SECONDS / commits,
        "ack_p50_ms": statistics.median(ordered),
        "ack_p99_ms": ordered[int(len(ordered) * 0.99)],
    }


async def call_cost(folder: Path, at_once: int) -> float:
    """CPU µs a record of the call alone, of this thread, while nothing is being committed."""
    settings = LogSettings(commit_every=timedelta(seconds=60), max_pending_bytes=1 << 30)
    log = await EmbeddedLog.open(folder, settings, SystemClock())
    batches = [[(KEYS[n % 1000], VALUE)] * at_once for n in range(12_000 // at_once)]
    cpu = time.thread_time()
    for batch in batches:
        log.append("t", batch)
    cost_s = time.thread_time() - cpu
    await log.close()
    return cost_s / (len(batches) * at_once) * 1e6


async def read_cost(folder: Path, from_disk: bool) -> float:
    """CPU µs a record of poll, from chunks of 60 records."""
    count = 60_000
    log = await EmbeddedLog.open(folder, LogSettings(), SystemClock())
    for first in range(0, count, 240):
        await log.append("t", [(KEYS[(first + n) % 1000], VALUE) for n in range(240)])
    if from_disk:
        await log.close()
        log = await EmbeddedLog.open(folder, LogSettings(), SystemClock())
    consumer = log.consumer("t", "bench")
    cpu, polled = time.process_time(), 0
    while polled < count:
        polled += len(await consumer.poll(1000, 0.0))
    cost_s = time.process_time() - cpu
    await log.close()
    return cost_s / count * 1e6


async def _run() -> dict[str, float]:
    result: dict[str, float] = {}

    async def into(
        name: str, work: Callable[[Path], Awaitable[dict[str, float]]] | Callable[[Path], Awaitable[float]]
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="majung-bench-") as folder:
            found = await work(Path(folder) / "log")
        for part, value in (found if isinstance(found, dict) else {"cpu_us": found}).items():
            result[f"{name}.{part}"] = round(value, 3)

    bare_us = await pace(lambda records: None) / (RATE * SECONDS) * 1e6
    result["bare.cpu_us"] = round(bare_us, 3)
    for at_once in (1, 100):
        await into(f"append_call.{at_once}_at_once", partial(call_cost, at_once=at_once))
    for wait_ms in (2, 10, 20):
        await into(
            f"durable.singles.{wait_ms}ms",
            partial(measure, commit_every_ms=wait_ms, at_once=1, consume=False),
        )
    await into("durable.batches_of_100.2ms", partial(measure, commit_every_ms=2, at_once=100, consume=False))
    await into("durable_and_polled.singles.2ms", partial(measure, commit_every_ms=2, at_once=1, consume=True))
    await into(
        "durable_and_polled.singles.20ms", partial(measure, commit_every_ms=20, at_once=1, consume=True)
    )
    await into("poll.from_memory", partial(read_cost, from_disk=False))
    await into("poll.from_disk", partial(read_cost, from_disk=True))
    return {
        name: round(value - bare_us, 3) if name.startswith("durable") and name.endswith("cpu_us") else value
        for name, value in result.items()
    }


def run() -> dict[str, float]:
    """Names to values, as `make bench` keeps them."""
    return uvloop.run(_run())


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
