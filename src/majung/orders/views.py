"""Views of orders: built from what was published, and all that anybody reads.

Guarantees
- Nothing here reads the write tables to answer a request; rows and the offsets they came from are written
  in one transaction, so a crash changes nothing.
- Idempotent by `(order_id, version)`: an event that comes twice, late or in another order changes nothing.
- `views.db` may be deleted, be of another version or lag behind the log: it is then made again, from the
  events kept for ever (`source`), and from the log for what came after. So it is when damage is found in it
  while the server runs (`lost`); until then reads raise `Overloaded`.
- Who has just changed an order reads its own change (`at_least_version`).

Neighbours: `outbox/` appends to `order.events.v1`; `order_live` is told what was filed, after the commit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import structlog

from majung.clock import Clock
from majung.consuming import decoded
from majung.orders import view_store
from majung.orders.model import Order, OrderEvent, OrderState
from majung.orders.order_live import OrderLive
from majung.orders.view_policy import Part, Scope
from majung.ports import Database, Log, LogConsumer, LogRecord, Overloaded, Transaction

log = structlog.get_logger("majung.orders")

TOPIC = "order.events.v1"
GROUP = "order-views"
MAX_LIMIT = 200
MAX_BOARD = 1_000
WAIT_S = 2.0
_BATCH = 500
_LINGER_S = 0.005
_PAGE = 1_000
_MAX_WAITING = 10_000

Source = Callable[[str, int, int], Awaitable[Sequence[OrderEvent]]]
"""`(after_order_id, after_version, limit)` → the next events of all that ever were, by order id and version."""

_of_json = msgspec.json.Decoder(OrderEvent).decode


class Search(msgspec.Struct, frozen=True):
    """What an administrator looks for; None: anything. `before` is the last id of the page before."""

    state: OrderState | None = None
    open: bool | None = None
    store_id: str | None = None
    customer: str | None = None
    rider_id: str | None = None
    text: str | None = None
    stuck_minutes: float | None = None
    before: str | None = None


class OrderViews:
    """The read side of orders. One for each server; start `run` under the supervisor."""

    def __init__(
        self,
        log_port: Log,
        database: Database,
        clock: Clock,
        live: OrderLive,
        source: Source | None = None,
        start_over: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`start_over` gives the database an empty file, after `lost` was called."""
        self._log = log_port
        self._database = database
        self._clock = clock
        self._live = live
        self._source = source
        self._start_over = start_over
        self._lost = False
        self._remade = False
        self._waiting: dict[str, list[tuple[int, asyncio.Future[None]]]] = {}
        self._waiters = 0
        self._polling: asyncio.Future[list[LogRecord]] | None = None
        self._again = False
        self.restored = asyncio.Event()

    # ------------------------------------------------------------------------------- the consumer

    async def run(self) -> None:
        """Consume `order.events.v1` until cancelled; `restored` is set when the views can be read."""
        while True:
            if self._lost and self._start_over is not None:
                await self._start_over()
                self._lost, self._remade = False, True
            try:
                await self._consume()
            except Overloaded:
                if not self._lost or self._remade:  # damaged again at once: the supervisor waits longer
                    raise

    def lost(self) -> None:
        """The database was found damaged: `run` begins an empty one and makes the views again."""
        self._lost = True
        self._begin_again()

    async def _consume(self) -> None:
        """Until `rebuild` asks for another beginning."""
        self._again = False
        offsets = await self._restore()
        consumer = self._log.consumer(TOPIC, GROUP)
        try:
            consumer.seek(offsets)
            self.restored.set()
            self._remade = False
            while (records := await self._poll(consumer)) is not None:
                events = [event for _, event in decoded(TOPIC, records, _of_json)]
                await self._file(events, consumer.position())
                await consumer.commit()
        finally:
            await consumer.close()

    async def _poll(self, consumer: LogConsumer) -> list[LogRecord] | None:
        if self._again:
            return None
        self._polling = asyncio.ensure_future(consumer.poll(_BATCH, _LINGER_S))
        try:
            return await self._polling
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._again or (task is not None and task.cancelling()):
                self._polling.cancel()
                raise
            return None
        finally:
            self._polling = None

    async def _file(self, events: Sequence[OrderEvent], offsets: Mapping[int, int]) -> None:
        filed = await self._database.write(lambda tx: view_store.file(tx, events, offsets))
        self._live.publish(filed)
        for event, _ in filed:
            self._wake(event.order_id, event.version)

    async def _restore(self) -> dict[int, int]:
        """The offsets to go on from; what is missing before them is rebuilt first."""
        kept = await self._database.write(view_store.prepare)
        stats = await self._log.stats(TOPIC)
        within = all(
            stats.begin.get(part, 0) <= offset <= stats.end.get(part, 0)
            for part, offset in kept.offsets.items()
        )
        if kept.complete and within:
            return {part: kept.offsets.get(part, begin) for part, begin in stats.begin.items()}
        self.restored.clear()
        log.info("order_views_rebuild", complete=kept.complete, offsets_held=within)
        self._live.hold()
        await self._database.write(view_store.clear)
        await self._load_source()

        def end(tx: Transaction) -> None:
            view_store.mark_complete(tx, stats.begin)

        await self._database.write(end)
        self._live.forget()
        return dict(stats.begin)

    async def _load_source(self) -> None:
        """Everything that was ever published and is kept; events that come meanwhile stand in the log."""
        after, version = "", 0
        while self._source is not None:
            page = await self._source(after, version, _PAGE)
            if not page:
                return
            after, version = page[-1].order_id, page[-1].version
            await self._database.write(lambda tx, page=page: view_store.file(tx, page, {}))  # type: ignore[misc]

    async def rebuild(self) -> None:
        """Throw the views away and make them again, while `run` runs; returns when they can be read."""
        await self._database.write(view_store.clear)
        self._begin_again()
        await self.restored.wait()

    def _begin_again(self) -> None:
        self.restored.clear()
        self._again = True
        if self._polling is not None:
            self._polling.cancel()

    # -------------------------------------------------------------------------------------- reads

    async def order(self, order_id: str, at_least_version: int = 0, wait_s: float = WAIT_S) -> Order:
        """The order as far as it is known here; waits up to `wait_s` for that version to arrive.

        After that wait an older version is given as it is (it says its version). LookupError: no such order.
        """
        found = await self._read(order_id)
        if at_least_version and (found is None or found.version < at_least_version):
            await self._wait(order_id, at_least_version, wait_s)
            found = await self._read(order_id)
        if found is None:
            raise no_order(order_id)
        return found

    async def page(self, scope: Scope, wish: Search, limit: int) -> list[Order]:
        """Orders of a scope that match, newest first."""
        self._require_restored()
        since_ms = None
        if wish.stuck_minutes is not None:
            since_ms = self._clock.now_ms() - int(wish.stuck_minutes * 60_000)
        filters: dict[str, object] = {
            "customer": wish.customer,
            "store_id": wish.store_id,
            "rider_id": wish.rider_id,
            "state": None if wish.state is None else str(wish.state),
            "open": True if wish.open else None,
            "ended": True if wish.open is False else None,
            "before": wish.before,
            "unchanged_since_ms": since_ms,
            "text": wish.text or None,
        }
        own = {Part.CUSTOMER: "customer", Part.STORE: "store_id", Part.RIDER: "rider_id"}.get(scope.part)
        if own is not None:
            if filters[own] not in (None, scope.id):
                return []
            filters[own] = scope.id
        found = await view_store.read_page(self._database, filters, min(limit, MAX_LIMIT))
        return [scope.show(order) for order in found]

    async def customer_orders(self, customer: str, limit: int = 50, before: str | None = None) -> list[Order]:
        """The orders of one customer, newest first."""
        return await self.page(Scope(Part.CUSTOMER, customer, True), Search(before=before), limit)

    async def store_board(self, store_id: str) -> list[Order]:
        """The open orders of a store, oldest first: the order in which they wait."""
        self._require_restored()
        found = await view_store.read_open(self._database, Scope(Part.STORE, store_id), MAX_BOARD)
        return found[::-1]

    async def rider_job(self, rider_id: str) -> Order | None:
        """The one open order of a rider."""
        self._require_restored()
        found = await view_store.read_open(self._database, Scope(Part.RIDER, rider_id), 1)
        return found[0] if found else None

    async def search(self, wish: Search, limit: int = 50) -> list[Order]:
        """For administrators: every filter at once, newest first."""
        return await self.page(Scope(Part.ALL, sees_code=True), wish, limit)

    async def audit(self, order_id: str) -> list[OrderEvent]:
        """Everything that happened to an order, by version. LookupError: no such order."""
        self._require_restored()
        trail = await view_store.read_trail(self._database, order_id)
        if not trail:
            raise no_order(order_id)
        return trail

    # ------------------------------------------------------------------------ read your own write

    async def _read(self, order_id: str) -> Order | None:
        self._require_restored()
        return await view_store.read_one(self._database, order_id)

    def _require_restored(self) -> None:
        if not self.restored.is_set():
            raise Overloaded("the views of orders are being rebuilt")

    async def _wait(self, order_id: str, version: int, wait_s: float) -> None:
        if self._waiters >= _MAX_WAITING:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (version, future)
        self._waiting.setdefault(order_id, []).append(entry)
        self._waiters += 1
        try:
            # It may have come between the read and now; from here on it cannot be missed.
            rows = await self._database.read(view_store.SELECT_VERSION, (order_id,))
            if not rows or rows[0][0] < version:
                async with asyncio.timeout(wait_s):
                    await future
        except TimeoutError:
            return
        finally:
            self._waiters -= 1
            entries = self._waiting.get(order_id, [])
            if entry in entries:
                entries.remove(entry)
            if not entries:
                self._waiting.pop(order_id, None)

    def _wake(self, order_id: str, version: int) -> None:
        for wanted, future in self._waiting.get(order_id, ()):
            if wanted <= version and not future.done():
                future.set_result(None)


def no_order(order_id: str) -> LookupError:
    """Said alike of an order that is not there and of one that is somebody else's."""
    return LookupError(f"there is no order {order_id[:64]!r}")
