"""The relay: every committed change reaches the log, in order, whatever dies and however many relays run."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from majung.backends.embedded.database import EmbeddedDatabase
from majung.backends.embedded.log import EmbeddedLog
from majung.clock import ManualClock, SystemClock
from majung.orders.model import Command, CommandArgs, OrderEvent
from majung.orders.service import OrderService
from majung.orders.store import LANES, decode_event, lane_of
from majung.outbox.relay import ORDER_EVENTS_TOPIC, Relay
from majung.outbox.versions import SeenVersions
from majung.ports import PortError, Row
from majung.settings import LogSettings
from tests.orders_kit import CUSTOMER, STORE, WISH, OpenStore

PENDING = "SELECT COUNT(*) FROM outbox WHERE status = 'pending'"


class Killed(BaseException):
    """The process is gone at this point: nothing catches it."""


class Yard:
    """Database, log and service in one folder."""

    def __init__(self, database: EmbeddedDatabase, log: EmbeddedLog) -> None:
        self.database = database
        self.log = log
        self.clock = ManualClock()
        self.service = OrderService(database, self.clock, OpenStore())

    def relay(self) -> Relay:
        return Relay(self.database, self.log, self.clock)

    async def orders(self, count: int, changes: int = 0) -> list[str]:
        placed = await asyncio.gather(*(self.service.place(WISH, CUSTOMER.id) for _ in range(count)))
        ids = [order.order_id for order in placed]
        await asyncio.gather(*(self.change(order_id, changes) for order_id in ids))
        return ids

    async def change(self, order_id: str, changes: int) -> None:
        for number in range(changes):
            command = Command.SET_COOKING_TIME if number else Command.ACCEPT
            await self.service.command(order_id, command, STORE, CommandArgs(cooking_minutes=1 + number))

    async def published(self) -> list[OrderEvent]:
        """All records of the topic, as a new consumer gets them."""
        stats = await self.log.stats(ORDER_EVENTS_TOPIC)
        wanted = sum(stats.end.values()) - sum(stats.begin.values())
        consumer = self.log.consumer(ORDER_EVENTS_TOPIC, "test")
        found: list[OrderEvent] = []
        while len(found) < wanted:
            found += [decode_event(record.value) for record in await consumer.poll(500, 0)]
        await consumer.close()
        return found

    async def pending(self) -> int:
        return int((await self.database.read(PENDING))[0][0])


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    database = await EmbeddedDatabase(tmp_path / "majung.db").open()
    log = await EmbeddedLog.open(tmp_path / "log", LogSettings(), SystemClock())
    yield Yard(database, log)
    await log.close()
    await database.close()


async def drain(relay: Relay) -> int:
    total = 0
    while count := await relay.publish_once():
        total += count
    return total


def effects(events: list[OrderEvent]) -> dict[str, list[int]]:
    """What a consumer that drops seen versions does, by order."""
    seen, done = SeenVersions(), defaultdict(list)
    for event in events:
        if seen.take(event.order_id, event.version):
            done[event.order_id].append(event.version)
    assert seen.holes == 0
    return dict(done)


async def test_what_is_committed_is_published_once_and_in_order(yard: Yard) -> None:
    ids = await yard.orders(30, 4)
    assert await drain(yard.relay()) == 150
    events = await yard.published()
    assert effects(events) == {order_id: [1, 2, 3, 4, 5] for order_id in ids}
    assert len(events) == 150
    assert await yard.pending() == 0


async def test_nothing_of_a_refused_change_is_published(yard: Yard) -> None:
    (order_id,) = await yard.orders(1)
    with pytest.raises(ValueError, match="cooking_minutes"):
        await yard.service.command(order_id, Command.ACCEPT, STORE)
    assert await drain(yard.relay()) == 1


async def test_a_crash_between_publish_and_mark_gives_no_double_effect(yard: Yard) -> None:
    ids = await yard.orders(10, 2)

    class DiesBeforeMarking(Relay):
        async def _mark(self, rows: list[Row]) -> list[Row]:
            raise Killed

    with pytest.raises(Killed):
        await DiesBeforeMarking(yard.database, yard.log, yard.clock).publish_once()
    assert await yard.pending() == 30
    yard.clock.advance(3)  # the lease of the dead runs out
    await drain(yard.relay())
    events = await yard.published()
    assert len(events) == 60
    assert effects(events) == {order_id: [1, 2, 3] for order_id in ids}


async def test_the_check_finds_a_relay_that_marks_before_it_publishes(yard: Yard) -> None:
    """The planted fault of this suite: with it, the same crash loses what was committed."""
    ids = await yard.orders(10, 2)

    class MarksFirst(Relay):
        async def _publish(self, rows: list[Row]) -> None:
            await self._mark(rows)
            raise Killed

    with pytest.raises(Killed):
        await MarksFirst(yard.database, yard.log, yard.clock).publish_once()
    yard.clock.advance(3)
    await drain(yard.relay())
    assert effects(await yard.published()) != {order_id: [1, 2, 3] for order_id in ids}


async def test_a_lease_keeps_others_out_until_it_ends(yard: Yard) -> None:
    first, second = yard.relay(), yard.relay()
    ids = await yard.orders(5)
    assert await first.publish_once() == 5
    await asyncio.gather(*(yard.change(order_id, 1) for order_id in ids))
    assert await second.publish_once() == 0
    yard.clock.advance(3)
    assert await second.publish_once() == 5
    assert await yard.pending() == 0


async def test_a_relay_that_is_stopped_leaves_its_lanes_at_once(yard: Yard) -> None:
    await yard.orders(3)
    first = yard.relay()
    task = asyncio.create_task(first.run())
    await until(lambda: first.published == 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await yard.orders(4)
    assert await yard.relay().publish_once() == 4


async def test_a_relay_that_slept_past_its_lease_overtakes_nothing(yard: Yard) -> None:
    ids = await yard.orders(5, 1)
    asleep, goes_on = asyncio.Event(), asyncio.Event()

    class Sleeper(Relay):
        async def _publish(self, rows: list[Row]) -> None:
            asleep.set()
            await goes_on.wait()
            await super()._publish(rows)

    late = asyncio.create_task(Sleeper(yard.database, yard.log, yard.clock).publish_once())
    await asleep.wait()
    yard.clock.advance(3)
    await asyncio.gather(*(yard.service.command(i, Command.READY, STORE) for i in ids))
    assert await drain(yard.relay()) == 15
    goes_on.set()
    assert await late == 10
    assert effects(await yard.published()) == {order_id: [1, 2, 3] for order_id in ids}


async def test_several_relays_at_once_while_orders_come(yard: Yard) -> None:
    relays = [yard.relay() for _ in range(4)]
    for relay in relays:
        yard.service.listeners.append(relay.wake)
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    ids = [order_id for _ in range(3) for order_id in await yard.orders(20, 5)]
    await until(lambda: sum(relay.published for relay in relays) >= 360)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert effects(await yard.published()) == {order_id: [1, 2, 3, 4, 5, 6] for order_id in ids}
    assert await yard.pending() == 0


async def test_a_log_that_refuses_delays_and_loses_nothing(yard: Yard) -> None:
    ids = await yard.orders(5, 1)
    refused: list[int] = []

    class Refused(Relay):
        async def _publish(self, rows: list[Row]) -> None:
            if len(refused) < 2:
                refused.append(len(rows))
                raise PortError("the disk is full")
            await super()._publish(rows)

    relay = Refused(yard.database, yard.log, yard.clock)
    task = asyncio.create_task(relay.run())
    await until(lambda: relay.published == 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert refused == [10, 10]
    assert effects(await yard.published()) == {order_id: [1, 2] for order_id in ids}


async def test_the_lag_is_what_waits_and_since_when(yard: Yard) -> None:
    relay = yard.relay()
    assert ((await relay.lag()).records, (await relay.lag()).oldest_age_s) == (0, 0.0)
    await yard.orders(3)
    yard.clock.advance(7)
    await yard.orders(2)
    lag = await relay.lag()
    assert (lag.records, lag.oldest_age_s) == (5, 7.0)
    await drain(relay)
    assert (await relay.lag()).records == 0


async def test_published_rows_go_after_a_while_and_pending_ones_stay(yard: Yard) -> None:
    relay = yard.relay()
    await yard.orders(3)
    await drain(relay)
    yard.clock.advance(3700)
    await yard.orders(2)
    yard.clock.advance(3700)
    await relay.drop_old(yard.clock.now_ms())
    assert await yard.database.read("SELECT status, COUNT(*) FROM outbox GROUP BY status") == [("pending", 2)]
    assert len(await yard.database.read("SELECT 1 FROM order_event")) == 5


async def test_an_idle_relay_writes_nothing(yard: Yard) -> None:
    relay = yard.relay()
    assert await relay.publish_once() == 0
    assert await yard.database.read("SELECT DISTINCT owner FROM outbox_lane") == [("",)]


async def test_every_lane_is_there_and_used(yard: Yard) -> None:
    rows = await yard.database.read("SELECT lane FROM outbox_lane ORDER BY lane")
    assert [row[0] for row in rows] == list(range(LANES))
    assert {lane_of(f"o-{number}") for number in range(500)} == set(range(LANES))


def test_seen_versions() -> None:
    seen = SeenVersions(max_orders=2)
    assert [seen.take("a", v) for v in (1, 1, 2, 1, 4, 4)] == [True, False, True, False, True, False]
    assert (seen.repeated, seen.holes, seen.newest("a")) == (3, 1, 4)
    assert seen.take("b", 1)
    assert seen.take("c", 1)
    assert (len(seen), seen.newest("a")) == (2, 0)
    seen.forget("b")
    assert seen.take("b", 1)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.005)
