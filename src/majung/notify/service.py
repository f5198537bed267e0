"""Notices: made of events, offers and positions, written once, told at once, read later.

`consume` takes the events of orders. Offers and riders who are near come by plain calls on the loop; they wait
in a bounded line for `run`, which writes them: neither dispatch nor the pipeline of positions waits for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec
import structlog

from majung.clock import Clock
from majung.consuming import decoded, follow
from majung.dispatch.model import OfferView
from majung.notify import store as sql
from majung.notify.model import CarriedOrder, Draft, Kind, Near, Notice, SeenEvent
from majung.notify.near import NearIndex
from majung.notify.rows import entry_of, made_of, notice_of, order_of, row_of
from majung.notify.rules import carried, drafts_of, near_draft
from majung.notify.words import text_of
from majung.observe.families import Counted, Figure, Level
from majung.orders.model import Command
from majung.outbox.relay import ORDER_EVENTS_TOPIC
from majung.ports import Database, LiveStore, Log, LogRecord, PortError, Transaction
from majung.positions.model import LivePosition
from majung.settings import NotifySettings

log = structlog.get_logger("majung.notify")

GROUP = "notify"
MAX_PAGE = 200
MAX_UNREAD = 1_000
MAX_WAITING = 10_000
_BATCH = 500
_LINGER_S = 0.005
_CHUNK = 1_000
_RETRY_S = 0.5
_KEEP_ORDERS_MS = 86_400_000
_NEWEST = 2**63 - 1

Tell = Callable[[Iterable[str], bytes], None]
_decode = msgspec.json.Decoder(SeenEvent).decode
_encode = msgspec.json.Encoder().encode


class _Outcome:
    """What one transaction brought about, for what follows its commit."""

    def __init__(self) -> None:
        self.made: list[Notice] = []
        self.orders: list[CarriedOrder] = []
        self.queued = 0


class Notifier:
    """One for each server; belongs to its event loop. `wake_sender` is called when something is to be pushed."""

    def __init__(
        self,
        database: Database,
        log_port: Log,
        live: LiveStore,
        tell: Tell,
        clock: Clock,
        settings: NotifySettings,
    ) -> None:
        self._database = database
        self._log = log_port
        self._live = live
        self._tell = tell
        self._clock = clock
        self._settings = settings
        self._near = NearIndex(settings.near_m, _ms(settings.near_fresh.total_seconds()))
        self._line: deque[Draft | Near] = deque(maxlen=MAX_WAITING)
        self._work = asyncio.Event()
        self.wake_sender: Callable[[], None] = lambda: None
        self.made = 0
        self.dropped = 0

    # ---------------------------------------------------------------------------------- what comes in

    async def load(self) -> None:
        """Read which orders are carried; once, before positions come. Raises PortError."""
        for row in await self._database.read(sql.SELECT_CARRIED):
            self._near.put(order_of(row))

    async def consume(self) -> None:
        """Take `order.events.v1` until cancelled; what is committed has become notices."""

        async def take(records: list[LogRecord]) -> None:
            await self.observe([event for _, event in decoded(ORDER_EVENTS_TOPIC, records, _decode)])

        await follow(self._log, ORDER_EVENTS_TOPIC, GROUP, take, _BATCH, _LINGER_S)

    async def observe(self, events: Sequence[SeenEvent]) -> None:
        """What happened to orders, in the order of each; what was seen before changes nothing. Raises PortError."""
        if not events:
            return

        def work(tx: Transaction) -> _Outcome:
            outcome = _Outcome()
            drafts = [draft for event in events for draft in self._enter(tx, event, outcome)]
            self._insert(tx, drafts, outcome)
            return outcome

        await self._after(await self._database.write(work))

    def offer(self, offer: OfferView, rider_id: str) -> None:
        """Dispatch asks a rider, or asked before the server was started again."""
        draft = Draft(
            recipient=f"rider:{rider_id}",
            order_id=offer.order_id,
            kind=Kind.OFFER,
            cause=offer.offer_id,
            params={
                "store": offer.store_name,
                "distance_m": round(offer.store_distance_m + offer.way_m),
                "total_krw": offer.earning_krw,
            },
            at_ms=offer.offered_at_ms,
            expires_at_ms=offer.expires_at_ms,
        )
        self._wait(draft)

    def positions(self, positions: Sequence[LivePosition]) -> None:
        """Every new position, plain ones alone. Costs what is carried."""
        for near in self._near.look(positions, self._clock.now_ms()):
            self._wait(near)

    def _wait(self, item: Draft | Near) -> None:
        if len(self._line) == MAX_WAITING:
            self.dropped += (
                1  # the oldest goes: an offer has ended by then, and who is near is seen by the next
            )
        self._line.append(item)
        self._work.set()

    async def run(self) -> None:
        """Write what waits in the line, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                await self.flush()
            except PortError as problem:
                log.error("notices_wait_for_storage", problem=str(problem))
                await asyncio.sleep(_RETRY_S)
                self._work.set()

    async def flush(self) -> None:
        """Write what waits now. Raises PortError; then it still waits."""
        while self._line:
            items = [self._line.popleft() for _ in range(min(len(self._line), _BATCH))]
            try:
                await self._write(items)
            except PortError:
                self._line.extendleft(reversed(items[: MAX_WAITING - len(self._line)]))
                raise

    async def _write(self, items: Sequence[Draft | Near]) -> None:
        now_ms = self._clock.now_ms()

        def work(tx: Transaction) -> _Outcome:
            outcome = _Outcome()
            drafts = [item for item in items if isinstance(item, Draft)]
            for item in items:
                if isinstance(item, Near):
                    drafts += self._arrive(tx, item, now_ms)
            self._insert(tx, drafts, outcome)
            return outcome

        await self._after(await self._database.write(work))

    # ------------------------------------------------------------------------ inside a transaction

    def _enter(self, tx: Transaction, event: SeenEvent, outcome: _Outcome) -> list[Draft]:
        """The drafts of an event; keeps the order when a rider has or had it."""
        order = event.order
        if not order.rider_id and event.command not in (Command.UNASSIGN, Command.CANCEL):
            return drafts_of(event, "")  # nobody carries it, and nobody did
        rows = tx.execute(sql.SELECT_ORDER, {"order_id": event.order_id})
        before = order_of(rows[0]) if rows else None
        if before is not None and event.version <= before.version:
            return []
        if order.rider_id or before is not None:
            now = carried(event, before)
            tx.execute(sql.PUT_ORDER, msgspec.structs.asdict(now))
            outcome.orders.append(now)
        return drafts_of(event, before.rider_id if before else "")

    def _arrive(self, tx: Transaction, near: Near, now_ms: int) -> list[Draft]:
        """Told unless it has been, or the order is another's or further on by now."""
        statement = sql.TELL_HOME if near.kind is Kind.ARRIVING else sql.TELL_STORE
        asked = {"order_id": near.order_id, "rider_id": near.rider_id, "now_ms": now_ms}
        rows = tx.execute(statement, asked)
        return [near_draft(order_of(row), near.kind, near.at_ms, self._settings.near_m) for row in rows]

    def _insert(self, tx: Transaction, drafts: Sequence[Draft], outcome: _Outcome) -> None:
        if not drafts:
            return
        first = int(tx.execute(sql.TAKE_NUMBERS, {"count": len(drafts)})[0][0]) - len(drafts) + 1
        pushes = self._settings.push and bool(tx.execute(sql.ANY_SUBSCRIPTION))
        now_ms = self._clock.now_ms()
        for number, draft in enumerate(drafts, first):
            if not tx.execute(sql.INSERT_NOTICE, row_of(number, draft)):
                continue
            outcome.made.append(made_of(number, draft))
            if pushes and draft.expires_at_ms > now_ms:
                outcome.queued += len(tx.execute(sql.ENQUEUE, entry_of(number, draft, now_ms)))

    # ------------------------------------------------------------------------------ after a commit

    async def _after(self, outcome: _Outcome) -> None:
        for notice in outcome.made:
            self._tell((notice.recipient,), self.message(notice))
        self.made += len(outcome.made)
        if outcome.queued:
            self.wake_sender()
        looked_for = [order for order in outcome.orders if self._near.put(order)]
        if looked_for:  # the position that matters may have come before the event did
            found = await self._live.get([order.rider_id for order in looked_for])
            self.positions([position for position in found if position is not None])

    def message(self, notice: Notice) -> bytes:
        """What the live stream says."""
        return _encode({"type": "notice", **self.shown(notice)})

    def shown(self, notice: Notice, language: str | None = None) -> dict[str, object]:
        """A notice with its words, in `notify.language` unless another is asked for."""
        words = text_of(notice.kind, notice.order_id, notice.params, language or self._settings.language)
        return {
            "id": notice.id,
            "kind": notice.kind,
            "order_id": notice.order_id,
            "at_ms": notice.at_ms,
            "read": notice.read,
            "title": words[0],
            "body": words[1],
            "params": notice.params,
        }

    def figures(self) -> list[Figure]:
        """For metrics."""
        made = {"made": self.made, "dropped": self.dropped}
        return [
            Counted("majung_notices", "Notices: made, or dropped when too many waited.", "outcome", made),
            Level("majung_near_orders", "Orders whose rider is looked for near a door.", len(self._near)),
        ]

    # --------------------------------------------------------------------------------------- reads

    async def after(self, recipient: str, id_: int, limit: int) -> list[Notice]:
        """What was told after number `id_`, oldest first: going on like this misses none. Raises PortError."""
        asked = {"recipient": recipient, "id": id_, "limit": min(limit, MAX_PAGE)}
        return [notice_of(row) for row in await self._database.read(sql.SELECT_AFTER, asked)]

    async def before(self, recipient: str, id_: int | None, limit: int) -> list[Notice]:
        """The newest, or those before number `id_`, newest first. Raises PortError."""
        asked = {"recipient": recipient, "id": _NEWEST if id_ is None else id_, "limit": min(limit, MAX_PAGE)}
        return [notice_of(row) for row in await self._database.read(sql.SELECT_BEFORE, asked)]

    async def unread(self, recipient: str) -> int:
        """How many are not marked as read, at most MAX_UNREAD. Raises PortError."""
        asked = {"recipient": recipient, "most": MAX_UNREAD}
        return int((await self._database.read(sql.COUNT_UNREAD, asked))[0][0])

    async def mark_read(self, recipient: str, up_to: int) -> int:
        """Everything up to this number has been seen; how many are still unread. Raises PortError."""
        asked = {"recipient": recipient, "up_to": up_to}
        await self._database.write(lambda tx: tx.execute(sql.MARK_READ, asked))
        return await self.unread(recipient)

    async def drop_old(self, now_ms: int) -> None:
        """Forget notices past `notify.keep_for` or beyond `notify.max_notices`, and orders that have ended."""
        before_ms = now_ms - _ms(self._settings.keep_for.total_seconds())

        def work(tx: Transaction) -> None:
            while len(tx.execute(sql.DELETE_OLD, {"before_ms": before_ms, "chunk": _CHUNK})) == _CHUNK:
                pass
            tx.execute(sql.DELETE_EXCESS, {"keep": self._settings.max_notices})
            tx.execute(sql.DELETE_ORDERS, {"before_ms": now_ms - _KEEP_ORDERS_MS})

        await self._database.write(work)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
