"""The open orders, the offers and the riders on duty, in memory: a cache of the tables, for quick choices.

Changes are put in after their commit, in the order of the commits. No I/O, no clock.
"""

import heapq
import math
from collections.abc import Iterable

from majung.dispatch.model import HELD, Offer, OfferStatus, OpenOrder

FOR_EVER_MS = 2**63 - 1


class Waiting:
    """An open order and where its search stands. `refused`: rider → not to be asked before (ms)."""

    __slots__ = ("next_try_ms", "order", "refused", "tries")

    def __init__(self, order: OpenOrder) -> None:
        self.order = order
        self.tries = 0
        self.next_try_ms = FOR_EVER_MS
        self.refused: dict[str, int] = {}

    def may_ask(self, rider_id: str, now_ms: int) -> bool:
        """Whether this rider has not just said no, or nothing, to it."""
        return self.refused.get(rider_id, 0) <= now_ms


class Board:
    """All that is open, by order, by rider and by time."""

    def __init__(self, ask_again_ms: int) -> None:
        self._ask_again_ms = ask_again_ms
        self.orders: dict[str, Waiting] = {}
        self.duty: set[str] = set()
        self.free: set[str] = set()  # on duty, and neither asked nor carrying
        self.freed: dict[str, None] = {}  # since the last look
        self.offers: dict[str, Offer] = {}  # those that bind
        self.by_rider: dict[str, Offer] = {}
        self.by_order: dict[str, Offer] = {}
        self.carrying: dict[str, str] = {}  # rider → order, as the orders say
        self.waiting: dict[str, Waiting] = {}  # orders that need a rider and are not on offer
        self._due: list[tuple[int, str]] = []
        self._ends: list[tuple[int, str]] = []

    # -------------------------------------------------------------------------------------- changes

    def put_order(self, order: OpenOrder) -> None:
        """An order is new, or has changed."""
        entry = self.orders.get(order.order_id)
        if entry is not None and entry.order.version > order.version:
            return
        was = "" if entry is None else entry.order.rider_id
        if order.ended():
            self.orders.pop(order.order_id, None)
            self.waiting.pop(order.order_id, None)
        elif entry is None:
            entry = self.orders[order.order_id] = Waiting(order)
        else:
            entry.order = order
        carried = "" if order.ended() else order.rider_id
        if was != carried and was and self.carrying.get(was) == order.order_id:
            del self.carrying[was]
            self._look_at_rider(was)
        if carried:
            self.carrying[carried] = order.order_id
            self._look_at_rider(carried)
        self._look_at_order(order.order_id)

    def put_offer(self, offer: Offer) -> None:
        """An offer is new, or its status has changed."""
        self._forget(self.offers.pop(offer.offer_id, None))
        if offer.status in HELD:
            self.offers[offer.offer_id] = offer
            self.by_rider[offer.rider_id] = self.by_order[offer.order_id] = offer
            if offer.status is OfferStatus.OPEN:
                heapq.heappush(self._ends, (offer.expires_at_ms, offer.offer_id))
        else:
            self._remember_refusal(offer)
        self._look_at_rider(offer.rider_id)
        self._look_at_order(offer.order_id)

    def put_duty(self, rider_id: str, on: bool) -> None:
        """A rider comes or goes."""
        (self.duty.add if on else self.duty.discard)(rider_id)
        self._look_at_rider(rider_id)

    def _forget(self, offer: Offer | None) -> None:
        if offer is None:
            return
        if (held := self.by_rider.get(offer.rider_id)) and held.offer_id == offer.offer_id:
            del self.by_rider[offer.rider_id]
        if (held := self.by_order.get(offer.order_id)) and held.offer_id == offer.offer_id:
            del self.by_order[offer.order_id]

    def _remember_refusal(self, offer: Offer) -> None:
        entry = self.orders.get(offer.order_id)
        if entry is None:
            return
        if offer.status in (OfferStatus.DECLINED, OfferStatus.RELEASED):
            entry.refused[offer.rider_id] = FOR_EVER_MS
        elif offer.status is OfferStatus.EXPIRED:
            until_ms = offer.expires_at_ms + self._ask_again_ms
            entry.refused[offer.rider_id] = max(until_ms, entry.refused.get(offer.rider_id, 0))

    def _look_at_rider(self, rider_id: str) -> None:
        free = rider_id in self.duty and rider_id not in self.by_rider and rider_id not in self.carrying
        if free and rider_id not in self.free:
            self.free.add(rider_id)
            self.freed[rider_id] = None
        elif not free:
            self.free.discard(rider_id)
            self.freed.pop(rider_id, None)

    def _look_at_order(self, order_id: str) -> None:
        entry = self.orders.get(order_id)
        if entry is None:
            return
        if not entry.order.needs_rider() or order_id in self.by_order:
            self.waiting.pop(order_id, None)
            entry.next_try_ms = FOR_EVER_MS
        elif order_id not in self.waiting:
            self.waiting[order_id] = entry
            self.try_at(entry, entry.order.start_at_ms)
        elif entry.tries == 0 and entry.order.start_at_ms != entry.next_try_ms:
            self.try_at(entry, entry.order.start_at_ms)

    # ----------------------------------------------------------------------------------------- time

    def try_at(self, entry: Waiting, at_ms: int) -> None:
        """Look for a rider then, not before."""
        if entry.next_try_ms != at_ms:
            entry.next_try_ms = at_ms
            heapq.heappush(self._due, (at_ms, entry.order.order_id))

    def due(self, now_ms: int, limit: int) -> list[Waiting]:
        """Orders to be offered now, those due first first; each must be offered or get another time."""
        found: list[Waiting] = []
        while self._due and self._due[0][0] <= now_ms and len(found) < limit:
            at_ms, order_id = heapq.heappop(self._due)
            entry = self.waiting.get(order_id)
            if entry is not None and entry.next_try_ms == at_ms:
                entry.next_try_ms = FOR_EVER_MS
                found.append(entry)
        return found

    def ended(self, now_ms: int, limit: int) -> list[Offer]:
        """Open offers whose time is over."""
        found: list[Offer] = []
        while self._ends and self._ends[0][0] <= now_ms and len(found) < limit:
            _, offer_id = heapq.heappop(self._ends)
            offer = self.offers.get(offer_id)
            if offer is not None and offer.status is OfferStatus.OPEN:
                found.append(offer)
        return found

    def keep_end(self, offers: Iterable[Offer]) -> None:
        """These could not be ended: again."""
        for offer in offers:
            heapq.heappush(self._ends, (offer.expires_at_ms, offer.offer_id))

    def next_ms(self) -> float:
        """When there is something to do; infinity when never."""
        due = self._due[0][0] if self._due else math.inf
        return min(due, self._ends[0][0] if self._ends else math.inf)
