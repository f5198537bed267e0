"""From the log to the map: the consumer that takes every acknowledged position through `steps.STEPS`.

Effects stand in an order that survives a crash at any point: history (idempotent by identity), events
(idempotent by id), then what is only a view (live index, viewers), and last the checkpoint, which holds
the processing state together with the offsets that it belongs to. After a crash the consumer goes back
to the checkpoint and does the last seconds again, with the same result.

Riders and people (`model.kind_of`) come in the same way and part at the end: riders are shown by the hub and
raise events, people are told to `people_listeners` alone and raise none.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import msgspec
import structlog

from majung.clock import Clock
from majung.live.hub import Hub
from majung.observe.ledger import ConsumerCounts, Ledger
from majung.ports import GroupLag, History, LiveStore, Log, LogConsumer, LogRecord, PortError
from majung.positions.erase import Erasures, finish_erasures
from majung.positions.fences import FenceService
from majung.positions.ingest import POSITIONS_TOPIC
from majung.positions.memory import RiderMemory
from majung.positions.model import PERSON, LivePosition, Position, is_person
from majung.positions.state import as_live
from majung.positions.steps import STEPS, Batch
from majung.positions.triggers import FenceStates, RiderEvent, Triggers
from majung.settings import PositionSettings
from majung.tasks import Supervisor

log = structlog.get_logger("majung.pipeline")

GROUP = "positions"
EVENTS_TOPIC = "loc.events.v1"
_RETRY_S = 0.5

ClockRule = Callable[[FenceStates, Position, int], list[RiderEvent]]

_encode = msgspec.msgpack.Encoder().encode


class Pipeline:
    """The consumer of `loc.positions.v1`. One for each server; belongs to its event loop."""

    def __init__(
        self,
        log_port: Log,
        live: LiveStore,
        history: History,
        hub: Hub,
        fences: FenceService,
        triggers: Triggers,
        ledger: Ledger,
        clock: Clock,
        settings: PositionSettings,
        people_gone_after: timedelta,
        erasures: Erasures,
    ) -> None:
        self.log = log_port
        self.live = live
        self.history = history
        self.hub = hub
        self.fences = fences
        self.triggers = triggers
        self.ledger = ledger
        self.clock = clock
        self.settings = settings
        self.people_listeners: list[Callable[[Sequence[LivePosition]], None]] = []
        """Each hears the newest positions of people once they are live (after a crash, some of them again)."""
        self.people_gone_listeners: list[Callable[[Sequence[str]], None]] = []
        """Each hears who was silent for `friends.gone_after`, or was erased."""
        self._people_gone_after = people_gone_after
        self.erasures = erasures
        self.memory = RiderMemory(live, triggers)
        self.step_seconds: dict[str, float] = {step.__name__: 0.0 for step in STEPS}
        self.rebuild_seconds = 0.0
        self.waiting_for_storage = ""
        self.restored = asyncio.Event()
        self.base_offset = 0
        self._checkpointed_at = 0.0
        self._replay_until: dict[int, int] = {}
        self.turn = asyncio.Lock()  # held while a batch is at work
        self._consumer: LogConsumer | None = None
        self._in_flight = 0
        self._expected: dict[int, int] = {}
        self._stopping = False

    # ------------------------------------------------------------------------------------- running

    async def run(self) -> None:
        """Consume until cancelled. When it raises, calling it again goes on from the checkpoint.

        Cancelled while it waits for work, it saves its state; cancelled in the middle of a batch it
        leaves that to the next start, which does the batch again from the checkpoint.
        """
        self._consumer = consumer = self.log.consumer(POSITIONS_TOPIC, GROUP)
        try:
            await self._restore(consumer)
            while (records := await self._next(consumer)) is not None:
                self._in_flight = len(records)
                self._count_skipped(records)
                async with self.turn:
                    for part in self._split_replayed(records):
                        await self._process(Batch(*part))
                    if self._checkpoint_due():
                        await self._checkpoint(consumer)
                self._in_flight = 0
            await self._checkpoint(consumer)
        finally:
            await consumer.close()

    async def _next(self, consumer: LogConsumer) -> list[LogRecord] | None:
        """The next records; None when it is time to stop."""
        try:
            return await consumer.poll(self.settings.batch_max, self.settings.batch_linger.total_seconds())
        except asyncio.CancelledError:
            if self._stopping:
                return None
            raise

    def _split_replayed(self, records: list[LogRecord]) -> list[tuple[list[LogRecord], bool]]:
        """Records that were at work when the process died, apart from those that came after.

        History knows the former already, which says nothing about whether a device sent them twice.
        """
        if not self._replay_until:
            return [(records, False)]
        again = [r for r in records if r.offset < self._replay_until.get(r.partition, 0)]
        if not again:
            self._replay_until = {}
            return [(records, False)]
        new = [r for r in records if r.offset >= self._replay_until.get(r.partition, 0)]
        return [(again, True), (new, False)] if new else [(again, True)]

    async def stop(self, supervisor: Supervisor, within_s: float) -> None:
        """After the doors have closed: process what is in the log, save, and end (at most `within_s`)."""
        self._stopping = True
        if not self.restored.is_set():
            return
        deadline_s = self.clock.monotonic_s() + within_s
        while self.clock.monotonic_s() < deadline_s and (await self.lag()).records:
            await asyncio.sleep(0.02)
        async with self.turn:
            pass
        await supervisor.stop(GROUP)

    def consumed(self) -> int | None:
        """Offsets passed since `base_offset`, by the consumer's own position.

        None in the middle of a batch, when the counters say something else than the position.
        """
        if self._in_flight or self._consumer is None:
            return None
        return sum(self._consumer.position().values()) - self.base_offset

    async def lag(self) -> GroupLag:
        """Acknowledged positions that are not processed yet, those of the batch at work included."""
        position = None if self._consumer is None else self._consumer.position()
        waiting = await self.log.lag(POSITIONS_TOPIC, GROUP, position)
        return GroupLag(waiting.records + self._in_flight, waiting.oldest_age_s)

    def _count_skipped(self, records: list[LogRecord]) -> None:
        """Offsets without a record: what stood there is lost to damage, which the log reports."""
        for record in records:
            jump = record.offset - self._expected.get(record.partition, record.offset)
            if jump:
                self.ledger.consumer.skipped += jump
            self._expected[record.partition] = record.offset + 1

    async def _process(self, batch: Batch) -> None:
        for step in STEPS:
            started = time.perf_counter()
            await step(self, batch)
            self.step_seconds[step.__name__] += time.perf_counter() - started
        self.ledger.consumer.processed += len(batch.records)

    # -------------------------------------------------------------------------- checkpoint, restore

    async def _restore(self, consumer: LogConsumer) -> None:
        """Go back to the last checkpoint: states, counters and offsets of one moment."""
        started = time.perf_counter()
        await self._restore_offsets(consumer)
        await finish_erasures(self)  # before anything of the erased comes back
        riders_ms, people_ms = self._heard_since()
        async for newest in self.memory.restore():
            heard = [p for p in newest if p.received_at_ms >= (people_ms if is_person(p) else riders_ms)]
            await self.live.put([as_live(position) for position in heard])
        self.rebuild_seconds = time.perf_counter() - started
        self._checkpointed_at = self.clock.monotonic_s()
        self.restored.set()
        log.info("restored", riders=len(self.memory.states), seconds=round(self.rebuild_seconds, 3))

    async def _restore_offsets(self, consumer: LogConsumer) -> None:
        meta = await self.live.load_meta()
        if "offsets" in meta:
            consumer.seek(msgspec.msgpack.decode(meta["offsets"], type=dict[int, int]))
            self.ledger.consumer = msgspec.msgpack.decode(meta["counts"], type=ConsumerCounts)
            self.base_offset = msgspec.msgpack.decode(meta["base"], type=int)
        else:  # a new data folder, or the view was thrown away: rebuild it from all that the log holds
            begin = (await self.log.stats(POSITIONS_TOPIC)).begin
            consumer.seek(begin)
            self.ledger.consumer = ConsumerCounts()
            self.base_offset = sum(begin.values())
        self._in_flight = 0
        self._expected = start = consumer.position()
        end = (await self.log.stats(POSITIONS_TOPIC)).end
        self._replay_until = {p: offset for p, offset in end.items() if offset > start.get(p, 0)}

    def _checkpoint_due(self) -> bool:
        waited_s = self.clock.monotonic_s() - self._checkpointed_at
        return waited_s >= self.settings.checkpoint_every.total_seconds()

    async def _checkpoint(self, consumer: LogConsumer) -> None:
        meta = {
            "offsets": _encode(consumer.position()),
            "counts": _encode(self.ledger.consumer),
            "base": _encode(self.base_offset),
        }
        await self.memory.save(lambda states: self.until_stored(lambda: self.live.save_states(states, meta)))
        await consumer.commit()
        self._checkpointed_at = self.clock.monotonic_s()

    async def until_stored(self, write: Callable[[], Awaitable[object]]) -> object:
        """Repeat a write until the storage takes it: the log holds everything meanwhile.

        Going on without would lose positions; giving up would only meet the same full disk again.
        """
        while True:
            try:
                result = await write()
            except PortError as problem:
                if not self.waiting_for_storage:
                    log.error("storage_refuses", problem=str(problem))
                self.waiting_for_storage = str(problem)
                await asyncio.sleep(_RETRY_S)
            else:
                self.waiting_for_storage = ""
                return result

    # -------------------------------------------------------------------------------------- expiry

    async def expire(self) -> None:
        """Take off the map who is silent: `positions.offline_after` for riders, `friends.gone_after` for people."""
        now_ms = self.clock.now_ms()
        riders_ms, people_ms = self._heard_since()
        async with self.turn:
            people = await self.live.expire(people_ms, PERSON)
            gone = await self.live.expire(riders_ms)
            events: list[RiderEvent] = []
            for position in gone:
                events += await self._look(position.rider_id, self.triggers.expire, now_ms)
            for rider_id in self.triggers.due(now_ms):
                events += await self._look(rider_id, self.triggers.look, now_ms)
            await self.announce_events(events)
        if gone:
            self.hub.gone([position.rider_id for position in gone])
        if people:
            self.tell_gone([position.rider_id for position in people])

    def tell_gone(self, person_ids: Sequence[str]) -> None:
        """These people are live no longer."""
        for listener in self.people_gone_listeners:
            listener(person_ids)

    def _heard_since(self) -> tuple[int, int]:
        """Whoever was heard before is off the map: the moment for riders, and the one for people."""
        now_ms = self.clock.now_ms()
        after = self.settings.offline_after, self._people_gone_after
        riders_ms, people_ms = (now_ms - int(silence.total_seconds() * 1000) for silence in after)
        return riders_ms, people_ms

    async def _look(self, rider_id: str, rule: ClockRule, now_ms: int) -> list[RiderEvent]:
        """Apply a rule of the clock to a rider, as far as anything is known of it."""
        await self.memory.recall([rider_id])
        state = self.memory.states[rider_id]
        if state.fences is None or state.newest is None:
            return []
        self.memory.touch(rider_id)
        return rule(state.fences, state.newest, now_ms)

    async def announce_events(self, events: list[RiderEvent]) -> None:
        """Store them, append them to their topic, then tell whoever watches."""
        if not events:
            return
        await self.until_stored(lambda: self.fences.record(events))
        await self.until_stored(
            lambda: self.log.append(EVENTS_TOPIC, [(event.rider_id, _encode(event)) for event in events])
        )
        self.hub.events(events)
