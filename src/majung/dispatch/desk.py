"""What dispatch knows: the board with what was committed, who is told of it, and what may be asked.

Nothing here decides; `matching` does for orders, `service` for the answers of riders.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec

from majung.clock import Clock
from majung.dispatch import ledger
from majung.dispatch import store as sql
from majung.dispatch.bells import Bells
from majung.dispatch.board import Board, Waiting
from majung.dispatch.missed import Missed
from majung.dispatch.model import (
    Offer,
    OfferStatus,
    OfferView,
    OpenOrder,
    Overview,
    RiderStanding,
    Unassigned,
    open_order,
)
from majung.dispatch.search import Choice
from majung.observe.families import Figure, Level, Spread
from majung.orders.model import Order, new_id
from majung.ports import Database
from majung.positions.geodesy import distance_m
from majung.routing.model import Place, Way
from majung.routing.ways import DEFAULT_FACTOR
from majung.settings import DispatchSettings

CONFIRM_AFTER_MS = 3_000
_MATCH_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0)


class Desk:
    """The state of `Dispatch`, and its reads; belongs to one event loop."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: DispatchSettings,
        way: Callable[[Place, Place], Way] | None = None,
    ) -> None:
        """`way` knows how long ways are, at once; without it, and with `dispatch.way_factor`, it is a factor."""
        self._database = database
        self._clock = clock
        self._settings = settings
        self._way = way
        self._board = Board(ms(settings.ask_again_after))
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
            self._unconfirmed.setdefault(offer.offer_id, self._clock.now_ms() + CONFIRM_AFTER_MS)
        else:
            self._unconfirmed.pop(offer.offer_id, None)
        self._bells.ring(offer.rider_id)
        if self.listeners and offer.status is OfferStatus.OPEN and (view := self.view(offer)) is not None:
            for listener in self.listeners:
                listener(view, offer.rider_id)

    def _open_order(self, order: Order) -> OpenOrder:
        ahead = self._settings.offer_ahead
        entry = self._board.orders.get(order.order_id)
        since_ms = order.accepted_at_ms if entry is None else entry.order.since_ms
        return open_order(order, None if ahead is None else ms(ahead), since_ms)

    def _offer(self, order: OpenOrder, choice: Choice, status: OfferStatus, now_ms: int) -> Offer:
        way_m = round(self._way_m(order), 1)
        fee = self._settings.base_fee_krw + self._settings.per_km_krw * way_m / 1000
        return Offer(
            offer_id=new_id("off", now_ms),
            order_id=order.order_id,
            rider_id=choice[0],
            status=status,
            offered_at_ms=now_ms,
            expires_at_ms=now_ms + ms(self._settings.offer_for),
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


def ms(span: timedelta) -> int:
    """Whole milliseconds."""
    return round(span.total_seconds() * 1000)
