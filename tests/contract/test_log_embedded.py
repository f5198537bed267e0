"""The embedded log keeps the contract; and what only files can suffer: full disks and damage."""

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from majung.backends.embedded.log import EmbeddedLog
from majung.clock import ManualClock, SystemClock
from majung.ports import Log, LogRecord, PortError, StorageFull
from majung.settings import LogSettings

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.contract.log_contract import (  # noqa: E402
    LogContract,
    OpenLog,
    append_and_tell,
    by_key,
    numbered,
    pairs_by_key,
    read,
)

SMALL = LogSettings(segment_bytes=65_536)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def open_log(folder: Path, clock: ManualClock) -> OpenLog:
    async def opening(settings: LogSettings) -> Log:
        return await EmbeddedLog.open(folder, settings, clock)

    return opening


class TestEmbeddedLog(LogContract):
    @pytest.fixture
    def appender(self, folder: Path) -> list[str]:
        return [sys.executable, __file__, "append", str(folder)]

    @pytest.fixture
    def appender_env(self) -> dict[str, str]:
        return dict(os.environ)


async def everything(log: Log, topic: str = "t", group: str = "all") -> list[LogRecord]:
    """All that is held; one poll, so that it also passes what is lost at the end."""
    consumer = log.consumer(topic, group)
    records = await consumer.poll(10**9, 0.0)
    assert consumer.position() == (await log.stats(topic)).end
    return records


async def fill(log: Log, first: int, count: int) -> None:
    for start in range(first, first + count, 50):
        await log.append("t", [(key, value.rjust(80)) for key, value in numbered(start, 50)])


def padded(first: int, count: int) -> dict[str, list[bytes]]:
    return pairs_by_key([(key, value.rjust(80)) for key, value in numbered(first, count)])


def assert_rest_in_order(records: list[LogRecord]) -> None:
    for values in by_key(records).values():
        assert values == sorted(values, key=int)
    places = [(record.partition, record.offset) for record in records]
    assert len(set(places)) == len(places)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.db"))


async def filled_segments(folder: Path, count: int = 3000) -> list[Path]:
    log = await EmbeddedLog.open(folder, SMALL, SystemClock())
    await fill(log, 0, count)
    await log.close()
    found = segments(folder)
    assert len(found) >= 3
    return found


class TestFiles:
    async def test_a_second_process_is_told_that_the_folder_is_used(self, folder: Path) -> None:
        log = await EmbeddedLog.open(folder, SMALL, SystemClock())
        with pytest.raises(PortError, match="another process uses the log"):
            await EmbeddedLog.open(folder, SMALL, SystemClock())
        await log.append("t", [("k", b"1")])
        await log.close()

    async def test_old_records_come_from_the_disk_new_ones_from_memory(self, folder: Path) -> None:
        log = await EmbeddedLog.open(folder, SMALL, SystemClock(), tail_bytes=50_000)
        await fill(log, 0, 3000)
        assert len(segments(folder)) >= 3
        assert by_key(await everything(log)) == padded(0, 3000)
        consumer = log.consumer("t", "tip")
        consumer.seek((await log.stats("t")).end)
        reads = log.counters["disk_reads"]
        assert reads > 0
        await log.append("t", [("k", b"tip")])
        assert [record.value for record in await consumer.poll(1, 0.0)] == [b"tip"]
        assert log.counters["disk_reads"] == reads
        await log.close()

    async def test_a_newer_member_takes_the_place_of_an_older_one(self, folder: Path) -> None:
        log = await EmbeddedLog.open(folder, SMALL, SystemClock())
        old = log.consumer("t", "g")
        polling = asyncio.ensure_future(old.poll(1, 0.0))
        await asyncio.sleep(0)
        new = log.consumer("t", "g")
        await log.append("t", [("k", b"1")])
        assert len(await new.poll(1, 0.0)) == 1
        for refused in (polling, asyncio.ensure_future(old.commit())):
            with pytest.raises(PortError, match="another took its place"):
                await refused
        await log.close()

    async def test_who_never_reads_holds_records_for_a_bounded_time(
        self, folder: Path, clock: ManualClock
    ) -> None:
        log = await EmbeddedLog.open(folder, LogSettings(keep_for="1h"), clock)
        await fill(log, 0, 100)
        log.consumer("t", "asleep")
        clock.advance(2 * 3600)
        assert await log.drop_old(clock.now_ms()) == 0
        clock.advance(2 * 3600)
        assert await log.drop_old(clock.now_ms()) == 100
        assert log.counters["dropped_unread"] == 1
        await log.close()


class TestFullDisk:
    """A limit on the size of files stands in for a full disk: `run_against_limit` runs in a process of its own."""

    @pytest.mark.parametrize("segment_bytes", [65_536, 268_435_456])
    def test_refused_while_full_resumed_by_itself_and_only_acknowledged_records_kept(
        self, folder: Path, segment_bytes: int
    ) -> None:
        command = [sys.executable, __file__, "limit", str(folder), str(segment_bytes)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "limit reached, resumed, complete" in done.stdout

    async def test_sqlite_says_full(self, folder: Path) -> None:
        log = await EmbeddedLog.open(folder, LogSettings(), SystemClock())
        await fill(log, 0, 200)
        writer = log._store._writer
        assert writer is not None
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages + 2}")
        refused = log.append("t", [("k", b"x" * 100_000)])
        with pytest.raises(StorageFull, match="free some room"):
            await refused
        writer.execute("PRAGMA max_page_count = 1000000")
        await fill(log, 200, 200)
        assert by_key(await everything(log)) == padded(0, 400)
        await log.close()
        log = await EmbeddedLog.open(folder, LogSettings(), SystemClock())
        assert by_key(await everything(log)) == padded(0, 400)
        assert log.damage() == []
        await log.close()


Harm = Callable[[Path, random.Random], None]


def truncate(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(path.stat().st_size // 4, path.stat().st_size * 3 // 4))


def flip_payload(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[data.rindex(b"   ", 0, len(data) * 2 // 3)] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def flip_header(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(16)] ^= 0x10
    path.write_bytes(data)


def wipe_first_page(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[:4096] = chance.randbytes(4096)
    path.write_bytes(data)


def wipe_roots(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[4096 : 4096 * 3] = bytes(4096 * 2)
    path.write_bytes(data)


def empty(path: Path, chance: random.Random) -> None:
    path.write_bytes(b"")


HARMS: dict[str, tuple[Harm, int]] = {
    "cut short": (truncate, 2999),
    "a bit of a payload": (flip_payload, 2999),
    "a bit of the header": (flip_header, 3000),
    "no first page": (wipe_first_page, 3000),
    "no roots": (wipe_roots, 3000),
    "empty": (empty, 2999),
}
"""How to harm a file, and the most that can be left of 3,000 records."""


class TestDamage:
    @pytest.mark.parametrize("which", [0, 1, -1], ids=["oldest", "middle", "newest"])
    @pytest.mark.parametrize("harm", HARMS)
    async def test_it_is_reported_and_the_rest_is_served(self, folder: Path, harm: str, which: int) -> None:
        files = await filled_segments(folder)
        seed = random.randrange(2**32)
        work, most = HARMS[harm]
        work(files[which], random.Random(seed))
        log = await EmbeddedLog.open(folder, SMALL, SystemClock())
        records = await everything(log)
        assert_rest_in_order(records)
        assert 3000 * (len(files) - 1) / len(files) * 0.8 < len(records) <= most, seed
        assert any(files[which].name in line for line in log.damage()), (seed, log.damage())
        lost = f"{3000 - len(records)} are lost"
        assert any(lost in line for line in log.damage()), (seed, lost, log.damage())
        assert len(records) <= (await log.lag("t", "nobody")).records <= 3000
        await fill(log, 3000, 200)
        served = await everything(log, group="again")
        assert_rest_in_order(served)
        assert len(served) == len(records) + 200
        await log.close()
        log = await EmbeddedLog.open(folder, SMALL, SystemClock())
        assert log.damage() == [], "said once; the damaged file is set aside"
        assert list(map(repr, await everything(log, group="later"))) == list(map(repr, served))
        await log.close()

    async def test_offsets_are_never_used_again(self, folder: Path) -> None:
        files = await filled_segments(folder)
        log = await EmbeddedLog.open(folder, SMALL, SystemClock())
        used = {(record.partition, record.offset) for record in await everything(log)}
        await log.close()
        for _ in range(2):
            truncate(files[-1], random.Random(1))
            for _restart in range(2):  # The second start sees a rebuilt file and no damage.
                log = await EmbeddedLog.open(folder, SMALL, SystemClock())
                await log.close()
            log = await EmbeddedLog.open(folder, SMALL, SystemClock())
            consumer = log.consumer("t", "tip")
            consumer.seek((await log.stats("t")).end)
            await fill(log, 3000, 100)
            fresh = {(record.partition, record.offset) for record in await read(consumer, 100)}
            assert not fresh & used
            used |= fresh
            await log.close()
            files = segments(folder)

    @pytest.mark.parametrize("harm", ["cut short", "a bit"])
    async def test_a_write_ahead_log_is_not_believed_blindly(
        self, folder: Path, tmp_path: Path, harm: str
    ) -> None:
        """SQLite forgets, without a word, what follows a flipped bit in its write-ahead log."""
        log = await EmbeddedLog.open(folder, LogSettings(), SystemClock())
        await fill(log, 0, 1000)
        copy = tmp_path / "killed"
        shutil.copytree(folder, copy)  # As a killed process would leave it.
        await log.close()
        wal = next(copy.glob("[0-9]*.db-wal"))
        middle = wal.stat().st_size // 2
        data = bytearray(wal.read_bytes())
        if harm == "a bit":
            data[middle] ^= 4
        else:
            del data[middle:]
        wal.write_bytes(data)
        log = await EmbeddedLog.open(copy, LogSettings(), SystemClock())
        records = await everything(log)
        assert_rest_in_order(records)
        assert log.damage()
        lost = sum(
            int(line.split(" records are lost")[0].split()[-1]) for line in log.damage() if "had come" in line
        )
        assert len(records) == 1000 - lost if harm == "cut short" else len(records) >= 950
        before = (await log.stats("t")).end
        assert all(end >= 2**32 for end in before.values())
        await log.close()

    async def test_it_is_found_while_the_log_is_open(self, folder: Path) -> None:
        log = await EmbeddedLog.open(folder, SMALL, SystemClock(), tail_bytes=1)
        await fill(log, 0, 3000)
        flip_payload(segments(folder)[1], random.Random(2))
        records = await everything(log)
        assert_rest_in_order(records)
        assert 2900 < len(records) < 3000
        assert len(log.damage()) == 1
        await log.close()

    async def test_the_segment_that_is_written_to_is_left_when_it_is_damaged(self, folder: Path) -> None:
        log = await EmbeddedLog.open(folder, LogSettings(), SystemClock(), tail_bytes=1)
        await fill(log, 0, 3000)
        writer = log._store._writer
        assert writer is not None
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        flip_payload(segments(folder)[0], random.Random(3))
        records = await everything(log)
        assert_rest_in_order(records)
        assert 2900 < len(records) < 3000
        await fill(log, 3000, 50)
        assert len(await everything(log, group="again")) == len(records) + 50
        assert len(segments(folder)) == 2
        await log.close()

    @pytest.mark.parametrize("harm", [truncate, flip_header, wipe_first_page, empty])
    async def test_damaged_offsets_of_groups_skip_nothing(self, folder: Path, harm: Harm) -> None:
        log = await EmbeddedLog.open(folder, SMALL, SystemClock())
        await fill(log, 0, 100)
        consumer = log.consumer("t", "g")
        await read(consumer, 60)
        await consumer.commit()
        await log.close()
        harm(folder / "groups.db", random.Random(4))
        log = await EmbeddedLog.open(folder, SMALL, SystemClock())
        consumer = log.consumer("t", "g")
        assert len(await read(consumer, 100)) == 100
        await consumer.commit()
        await log.close()
        log = await EmbeddedLog.open(folder, SMALL, SystemClock())
        assert (await log.lag("t", "g")).records == 0
        await log.close()

    async def test_a_wrong_offset_of_a_group_is_not_believed(self, folder: Path) -> None:
        log = await EmbeddedLog.open(folder, SMALL, SystemClock())
        await fill(log, 0, 100)
        consumer = log.consumer("t", "g")
        await read(consumer, 60)
        await consumer.commit()
        await log.close()
        with sqlite3.connect(folder / "groups.db") as database:
            database.execute("UPDATE committed SET next_offset = next_offset + 8")
        database.close()
        log = await EmbeddedLog.open(folder, SMALL, SystemClock())
        assert len(await read(log.consumer("t", "g"), 100)) == 100
        assert any("fails its checksum" in line for line in log.damage())
        await log.close()


async def run_against_limit(folder: Path, segment_bytes: int) -> None:
    """Append until files may not grow, then lift the limit; what was acknowledged is what is stored."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = await EmbeddedLog.open(folder, LogSettings(segment_bytes=segment_bytes), SystemClock())
    await fill(log, 0, 200)
    resource.setrlimit(resource.RLIMIT_FSIZE, (48_000, most))
    refused, acknowledged = 0, list(range(200))
    for number in range(200, 600):
        try:
            await log.append("t", [("k", str(number).encode().rjust(2000))])
            acknowledged.append(number)
        except StorageFull:
            refused += 1
    assert refused > 0, "the limit was never reached"
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    for number in range(600, 650):
        await log.append("t", [("k", str(number).encode().rjust(2000))])
        acknowledged.append(number)
    for group in ("before", "after"):
        stored = sorted(int(record.value) for record in await everything(log, group=group))
        assert stored == acknowledged, (len(stored), len(acknowledged))
        assert log.damage() == []
        await log.close()
        log = await EmbeddedLog.open(folder, LogSettings(), SystemClock())
    await log.close()
    print("limit reached, resumed, complete")


async def append_until_killed(folder: Path) -> None:
    await append_and_tell(await EmbeddedLog.open(folder, SMALL, SystemClock()))


if __name__ == "__main__":
    jobs: dict[str, Callable[[], Awaitable[None]]] = {
        "append": lambda: append_until_killed(Path(sys.argv[2])),
        "limit": lambda: run_against_limit(Path(sys.argv[2]), int(sys.argv[3])),
    }

    async def main() -> None:
        await jobs[sys.argv[1]]()

    asyncio.run(main())
