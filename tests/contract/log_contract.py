"""What every `Log` promises. The suite of an implementation inherits and gives three fixtures:

`open_log`: opens the log of this test, each time the same one (the one before must be closed);
`clock`: the clock that those logs use; `appender`: a command that opens that log in a process of its own and
runs `append_and_tell` with topic `killed`.
"""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from majung.clock import ManualClock
from majung.ports import Log, LogConsumer, LogRecord, Overloaded, PortError
from majung.settings import LogSettings

OpenLog = Callable[[LogSettings], Awaitable[Log]]

DEFAULT = LogSettings()
KILLS = 6

_unique = itertools.count()

loads = st.lists(
    st.lists(
        st.tuples(st.text(max_size=3).filter(str.isprintable), st.binary(max_size=40)),
        min_size=1,
        max_size=12,
    ),
    min_size=1,
    max_size=30,
)


def fresh_topic() -> str:
    return f"topic-{next(_unique)}"


async def read(consumer: LogConsumer, count: int, at_once: int = 1000) -> list[LogRecord]:
    """The next `count` records."""
    records: list[LogRecord] = []
    while len(records) < count:
        records += await consumer.poll(min(at_once, count - len(records)), 0.0)
    return records


async def has_no_more(consumer: LogConsumer, log: Log, topic: str) -> bool:
    return consumer.position() == (await log.stats(topic)).end


def numbered(first: int, count: int, riders: int = 7) -> list[tuple[str, bytes]]:
    return [(f"rider-{n % riders}", str(n).encode()) for n in range(first, first + count)]


def by_key(records: Sequence[LogRecord]) -> dict[str, list[bytes]]:
    values: dict[str, list[bytes]] = {}
    for record in records:
        values.setdefault(record.key, []).append(record.value)
    return values


def pairs_by_key(pairs: Sequence[tuple[str, bytes]]) -> dict[str, list[bytes]]:
    values: dict[str, list[bytes]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return values


async def append_and_tell(log: Log) -> None:
    """Append for ever, ten at once in four tasks; print the number of each record that is acknowledged."""
    first = int(sys.stdin.readline())
    numbers = itertools.count(first)

    async def work() -> None:
        while True:
            batch = [next(numbers) for _ in range(10)]
            await log.append("killed", [(f"rider-{n % 7}", str(n).encode()) for n in batch])
            os.write(1, "".join(f"{n}\n" for n in batch).encode())

    await asyncio.gather(*(work() for _ in range(4)))


class LogContract:
    """Inherit, give the fixtures, name the class `Test…`."""

    async def test_what_was_appended_is_read_in_order_of_its_key(self, open_log: OpenLog) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        pairs = numbered(0, 500)
        await log.append(topic, pairs)
        consumer = log.consumer(topic, "g")
        records = await read(consumer, 500, at_once=64)
        assert by_key(records) == pairs_by_key(pairs)
        assert await has_no_more(consumer, log, topic)
        await log.close()

    async def test_a_key_has_one_partition_and_offsets_have_no_holes(self, open_log: OpenLog) -> None:
        log, topic = await open_log(LogSettings(partitions=5)), fresh_topic()
        for start in range(0, 300, 20):
            await log.append(topic, numbered(start, 20, riders=31))
        records = await read(log.consumer(topic, "g"), 300)
        homes: dict[str, set[int]] = {}
        offsets: dict[int, list[int]] = {}
        for record in records:
            homes.setdefault(record.key, set()).add(record.partition)
            offsets.setdefault(record.partition, []).append(record.offset)
        assert all(len(home) == 1 for home in homes.values())
        assert set(offsets) <= set(range(5)) and len(offsets) > 1
        assert all(held == list(range(len(held))) for held in offsets.values())
        assert {number: len(offsets.get(number, ())) for number in range(5)} == (await log.stats(topic)).end
        await log.close()

    async def test_the_number_of_partitions_stays_what_it_was(self, open_log: OpenLog) -> None:
        log, topic = await open_log(LogSettings(partitions=3)), fresh_topic()
        await log.append(topic, numbered(0, 50))
        homes = {record.key: record.partition for record in await read(log.consumer(topic, "g"), 50)}
        await log.close()
        log = await open_log(LogSettings(partitions=16))
        await log.append(topic, numbered(50, 50))
        records = await read(log.consumer(topic, "h"), 100)
        assert all(homes[record.key] == record.partition for record in records)
        assert len((await log.stats(topic)).end) == 3
        await log.close()

    async def test_everything_is_there_after_reopening(self, open_log: OpenLog, clock: ManualClock) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        at_ms = clock.now_ms()
        await log.append(topic, [("라이더", bytes(range(256))), ("", b""), ("라이더", b"\0" * 100_000)])
        await log.close()
        log = await open_log(DEFAULT)
        records = await read(log.consumer(topic, "g"), 3)
        assert by_key(records) == {"라이더": [bytes(range(256)), b"\0" * 100_000], "": [b""]}
        assert {(record.topic, record.appended_at_ms) for record in records} == {(topic, at_ms)}
        await log.close()

    async def test_a_group_goes_on_where_it_committed(self, open_log: OpenLog) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        await log.append(topic, numbered(0, 100))
        consumer = log.consumer(topic, "g")
        done = await read(consumer, 60, at_once=13)
        await consumer.commit()
        committed = consumer.position()
        await read(consumer, 20)  # Polled, not committed: comes again.
        await consumer.close()
        await log.close()
        log = await open_log(DEFAULT)
        consumer = log.consumer(topic, "g")
        assert consumer.position() == committed
        rest = await read(consumer, 40)
        assert by_key([*done, *rest]) == pairs_by_key(numbered(0, 100))
        assert await has_no_more(consumer, log, topic)
        await log.close()

    async def test_two_groups_do_not_disturb_each_other(self, open_log: OpenLog) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        await log.append(topic, numbered(0, 50))
        one, two = log.consumer(topic, "one"), log.consumer(topic, "two")
        await read(one, 50)
        await one.commit()
        assert by_key(await read(two, 50)) == pairs_by_key(numbered(0, 50))
        assert (await log.lag(topic, "one")).records == 0
        assert (await log.lag(topic, "two")).records == 50
        await log.close()

    async def test_seek_replays(self, open_log: OpenLog) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        await log.append(topic, numbered(0, 200))
        consumer = log.consumer(topic, "g")
        first = await read(consumer, 200)
        middle = {number: end // 2 for number, end in consumer.position().items()}
        consumer.seek(middle)
        again = await read(consumer, 200 - sum(middle.values()))
        assert sorted(map(repr, again)) == sorted(
            repr(record) for record in first if record.offset >= middle[record.partition]
        )
        consumer.seek(dict.fromkeys(middle, 10**9))
        assert await has_no_more(consumer, log, topic)
        consumer.seek(dict.fromkeys(middle, -5))
        assert by_key(await read(consumer, 200)) == by_key(first)
        with pytest.raises(ValueError, match="no partition 99"):
            consumer.seek({99: 0})
        await log.close()

    async def test_poll_waits_for_the_first_record(self, open_log: OpenLog) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        polling = asyncio.ensure_future(log.consumer(topic, "g").poll(10, 0.0))
        await asyncio.sleep(0)
        assert not polling.done()
        await log.append(topic, [("k", b"1")])
        assert [record.value for record in await polling] == [b"1"]
        await log.close()

    async def test_poll_lingers_for_a_full_batch(self, open_log: OpenLog) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        polling = asyncio.ensure_future(log.consumer(topic, "g").poll(3, 3600.0))
        for value in (b"1", b"2", b"3"):
            assert not polling.done()
            await log.append(topic, [("k", value)])
        assert [record.value for record in await polling] == [b"1", b"2", b"3"]
        await log.close()

    async def test_a_cancelled_poll_has_taken_nothing(self, open_log: OpenLog) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        await log.append(topic, [("k", b"1")])
        consumer = log.consumer(topic, "g")
        polling = asyncio.ensure_future(consumer.poll(3, 3600.0))
        await log.append(topic, [("k", b"2")])  # Meanwhile poll holds the first record and waits for more.
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        assert [record.value for record in await read(consumer, 2)] == [b"1", b"2"]
        await log.close()

    async def test_lag_counts_records_and_their_age(self, open_log: OpenLog, clock: ManualClock) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        assert (await log.lag(topic, "g")) == (await log.lag("never-used", "g"))
        await log.append(topic, [("k", b"1"), ("k", b"2")])
        clock.advance(30)
        await log.append(topic, [("k", b"3")])
        clock.advance(5)
        lag = await log.lag(topic, "g")
        assert (lag.records, lag.oldest_age_s) == (3, 35.0)
        consumer = log.consumer(topic, "g")
        await read(consumer, 2)
        await consumer.commit()
        lag = await log.lag(topic, "g")
        assert (lag.records, lag.oldest_age_s) == (1, 5.0)
        await read(consumer, 1)
        await consumer.commit()
        lag = await log.lag(topic, "g")
        assert (lag.records, lag.oldest_age_s) == (0, 0.0)
        await log.close()

    async def test_past_the_bound_appends_are_refused_until_there_is_room(self, open_log: OpenLog) -> None:
        log, topic = await open_log(LogSettings(max_pending_bytes=65_536)), fresh_topic()
        taken: list[asyncio.Future[None]] = []
        with pytest.raises(Overloaded):
            for _ in range(100):
                taken.append(log.append(topic, [("k", b"x" * 4096)]))
        assert 0 < len(taken) < 65_536 / 4096
        await asyncio.wait_for(log.writable(), 60)
        after = log.append(topic, [("k", b"after")])
        await asyncio.gather(*taken, after)
        records = await read(log.consumer(topic, "g"), len(taken) + 1)
        assert [len(record.value) for record in records] == [4096] * len(taken) + [5]
        await log.close()

    async def test_one_append_larger_than_the_bound_is_taken_alone(self, open_log: OpenLog) -> None:
        log, topic = await open_log(LogSettings(max_pending_bytes=65_536)), fresh_topic()
        await log.append(topic, [("k", b"x" * 200_000)])
        assert len((await read(log.consumer(topic, "g"), 1))[0].value) == 200_000
        await log.close()

    async def test_an_empty_append_is_acknowledged(self, open_log: OpenLog) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        await asyncio.wait_for(log.append(topic, []), 60)
        before = log.append(topic, [("k", b"1")])
        await asyncio.wait_for(log.append(topic, []), 60)
        assert before.done()
        await log.close()

    async def test_a_key_that_is_no_text_harms_nobody_else(self, open_log: OpenLog) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        neighbour = log.append(topic, [("k", b"1")])
        with pytest.raises(ValueError, match="surrogates"):
            log.append(topic, [("k", b"half of it"), ("\ud800", b"2")])
        await neighbour
        consumer = log.consumer(topic, "g")
        assert [record.value for record in await read(consumer, 1)] == [b"1"]
        assert await has_no_more(consumer, log, topic)
        await log.close()

    async def test_a_cancelled_waiter_takes_the_acknowledgement_from_nobody(self, open_log: OpenLog) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()

        async def wait_for(future: "asyncio.Future[None]") -> None:
            await future

        gone = asyncio.ensure_future(wait_for(log.append(topic, [("k", b"1")])))
        stays = asyncio.ensure_future(wait_for(log.append(topic, [("k", b"2")])))
        await asyncio.sleep(0)
        gone.cancel()
        outcome = await asyncio.gather(gone, stays, return_exceptions=True)
        assert isinstance(outcome[0], asyncio.CancelledError)
        assert outcome[1] is None
        assert len(await read(log.consumer(topic, "g"), 2)) == 2
        await log.close()

    async def test_close_writes_what_is_pending(self, open_log: OpenLog) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        future = log.append(topic, numbered(0, 100))
        polling = asyncio.ensure_future(log.consumer("silent", "g").poll(1, 0.0))
        await asyncio.sleep(0)
        await log.close()
        assert future.done() and future.exception() is None
        with pytest.raises(PortError):
            log.append(topic, [("k", b"late")])
        with pytest.raises(PortError):
            await polling
        log = await open_log(DEFAULT)
        assert by_key(await read(log.consumer(topic, "g"), 100)) == pairs_by_key(numbered(0, 100))
        await log.close()

    async def test_retention_drops_what_is_old_and_read(self, open_log: OpenLog, clock: ManualClock) -> None:
        log, topic = await open_log(LogSettings(keep_for="1h", partitions=1)), fresh_topic()
        await log.append(topic, numbered(0, 40))
        slow, fast = log.consumer(topic, "slow"), log.consumer(topic, "fast")
        await read(slow, 10)
        await slow.commit()
        await read(fast, 40)
        await fast.commit()
        assert await log.drop_old(clock.now_ms()) == 0, "too young"
        clock.advance(7200)
        assert await log.drop_old(clock.now_ms()) == 0, "one group has not read it"
        await log.append(topic, numbered(40, 5))
        assert by_key(await read(slow, 35)) == pairs_by_key(numbered(10, 35))
        await slow.commit()
        await read(fast, 5)
        await fast.commit()
        assert await log.drop_old(clock.now_ms()) == 40
        stats = await log.stats(topic)
        assert (stats.begin, stats.end) == ({0: 40}, {0: 45})
        await log.close()
        log = await open_log(LogSettings(keep_for="1h"))
        fresh = log.consumer(topic, "fresh")
        assert [record.offset for record in await read(fresh, 5)] == [40, 41, 42, 43, 44]
        fresh.seek({0: 3})
        assert fresh.position() == {0: 40}
        await log.close()

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(appends=loads, at_once=st.integers(1, 50), seed=st.integers(0, 2**16))
    async def test_any_load_of_concurrent_appenders_is_read_once_in_order(
        self, open_log: OpenLog, appends: list[list[tuple[str, bytes]]], at_once: int, seed: int
    ) -> None:
        log, topic = await open_log(DEFAULT), fresh_topic()
        chance = random.Random(seed)
        called: list[tuple[str, bytes]] = []

        async def appender(mine: list[list[tuple[str, bytes]]]) -> None:
            for batch in mine:
                called.extend(batch)
                future = log.append(topic, batch)
                if chance.random() < 0.5:
                    await future

        consumer = log.consumer(topic, "g")
        total = sum(map(len, appends))
        reading = asyncio.ensure_future(read(consumer, total, at_once))
        await asyncio.gather(*(appender(appends[start::3]) for start in range(3)))
        records = await reading
        assert by_key(records) == pairs_by_key(called)
        consumer.seek(dict.fromkeys(consumer.position(), 0))
        assert by_key(await read(consumer, total, at_once)) == pairs_by_key(called)
        await log.close()

    async def test_nothing_acknowledged_is_lost_by_sigkill(
        self, open_log: OpenLog, appender: Sequence[str], appender_env: dict[str, Any]
    ) -> None:
        seed = random.randrange(2**32)
        chance = random.Random(seed)
        acknowledged: list[int] = []
        first = 0
        for _ in range(KILLS):
            with subprocess.Popen(
                appender, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=appender_env
            ) as process:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(f"{first}\n".encode())
                process.stdin.flush()
                told = [process.stdout.readline() for _ in range(chance.randrange(1, 400))]
                process.send_signal(signal.SIGKILL)
                told += process.stdout.readlines()
            numbers = [int(line) for line in told if line.endswith(b"\n")]
            assert numbers, f"seed {seed}: the appender said nothing"
            acknowledged += numbers
            first = max(numbers) + 1000
        log = await open_log(DEFAULT)
        consumer = log.consumer("killed", "g")
        records: list[LogRecord] = []
        while not await has_no_more(consumer, log, "killed"):
            records += await consumer.poll(1000, 0.0)
        stored = [int(record.value) for record in records]
        assert set(acknowledged) <= set(stored), f"seed {seed}: acknowledged and lost"
        assert len(set(stored)) == len(stored), f"seed {seed}: stored twice"
        for key, values in by_key(records).items():
            assert values == sorted(values, key=int), f"seed {seed}: {key} out of order"
        assert log.damage() == []
        await log.close()
