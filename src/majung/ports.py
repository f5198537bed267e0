"""The five ports. Each has one embedded implementation and, past one machine, one for a cluster.

A port says *what is promised*; the implementations in `backends/` say how. `compose.py` is the only
module that chooses between them. The contract suites under `tests/contract/` run against every
implementation; an implementation adds little more than a constructor.

All of them belong to one event loop. Blocking work happens in threads of the implementation.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from majung.positions.model import LivePosition, Nearby, StoredPosition, TrackPoint

T = TypeVar("T")


class PortError(Exception):
    """A backend could not do what was asked.

    `str()` tells the operator what to mend, with paths and names of this machine; `outward` is what a
    device or viewer may read.
    """

    outward = "the server's storage does not answer; try again later"


class Overloaded(PortError):
    """A bound is reached. Nothing was accepted; try again later."""

    outward = "the server is busy; try again in a moment"


class StorageFull(PortError):
    """The disk (or quota) is full. Nothing was accepted; service resumes by itself when there is room."""

    outward = "the server's storage is full; keep what you sent and try again later"


class Conflict(PortError):
    """A constraint of the database says no: this key exists already, or its counterpart is missing."""

    outward = "it exists already, or what it belongs to does not"


class Damaged(PortError):
    """Stored data fails its checksum or cannot be read. The rest is still served."""


# ---------------------------------------------------------------------------------------------- Log


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """One record as a consumer gets it."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    appended_at_ms: int


class TopicStats(msgspec.Struct, frozen=True):
    """Per partition: the first offset still held, and the offset that the next record will get."""

    begin: dict[int, int]
    end: dict[int, int]


class GroupLag(msgspec.Struct, frozen=True):
    """How far a group is behind: records, and the age of the oldest one it has not committed."""

    records: int
    oldest_age_s: float


class LogConsumer(Protocol):
    """One member of a consumer group on one topic. Not for concurrent use."""

    async def poll(self, max_records: int, linger_s: float) -> list[LogRecord]:
        """The next records, in order within a partition; waits until there is at least one.

        When fewer than `max_records` are at hand, waits up to `linger_s` for more to fill the batch.
        Damaged stretches are skipped, counted and reported (`Log.damage`), never raised here.
        """
        ...

    async def commit(self) -> None:
        """Remember that everything polled so far is done. Durable when it returns."""
        ...

    def position(self) -> dict[int, int]:
        """The next offset of each partition that poll will return."""
        ...

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Continue from these offsets (for partitions named; clipped to what is held)."""
        ...

    async def close(self) -> None:
        """Leave the group. Does not commit."""
        ...


class Log(Protocol):
    """Durable, ordered by key, replayable; consumer groups with committed offsets."""

    def append(self, topic: str, records: Sequence[tuple[str, bytes]]) -> "asyncio.Future[None]":
        """Take `(key, value)` records, all or none; the future is done when they are durable.

        Appends that come together share one commit and one future object: awaiting it is the
        acknowledgement. The future ignores `cancel()`, since others wait on it too: a cancelled waiter
        goes when the commit has ended. Order within a key is the order of the calls. Raises `Overloaded` at once
        when the bound on unwritten bytes is reached (await `writable()` before trying again); the
        future raises `StorageFull` or `PortError` when nothing of the group was stored.
        """
        ...

    async def writable(self) -> None:
        """Return when there is room for more unwritten bytes: the back-pressure of every door."""
        ...

    def consumer(self, topic: str, group: str) -> LogConsumer:
        """Join `group` on `topic`, at its committed offsets (or the oldest record)."""
        ...

    async def stats(self, topic: str) -> TopicStats:
        """Begin and end offsets."""
        ...

    async def lag(self, topic: str, group: str, offsets: Mapping[int, int] | None = None) -> GroupLag:
        """How far the group is behind: from `offsets`, or from what it has committed."""
        ...

    def damage(self) -> list[str]:
        """What was found damaged since start, in words for an operator; empty when all is well."""
        ...

    async def drop_old(self, now_ms: int) -> int:
        """Apply the retention of every topic; returns how many records went."""
        ...

    async def close(self) -> None:
        """Write what is pending, then stop. Appends after this raise."""
        ...


# ---------------------------------------------------------------------------------------- LiveStore


class CellLoad(msgspec.Struct, frozen=True, gc=False):
    """One occupied cell: its geohash, members, reads per second, and how it came to be."""

    cell: str
    members: int
    reads_per_s: float


class LiveStore(Protocol):
    """What is true now. A view: it may be lost at any time and is rebuilt from the log.

    `kind` separates indexes over the same cells: "rider", "shop", "order".
    """

    async def put(self, positions: Sequence[LivePosition]) -> None:
        """Set the newest position of each, in one write. The caller has made sure it is newer."""
        ...

    async def remove(self, ids: Sequence[str], kind: str = "rider") -> None:
        """Forget these (offline riders, finished orders). Unknown ids are ignored."""
        ...

    async def get(self, ids: Sequence[str], kind: str = "rider") -> list[LivePosition | None]:
        """The newest position of each id, in the order asked."""
        ...

    async def nearest(
        self, latitude: float, longitude: float, radius_m: float, limit: int, kind: str = "rider"
    ) -> list[Nearby]:
        """The `limit` nearest within `radius_m` metres (great circle), nearest first."""
        ...

    async def in_area(
        self, south: float, west: float, north: float, east: float, limit: int, kind: str = "rider"
    ) -> list[LivePosition]:
        """Up to `limit` positions inside the box (west > east: across the antimeridian)."""
        ...

    async def expire(self, before_ms: int, kind: str = "rider") -> list[LivePosition]:
        """Remove and return everyone whose `received_at_ms` is older than `before_ms`."""
        ...

    async def cells(self, kind: str = "rider") -> list[CellLoad]:
        """Every occupied cell with its load."""
        ...

    async def count(self, kind: str = "rider") -> int:
        """How many are in the index."""
        ...

    async def save_states(self, states: Mapping[str, bytes], meta: Mapping[str, bytes]) -> None:
        """Checkpoint: the processing state of these riders and `meta`, in one atomic write."""
        ...

    async def load_states(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The checkpointed state of each id that has one."""
        ...

    def all_states(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Every checkpointed state, in chunks; read once at start to rebuild what is live."""
        ...

    async def load_meta(self) -> dict[str, bytes]:
        """The `meta` of the last checkpoint, or {}."""
        ...

    async def forget_states(self, ids: Sequence[str]) -> None:
        """Erase the checkpointed state of these riders."""
        ...

    def damage(self) -> list[str]:
        """What was found damaged since start, in words for an operator."""
        ...

    async def close(self) -> None:
        """Stop; what was checkpointed stays."""
        ...


# ------------------------------------------------------------------------------------------- Fanout


class Fanout(Protocol):
    """At most once, to whoever is connected now. Fresh beats complete: never a queue."""

    async def publish(self, channel: str, message: bytes) -> None:
        """Hand `message` to every subscriber of `channel`, on every server."""
        ...

    async def subscribe(
        self, channel: str, receive: Callable[[bytes], None]
    ) -> Callable[[], Awaitable[None]]:
        """Call `receive` for each message until the returned function is awaited."""
        ...

    async def close(self) -> None:
        """Drop all subscriptions."""
        ...


# ----------------------------------------------------------------------------------------- Database

Row = tuple[Any, ...]
Params = Sequence[Any] | Mapping[str, Any]


class Transaction(Protocol):
    """Statements inside one transaction. Placeholders are named: `:name`, or `?` in order."""

    def execute(self, sql: str, params: Params = ()) -> list[Row]:
        """Run one statement; the rows, if it returns any."""
        ...

    def execute_many(self, sql: str, params: Iterable[Params]) -> int:
        """Run one statement for each set of parameters; how many rows changed."""
        ...


class Database(Protocol):
    """Transactions: accounts, devices, fences, quarantine, events; later orders and the outbox."""

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one durable transaction, in the writer thread; rolled back when it raises.

        Works that come together share one commit where they can; one that raises fails alone.
        """
        ...

    async def read(self, sql: str, params: Params = ()) -> list[Row]:
        """Run one read-only statement on a snapshot."""
        ...

    async def close(self) -> None:
        """Finish what is running, then stop."""
        ...


class DisposableDatabase(Database, Protocol):
    """Rows that can be made again from elsewhere; when damaged, the file is put away and begun anew."""

    def damage(self) -> list[str]:
        """What was found damaged since start, in words."""
        ...


# ------------------------------------------------------------------------------------------ History


class History(Protocol):
    """Where everybody was: 24 h of detail, then one position a minute for 7 days, then gone."""

    async def append(self, positions: Sequence[StoredPosition]) -> list[bool]:
        """Store each once; for each, whether it was new (False: its identity is stored already).

        Durable when it returns. Positions may be of any age that is kept, in any order.
        """
        ...

    async def track(
        self, rider_id: str, from_ms: int, to_ms: int, limit: int, include_marked: bool = False
    ) -> list[TrackPoint]:
        """Positions with `from_ms <= device_time_ms < to_ms`, in device time, the first `limit`."""
        ...

    async def count(self) -> int:
        """How many positions are stored (detail and by the minute)."""
        ...

    async def drop_old(self, now_ms: int) -> int:
        """Apply retention: thin what is older than detail, drop what is older than all; files touched."""
        ...

    async def erase(self, rider_id: str) -> int:
        """Remove everything of one rider; how many positions went."""
        ...

    def damage(self) -> list[str]:
        """What was found damaged since start, in words for an operator."""
        ...

    async def close(self) -> None:
        """Stop."""
        ...
