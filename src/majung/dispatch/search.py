"""The nearest free rider of an order, and which order a rider who comes free is asked about."""

from collections.abc import Callable
from itertools import islice

import numpy as np

from majung.dispatch.board import Board, Waiting
from majung.ports import LiveStore
from majung.positions.geodesy import distance_m, distances_m
from majung.positions.model import LivePosition

_FEW = 32
_NEAREST = 16
_WOKEN_OF = 500

Choice = tuple[str, float]
"""A rider, and how far it is from the store (metres, straight line)."""


class _Free:
    """Where the free riders are, in columns; those chosen in this round are no longer `open`."""

    def __init__(self, places: list[LivePosition]) -> None:
        self.places = places
        self.index = {place.rider_id: i for i, place in enumerate(places)}
        self.open = np.ones(len(places), bool)
        self.latitudes = np.array([place.latitude for place in places])
        self.longitudes = np.array([place.longitude for place in places])


class Search:
    """One round of looking; riders that were chosen in it are `taken`, those not heard since then unknown."""

    def __init__(self, live: LiveStore, board: Board, now_ms: int, heard_since_ms: int = 0) -> None:
        self._live = live
        self._board = board
        self._now_ms = now_ms
        self._heard_since_ms = heard_since_ms
        self._taken: set[str] = set()
        self._free: _Free | None = None

    async def nearest(self, entry: Waiting, radius_m: float) -> Choice | None:
        """The nearest who is on duty, free, not taken yet and has not refused this order; None: nobody.

        The cell index gives the nearest few; when those are all busy, the free ones are measured, all of
        them, since asking for more and more of the nearest costs more than that.
        """
        if not self._board.free:
            return None
        order = entry.order
        if len(self._board.free) > _FEW:
            place = (order.store_latitude, order.store_longitude)
            hits = await self._live.nearest(*place, radius_m, _NEAREST)
            for hit in hits:
                if self._may(entry, hit.rider_id) and hit.position.received_at_ms >= self._heard_since_ms:
                    return hit.rider_id, hit.distance_m
            if len(hits) < _NEAREST:
                return None
        return self._of_all(entry, radius_m, await self._columns())

    def take(self, rider_id: str) -> None:
        """This rider is chosen for an order."""
        self._taken.add(rider_id)
        if self._free is not None and rider_id in self._free.index:
            self._free.open[self._free.index[rider_id]] = False

    async def places(self) -> list[LivePosition]:
        """Where the free riders are, those that are on the map and were heard lately."""
        return (await self._columns()).places

    def _may(self, entry: Waiting, rider_id: str) -> bool:
        return (
            rider_id in self._board.free
            and rider_id not in self._taken
            and entry.may_ask(rider_id, self._now_ms)
        )

    async def _columns(self) -> _Free:
        if self._free is None:
            found = await self._live.get(sorted(self._board.free - self._taken))
            since_ms = self._heard_since_ms
            self._free = _Free([p for p in found if p is not None and p.received_at_ms >= since_ms])
        return self._free

    def _of_all(self, entry: Waiting, radius_m: float, free: _Free) -> Choice | None:
        if not free.places:
            return None
        order = entry.order
        place = (order.store_latitude, order.store_longitude)
        metres = distances_m(*place, free.latitudes, free.longitudes)
        metres[~free.open] = np.inf
        while True:
            i = int(metres.argmin())
            if metres[i] > radius_m:
                return None
            rider_id = free.places[i].rider_id
            if self._may(entry, rider_id):
                return rider_id, float(metres[i])
            metres[i] = np.inf


async def wake(
    live: LiveStore, board: Board, now_ms: int, reach_m: float, keep: Callable[[Waiting], None]
) -> None:
    """Each rider that came free is a reason to try the longest waiting order in its reach at once."""
    freed, board.freed = list(board.freed), {}
    if not freed or not board.waiting:
        return
    pausing = (e for e in board.waiting.values() if e.next_try_ms > now_ms >= e.order.start_at_ms)
    entries = list(islice(pausing, _WOKEN_OF))
    for place in await live.get(freed) if entries else ():
        if place is None:
            continue
        for i, entry in enumerate(entries):
            order = entry.order
            if entry.may_ask(place.rider_id, now_ms) and (
                _metres(order.store_latitude, order.store_longitude, place) <= reach_m
            ):
                keep(entry)
                del entries[i]
                break


def _metres(latitude: float, longitude: float, place: LivePosition) -> float:
    return distance_m(latitude, longitude, place.latitude, place.longitude)
