"""Fences and events in the database: valid ones only, at once, once, and after a restart."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta as td
from pathlib import Path

import pytest

from majung.backends.embedded.database import EmbeddedDatabase
from majung.clock import ManualClock
from majung.positions.fence_model import Circle, NewFence
from majung.positions.fences import FenceService, TooManyFences
from majung.positions.shapes import Shape
from majung.positions.triggers import RiderEvent, Triggers
from majung.settings import TriggerSettings

HERE = NewFence("강남역", circle=Circle(37.4979, 127.0276, 100), dwell_s=60, rider_ids=("r 1",))
THERE = NewFence("there", polygon=((37.0, 127.0), (37.0, 127.1), (37.1, 127.1)), confirm_fixes=3)


def happening(number: int, rider_id: str = "r", fence_id: str = "f") -> RiderEvent:
    return RiderEvent(f"{number:032x}", rider_id, "enter", fence_id, "name", number, 37.5, 127.0)


class Desk:
    """A service that can be started again on the same database."""

    def __init__(self, database: EmbeddedDatabase) -> None:
        self.database = database
        self.clock = ManualClock()
        self.told: list[tuple[str, Shape | None]] = []

    async def start(self, **settings: object) -> FenceService:
        self.triggers = Triggers()
        wanted = TriggerSettings(**settings)
        service = FenceService(self.database, self.triggers, self.clock, wanted)
        service.listeners.append(lambda fence_id, shape: self.told.append((fence_id, shape)))
        await service.load()
        return service


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    database = await EmbeddedDatabase(tmp_path / "majung.db").open()
    yield Desk(database)
    await database.close()


async def test_a_fence_counts_at_once_and_after_a_restart(desk: Desk) -> None:
    service = await desk.start()
    made = [await service.create(wish, "user:o") for wish in (HERE, THERE)]
    assert [fence.version for fence in made] == [1, 1]
    assert service.shape(made[0].fence_id).contains(37.4979, 127.0276)
    assert desk.told == [(fence.fence_id, service.shape(fence.fence_id)) for fence in made]
    again = await desk.start()
    # Made in one millisecond of this clock: then the id decides.
    assert again.fences() == service.fences() == sorted(made, key=lambda fence: fence.fence_id)
    assert desk.triggers.shape(made[1].fence_id) is not None


async def test_changing_and_deleting_count_at_once(desk: Desk) -> None:
    service = await desk.start()
    fence = await service.create(HERE, "user:o")
    desk.clock.advance(5)
    changed = await service.replace(fence.fence_id, THERE)
    assert (changed.version, changed.name, changed.circle) == (2, "there", None)
    assert changed.updated_at_ms == fence.created_at_ms + 5000 == changed.created_at_ms + 5000
    assert service.get(fence.fence_id) == changed
    await service.delete(fence.fence_id)
    assert service.fences() == [] and desk.told[-1] == (fence.fence_id, None)
    for read in (service.get, service.shape):
        with pytest.raises(LookupError):
            read(fence.fence_id)
    with pytest.raises(LookupError):
        await service.delete(fence.fence_id)
    with pytest.raises(LookupError):
        await service.replace(fence.fence_id, HERE)


async def test_what_is_not_valid_is_not_stored(desk: Desk) -> None:
    service = await desk.start()
    bow_tie = NewFence("x", polygon=((0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0)))
    fence = await service.create(HERE, "user:o")
    for wish in (bow_tie, NewFence("x"), NewFence("x", circle=Circle(0, 0, float("nan")))):
        with pytest.raises(ValueError, match=r"crosses|exactly one|radius_m"):
            await service.create(wish, "user:o")
        with pytest.raises(ValueError, match=r"crosses|exactly one|radius_m"):
            await service.replace(fence.fence_id, wish)
    assert (await desk.start()).fences() == [fence]


async def test_the_same_request_makes_one_fence(desk: Desk) -> None:
    service = await desk.start()
    made = await asyncio.gather(*(service.create(HERE, "user:o", "key-1") for _ in range(5)))
    assert len({fence.fence_id for fence in made}) == len(service.fences()) == 1
    other = await service.create(HERE, "user:p", "key-1")
    assert other.fence_id != made[0].fence_id
    assert len(desk.told) == 2
    with pytest.raises(ValueError, match="idempotency"):
        await service.create(HERE, "user:o", "x" * 129)


async def test_there_is_a_bound_on_fences(desk: Desk) -> None:
    service = await desk.start(max_fences=2)
    await service.create(HERE, "user:o")
    await service.create(HERE, "user:o", "k")
    with pytest.raises(TooManyFences):
        await service.create(HERE, "user:o")
    await service.create(HERE, "user:o", "k")


async def test_events_are_recorded_once_and_read_on_without_a_hole(desk: Desk) -> None:
    service = await desk.start()
    await service.record([])
    await service.record([happening(1), happening(2)])
    await service.record([happening(2), happening(3)])
    first = await service.events_after(0, 2)
    rest = await service.events_after(first[-1].id, 100)
    assert [event.at_ms for event in (*first, *rest)] == [1, 2, 3]
    assert [event.at_ms for event in await service.events_before(None, 2)] == [3, 2]
    assert [event.at_ms for event in await service.events_before(first[-1].id, 100)] == [1]
    assert first[0].event_id == happening(1).event_id and first[0].recorded_at_ms == desk.clock.now_ms()


async def test_events_of_whom_one_may_see_alone(desk: Desk) -> None:
    service = await desk.start()
    riders = [f"r{number}" for number in range(1100)]
    await service.record([happening(n, rider_id, "f" if n % 2 else "g") for n, rider_id in enumerate(riders)])
    assert await service.events_after(0, 100, riders=frozenset()) == []
    assert [e.rider_id for e in await service.events_after(0, 100, riders=frozenset({"r7", "x'; --"}))] == [
        "r7"
    ]
    most = frozenset(riders[:1050])
    assert [e.rider_id for e in await service.events_after(0, 3, riders=most)] == ["r0", "r1", "r2"]
    assert [e.rider_id for e in await service.events_before(None, 2, riders=most)] == ["r1049", "r1048"]
    assert [e.rider_id for e in await service.events_after(0, 2, "f", most)] == ["r1", "r3"]


async def test_old_and_surplus_events_go_and_numbers_never_come_again(desk: Desk) -> None:
    service = await desk.start(keep_events_for=td(days=1), max_events=100)
    await service.record([happening(1)])
    desk.clock.advance(86_401)
    await service.record([happening(2)])
    await service.drop_old(desk.clock.now_ms())
    assert [event.at_ms for event in await service.events_after(0, 100)] == [2]
    await service.record([happening(number) for number in range(3, 203)])
    await service.drop_old(desk.clock.now_ms())
    kept = await service.events_after(0, 1000)
    assert [event.at_ms for event in kept] == list(range(103, 203))
    desk.clock.advance(2 * 86_400)
    await service.drop_old(desk.clock.now_ms())
    await service.record([happening(999)])
    assert (await service.events_after(0, 10))[0].id > kept[-1].id
