"""A member of a consumer group of the embedded log."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Protocol

from majung.backends.embedded.log_segment import Chunk, Stream
from majung.backends.embedded.log_tail import TailCache
from majung.ports import LogRecord, PortError

_READ_CHUNKS = 256


class TopicState:
    """What the event loop knows of a topic: its partitions, where they end, and who waits for more."""

    def __init__(self, name: str, ends: list[int]) -> None:
        self.name = name
        self.streams: tuple[Stream, ...] = tuple((name, number) for number in range(len(ends)))
        self.ends = ends
        self.arrived = 0
        """Records that became durable since the start."""
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    def extend(self, chunk: Chunk) -> None:
        """Make a durable chunk visible."""
        self.ends[chunk.partition] = chunk.end_offset
        self.arrived += len(chunk.records)

    def wake(self, everybody: bool = False) -> None:
        """Let those go on for whom enough has arrived."""
        if not self._waiters:
            return
        still: list[tuple[int, asyncio.Future[None]]] = []
        for target, future in self._waiters:
            if future.done():
                continue
            if everybody or target <= self.arrived:
                future.set_result(None)
            else:
                still.append((target, future))
        self._waiters = still

    async def wait(self, target: int, timeout_s: float | None) -> None:
        """Return when `arrived` has reached `target`, at `wake(everybody)`, or after `timeout_s`."""
        if self.arrived >= target:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(timeout_s, _finish, future) if timeout_s is not None else None
        self._waiters.append((target, future))
        try:
            await future
        finally:
            future.cancel()
            if timer is not None:
                timer.cancel()


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class Host(Protocol):
    """What a consumer needs of its log."""

    tail: TailCache

    async def read(self, stream: Stream, offset: int, limit: int) -> tuple[list[Chunk], int]:
        """Chunks from the disk."""
        ...

    async def remember(self, topic: str, group: str, offsets: Mapping[int, int]) -> None:
        """Commit the offsets of a group."""
        ...

    def first_held(self, stream: Stream) -> int:
        """The first offset that can be read."""
        ...

    def is_member(self, consumer: "EmbeddedConsumer") -> bool:
        """Whether the consumer still speaks for its group."""
        ...

    def leave(self, consumer: "EmbeddedConsumer") -> None:
        """Forget the consumer."""
        ...


class EmbeddedConsumer:
    """Implements `ports.LogConsumer`; one for each group and topic, the newest one counts."""

    def __init__(self, host: Host, topic: TopicState, group: str, committed: Mapping[int, int]) -> None:
        self._host = host
        self._topic = topic
        self.group = group
        self._positions = [
            max(committed.get(number, 0), host.first_held(stream))
            for number, stream in enumerate(topic.streams)
        ]
        self._ahead: list[deque[Chunk]] = [deque() for _ in topic.streams]
        self._turn = 0

    @property
    def topic(self) -> str:
        """The name of its topic."""
        return self._topic.name

    async def poll(self, max_records: int, linger_s: float) -> list[LogRecord]:
        """See `ports.LogConsumer.poll`. Raises `PortError` when the log is closed or another took over."""
        loop = asyncio.get_running_loop()
        # Positions move at the very end: a poll that is cancelled has taken nothing.
        positions = list(self._positions)
        records: list[LogRecord] = []
        deadline_s: float | None = None
        while True:
            self._must_be_member()
            arrived = self._topic.arrived
            await self._fill(positions, records, max_records)
            if len(records) >= max_records:
                break
            timeout_s: float | None = None
            if records:
                deadline_s = loop.time() + linger_s if deadline_s is None else deadline_s
                timeout_s = deadline_s - loop.time()
                if timeout_s <= 0:
                    break
            if not records:
                self._positions = list(positions)  # What is lost for good need not be passed again.
            wanted = max_records - len(records) if records else 1
            await self._topic.wait(arrived + wanted, timeout_s)
        self._must_be_member()
        self._positions = positions
        return records

    async def commit(self) -> None:
        """See `ports.LogConsumer.commit`. Raises `StorageFull` or `PortError`: then nothing has changed."""
        self._must_be_member()
        await self._host.remember(self.topic, self.group, self.position())

    def position(self) -> dict[int, int]:
        """The next offset of each partition that poll will return."""
        return dict(enumerate(self._positions))

    def seek(self, offsets: Mapping[int, int]) -> None:
        """See `ports.LogConsumer.seek`. Raises ValueError for a partition that does not exist."""
        for number, offset in offsets.items():
            if not 0 <= number < len(self._positions):
                raise ValueError(f"{self.topic} has no partition {number}")
            begin = self._host.first_held(self._topic.streams[number])
            self._positions[number] = min(max(offset, begin), self._topic.ends[number])
            self._ahead[number].clear()

    async def close(self) -> None:
        """Leave the group. Does not commit."""
        self._host.leave(self)

    def _must_be_member(self) -> None:
        if not self._host.is_member(self):
            raise PortError(
                f"this consumer of {self.topic} has left group {self.group!r}, or another took its place"
            )

    async def _fill(self, positions: list[int], records: list[LogRecord], max_records: int) -> None:
        count = len(positions)
        for step in range(count):
            number = (self._turn + step) % count
            while len(records) < max_records and positions[number] < self._topic.ends[number]:
                at = positions[number]
                chunk = self._host.tail.find(self._topic.streams[number], at) or self._read_already(
                    number, at
                )
                if chunk is None:
                    positions[number] = await self._read_on(number, at)
                else:
                    positions[number] = _take(chunk, at, max_records - len(records), records)
        # The next poll starts with another partition, so that a long one cannot starve its neighbours.
        self._turn = (self._turn + 1) % count

    def _read_already(self, number: int, at: int) -> Chunk | None:
        ahead = self._ahead[number]
        while ahead and ahead[0].end_offset <= at:
            ahead.popleft()
        return ahead[0] if ahead and ahead[0].base_offset <= at else None

    async def _read_on(self, number: int, at: int) -> int:
        chunks, following = await self._host.read(self._topic.streams[number], at, _READ_CHUNKS)
        self._ahead[number] = deque(chunks)
        return max(at, chunks[0].base_offset) if chunks else following


def _take(chunk: Chunk, at: int, room: int, records: list[LogRecord]) -> int:
    topic, number, at_ms = chunk.topic, chunk.partition, chunk.appended_at_ms
    first = at - chunk.base_offset
    for key, value in chunk.records[first : first + room]:
        records.append(LogRecord(topic, number, at, key, value, at_ms))
        at += 1
    return at
