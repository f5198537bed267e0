"""Dispatch: it watches the orders, offers them, takes the answers, and never lets go of one.

One work loop (`step`) does what is due by the clock; the requests of riders and the events of orders come
in between. Each change is a transaction of `ledger.py` first and goes to the board after its commit.
What is known stands in `desk.py`, who is asked in `matching.py`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from majung.auth.model import Forbidden
from majung.clock import Clock
from majung.consuming import decoded, follow
from majung.dispatch import ledger
from majung.dispatch import store as sql
from majung.dispatch.desk import CONFIRM_AFTER_MS, ms
from majung.dispatch.matching import AT_ONCE, Matching
from majung.dispatch.model import CARRIED_IN, Offer, OfferOver, OfferStatus, RiderStanding
from majung.orders.model import Actor, ActorRef, Command, CommandArgs, Order, OrderEvent
from majung.orders.service import OrderConflict, RiderTaken
from majung.orders.store import decode_event
from majung.outbox.relay import ORDER_EVENTS_TOPIC
from majung.ports import Database, LiveStore, Log, LogRecord, PortError, Transaction
from majung.routing.model import Place, Way
from majung.settings import DispatchSettings

log = structlog.get_logger("majung.dispatch")

GROUP = "dispatch"
_BATCH = 500
_LINGER_S = 0.005
_IDLE_S = 1.0


class Orders(Protocol):
    """What dispatch needs of `OrderService`."""

    async def command(
        self, order_id: str, command: Command, actor: ActorRef, args: CommandArgs | None = None
    ) -> Order:
        """Raises OrderConflict (with the order as it is), RiderTaken, LookupError, ValueError, Forbidden."""
        ...


class Dispatch(Matching):
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
        """`way` as in `Desk`. Raises ValueError when `dispatch.batch` is set and scipy is not there."""
        super().__init__(database, live, clock, settings, way)
        self._log = log_port
        self._orders = orders

    # ------------------------------------------------------------------------------------- at work

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

        async def take(records: list[LogRecord]) -> None:
            await self.observe([event for _, event in decoded(ORDER_EVENTS_TOPIC, records, decode_event)])

        await follow(self._log, ORDER_EVENTS_TOPIC, GROUP, take, _BATCH, _LINGER_S)

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

    def _news(self, event: OrderEvent, now_ms: int) -> ledger.News:
        order, known, hold = event.order, self._open_order(event.order), None
        if order.rider_id and order.state in CARRIED_IN:
            hold = self._offer(known, (order.rider_id, 0.0), OfferStatus.ACCEPTED, now_ms)
        return ledger.News(known, event.command, hold)

    async def _expire(self) -> None:
        now_ms = self._clock.now_ms()
        while offers := self._board.ended(now_ms, AT_ONCE):

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
            self._unconfirmed[offer_id] = now_ms + CONFIRM_AFTER_MS
            try:
                await self._assign(offer)
            except (OfferOver, PortError) as problem:
                log.info("not_assigned", order_id=offer.order_id, problem=str(problem))

    async def drop_old(self, now_ms: int) -> None:
        """Forget orders that ended, and offers that were decided, longer ago than `dispatch.keep_for`."""
        asked = {"before_ms": now_ms - ms(self._settings.keep_for)}

        def work(tx: Transaction) -> None:
            tx.execute(sql.DELETE_OLD_OFFERS, asked)
            tx.execute(sql.DELETE_OLD_ORDERS, asked)

        await self._database.write(work)
