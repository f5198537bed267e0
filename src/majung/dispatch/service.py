"""Dispatch: it watches the orders, offers them, takes the answers, and never lets go of one.

One work loop (`step`) does what is due by the clock; the requests of riders and the events of orders come
in between. Each change is a transaction of `ledger.py` first and goes to the board after its commit.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

import msgspec
import structlog

from majung.auth.model import Forbidden
from majung.clock import Clock
from majung.dispatch import assign as batch
from majung.dispatch import ledger
from majung.dispatch import store as sql
from majung.dispatch.bells import Bells
from majung.dispatch.board import Board, Waiting
from majung.dispatch.missed import Missed
from majung.dispatch.model import (
    CARRIED_IN,
    Offer,
    OfferOver,
    OfferStatus,
    OfferView,
    OpenOrder,
    Overview,
    RiderStanding,
    Unassigned,
    open_order,
)
from majung.dispatch.search import Choice, Search, wake
from majung.observe.families import Figure, Level, Spread
from majung.orders.model import (
    Actor,
    ActorRef,
    Command,
    CommandArgs,
    Order,
    OrderEvent,
    new_id,
)
from majung.orders.service import OrderConflict, RiderTaken
from majung.orders.store import decode_event
from majung.outbox.relay import ORDER_EVENTS_TOPIC
from majung.ports import Database, LiveStore, Log, PortError, Transaction
from majung.positions.geodesy import distance_m
from majung.routing.model import Place, Way
from majung.routing.ways import DEFAULT_FACTOR
from majung.settings import DispatchSettings

log = structlog.get_logger("majung.dispatch")

GROUP = "dispatch"
_BATCH = 500
_LINGER_S = 0.005
_AT_ONCE = 256
_IDLE_S = 1.0
_CONFIRM_AFTER_MS = 3_000
_FIRST_PAUSE_MS = 250
_MATCH_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0)


class Orders(Protocol):
    """What dispatch needs of `OrderService`."""

    async def command(
        self, order_id: str, command: Command, actor: ActorRef, args: CommandArgs | None = None
    ) -> Order:
        """Raises OrderConflict (with the order as it is), RiderTaken, LookupError, ValueError, Forbidden."""
        ...


class Dispatch:
    """One for each server; belongs to its event loop."""

    def __init__(
        self,
        database: Database,
        log_port: Log,
        live: LiveStore,
        orders: Orders,
        clock: Clock,
        settings: DispatchSettings,
        way: Callable[[Place, Place], Way] | None = None,
    ) -> None:
        """`way` knows how long ways are, at once; without it, and with `dispatch.way_factor`, it is a factor."""
        if settings.batch:
            batch.require_scipy()
        self._database = database
        self._log = log_port
        self._live = live
        self._orders = orders
        self._clock = clock
        self._settings = settings
        self._way = way
        self._board = Board(_ms(settings.ask_again_after))
        self._bells = Bells()
        self._missed = Missed(settings.off_duty_after_missed)
        self._unconfirmed: dict[str, int] = {}  # held offers whose order does not say so yet → when to ask
        self._work = asyncio.Event()
        self._loaded = False
        self._matched = Spread(
            "majung_dispatch_match_seconds",
            "From when an order could have a rider until it had.",
            _MATCH_BOUNDS_S,
        )
        self.listeners: list[Callable[[OfferView, str], None]] = []  # each hears who is asked to carry what

    # ------------------------------------------------------------------------------------- at work

    async def load(self) -> None:
        """Read what was open when the server stopped; once, before anything else."""
        if self._loaded:
            return
        for row in await self._database.read(sql.SELECT_ON_DUTY):
            self._board.put_duty(str(row[0]), True)
        orders = [ledger.order_of(row) for row in await self._database.read(sql.SELECT_OPEN_ORDERS)]
        held = [ledger.offer_of(row) for row in await self._database.read(sql.SELECT_HELD)]
        refused = [ledger.offer_of(row) for row in await self._database.read(sql.SELECT_REFUSED)]
        self._apply([*orders, *refused, *held])
        self._loaded = True

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        await self.load()
        while True:
            self._work.clear()
            await self.step()
            pause_s = min(_IDLE_S, max(0.0, (self._next_ms() - self._clock.now_ms()) / 1000))
            if pause_s:
                try:
                    async with asyncio.timeout(pause_s):
                        await self._work.wait()
                except TimeoutError:
                    pass

    async def consume(self) -> None:
        """Take `order.events.v1` until cancelled; what is committed has been entered."""
        await self.load()
        consumer = self._log.consumer(ORDER_EVENTS_TOPIC, GROUP)
        try:
            while True:
                events: list[OrderEvent] = []
                for record in await consumer.poll(_BATCH, _LINGER_S):
                    try:
                        events.append(decode_event(record.value))
                    except msgspec.DecodeError as problem:
                        log.error("undecodable", offset=record.offset, problem=str(problem))
                await self.observe(events)
                await consumer.commit()
        finally:
            await consumer.close()

    async def observe(self, events: Sequence[OrderEvent]) -> None:
        """What happened to orders, in the order of each; seen ones are dropped. Raises PortError."""
        now_ms = self._clock.now_ms()
        # What was never accepted never needed a rider.
        news = [self._news(event, now_ms) for event in events if event.order.accepted_at_ms]
        if news:
            self._apply(await self._database.write(lambda tx: ledger.observe(tx, news, now_ms)))

    async def step(self) -> None:
        """Everything that is due now: offers that ended, assignments to confirm, orders to offer."""
        await self._expire()
        await self._confirm()
        await self._match()

    def _next_ms(self) -> float:
        return min(self._board.next_ms(), *self._unconfirmed.values(), 2**63)

    def _apply(self, changes: Sequence[OpenOrder | Offer]) -> None:
        """After a commit: to the board, and to who is concerned."""
        for change in changes:
            if isinstance(change, OpenOrder):
                self._apply_order(change)
            else:
                self._apply_offer(change)
        if changes:
            self._work.set()

    def _apply_order(self, order: OpenOrder) -> None:
        before = self._board.orders.get(order.order_id)
        riders = {order.rider_id} if before is None else {order.rider_id, before.order.rider_id}
        if before is not None and order.rider_id and not before.order.rider_id:
            since_ms = max(order.since_ms, order.start_at_ms)
            self._matched.add(max(0, self._clock.now_ms() - since_ms) / 1000)
        self._board.put_order(order)
        for rider_id in riders - {""}:
            self._bells.ring(rider_id)

    def _apply_offer(self, offer: Offer) -> None:
        self._board.put_offer(offer)
        entry = self._board.orders.get(offer.order_id)
        assigned = entry is not None and entry.order.rider_id == offer.rider_id
        if offer.status is OfferStatus.ACCEPTED and not assigned:
            self._unconfirmed.setdefault(offer.offer_id, self._clock.now_ms() + _CONFIRM_AFTER_MS)
        else:
            self._unconfirmed.pop(offer.offer_id, None)
        self._bells.ring(offer.rider_id)
        if self.listeners and offer.status is OfferStatus.OPEN and (view := self.view(offer)) is not None:
            for listener in self.listeners:
                listener(view, offer.rider_id)

    def _news(self, event: OrderEvent, now_ms: int) -> ledger.News:
        order, known, hold = event.order, self._open_order(event.order), None
        if order.rider_id and order.state in CARRIED_IN:
            hold = self._offer(known, (order.rider_id, 0.0), OfferStatus.ACCEPTED, now_ms)
        return ledger.News(known, event.command, hold)

    def _open_order(self, order: Order) -> OpenOrder:
        ahead = self._settings.offer_ahead
        entry = self._board.orders.get(order.order_id)
        since_ms = order.accepted_at_ms if entry is None else entry.order.since_ms
        return open_order(order, None if ahead is None else _ms(ahead), since_ms)

    # ------------------------------------------------------------------------------------ offering

    async def _expire(self) -> None:
        now_ms = self._clock.now_ms()
        while offers := self._board.ended(now_ms, _AT_ONCE):

            def work(tx: Transaction, offers: list[Offer] = offers) -> list[Offer]:
                status = OfferStatus.EXPIRED
                return [row for offer in offers for row in ledger.change(tx, offer, status, now_ms)]

            try:
                expired = await self._database.write(work)
            except BaseException:
                self._board.keep_end(offers)
                raise
            self._apply(expired)
            for rider_id in [offer.rider_id for offer in expired if self._missed.ran_out(offer.rider_id)]:
                log.info("off_duty_after_missed_offers", rider_id=rider_id)
                self._missed.take_off(rider_id)
                await self._turn(rider_id, False)

    async def _match(self) -> None:
        """Offer what is due. In turn: what one order does not get, the next may."""
        now_ms = self._clock.now_ms()
        longest = self._settings.max_radius_m
        await wake(self._live, self._board, now_ms, longest, lambda entry: self._at_once(entry, now_ms))
        while due := self._board.due(now_ms, _AT_ONCE):
            try:
                await self._offer_all(due, now_ms)
            finally:
                for entry in due:  # on offer now, or to be tried again
                    if entry.order.order_id in self._board.waiting and entry.next_try_ms > now_ms:
                        self._again(entry, now_ms)

    async def _offer_all(self, due: list[Waiting], now_ms: int) -> None:
        search = Search(self._live, self._board, now_ms, now_ms - _ms(self._settings.heard_within))
        choose = self._choose_together if self._settings.batch else self._choose_in_turn
        chosen = await choose(search, due)
        offers = [self._offer(entry.order, choice, OfferStatus.OPEN, now_ms) for entry, choice in chosen]
        if offers:
            self._apply(await self._database.write(lambda tx: ledger.open_offers(tx, offers)))

    async def _choose_in_turn(self, search: Search, due: list[Waiting]) -> list[tuple[Waiting, Choice]]:
        chosen: list[tuple[Waiting, Choice]] = []
        for entry in due:
            choice = await search.nearest(entry, self._radius_m(entry))
            if choice is not None:
                search.take(choice[0])
                chosen.append((entry, choice))
        return chosen

    async def _choose_together(self, search: Search, due: list[Waiting]) -> list[tuple[Waiting, Choice]]:
        places = await search.places()
        riders = [batch.Free(place.rider_id, place.latitude, place.longitude) for place in places]
        now_ms = self._clock.now_ms()
        wishes = [
            batch.Wish(
                entry.order.order_id,
                entry.order.store_latitude,
                entry.order.store_longitude,
                self._radius_m(entry),
                frozenset(rider_id for rider_id in entry.refused if not entry.may_ask(rider_id, now_ms)),
            )
            for entry in due
        ]
        pairs = await asyncio.to_thread(batch.assign, wishes, riders)
        entries = {entry.order.order_id: entry for entry in due}
        return [(entries[pair.order_id], (pair.rider_id, pair.distance_m)) for pair in pairs]

    def _offer(self, order: OpenOrder, choice: Choice, status: OfferStatus, now_ms: int) -> Offer:
        way_m = round(self._way_m(order), 1)
        fee = self._settings.base_fee_krw + self._settings.per_km_krw * way_m / 1000
        return Offer(
            offer_id=new_id("off", now_ms),
            order_id=order.order_id,
            rider_id=choice[0],
            status=status,
            offered_at_ms=now_ms,
            expires_at_ms=now_ms + _ms(self._settings.offer_for),
            store_distance_m=round(choice[1], 1),
            way_m=way_m,
            earning_krw=round(fee / 10) * 10,
        )

    def _way_m(self, order: OpenOrder) -> float:
        """From the store to the customer."""
        store = Place(order.store_latitude, order.store_longitude)
        door, factor = Place(order.latitude, order.longitude), self._settings.way_factor
        if factor is None and self._way is not None:
            return self._way(store, door).distance_m
        return distance_m(*store, *door) * (factor or DEFAULT_FACTOR)

    def _radius_m(self, entry: Waiting) -> float:
        return float(min(self._settings.radius_m * 2 ** min(entry.tries, 16), self._settings.max_radius_m))

    def _at_once(self, entry: Waiting, now_ms: int) -> None:
        """A rider somewhere in reach is free: that far, and now."""
        while self._radius_m(entry) < self._settings.max_radius_m:
            entry.tries += 1
        self._board.try_at(entry, now_ms)

    def _again(self, entry: Waiting, now_ms: int) -> None:
        pause_ms = min(_FIRST_PAUSE_MS * 2 ** min(entry.tries, 16), _ms(self._settings.retry_at_most))
        entry.tries += 1
        self._board.try_at(entry, now_ms + pause_ms)

    # ------------------------------------------------------------------------------------- answers

    async def set_duty(self, rider_id: str, on: bool) -> RiderStanding:
        """On or off duty. Going off declines the open offer; an order that is carried stays. Raises PortError."""
        self._missed.heard(rider_id)
        await self._turn(rider_id, on)
        return self.standing(rider_id)

    async def _turn(self, rider_id: str, on: bool) -> None:
        now_ms = self._clock.now_ms()
        changes = await self._database.write(lambda tx: ledger.set_duty(tx, rider_id, on, now_ms))
        self._board.put_duty(rider_id, on)
        self._apply(changes)
        self._bells.ring(rider_id)
        self._work.set()

    async def accept(self, offer_id: str, rider_id: str) -> Offer:
        """Take the offer: when this returns the order is this rider's. Twice is once.

        Raises LookupError, OfferOver (too late, or the order is gone), PortError (try again).
        """
        self._missed.heard(rider_id)
        now_ms = self._clock.now_ms()
        offer = await self._database.write(lambda tx: ledger.accept(tx, offer_id, rider_id, now_ms))
        if offer.status is OfferStatus.ACCEPTED:
            self._apply([offer])
            await self._assign(offer)
        return offer

    async def decline(self, offer_id: str, rider_id: str) -> Offer:
        """Do not take the offer; the next rider is asked. Raises LookupError, OfferOver, PortError."""
        self._missed.heard(rider_id)
        now_ms = self._clock.now_ms()
        offer = await self._database.write(lambda tx: ledger.decline(tx, offer_id, rider_id, now_ms))
        self._apply([offer])
        return offer

    async def _assign(self, offer: Offer) -> None:
        """The accepted offer becomes the order's rider. Raises OfferOver when that can no longer be, PortError.

        No version is expected: the order service gives nothing to dispatch that another rider has.
        """
        entry = self._board.orders.get(offer.order_id)
        if entry is None or entry.order.rider_id != offer.rider_id:
            args, actor = CommandArgs(rider_id=offer.rider_id), ActorRef(Actor.DISPATCH, GROUP)
            try:
                order = await self._orders.command(offer.order_id, Command.ASSIGN, actor, args)
            except OrderConflict as conflict:
                order = conflict.current  # perhaps it is this rider's already: assigned before a crash
            except (RiderTaken, LookupError, ValueError, Forbidden) as problem:
                log.warning("assignment_refused", order_id=offer.order_id, problem=str(problem))
                await self._let_go(offer)
                raise OfferOver("the order can no longer be had") from problem
            if order.rider_id != offer.rider_id or order.state not in CARRIED_IN:
                await self._let_go(offer)
                raise OfferOver("the order has ended, or went to somebody else")
            # The tables learn it from the event; until then nobody must be offered this order.
            self._apply_order(self._open_order(order))
        self._unconfirmed.pop(offer.offer_id, None)

    async def _let_go(self, offer: Offer) -> None:
        """The rider is free again, unless the order says otherwise by now."""
        now_ms, status = self._clock.now_ms(), OfferStatus.WITHDRAWN
        self._apply(await self._database.write(lambda tx: ledger.change(tx, offer, status, now_ms)))

    async def _confirm(self) -> None:
        """Acceptances that a crash or a refusing database left without their assignment: on with them."""
        now_ms = self._clock.now_ms()
        for offer_id in [offer_id for offer_id, at_ms in self._unconfirmed.items() if at_ms <= now_ms]:
            offer = self._board.offers.get(offer_id)
            if offer is None:
                self._unconfirmed.pop(offer_id, None)
                continue
            self._unconfirmed[offer_id] = now_ms + _CONFIRM_AFTER_MS
            try:
                await self._assign(offer)
            except (OfferOver, PortError) as problem:
                log.info("not_assigned", order_id=offer.order_id, problem=str(problem))

    # --------------------------------------------------------------------------------------- reads

    def standing(self, rider_id: str) -> RiderStanding:
        """What a rider is shown now."""
        held = self._board.by_rider.get(rider_id)
        order_id = self._board.carrying.get(rider_id, "")
        if held is not None and held.status is OfferStatus.ACCEPTED:
            order_id = held.order_id
        live = held is not None and held.status is OfferStatus.OPEN
        live = live and held is not None and held.expires_at_ms > self._clock.now_ms()
        view = self.view(held) if live and held is not None else None
        on_duty = rider_id in self._board.duty
        return RiderStanding(rider_id, on_duty, view, order_id, "" if on_duty else self._missed.why(rider_id))

    def view(self, offer: Offer) -> OfferView | None:
        """An offer with what a rider needs to know of its order; None when the order is over."""
        entry = self._board.orders.get(offer.order_id)
        if entry is None:
            return None
        values = msgspec.structs.asdict(entry.order) | msgspec.structs.asdict(offer)
        return OfferView(**{name: values[name] for name in OfferView.__struct_fields__})

    def overview(self, limit: int = 100) -> Overview:
        """Orders that should have a rider and have none, longest waiting first."""
        now_ms = self._clock.now_ms()
        waiting = [
            entry
            for entry in self._board.orders.values()
            if entry.order.needs_rider() and entry.order.start_at_ms <= now_ms
        ]
        waiting.sort(key=lambda entry: (entry.order.since_ms, entry.order.order_id))
        shown = [self._unassigned(entry, now_ms) for entry in waiting[:limit]]
        return Overview(shown, len(waiting), len(self._board.duty), len(self._board.free))

    def _unassigned(self, entry: Waiting, now_ms: int) -> Unassigned:
        order, held = entry.order, self._board.by_order.get(entry.order.order_id)
        return Unassigned(
            order_id=order.order_id,
            store_id=order.store_id,
            store_name=order.store_name,
            state=order.state,
            since_ms=order.since_ms,
            start_at_ms=order.start_at_ms,
            tries=entry.tries,
            next_try_ms=0 if held is not None else entry.next_try_ms,
            radius_m=self._radius_m(entry),
            refused=sum(not entry.may_ask(rider_id, now_ms) for rider_id in entry.refused),
            offered_to="" if held is None else held.rider_id,
        )

    def listen(self, rider_id: str) -> tuple[asyncio.Event, Callable[[], None]]:
        """A bell that rings when the rider's standing changes, and how to end it. Raises Overloaded."""
        bell = self._bells.open(rider_id)
        return bell, lambda: self._bells.close(rider_id, bell)

    def figures(self) -> list[Figure]:
        """For `/metrics`."""
        asked = sum(offer.status is OfferStatus.OPEN for offer in self._board.offers.values())
        return [
            Level(
                "majung_dispatch_waiting",
                "Orders that need a rider and are not on offer.",
                len(self._board.waiting),
            ),
            Level("majung_dispatch_offers", "Offers that are open.", asked),
            Level("majung_dispatch_riders_on_duty", "Riders on duty.", len(self._board.duty)),
            Level(
                "majung_dispatch_riders_free",
                "Riders on duty who are neither asked nor carrying.",
                len(self._board.free),
            ),
            self._matched,
        ]

    async def drop_old(self, now_ms: int) -> None:
        """Forget orders that ended, and offers that were decided, longer ago than `dispatch.keep_for`."""
        asked = {"before_ms": now_ms - _ms(self._settings.keep_for)}

        def work(tx: Transaction) -> None:
            tx.execute(sql.DELETE_OLD_OFFERS, asked)
            tx.execute(sql.DELETE_OLD_ORDERS, asked)

        await self._database.write(work)


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
