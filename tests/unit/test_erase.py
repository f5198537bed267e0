"""A person is forgotten for good: in memory, history and checkpoint, and out of what the log still holds."""

from pathlib import Path

import pytest

from majung.clock import ManualClock
from majung.ports import PortError
from majung.positions.erase import Erasures, erase_history, finish_erasures
from majung.positions.model import PERSON
from majung.services import Services
from majung.settings import Settings
from tests.unit.test_pipeline import START_MS, consuming, fix, send, settle
from tests.unit.test_pipeline_people import MINA, embedded, mina

__all__ = ["embedded"]


async def report(services: Services, *seqs: int) -> None:
    at_ms = services.clock.now_ms()
    later_ms = at_ms - START_MS
    fixes = [
        mina(seq, received_at_ms=at_ms, device_time_ms=START_MS + later_ms + seq - 60_000) for seq in seqs
    ]
    await services.ingest.submit(MINA, fixes)
    await send(services, [fix(seq, "r") for seq in seqs])
    await settle(services)


async def seqs_of(services: Services, rider_id: str = "person-mina") -> list[int]:
    return [point.seq for point in await services.history.track(rider_id, 0, 2**53, 1_000, True)]


async def is_live(services: Services) -> bool:
    return await services.live.get(["person-mina"], PERSON) != [None]


async def note(services: Services) -> None:
    erasures = services.pipeline.erasures
    await services.database.write(lambda transaction: erasures.note(transaction, "person-mina"))


async def erase_for_good(services: Services) -> None:
    await note(services)
    await finish_erasures(services.pipeline)


async def checkpoint(services: Services) -> None:
    consumer = services.pipeline._consumer
    assert consumer is not None
    await services.pipeline._checkpoint(consumer)


async def test_everything_of_a_person_goes_and_everybody_else_stays(embedded: Settings) -> None:
    async with consuming(embedded, ManualClock()) as services:
        gone: list[str] = []
        services.pipeline.people_gone_listeners.append(gone.extend)
        await report(services, 1, 2, 3)
        await checkpoint(services)
        await erase_for_good(services)
        assert await seqs_of(services) == []
        assert not await is_live(services)
        assert await services.live.load_states(["person-mina"]) == {}
        assert "person-mina" not in services.pipeline.memory.states
        assert gone == ["person-mina"]
        assert await seqs_of(services, "r") == [1, 2, 3]
        await report(services, 4)  # was on its way when the credentials ended
        assert await seqs_of(services) == []
        assert not await is_live(services)
        assert services.ledger.consumer.erased == 1
        assert services.ledger.check(services.pipeline.consumed() or 0) == []
        await erase_for_good(services)


@pytest.mark.parametrize("rebuilt", [False, True])
async def test_what_the_log_holds_does_not_come_back(embedded: Settings, rebuilt: bool) -> None:
    """After a crash without a checkpoint, and when everything is made anew from the log."""
    clock = ManualClock()
    async with consuming(embedded, clock) as services:
        await report(services, 1, 2, 3)
        await erase_for_good(services)
    if rebuilt:
        for name in ("live.db", "live.db-wal", "live.db-shm"):
            (embedded.data / name).unlink(missing_ok=True)
    async with consuming(embedded, clock) as services:
        heard: list[object] = []
        services.pipeline.people_listeners.append(heard.extend)
        await settle(services)
        assert await seqs_of(services) == []
        assert not await is_live(services)
        assert heard == []
        assert await seqs_of(services, "r") == [1, 2, 3]


async def test_an_erasure_that_was_noted_is_finished_by_the_next_start(embedded: Settings) -> None:
    clock = ManualClock()
    async with consuming(embedded, clock) as services:
        await report(services, 1, 2)
        await checkpoint(services)
        await note(services)
    async with consuming(embedded, clock) as services:
        assert await seqs_of(services) == []
        assert not await is_live(services)
        assert await services.pipeline.erasures.load() == []


async def test_an_erasure_that_storage_stopped_is_finished_later(
    embedded: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with consuming(embedded, ManualClock()) as services:
        await report(services, 1, 2)
        await services.history.close()
        with pytest.raises(PortError):
            await erase_for_good(services)
        assert [person_id for person_id, _ in await services.pipeline.erasures.load()] == ["person-mina"]
        assert not await is_live(services)


async def test_history_goes_and_the_person_stays(embedded: Settings) -> None:
    clock = ManualClock()
    async with consuming(embedded, clock) as services:
        await report(services, 1, 2, 3)
        await erase_history(services.pipeline, "person-mina")
        assert await seqs_of(services) == []
        assert await is_live(services)
        clock.advance(1)
        await report(services, 4)
        assert await seqs_of(services) == [4]
    async with consuming(embedded, clock) as services:  # the crash makes it go through the log again
        await settle(services)
        assert await seqs_of(services) == [4]


async def test_who_is_erased_for_good_does_not_come_back_by_erasing_history(embedded: Settings) -> None:
    clock = ManualClock()
    async with consuming(embedded, clock) as services:
        await report(services, 1)
        await erase_for_good(services)
        await erase_history(services.pipeline, "person-mina")
        clock.advance(60)
        await report(services, 2)
        assert await seqs_of(services) == []


async def test_nothing_is_left_to_do_when_all_is_done(embedded: Settings, tmp_path: Path) -> None:
    async with consuming(embedded, ManualClock()) as services:
        await finish_erasures(services.pipeline)
        other = Erasures(services.database, services.clock)
        assert await other.load() == []
        assert not other.covers(mina(1))
