"""The listing of what was set aside: filed once, newest first, within its bounds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from majung.backends.embedded.database import EmbeddedDatabase
from majung.backends.embedded.log import EmbeddedLog
from majung.clock import ManualClock
from majung.positions.ingest import QUARANTINE_TOPIC
from majung.positions.model import Quarantined
from majung.positions.quarantine import QuarantineItem, QuarantineStore
from majung.settings import LogSettings, PositionSettings

RIDERS = 24
MAX = 100


class Kit:
    """A store on a log of four partitions and a database."""

    def __init__(
        self, folder: Path, clock: ManualClock, log: EmbeddedLog, database: EmbeddedDatabase
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.log = log
        self.database = database
        settings = PositionSettings.model_validate({"quarantine_max": MAX, "quarantine_keep_for": "1h"})
        self.store = QuarantineStore(log, database, clock, settings)

    async def set_aside(self, rider_id: str, reason: str = "too_old", payload: bytes = b"") -> None:
        now_ms = self.clock.now_ms()
        item = Quarantined(now_ms, rider_id, "gateway:g", "grpc", reason, "why", payload)
        await self.log.append(QUARANTINE_TOPIC, [(rider_id, msgspec.msgpack.encode(item))])

    async def file(self, count: int) -> None:
        """Let the consumer work until it has filed so many."""
        working = asyncio.create_task(self.store.run())
        while sum((await self.store.reasons()).values()) < count:
            assert not working.done(), working.exception()
            await asyncio.sleep(0)
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working

    async def everything(self) -> list[QuarantineItem]:
        return await self.store.items(1000)


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    clock = ManualClock()
    settings = LogSettings.model_validate({"partitions": 4, "commit_every": "0ms"})
    log = await EmbeddedLog.open(tmp_path / "log", settings, clock)
    database = await EmbeddedDatabase(tmp_path / "majung.db").open()
    yield Kit(tmp_path, clock, log, database)
    await log.close()
    await database.close()


async def test_newest_first_whatever_the_partition(kit: Kit) -> None:
    """A busy partition counts its offsets faster; what is newest is a matter of time all the same."""
    for number in range(60):
        kit.clock.advance(1.0)
        await kit.set_aside("busy" if number % 4 else f"quiet-{number % RIDERS}")
    await kit.file(60)
    found = await kit.everything()
    times = [item.received_at_ms for item in found]
    assert times == sorted(times, reverse=True)
    assert [item.id for item in found] != sorted((item.id for item in found), reverse=True)
    pages: list[QuarantineItem] = []
    while page := await kit.store.items(7, pages[-1].id if pages else None):
        pages += page
    assert pages == found


async def test_one_filed_twice_is_one(kit: Kit) -> None:
    """The consumer's group starts again at the beginning, as after a loss of its offsets."""
    for _ in range(5):
        await kit.set_aside("rider", payload=b"\xff\x00text")
    await kit.file(5)
    before = await kit.everything()
    assert before[0].payload == "\\xff\x00text"
    consumer = kit.log.consumer(QUARANTINE_TOPIC, "quarantine")
    consumer.seek(dict.fromkeys(range(4), 0))
    await consumer.commit()
    await consumer.close()
    await kit.set_aside("rider")
    await kit.file(6)
    assert (await kit.everything())[-5:] == sorted(before, key=lambda item: -item.id)


async def test_the_oldest_go_first(kit: Kit) -> None:
    for number in range(MAX + 40):
        kit.clock.advance(0.001)
        await kit.set_aside("busy" if number % 4 else f"quiet-{number % RIDERS}")
    await kit.file(MAX + 40)
    before = await kit.everything()
    await kit.store.drop_old()
    assert await kit.everything() == before[:MAX]
    assert await kit.store.items(10, before[-1].id) == [], "what came after a dropped one is dropped too"
    kit.clock.advance(3600.5)
    await kit.set_aside("late")
    await kit.file(MAX + 1)
    await kit.store.drop_old()
    assert [item.rider_id for item in await kit.everything()] == ["late"]


async def test_filters_go_together(kit: Kit) -> None:
    for rider_id, reason in (("a", "too_old"), ("a", "bad_seq"), ("b", "too_old"), ("a", "too_old")):
        kit.clock.advance(1.0)
        await kit.set_aside(rider_id, reason)
    await kit.file(4)
    assert await kit.store.reasons() == {"too_old": 3, "bad_seq": 1}
    both = await kit.store.items(10, reason="too_old", rider_id="a")
    assert len(both) == 2
    assert await kit.store.items(10, both[0].id, "too_old", "a") == both[1:]
    assert await kit.store.items(10, rider_id="c") == []
