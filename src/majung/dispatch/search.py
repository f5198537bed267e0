"""The nearest free rider of an order: from the cell index when riders are many, one by one when few are free."""

from collections.abc import Callable

from majung.dispatch.board import Board, Waiting
from majung.ports import LiveStore
from majung.positions.geodesy import distance_m
from majung.positions.model import LivePosition

FEW = 32
_FIRST_LIMIT = 16
_MORE = 8
_LARGEST_LIMIT = 8_192

Choice = tuple[str, float]
"""A rider, and how far it is from the store (metres, straight line)."""


class Search:
    """One round of looking; riders that were chosen in it are `taken`."""

    def __init__(self, live: LiveStore, board: Board, now_ms: int) -> None:
        self._live = live
        self._board = board
        self._now_ms = now_ms
        self.taken: set[str] = set()
        self._places: list[LivePosition] | None = None

    async def nearest(self, entry: Waiting, radius_m: float) -> Choice | None:
        """The nearest who is on duty, free, not chosen yet and has not refused this order; None: nobody.

        Asks for more and more of the nearest, since those may all be busy.
        """
        if not self._board.free:
            return None
        if len(self._board.free) <= FEW:
            return await self._of_few(entry, radius_m)
        order, limit = entry.order, _FIRST_LIMIT
        while True:
            hits = await self._live.nearest(order.store_latitude, order.store_longitude, radius_m, limit)
            for hit in hits:
                if self.may(entry, hit.rider_id):
                    return hit.rider_id, hit.distance_m
            if len(hits) < limit or limit >= _LARGEST_LIMIT:
                return await self._of_few(entry, radius_m) if len(hits) >= limit else None
            limit = min(limit * _MORE, _LARGEST_LIMIT)

    def may(self, entry: Waiting, rider_id: str) -> bool:
        """Whether this rider may be asked for this order."""
        return (
            rider_id in self._board.free
            and rider_id not in self.taken
            and entry.may_ask(rider_id, self._now_ms)
        )

    async def _of_few(self, entry: Waiting, radius_m: float) -> Choice | None:
        order = entry.order
        return min(
            (
                (place.rider_id, metres)
                for place in await self.places()
                if self.may(entry, place.rider_id)
                and (metres := _metres(order.store_latitude, order.store_longitude, place)) <= radius_m
            ),
            key=lambda choice: (choice[1], choice[0]),
            default=None,
        )

    async def places(self) -> list[LivePosition]:
        """Where the free riders are, those that are on the map."""
        if self._places is None:
            found = await self._live.get(sorted(self._board.free))
            self._places = [place for place in found if place is not None]
        return self._places


async def wake(
    live: LiveStore, board: Board, now_ms: int, reach_m: float, keep: Callable[[Waiting], None]
) -> None:
    """Each rider that came free is a reason to try the longest waiting order in its reach at once."""
    freed, board.freed = list(board.freed), {}
    if not freed or not board.waiting:
        return
    taken: set[str] = set()
    for place in await live.get(freed):
        if place is None:
            continue
        for order_id, entry in board.waiting.items():
            order = entry.order
            if order_id in taken or entry.next_try_ms <= now_ms or order.start_at_ms > now_ms:
                continue
            if not entry.may_ask(place.rider_id, now_ms):
                continue
            if _metres(order.store_latitude, order.store_longitude, place) <= reach_m:
                taken.add(order_id)
                keep(entry)
                break


def _metres(latitude: float, longitude: float, place: LivePosition) -> float:
    return distance_m(latitude, longitude, place.latitude, place.longitude)
