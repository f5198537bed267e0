"""The relay: from the outbox to `order.events.v1`, key order_id.

Publish first, mark then: a crash between the two publishes again, which consumers notice by the version.
The outbox is cut into lanes by order; a relay takes a lease on lanes in the database and publishes only what
is in them. A relay that stalls past its lease may publish what another has published: again seen versions,
never a version before the one below it, since a row stays pending until the log holds it.
"""

import asyncio
import secrets

import structlog

from majung.clock import Clock
from majung.orders.store import LANES
from majung.outbox import store
from majung.ports import Database, GroupLag, Log, Overloaded, PortError, Row, Transaction

log = structlog.get_logger("majung.outbox")

ORDER_EVENTS_TOPIC = "order.events.v1"

_BATCH = 2_000
_LEASE_S = 2.0
_LOOK_EVERY_S = 0.25  # for what other processes have written; what this one writes wakes the relay
_RETRY_S = 0.5


class Relay:
    """One relay. Belongs to its event loop. `wake` tells it that there is something to publish."""

    def __init__(self, database: Database, log_port: Log, clock: Clock, keep_for_s: float = 3600.0) -> None:
        self.owner = secrets.token_hex(8)
        self.published = 0
        self._database = database
        self._log = log_port
        self._clock = clock
        self._keep_for_s = keep_for_s
        self._awake = asyncio.Event()
        self._lanes: tuple[int, ...] = ()
        self._lease_ends_s = 0.0
        self._next: list[Row] = []  # pending when the last batch was marked
        self._waiting_for_storage = False

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._awake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            while True:
                self._awake.clear()
                try:
                    count = await self.publish_once()
                    self._waiting_for_storage = False
                except PortError as problem:
                    await self._wait_for_storage(problem)
                    continue
                if not count:
                    await self._wait_for_more()
        finally:
            self._lanes = ()
            await asyncio.shield(self._release())

    async def publish_once(self) -> int:
        """Publish one batch of what is pending in the lanes of this relay; how many. Raises PortError."""
        rows, self._next = self._next, []
        if not self._holds_leases():
            if not await self._database.read(store.PENDING.format(lanes=""), {"limit": 1}):
                return 0  # an idle server writes no leases
            await self._renew()
            rows = []
        rows = rows or await self._database.read(self._pending(), {"limit": _BATCH})
        if rows:
            await self._publish(rows)
            self._next = await self._mark(rows)
            self.published += len(rows)
        return len(rows)

    async def lag(self) -> GroupLag:
        """Committed changes that are not published yet, and the age of the oldest."""
        ((count, oldest_ms),) = await self._database.read(store.COUNT)
        age_ms = 0 if oldest_ms is None else max(0, self._clock.now_ms() - int(oldest_ms))
        return GroupLag(int(count), age_ms / 1000)

    async def drop_old(self, now_ms: int) -> None:
        """Forget what was published long ago."""
        before_ms = now_ms - int(self._keep_for_s * 1000)
        await self._database.write(lambda tx: tx.execute(store.DELETE_OLD, (before_ms,)))

    def _pending(self) -> str:
        lanes = ""
        if len(self._lanes) < LANES:
            lanes = f"AND lane IN ({', '.join(str(lane) for lane in self._lanes) or 'NULL'})"
        return store.PENDING.format(lanes=lanes)

    def _holds_leases(self) -> bool:
        """For at least half their time."""
        return bool(self._lanes) and self._lease_ends_s - self._clock.monotonic_s() > _LEASE_S / 2

    async def _renew(self) -> None:
        """Take the leases that nobody holds, and hold on to one's own."""
        now_s = self._clock.monotonic_s()
        now_ms = self._clock.now_ms()
        until_ms = now_ms + int(_LEASE_S * 1000)

        def work(tx: Transaction) -> list[Row]:
            tx.execute(store.CLAIM, {"owner": self.owner, "until_ms": until_ms, "now_ms": now_ms})
            return tx.execute(store.HELD, (self.owner,))

        self._lanes = tuple(int(row[0]) for row in await self._database.write(work))
        self._lease_ends_s = now_s + _LEASE_S

    async def _publish(self, rows: list[Row]) -> None:
        """All of them, in order; durable in the log when this returns."""
        records = [(str(order_id), str(payload).encode()) for order_id, _, payload in rows]
        while True:
            try:
                await self._log.append(ORDER_EVENTS_TOPIC, records)
                return
            except Overloaded:
                await self._log.writable()

    async def _mark(self, rows: list[Row]) -> list[Row]:
        """These are published; what is pending then, read on the same way to the database and back."""
        done = [(order_id, version) for order_id, version, _ in rows]

        def work(tx: Transaction) -> list[Row]:
            tx.execute_many(store.MARK, done)
            return tx.execute(self._pending(), {"limit": _BATCH})

        return await self._database.write(work)

    async def _release(self) -> None:
        """Let another relay go on at once."""
        try:
            await self._database.write(lambda tx: tx.execute(store.RELEASE, (self.owner,)))
        except PortError as problem:
            log.warning("lease_not_released", problem=str(problem))

    async def _wait_for_more(self) -> None:
        try:
            await asyncio.wait_for(self._awake.wait(), _LOOK_EVERY_S)
        except TimeoutError:
            return

    async def _wait_for_storage(self, problem: PortError) -> None:
        if not self._waiting_for_storage:
            log.error("outbox_waits_for_storage", problem=str(problem))
        self._waiting_for_storage = True
        await asyncio.sleep(_RETRY_S)
