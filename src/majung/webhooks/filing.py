"""From the log to deliveries: the rows and the offsets that they came from are one transaction.

Where to go on is what the database says; the group's committed offset holds the log's records back for
endpoints that are behind, and is what spares a start from reading what concerned nobody.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import structlog

from majung.clock import Clock
from majung.consuming import decoded
from majung.ports import Database, Log, LogRecord, Transaction
from majung.webhooks import store
from majung.webhooks.events import Event
from majung.webhooks.model import Endpoint
from majung.webhooks.registry import Registry

log = structlog.get_logger("majung.webhooks")

GROUP = "webhooks"
GROUP_BEHIND = "webhooks-behind"
_BATCH = 500
_LINGER_S = 0.005
_PATIENCE_S = 2.0

Reader = Callable[[bytes], Event]
Offsets = Mapping[int, int]


class Filed(NamedTuple):
    """What a transaction did: new rows for each endpoint, and who is behind after it."""

    counts: dict[str, int]
    behind: set[str]


class Filer:
    """Files one topic. One for each server and topic; belongs to its event loop."""

    def __init__(
        self,
        log_port: Log,
        database: Database,
        clock: Clock,
        registry: Registry,
        topic: str,
        read: Reader,
        max_waiting: int,
        wake: Callable[[str], None],
    ) -> None:
        self.topic = topic
        self._log = log_port
        self._database = database
        self._clock = clock
        self._registry = registry
        self._reader = read
        self._max_waiting = max_waiting
        self._wake = wake
        self.position: dict[int, int] = {}
        """Up to where everything is filed or concerns nobody."""

    async def run(self) -> None:
        """File until cancelled."""
        consumer = self._log.consumer(self.topic, GROUP)
        try:
            stored: dict[int, int] = dict(await self._database.read(store.SELECT_OFFSETS, (self.topic,)))
            committed = consumer.position()
            consumer.seek({part: max(at, stored.get(part, 0)) for part, at in committed.items()})
            while True:
                before = consumer.position()
                records = await consumer.poll(_BATCH, _LINGER_S)
                await self._file(self._wanted(records), before, consumer.position())
                self.position = consumer.position()
                if not self._registry.behind(self.topic):
                    await consumer.commit()
        finally:
            await consumer.close()

    def _wanted(self, records: Iterable[LogRecord], only: Endpoint | None = None) -> dict[str, list[Event]]:
        wanted: dict[str, list[Event]] = {}
        if not len(self._registry):
            return wanted
        for record, event in decoded(self.topic, records, self._reader):
            for endpoint in self._registry.targets(event, record.appended_at_ms):
                if only is None or endpoint is only:
                    wanted.setdefault(endpoint.webhook_id, []).append(event)
        return wanted

    async def _file(self, wanted: Mapping[str, list[Event]], before: Offsets, after: Offsets) -> None:
        if not wanted:
            return
        full = {
            webhook_id
            for webhook_id, events in wanted.items()
            if self._registry.get(webhook_id).waiting + len(events) > self._max_waiting
        }

        def work(tx: Transaction) -> Filed:
            number = self._take_numbers(tx, wanted)
            behind = {str(row[0]) for row in tx.execute(store.SELECT_BEHIND, (self.topic,))}
            for webhook_id in full - behind:
                self._put_behind(tx, webhook_id, before)
            behind |= full
            counts = self._insert(tx, number, wanted, behind)
            tx.execute_many(store.PUT_OFFSET, [(self.topic, part, at) for part, at in after.items()])
            return Filed(counts, behind)

        filed = await self._database.write(work)
        self._apply(filed.counts)
        for webhook_id in filed.behind:
            endpoint = self._registry.find(webhook_id)
            if endpoint is not None and self.topic not in endpoint.behind:
                endpoint.behind.add(self.topic)
                log.warning("webhook_behind", webhook_id=webhook_id, topic=self.topic)

    def _apply(self, counts: Mapping[str, int]) -> None:
        for webhook_id, count in counts.items():
            endpoint = self._registry.find(webhook_id)
            if endpoint is not None:
                endpoint.waiting += count
                self._wake(webhook_id)

    # ---------------------------------------------------------------------------------- in the transaction

    def _take_numbers(self, tx: Transaction, wanted: Mapping[str, list[Event]]) -> int:
        count = sum(len(events) for events in wanted.values())
        return int(tx.execute(store.TAKE_NUMBERS, (count,))[0][0]) - count

    def _insert(
        self, tx: Transaction, number: int, wanted: Mapping[str, list[Event]], behind: Collection[str]
    ) -> dict[str, int]:
        """Rows for those who are not behind; what is there already (an event that came twice) is not new."""
        now_ms = self._clock.now_ms()
        counts: dict[str, int] = {}
        for webhook_id, events in wanted.items():
            for event in () if webhook_id in behind else events:
                number += 1
                row = (number, webhook_id, event.event_id, event.type, event.subject, event.at_ms)
                if tx.execute(store.INSERT_DELIVERY, (*row, now_ms, now_ms, event.body)):
                    counts[webhook_id] = counts.get(webhook_id, 0) + 1
        return counts

    def _put_behind(self, tx: Transaction, webhook_id: str, offsets: Offsets) -> None:
        rows = [(webhook_id, self.topic, part, at) for part, at in offsets.items()]
        tx.execute_many(store.PUT_BEHIND, rows)

    # ------------------------------------------------------------------------------------------ behind

    async def catch_up(self) -> None:
        """Read on from the log for those who are behind and have room for it again."""
        for endpoint in self._registry.behind(self.topic):
            if endpoint.waiting <= self._max_waiting // 2:
                await self._catch_up(endpoint)

    async def _catch_up(self, endpoint: Endpoint) -> None:
        rows = await self._database.read(store.SELECT_BEHIND, (self.topic,))
        offsets = {int(part): int(at) for webhook_id, part, at in rows if webhook_id == endpoint.webhook_id}
        stats = await self._log.stats(self.topic)
        missed = sum(max(0, stats.begin.get(part, 0) - at) for part, at in offsets.items())
        if missed:
            log.error("webhook_missed", webhook_id=endpoint.webhook_id, topic=self.topic, records=missed)
        consumer = self._log.consumer(self.topic, GROUP_BEHIND)
        try:
            consumer.seek(offsets)
            while self.topic in endpoint.behind and endpoint.waiting < self._max_waiting:
                records: list[LogRecord] = []
                if any(at < stats.end.get(part, 0) for part, at in consumer.position().items()):
                    try:
                        async with asyncio.timeout(_PATIENCE_S):
                            room = self._max_waiting - endpoint.waiting
                            records = await consumer.poll(min(_BATCH, room), 0.0)
                    except TimeoutError:
                        pass  # the rest of what there was is damaged: nothing to wait for
                await self._file_behind(endpoint, records, consumer.position())
                stats = await self._log.stats(self.topic)
        finally:
            await consumer.close()

    async def _file_behind(self, endpoint: Endpoint, records: list[LogRecord], after: Offsets) -> None:
        wanted = self._wanted(records, endpoint)

        def work(tx: Transaction) -> tuple[dict[str, int], bool]:
            number = self._take_numbers(tx, wanted)
            counts = self._insert(tx, number, wanted, ())
            stored: dict[int, int] = dict(tx.execute(store.SELECT_OFFSETS, (self.topic,)))
            reached = all(after.get(part, 0) >= at for part, at in stored.items())
            if (
                reached
            ):  # what is filed from now on is filed for it as well, by the transactions after this one
                tx.execute(store.DELETE_BEHIND, (endpoint.webhook_id, self.topic))
            else:
                self._put_behind(tx, endpoint.webhook_id, after)
            return counts, reached

        counts, reached = await self._database.write(work)
        self._apply(counts)
        if reached:
            endpoint.behind.discard(self.topic)
            log.info("webhook_caught_up", webhook_id=endpoint.webhook_id, topic=self.topic)
