"""The arrivals of all open orders: fed by events, positions and time, told to who follows, kept by checkpoints.

What is in memory is what the events up to some offsets made of it. Every two seconds the orders that changed,
what was learned, the records of those that ended and these offsets are written in one transaction (`keep.py`);
a new life begins there, and takes the events since then again.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import islice

import msgspec
import structlog

from majung.clock import Clock
from majung.consuming import decoded
from majung.eta.book import Book
from majung.eta.follow import compute, event_happened, learn_of_end, rider_seen, streets_found
from majung.eta.keep import Keeper, calibration, load
from majung.eta.learned import Learned
from majung.eta.model import Calibration, Eta, LateOrders, SlimEvent, Tracked
from majung.orders.model import OrderState
from majung.outbox.relay import ORDER_EVENTS_TOPIC
from majung.ports import Database, LiveStore, Log, PortError
from majung.positions.geodesy import distance_m
from majung.positions.model import LivePosition
from majung.routing.model import Place
from majung.routing.service import Routing
from majung.settings import EtaSettings

log = structlog.get_logger("majung.eta")

GROUP = "eta"
WAIT_S = 2.0
MOVED_M = 20.0
SAVE_EVERY_S = 2.0
AGAIN_MS = 30_000
"""An arrival is looked at again after this, though nothing happened: time passes."""
_BATCH = 500
_LINGER_S = 0.02
_TICK_S = 1.0
_AT_ONCE = 250
_SHIFT_MS = 5_000
_FRESH_MS = 120_000
_KEEP_ENDED_MS = 3_600_000
_FORGET_OPEN_MS = 86_400_000
_MAX_ASKING = 1_000
_STREETS_PAUSE_S = 0.02

Tell = Callable[[Iterable[str], bytes], None]
_decode = msgspec.json.Decoder(SlimEvent).decode
_encode = msgspec.json.Encoder().encode


class EtaService:
    """One for each server; belongs to its event loop. `load`, then `run`, `tick` and `streets` in the background."""

    def __init__(
        self,
        database: Database,
        log_port: Log,
        live: LiveStore,
        router: Routing,
        tell: Tell,
        clock: Clock,
        settings: EtaSettings,
    ) -> None:
        self._database = database
        self._log = log_port
        self._live = live
        self._router = router
        self._tell = tell
        self._clock = clock
        self._settings = settings
        self.learned = Learned(router.ways)
        self.outcomes: Counter[str] = Counter()
        self._book = Book()
        self._keeper = Keeper(database, self._book, self.learned)
        self._offsets: dict[int, int] = {}
        self._asking: OrderedDict[str, None] = OrderedDict()
        self._asked = asyncio.Event()
        self._news = asyncio.Event()
        self._saved_s = clock.monotonic_s()

    # -------------------------------------------------------------------------------------- reading

    @property
    def open_orders(self) -> int:
        """How many are expected."""
        return len(self._book.open)

    @property
    def late_orders(self) -> int:
        """How many of them after what was promised."""
        return len(self._book.late)

    async def of(self, order_id: str, version: int = 0, wait_s: float = WAIT_S) -> Eta:
        """The arrival of an open order; waits a little until it takes in that version. LookupError: none."""
        try:
            async with asyncio.timeout(wait_s):
                while not self._book.is_old(order_id, version):
                    await self._news.wait()
        except TimeoutError:
            pass
        tracked = self._book.open.get(order_id)
        if tracked is None or tracked.eta is None:
            raise LookupError("this order is not expected: it has ended, or is not known yet")
        return tracked.eta

    def late(self, limit: int = 100) -> LateOrders:
        """Those that are expected after what was promised, the latest first."""
        found = self._book.latest()
        return LateOrders(found[:limit], len(found), self.open_orders)

    async def calibration(self, days: float) -> Calibration:
        """What was shown against what happened, of the orders delivered in the last days. Raises PortError."""
        return await calibration(self._database, self._clock.now_ms() - round(days * 86_400_000))

    # --------------------------------------------------------------------------------- what comes in

    async def load(self) -> None:
        """What the last life had saved; once, before anything else. Raises PortError."""
        self._offsets = await load(self._database, self._book, self.learned)
        now_ms = self._clock.now_ms()
        for tracked in list(self._book.open.values()):
            self._compute(tracked, now_ms)

    async def run(self) -> None:
        """Take `order.events.v1` until cancelled; what is committed has been saved."""
        consumer = self._log.consumer(ORDER_EVENTS_TOPIC, GROUP)
        try:
            consumer.seek(self._offsets)
            while True:
                records = await consumer.poll(_BATCH, _LINGER_S)
                await self.observe([event for _, event in decoded(ORDER_EVENTS_TOPIC, records, _decode)])
                self._offsets = consumer.position()
                if await self._save_when_due():
                    await consumer.commit()
        finally:
            await consumer.close()

    async def observe(self, events: Sequence[SlimEvent]) -> None:
        """What happened to orders, in the order of each; versions that were seen are dropped. Raises PortError."""
        places = await self._places(events)
        touched: dict[str, int] = {}
        for event in events:
            if not self._book.is_old(event.order_id, event.version):
                self._take(event)
                touched[event.order_id] = event.at_ms
        for order_id, at_ms in touched.items():
            tracked = self._book.open.get(order_id)
            if tracked is not None:
                if tracked.eta is not None:  # the clock may have come before the log: what is newer says so
                    at_ms = max(at_ms, tracked.eta.computed_at_ms)
                position = places.get(tracked.order.rider_id)
                if position is not None and tracked.place is None:
                    self._seen(tracked, position, at_ms)
                self._compute(tracked, at_ms)
                self._publish(tracked)
        if touched:
            self._news.set()
            self._news = asyncio.Event()

    async def _places(self, events: Sequence[SlimEvent]) -> dict[str, LivePosition]:
        """Where riders are that have just been given an order."""
        riders = sorted({event.order.rider_id for event in events} - {""} - set(self._book.by_rider))
        found = await self._live.get(riders) if riders else []
        since_ms = self._clock.now_ms() - _FRESH_MS
        return {place.rider_id: place for place in found if place and place.received_at_ms >= since_ms}

    def _take(self, event: SlimEvent) -> None:
        known, order = self._book.open.get(event.order_id), event.order
        was_rider_id = known.order.rider_id if known is not None else ""
        tracked = event_happened(known, event, self.learned)
        if not order.ended:
            self._book.put(tracked, was_rider_id)
            if known is None:  # what is promised is promised at the first event, however many come with it
                self._compute(tracked, event.at_ms)
            return
        if order.state is OrderState.DELIVERED and known is not None:
            learn_of_end(tracked, self.learned)
            self.outcomes.update(self._keeper.delivered(tracked))
        self._book.end(order.order_id, order.ended_at_ms)
        self._asking.pop(order.order_id, None)

    # ------------------------------------------------------------------------- positions and the clock

    def positions(self, positions: Sequence[LivePosition]) -> None:
        """Called with every new position; costs what is carried."""
        if not self._book.by_rider:
            return
        now_ms = self._clock.now_ms()
        for position in positions:
            order_id = self._book.by_rider.get(position.rider_id)
            if order_id is None or position.kind != "rider":
                continue
            tracked = self._book.open[order_id]
            if self._seen(tracked, position, now_ms) and _has_moved(tracked):
                self._book.moved[order_id] = None

    def _seen(self, tracked: Tracked, position: LivePosition, now_ms: int) -> bool:
        there = (tracked.at_store_ms, tracked.at_door_ms)
        place = Place(position.latitude, position.longitude)
        news = rider_seen(tracked, place, min(position.device_time_ms, now_ms), self.learned)
        if there != (tracked.at_store_ms, tracked.at_door_ms):
            self._book.unsaved.add(tracked.order.order_id)
        return news

    async def tick(self) -> None:
        """Look at riders that moved and at the clock, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            while self.step():
                await asyncio.sleep(0)
            await self._save_when_due()

    def step(self) -> bool:
        """Compute again what is due now, some of it; whether there is more."""
        now_ms, book = self._clock.now_ms(), self._book
        every_ms = _ms(self._settings.every)
        left = _AT_ONCE
        for order_id in list(book.moved):
            tracked = book.open[order_id]
            if left and (tracked.eta is None or now_ms - tracked.eta.computed_at_ms >= every_ms):
                left -= 1
                del book.moved[order_id]
                self._look_again(tracked, now_ms)
        for tracked in islice(book.take_due(now_ms), left):
            left -= 1
            self._look_again(tracked, now_ms)
        return left == 0

    def _look_again(self, tracked: Tracked, now_ms: int) -> None:
        before = tracked.eta
        self._compute(tracked, now_ms)
        if tracked.eta is not None and (before is None or _differs(before, tracked.eta)):
            self._publish(tracked)

    def _compute(self, tracked: Tracked, now_ms: int) -> None:
        eta = compute(tracked, self.learned, now_ms)
        (self._book.late.add if eta.late else self._book.late.discard)(eta.order_id)
        self._book.schedule(tracked, now_ms + AGAIN_MS)
        self._want_streets(tracked)

    def _publish(self, tracked: Tracked) -> None:
        order = tracked.order
        keys = [f"order:{order.order_id}", f"customer:{order.customer}", f"store:{order.store_id}", "all:"]
        if order.rider_id:
            keys.append(f"rider:{order.rider_id}")
        self._tell(keys, _encode(tracked.eta))

    # --------------------------------------------------------------------------------------- streets

    def _want_streets(self, tracked: Tracked) -> None:
        """Ask for ways along streets, when they are not known or the rider is elsewhere by now."""
        if not self._router.has_streets or len(self._asking) >= _MAX_ASKING:
            return
        start, asked = tracked.place or tracked.order.store, tracked.street_from
        stale_m = max(200.0, 0.3 * distance_m(*start, *tracked.target))
        if asked is None or distance_m(*asked, *start) > stale_m:
            self._asking[tracked.order.order_id] = None
            self._asked.set()

    async def streets(self) -> None:
        """Ask one way after the other, until cancelled; ends at once when there are no streets."""
        while self._router.has_streets:
            await self._asked.wait()
            self._asked.clear()
            while self._asking:
                order_id, _ = self._asking.popitem(last=False)
                await self.ask_streets(order_id)
                await asyncio.sleep(_STREETS_PAUSE_S)

    async def ask_streets(self, order_id: str) -> None:
        """How long the ways of one order are along streets."""
        tracked = self._book.open.get(order_id)
        if tracked is None:
            return
        order = tracked.order
        start = tracked.street_from = tracked.place or order.store
        starts, ends = (
            ([start], [order.door]) if order.carried else ([start, order.store], [order.store, order.door])
        )
        found = await self._router.street_ways(starts, ends)
        if (
            found is None
            or tracked is not self._book.open.get(order_id)
            or tracked.order.carried != order.carried
        ):
            return
        door_s = 0.0 if order.carried else found[1][1].duration_s
        now_ms = self._clock.now_ms()
        streets_found(tracked, self.learned, start, found[0][0].duration_s, door_s, now_ms)
        self._look_again(tracked, now_ms)

    # --------------------------------------------------------------------------------------- keeping

    async def _save_when_due(self) -> bool:
        """Whether it was saved. A database that refuses is asked again later: nothing is lost until then."""
        if self._clock.monotonic_s() - self._saved_s < SAVE_EVERY_S:
            return False
        try:
            await self.save()
        except PortError as problem:
            log.warning("not_saved", problem=str(problem))
            return False
        return True

    async def save(self) -> None:
        """Everything that changed, in one transaction. Raises PortError."""
        self._saved_s = self._clock.monotonic_s()
        await self._keeper.save(dict(self._offsets), self._clock.now_ms())

    async def drop_old(self, now_ms: int) -> None:
        """Forget what ended an hour ago, orders that nobody touched for a day, and records past `eta.keep_for`."""
        for order_id in self._book.stale(now_ms - _FORGET_OPEN_MS):
            self._book.end(order_id, now_ms)
        self._book.forget_ended(now_ms - _KEEP_ENDED_MS)
        await self._keeper.drop(now_ms - _KEEP_ENDED_MS, now_ms - _ms(self._settings.keep_for))


def _has_moved(tracked: Tracked) -> bool:
    if tracked.computed_from is None or tracked.place is None:
        return True
    return distance_m(*tracked.computed_from, *tracked.place) >= MOVED_M


def _differs(before: Eta, after: Eta) -> bool:
    """Whether anybody would see it."""
    shift_ms = max(
        abs(after.at_ms - before.at_ms),
        abs(after.earliest_ms - before.earliest_ms),
        abs(after.latest_ms - before.latest_ms),
    )
    return shift_ms >= _SHIFT_MS or (before.late, before.stage) != (after.late, after.stage)


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
