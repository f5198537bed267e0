"""`ports.Log` on SQLite: durable, ordered by key, replayable, for one process.

`append` puts records into the open group. The group is handed to the writer thread `commit_every` after
its first record, or when the commit before it is over, whichever is later: so the busier it gets, the more
records share one fsync. Chunks are visible to consumers when they are durable, not before.

Neighbours: `log_store` has the files, `log_writer` the thread, `log_consumer` the readers, `log_tail` the
newest chunks in memory, `log_groups` the committed offsets.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import structlog

from majung.backends.embedded.log_consumer import EmbeddedConsumer, TopicState
from majung.backends.embedded.log_groups import Groups
from majung.backends.embedded.log_segment import Chunk, Stream
from majung.backends.embedded.log_store import ActiveDamaged, Store
from majung.backends.embedded.log_tail import TailCache
from majung.backends.embedded.log_writer import OpenGroup, WriterThread
from majung.clock import Clock
from majung.ports import GroupLag, Overloaded, PortError, TopicStats
from majung.settings import LogSettings

T = TypeVar("T")

log = structlog.get_logger("majung.log")

RECORD_BYTES = 160
"""What Python needs for a record beside its key and value; counted, so that the bound is one of memory."""

TAIL_BYTES = 32 << 20
EARLY_BYTES = 4 << 20
"""A group of this size does not wait for more company."""

HOLD_UNREAD = 3
"""Records that a group has not read are held for this many times `keep_for`, then dropped all the same."""


class EmbeddedLog:
    """Made by `open`; belongs to the event loop in which that was called."""

    def __init__(
        self,
        store: Store,
        groups: Groups,
        damage: list[str],
        settings: LogSettings,
        clock: Clock,
        tail_bytes: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._groups = groups
        self._damage = damage
        self._settings = settings
        self._clock = clock
        self._commit_every_s = settings.commit_every.total_seconds()
        self._max_pending = settings.max_pending_bytes
        self._topics: dict[str, TopicState] = {}
        self._committed = groups.committed()
        self._members: dict[tuple[str, str], EmbeddedConsumer] = {}
        self._group: OpenGroup | None = None
        self._in_flight: OpenGroup | None = None
        self._pending_bytes = 0
        self._congested = False
        self._room_waiters: list[asyncio.Future[None]] = []
        self._closing = False
        self._writer = WriterThread(self._loop, "majung-log-writer")
        self._side = ThreadPoolExecutor(1, "majung-log-reader")
        self.tail = TailCache(tail_bytes)
        self.counters = dict.fromkeys(
            ("records", "commits", "refused", "failed_commits", "disk_reads", "dropped_unread"), 0
        )
        """Since the start: durable records, commits, appends refused (`Overloaded`), commits that failed,
        reads that memory could not answer, segments dropped although a group had not read them."""

    @classmethod
    async def open(
        cls, folder: Path, settings: LogSettings, clock: Clock, tail_bytes: int = TAIL_BYTES
    ) -> "EmbeddedLog":
        """Open the log in `folder`, which is made when it is not there.

        Rebuilds what is damaged (`damage()` tells of it). Raises `PortError` when another process uses the
        folder and `StorageFull` when there is no room to open it.
        """

        def start() -> tuple[Store, Groups, list[str]]:
            folder.mkdir(parents=True, exist_ok=True)
            damage: list[str] = []
            groups = Groups(folder / "groups.db", damage)
            read_up_to: dict[Stream, int] = {}
            for (topic, _group), offsets in groups.committed().items():
                for number, offset in offsets.items():
                    read_up_to[topic, number] = max(offset, read_up_to.get((topic, number), 0))
            store = Store(folder, settings.segment_bytes, damage)
            try:
                store.open(read_up_to)
            except BaseException:
                groups.close()
                raise
            return store, groups, damage

        store, groups, damage = await asyncio.to_thread(start)
        return cls(store, groups, damage, settings, clock, tail_bytes)

    # ---- writing

    def append(self, topic: str, records: Sequence[tuple[str, bytes]]) -> "asyncio.Future[None]":
        """See `ports.Log.append`. Raises UnicodeEncodeError for a key that is not Unicode text."""
        if self._closing:
            raise PortError("the log is closed")
        state = self._topics.get(topic) or self._topic(topic)
        streams = state.streams
        count = len(streams)
        size = 0
        placed = []
        for key, value in records:
            size += RECORD_BYTES + len(key) + len(value)
            placed.append((streams[crc32(key.encode()) % count], (key, value)))
        if self._pending_bytes and self._pending_bytes + size > self._max_pending:
            self._congested = True
            self.counters["refused"] += 1
            raise Overloaded(
                f"{self._pending_bytes} bytes wait to be written; the bound (log.max_pending_bytes) is"
                f" {self._max_pending}"
            )
        group = self._group
        if group is None:
            if not placed and self._in_flight is not None:
                return self._in_flight.future
            group = self._begin_group()
        held = group.records
        for stream, record in placed:
            if stream in held:
                held[stream].append(record)
            else:
                held[stream] = [record]
        group.count += len(placed)
        group.size_bytes += size
        self._pending_bytes += size
        if group.size_bytes > EARLY_BYTES and not group.due:
            self._due(group)
        return group.future

    async def writable(self) -> None:
        """See `ports.Log.writable`. After a refusal there is room again when half of the bound is free."""
        while (self._congested or self._pending_bytes >= self._max_pending) and not self._closing:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._room_waiters.append(waiter)
            await waiter

    def _topic(self, name: str) -> TopicState:
        count = self._store.partitions.get(name, self._settings.partitions)
        state = TopicState(name, [self._store.ends.get((name, number), 0) for number in range(count)])
        self._topics[name] = state
        return state

    def _begin_group(self) -> OpenGroup:
        group = self._group = OpenGroup(self._loop)
        self._loop.call_later(self._commit_every_s, self._due, group)
        return group

    def _due(self, group: OpenGroup) -> None:
        group.due = True
        if self._in_flight is None and group is self._group:
            self._hand_over(group)

    def _hand_over(self, group: OpenGroup) -> None:
        self._in_flight, self._group = group, None
        partitions = {topic: len(self._topics[topic].streams) for topic, _ in group.records}
        work = partial(self._store.append, group.records, partitions, self._clock.now_ms())
        self._writer.submit(work, partial(self._written, group))

    def _written(self, group: OpenGroup, chunks: list[Chunk] | None, error: BaseException | None) -> None:
        self._in_flight = None
        self._pending_bytes -= group.size_bytes
        if chunks is None:
            self._refuse(group, error)
        else:
            self._publish(group, chunks)
        if self._congested and self._pending_bytes <= self._max_pending // 2:
            self._congested = False
        if not self._congested and self._pending_bytes < self._max_pending:
            self._release_room_waiters()
        if self._group is not None and self._group.due:
            self._hand_over(self._group)

    def _publish(self, group: OpenGroup, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            self._topics[chunk.topic].extend(chunk)
            self.tail.add(chunk, group.size_bytes * len(chunk.records) // group.count)
        self.counters["records"] += group.count
        self.counters["commits"] += 1
        group.future.set_result(None)
        for topic in {chunk.topic for chunk in chunks}:
            self._topics[topic].wake()

    def _refuse(self, group: OpenGroup, error: BaseException | None) -> None:
        self.counters["failed_commits"] += 1
        log.error("log_commit_failed", records=group.count, error=str(error))
        refusal = (
            error if isinstance(error, PortError) else PortError(f"the log cannot be written: {error!r}")
        )
        group.future.set_exception(refusal)
        # Whoever awaits it gets it; when nobody does (the device is gone), that is no bug to report.
        group.future.exception()

    def _release_room_waiters(self) -> None:
        waiters, self._room_waiters = self._room_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # ---- reading

    def consumer(self, topic: str, group: str) -> EmbeddedConsumer:
        """See `ports.Log.consumer`. An earlier member of the group loses its place: its calls then raise."""
        state = self._topics.get(topic) or self._topic(topic)
        member = EmbeddedConsumer(self, state, group, self._committed.get((topic, group), {}))
        self._members[topic, group] = member
        return member

    async def stats(self, topic: str) -> TopicStats:
        """See `ports.Log.stats`."""
        state = self._topics.get(topic) or self._topic(topic)
        begin = {number: self._store.begins(stream) for number, stream in enumerate(state.streams)}
        return TopicStats(begin, dict(enumerate(state.ends)))

    async def lag(self, topic: str, group: str, offsets: Mapping[int, int] | None = None) -> GroupLag:
        """See `ports.Log.lag`."""
        state = self._topics.get(topic) or self._topic(topic)
        committed = self._committed.get((topic, group), {}) if offsets is None else offsets
        records, oldest_ms = 0, None
        for number, stream in enumerate(state.streams):
            at = max(committed.get(number, 0), self._store.begins(stream))
            behind = self._store.behind(stream, at)
            if behind:
                records += behind
                at_ms = await self._appended_at_ms(stream, at)
                oldest_ms = at_ms if oldest_ms is None else min(oldest_ms, at_ms)
        age_s = 0.0 if oldest_ms is None else max(0.0, (self._clock.now_ms() - oldest_ms) / 1000)
        return GroupLag(records, age_s)

    async def _appended_at_ms(self, stream: Stream, at: int) -> int:
        chunk = self.tail.find(stream, at)
        while chunk is None:
            chunks, following = await self.read(stream, at, 1)
            if not chunks and following <= at:
                return self._clock.now_ms()
            chunk, at = chunks[0] if chunks else self.tail.find(stream, following), following
        return chunk.appended_at_ms

    def damage(self) -> list[str]:
        """See `ports.Log.damage`."""
        return list(self._damage)

    async def drop_old(self, now_ms: int) -> int:
        """See `ports.Log.drop_old`. Whole segments go: those older than `keep_for` that every group has read.

        A group counts that has committed, or has a member now. One that does not read holds records for
        `HOLD_UNREAD` times `keep_for` and no longer: the disk is finite.
        """
        keep_ms = round(self._settings.keep_for.total_seconds() * 1000)
        # A quiet topic must not keep records for ever because its segment never fills.
        await self._writer.run(partial(self._store.roll_if_older, now_ms - keep_ms // 4))
        read_up_to: dict[Stream, int] = {}
        for topic, group in {*self._committed, *self._members}:
            offsets = self._committed.get((topic, group), {})
            for stream in (self._topics.get(topic) or self._topic(topic)).streams:
                at = offsets.get(stream[1], 0)
                read_up_to[stream] = min(at, read_up_to.get(stream, at))
        unread: list[int] = []

        def may_go(ends: Mapping[Stream, int], newest_ms: int) -> bool:
            if all(read_up_to.get(stream, end) >= end for stream, end in ends.items()):
                return True
            if newest_ms < now_ms - HOLD_UNREAD * keep_ms:
                unread.append(newest_ms)
                return True
            return False

        dropped = await self._run(self._store.drop, now_ms - keep_ms, may_go)
        if unread:
            self.counters["dropped_unread"] += len(unread)
            log.warning("log_dropped_unread", segments=len(unread), newest_ms=max(unread))
        return dropped

    async def close(self) -> None:
        """See `ports.Log.close`. Polls that wait raise `PortError`."""
        if self._closing:
            return
        self._closing = True
        while (group := self._in_flight or self._group) is not None:
            self._due(group)
            await asyncio.wait([group.future])
        self._members.clear()
        self._release_room_waiters()
        for state in self._topics.values():
            state.wake(everybody=True)
        await self._writer.stop()
        await asyncio.to_thread(self._side.shutdown)
        await asyncio.to_thread(self._store.close)
        await asyncio.to_thread(self._groups.close)

    # ---- what consumers ask for

    async def read(self, stream: Stream, offset: int, limit: int) -> tuple[list[Chunk], int]:
        """Chunks from the disk; see `Store.read`."""
        self.counters["disk_reads"] += 1
        try:
            return await self._run(self._store.read, stream, offset, limit)
        except ActiveDamaged as found:
            log.error("log_active_segment_damaged", why=str(found))
        await self._writer.run(self._store.leave_newest)
        return await self._run(self._store.read, stream, offset, limit)

    async def remember(self, topic: str, group: str, offsets: Mapping[int, int]) -> None:
        """Commit the offsets of a group."""
        await self._run(self._groups.commit, topic, group, offsets)
        self._committed.setdefault((topic, group), {}).update(offsets)

    def first_held(self, stream: Stream) -> int:
        """The first offset that can be read."""
        return self._store.begins(stream)

    def is_member(self, consumer: EmbeddedConsumer) -> bool:
        """Whether the consumer still speaks for its group."""
        return self._members.get((consumer.topic, consumer.group)) is consumer

    def leave(self, consumer: EmbeddedConsumer) -> None:
        """Forget the consumer."""
        if self.is_member(consumer):
            del self._members[consumer.topic, consumer.group]

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        if self._closing:
            raise PortError("the log is closed")
        return await self._loop.run_in_executor(self._side, partial(work, *arguments))
