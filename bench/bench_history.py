"""History: 50,000 riders, 500 positions a call, in no order; beside it, tables sorted in other ways.

The tables are what was measured before the layout was chosen (docs/decisions/0003-history.md): one row a
position, found by identity, 20 positions a rider in it before the measuring begins.
"""

import asyncio
import os
import random
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from majung.backends.embedded.history import EmbeddedHistory
from majung.backends.embedded.history_file import MERGE_AT
from majung.clock import ManualClock
from majung.positions.model import Position, StoredPosition
from majung.settings import HistorySettings

RIDERS = int(os.environ.get("BENCH_RIDERS", "50000"))
BATCH = 500
ROUNDS = 18
ROWS_BEFORE = 20
HOUR_MS = 3_600_000
START_MS = 1_780_000_000_000 // HOUR_MS * HOUR_MS
_COLUMNS = "at_ms, latitude, longitude, accuracy, speed, heading, received_at_ms, mark, door, tags"
_KEYS = {
    "key (rider, session, seq) in text": ("rider TEXT, session TEXT, seq INTEGER", "rider, session, seq"),
    "key (session number, seq)": ("session INTEGER, seq INTEGER", "session, seq"),
}


def written_bytes() -> int:
    """What this process has made the disk write."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_oublock * 512


class Meter:
    """CPU and wall seconds, and bytes written, of the stretches between `start` and `stop`."""

    def __init__(self) -> None:
        self.cpu_s = self.wall_s = 0.0
        self.longest_s = 0.0
        self._bytes = written_bytes()

    def start(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        wall_s = time.perf_counter() - self._wall
        self.cpu_s += time.process_time() - self._cpu
        self.wall_s += wall_s
        self.longest_s = max(self.longest_s, wall_s)

    def per(self, positions: int) -> dict[str, float]:
        return {
            "cpu_us": round(self.cpu_s / positions * 1e6, 2),
            "wall_us": round(self.wall_s / positions * 1e6, 2),
            "written_bytes": round((written_bytes() - self._bytes) / positions),
        }


def batches(round_: int) -> Iterator[list[StoredPosition]]:
    """Every rider once, shuffled."""
    riders = list(range(RIDERS))
    random.Random(round_).shuffle(riders)
    at_ms = START_MS + round_ * 5000
    for start in range(0, RIDERS, BATCH):
        yield [
            StoredPosition(
                Position(
                    rider_id=f"rider-{n:06}",
                    session_id=f"{n * 2654435761:032x}",
                    seq=round_ + 1,
                    latitude=37.45 + n % 1000 * 1e-4 + round_ * 1e-6,
                    longitude=127.0 + n % 777 * 1e-4,
                    device_time_ms=at_ms + n % 5000,
                    received_at_ms=at_ms + n % 5000 + 300,
                    accuracy_m=5.0,
                    speed_mps=8.25,
                    heading_deg=181.5,
                    door="grpc",
                )
            )
            for n in riders[start : start + BATCH]
        ]


async def embedded(folder: Path) -> dict[str, Any]:
    clock = ManualClock(START_MS + HOUR_MS // 2)
    history = await EmbeddedHistory(folder, HistorySettings(), clock).open()
    meter = Meter()
    for round_ in range(ROUNDS):
        for batch in batches(round_):
            meter.start()
            await history.append(batch)
            meter.stop()
    result: dict[str, Any] = {"append, a position": meter.per(RIDERS * ROUNDS)}
    result["longest call, with a merge (ms)"] = round(meter.longest_s * 1000, 1)

    again = Meter()
    for batch in batches(ROUNDS - 1):
        again.start()
        assert not any(await history.append(batch))
        again.stop()
    result["append, a repeated position (cpu_us)"] = again.per(RIDERS)["cpu_us"]

    reading = Meter()
    for n in range(1000):
        reading.start()
        points = await history.track(f"rider-{n:06}", START_MS, START_MS + HOUR_MS, 10_000)
        reading.stop()
        assert len(points) == ROUNDS
    result["track of one rider in this hour (us)"] = round(reading.wall_s / 1000 * 1e6)

    await history.close()
    size = sum(file.stat().st_size for file in folder.iterdir())
    result["bytes on disk, a position"] = round(size / (RIDERS * ROUNDS), 1)
    history = await EmbeddedHistory(folder, HistorySettings(), clock).open()
    thinning = Meter()
    thinning.start()
    await history.drop_old(START_MS + 26 * HOUR_MS)
    thinning.stop()
    result["thin an hour, a position"] = thinning.per(RIDERS * ROUNDS)
    await history.close()
    return result


def table(folder: Path, name: str) -> dict[str, float]:
    columns, key = _KEYS[name]
    connection = sqlite3.connect(folder / "table.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"CREATE TABLE point ({columns}, {_COLUMNS}, PRIMARY KEY ({key})) WITHOUT ROWID")
    marks = ", ".join("?" * (len(key.split(",")) + 10))
    insert = f"INSERT OR IGNORE INTO point VALUES ({marks})"
    numbered = "number" in name

    def row(stored: StoredPosition) -> tuple[object, ...]:
        p = stored.position
        owner = (int(p.rider_id[6:]),) if numbered else (p.rider_id, p.session_id)
        place = (round(p.latitude * 1e7), round(p.longitude * 1e7), 500, 8250, 18150)
        return (*owner, p.seq, p.device_time_ms, *place, p.received_at_ms, "", p.door, None)

    for round_ in range(ROWS_BEFORE):
        connection.execute("BEGIN")
        rows = sorted(row(stored) for batch in batches(round_) for stored in batch)
        connection.executemany(insert, rows)
        connection.execute("COMMIT")
    connection.execute("PRAGMA synchronous = FULL")
    meter = Meter()
    for batch in batches(ROWS_BEFORE):
        meter.start()
        connection.execute("BEGIN IMMEDIATE")
        new = [connection.execute(insert, row(stored)).rowcount for stored in batch]
        connection.execute("COMMIT")
        meter.stop()
        assert all(new)
    connection.close()
    return meter.per(RIDERS)


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="majung-bench-") as folder:
        result: dict[str, Any] = {"riders": RIDERS, "positions a call": BATCH, "positions a run": MERGE_AT}
        result |= asyncio.run(embedded(Path(folder) / "history"))
    for name in _KEYS:
        with tempfile.TemporaryDirectory(prefix="majung-bench-") as folder:
            result[f"beside it: a sorted table, {name}"] = table(Path(folder), name)
    return result
