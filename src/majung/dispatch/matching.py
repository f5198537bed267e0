"""Which rider is asked to carry which order, as soon as one can be."""

import asyncio
from collections.abc import Callable

from majung.clock import Clock
from majung.dispatch import assign as batch
from majung.dispatch import ledger
from majung.dispatch.board import Waiting
from majung.dispatch.desk import Desk, ms
from majung.dispatch.model import OfferStatus
from majung.dispatch.search import Choice, Search, wake
from majung.ports import Database, LiveStore
from majung.routing.model import Place, Way
from majung.settings import DispatchSettings

AT_ONCE = 256
_FIRST_PAUSE_MS = 250


class Matching(Desk):
    """Offers what stands on the board to the free riders that `live` knows."""

    def __init__(
        self,
        database: Database,
        live: LiveStore,
        clock: Clock,
        settings: DispatchSettings,
        way: Callable[[Place, Place], Way] | None = None,
    ) -> None:
        """Raises ValueError when riders are to be chosen together and scipy is not there; `way` as in `Desk`."""
        if settings.batch:
            batch.require_scipy()
        super().__init__(database, clock, settings, way)
        self._live = live

    async def _match(self) -> None:
        """Offer what is due. In turn: what one order does not get, the next may."""
        now_ms = self._clock.now_ms()
        longest = self._settings.max_radius_m
        await wake(self._live, self._board, now_ms, longest, lambda entry: self._at_once(entry, now_ms))
        while due := self._board.due(now_ms, AT_ONCE):
            try:
                await self._offer_all(due, now_ms)
            finally:
                for entry in due:  # on offer now, or to be tried again
                    if entry.order.order_id in self._board.waiting and entry.next_try_ms > now_ms:
                        self._again(entry, now_ms)

    async def _offer_all(self, due: list[Waiting], now_ms: int) -> None:
        search = Search(self._live, self._board, now_ms, now_ms - ms(self._settings.heard_within))
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

    def _at_once(self, entry: Waiting, now_ms: int) -> None:
        """A rider somewhere in reach is free: that far, and now."""
        while self._radius_m(entry) < self._settings.max_radius_m:
            entry.tries += 1
        self._board.try_at(entry, now_ms)

    def _again(self, entry: Waiting, now_ms: int) -> None:
        pause_ms = min(_FIRST_PAUSE_MS * 2 ** min(entry.tries, 16), ms(self._settings.retry_at_most))
        entry.tries += 1
        self._board.try_at(entry, now_ms + pause_ms)
