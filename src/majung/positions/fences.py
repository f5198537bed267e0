"""Fences and events: made, changed and read by operators; recorded once, by the pipeline.

A write goes to the database first and takes effect at once after it: the triggers get the new shape, and
whoever listens (the hub, for viewers of the fence) is told.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence

import msgspec
import structlog

from majung.clock import Clock
from majung.ports import Database, Row, Transaction
from majung.positions import fence_store as sql
from majung.positions.fence_model import Fence, NewFence, check_fence
from majung.positions.shapes import Shape, compile_shape
from majung.positions.triggers import RiderEvent, Triggers
from majung.settings import TriggerSettings

log = structlog.get_logger("majung.fences")

MAX_EVENTS = 1_000
MAX_KEY_CHARS = 128
_NEWEST = 2**63 - 1
_RIDERS_AT_ONCE = 500

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(NewFence).decode

Listener = Callable[[str, Shape | None], None]


class StoredEvent(msgspec.Struct, frozen=True):
    """An event as it is read: `id` counts up in the order in which events were recorded."""

    id: int
    event_id: str
    rider_id: str
    kind: str
    fence_id: str
    fence_name: str
    at_ms: int
    latitude: float
    longitude: float
    recorded_at_ms: int


class TooManyFences(ValueError):
    """`triggers.max_fences` is reached."""


class FenceService:
    """One for each server; belongs to its event loop. Every fence is in memory."""

    def __init__(
        self, database: Database, triggers: Triggers, clock: Clock, settings: TriggerSettings | None = None
    ) -> None:
        self._database = database
        self._triggers = triggers
        self._clock = clock
        self._settings = settings or TriggerSettings()
        self._fences: dict[str, Fence] = {}
        self._turn = asyncio.Lock()  # memory changes in the order of the commits
        self.listeners: list[Listener] = []

    async def load(self) -> None:
        """Read all fences; once, before the pipeline starts."""
        for row in await self._database.read(sql.SELECT_FENCES):
            fence = _fence(row)
            try:
                self._triggers.put(fence)
            except ValueError as problem:  # stored by a version with other limits: keep it, without effect
                log.error("fence_without_effect", fence_id=fence.fence_id, problem=str(problem))
            self._fences[fence.fence_id] = fence

    # ------------------------------------------------------------------------------------- fences

    def fences(self) -> list[Fence]:
        """All of them, oldest first."""
        return sorted(self._fences.values(), key=lambda fence: (fence.created_at_ms, fence.fence_id))

    def get(self, fence_id: str) -> Fence:
        """One. Raises LookupError."""
        if fence_id not in self._fences:
            raise LookupError(f"no fence {fence_id[:64]!r}")
        return self._fences[fence_id]

    def shape(self, fence_id: str) -> Shape:
        """The geometry of one. Raises LookupError."""
        shape = self._triggers.shape(fence_id)
        if shape is None:
            raise LookupError(f"no fence {fence_id[:64]!r}")
        return shape

    async def create(self, wish: NewFence, made_by: str, request_key: str | None = None) -> Fence:
        """Make a fence. The same `request_key` of the same caller makes it once, however often it is sent.

        Raises ValueError saying what is wrong with it, PortError.
        """
        check_fence(wish)
        compile_shape(wish)
        if request_key is not None and not 0 < len(request_key) <= MAX_KEY_CHARS:
            raise ValueError(f"an idempotency key has 1-{MAX_KEY_CHARS} characters")
        now_ms = self._clock.now_ms()
        params = {
            "fence_id": secrets.token_hex(8),
            "document": _encode(wish).decode(),
            "version": 1,
            "created_at_ms": now_ms,
            "updated_at_ms": now_ms,
            "made_by": made_by,
            "request_key": request_key,
        }
        limit = self._settings.max_fences

        def work(tx: Transaction) -> tuple[Row, bool]:
            asked = {"made_by": made_by, "request_key": request_key}
            if request_key is not None and (rows := tx.execute(sql.SELECT_BY_REQUEST, asked)):
                return rows[0], False
            if tx.execute(sql.COUNT_FENCES)[0][0] >= limit:
                raise TooManyFences(f"there are {limit} fences already (triggers.max_fences)")
            tx.execute(sql.INSERT_FENCE, params)
            return tx.execute(sql.SELECT_FENCE, {"fence_id": params["fence_id"]})[0], True

        async with self._turn:
            row, made = await self._database.write(work)
            fence = _fence(row)
            if made:
                self._take_effect(fence)
        return fence

    async def replace(self, fence_id: str, wish: NewFence) -> Fence:
        """Change a fence. Riders who are inside and no longer would be leave it. Raises as `create`, LookupError."""
        check_fence(wish)
        compile_shape(wish)
        params = {
            "fence_id": fence_id,
            "document": _encode(wish).decode(),
            "updated_at_ms": self._clock.now_ms(),
        }
        async with self._turn:
            rows = await self._database.write(lambda tx: tx.execute(sql.UPDATE_FENCE, params))
            if not rows:
                raise LookupError(f"no fence {fence_id[:64]!r}")
            fence = _fence(rows[0])
            self._take_effect(fence)
        return fence

    async def delete(self, fence_id: str) -> None:
        """Delete a fence; whoever is inside leaves it. Raises LookupError, PortError."""
        async with self._turn:
            rows = await self._database.write(lambda tx: tx.execute(sql.DELETE_FENCE, {"fence_id": fence_id}))
            if not rows:
                raise LookupError(f"no fence {fence_id[:64]!r}")
            self._fences.pop(fence_id, None)
            self._triggers.remove(fence_id)
            self._tell(fence_id, None)

    def _take_effect(self, fence: Fence) -> None:
        shape = self._triggers.put(fence)
        self._fences[fence.fence_id] = fence
        self._tell(fence.fence_id, shape)

    def _tell(self, fence_id: str, shape: Shape | None) -> None:
        for listener in self.listeners:
            listener(fence_id, shape)

    # ------------------------------------------------------------------------------------- events

    async def record(self, events: Sequence[RiderEvent]) -> None:
        """Store events, each once by its id; durable when this returns. Raises PortError."""
        if not events:
            return
        now_ms = self._clock.now_ms()

        def work(tx: Transaction) -> None:
            last = int(tx.execute(sql.TAKE_NUMBERS, {"count": len(events)})[0][0])
            first = last - len(events) + 1
            rows = ((first + i, *msgspec.structs.astuple(event), now_ms) for i, event in enumerate(events))
            tx.execute_many(sql.INSERT_EVENT, rows)

        await self._database.write(work)

    async def events_after(
        self, after_id: int, limit: int, fence_id: str | None = None, riders: frozenset[str] | None = None
    ) -> list[StoredEvent]:
        """The next events recorded after number `after_id`, oldest first: going on like this misses none.

        `riders` limits them to these; None: of everybody. At most MAX_EVENTS.
        """
        found = await self._events(sql.SELECT_EVENTS_AFTER, after_id, limit, fence_id, riders)
        return sorted(found, key=lambda event: event.id)[:limit]

    async def events_before(
        self,
        before_id: int | None,
        limit: int,
        fence_id: str | None = None,
        riders: frozenset[str] | None = None,
    ) -> list[StoredEvent]:
        """The newest events (recorded before number `before_id`), newest first. As `events_after`."""
        number = _NEWEST if before_id is None else before_id
        found = await self._events(sql.SELECT_EVENTS_BEFORE, number, limit, fence_id, riders)
        return sorted(found, key=lambda event: -event.id)[:limit]

    async def _events(
        self, statement: str, number: int, limit: int, fence_id: str | None, riders: frozenset[str] | None
    ) -> list[StoredEvent]:
        params: dict[str, object] = {
            "id": number,
            "limit": max(1, min(limit, MAX_EVENTS)),
            "fence_id": fence_id,
        }
        if riders is None:
            rows = await self._database.read(statement.format(riders=""), params)
            return [StoredEvent(*row) for row in rows]
        found: list[StoredEvent] = []
        names = sorted(riders)
        for start in range(0, len(names), _RIDERS_AT_ONCE):
            some = {f"r{i}": name for i, name in enumerate(names[start : start + _RIDERS_AT_ONCE])}
            within = f"AND rider_id IN ({', '.join(f':{key}' for key in some)})"
            rows = await self._database.read(statement.format(riders=within), params | some)
            found += [StoredEvent(*row) for row in rows]
        return found

    async def drop_old(self, now_ms: int) -> None:
        """Keep events within `triggers.keep_events_for` and `triggers.max_events`."""
        before_ms = now_ms - round(self._settings.keep_events_for.total_seconds() * 1000)
        keep = self._settings.max_events

        def work(tx: Transaction) -> None:
            tx.execute(sql.DELETE_OLD_EVENTS, {"before_ms": before_ms})
            tx.execute(sql.DELETE_EXCESS_EVENTS, {"keep": keep})

        await self._database.write(work)


def _fence(row: Row) -> Fence:
    fence_id, document, version, created_at_ms, updated_at_ms = row
    wish = _decode(document)
    return Fence(
        **msgspec.structs.asdict(wish),
        fence_id=fence_id,
        version=version,
        created_at_ms=created_at_ms,
        updated_at_ms=updated_at_ms,
    )
