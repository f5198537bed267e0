"""Whether a rider is near the place of the order that it carries: one look at a dictionary for each position.

The fences of `positions/` could ask the same, and were left out of it: they are things of the operators (listed,
limited, shown on the map, an event each), they look at every fence that lies at a place whoever rides by, and
an order would be a fence that is made and deleted within half an hour. Here a position of a rider who carries
nothing costs one look, and of one who does the distance to one place.

A position counts when it is plain (the hub is told no others), taken after the rider got the order (or picked
it up), not older than `fresh_ms`, and accurate enough to say so. Where only the neighbourhood is known of an
address (`dong`), nobody can say who is near it, and nobody is told.
"""

import math
from collections.abc import Iterable, Sequence

from majung.notify.model import CARRYING, FETCHING, CarriedOrder, Kind, Near
from majung.orders.model import Precision
from majung.positions.geodesy import distance_m
from majung.positions.model import LivePosition

_METRES_PER_DEGREE = 111_000.0  # a little less than the least there is, so that what is left out is too far


class _Target:
    __slots__ = ("kind", "latitude", "longitude", "order_id", "since_ms")

    def __init__(self, order: CarriedOrder, kind: Kind) -> None:
        self.order_id = order.order_id
        self.kind = kind
        self.since_ms = order.since_ms
        home = kind is Kind.ARRIVING
        self.latitude = order.latitude if home else order.store_latitude
        self.longitude = order.longitude if home else order.store_longitude


class NearIndex:
    """What each rider is on the way to. Belongs to one event loop; filled again from the rows after a restart."""

    def __init__(self, radius_m: float, fresh_ms: int) -> None:
        self._radius_m = radius_m
        self._degrees = radius_m / _METRES_PER_DEGREE
        self._fresh_ms = fresh_ms
        self._by_rider: dict[str, dict[str, _Target]] = {}
        self._rider_of: dict[str, str] = {}

    def __len__(self) -> int:
        """Orders that somebody is looked for."""
        return len(self._rider_of)

    def put(self, order: CarriedOrder) -> bool:
        """An order as it is now, in the order of its versions; whether there is a place to look at."""
        self.remove(order.order_id)
        kind = _on_the_way_to(order)
        if kind is None:
            return False
        self._by_rider.setdefault(order.rider_id, {})[order.order_id] = _Target(order, kind)
        self._rider_of[order.order_id] = order.rider_id
        return True

    def remove(self, order_id: str) -> None:
        """Look no more."""
        rider_id = self._rider_of.pop(order_id, "")
        if rider_id:
            targets = self._by_rider[rider_id]
            del targets[order_id]
            if not targets:
                del self._by_rider[rider_id]

    def look(self, positions: Sequence[LivePosition], now_ms: int) -> Iterable[Near]:
        """Who has come near just now. Each is found once: it is not looked for any more."""
        by_rider, found = self._by_rider, []
        if not by_rider:
            return ()
        for position in positions:
            targets = by_rider.get(position.rider_id)
            if targets is not None and position.kind == "rider":
                found += [target for target in targets.values() if self._is_near(target, position, now_ms)]
        news = [
            Near(target.order_id, self._rider_of[target.order_id], target.kind, now_ms) for target in found
        ]
        for target in found:
            self.remove(target.order_id)
        return news

    def _is_near(self, target: _Target, position: LivePosition, now_ms: int) -> bool:
        if abs(position.latitude - target.latitude) > self._degrees:
            return False
        at_ms = position.device_time_ms
        if at_ms < target.since_ms or now_ms - at_ms > self._fresh_ms:
            return False
        accuracy_m = position.accuracy_m
        if accuracy_m is not None and not accuracy_m <= self._radius_m:
            return False
        apart_m = distance_m(position.latitude, position.longitude, target.latitude, target.longitude)
        return apart_m <= self._radius_m and math.isfinite(apart_m)


def _on_the_way_to(order: CarriedOrder) -> Kind | None:
    if not order.rider_id:
        return None
    if order.state in FETCHING and not order.store_told_ms:
        return Kind.RIDER_AT_STORE
    if order.state in CARRYING and not order.home_told_ms and order.precision != Precision.DONG:
        return Kind.ARRIVING
    return None
