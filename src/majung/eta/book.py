"""The open orders in memory: by id, by rider and by time; and which ones ended lately. No I/O, no clock."""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from majung.eta.model import Eta, Tracked

MAX_OPEN = 200_000
MAX_ENDED = 100_000


class Book:
    """Bounded: past `max_open` the orders go whose last change is longest ago."""

    def __init__(self, max_open: int = MAX_OPEN) -> None:
        self._max_open = max_open
        self.open: dict[str, Tracked] = {}
        self.by_rider: dict[str, str] = {}
        self.ended: OrderedDict[str, int] = OrderedDict()
        self.late: set[str] = set()
        self.moved: dict[str, None] = {}
        self.unsaved: set[str] = set()
        self._due: list[tuple[int, str]] = []
        self._due_at: dict[str, int] = {}

    def put(self, tracked: Tracked, was_rider_id: str = "") -> None:
        """An order is new or has changed; `was_rider_id` had it before."""
        order = tracked.order
        if order.order_id not in self.open:
            self._make_room()
        self.open[order.order_id] = tracked
        if was_rider_id != order.rider_id:
            self._forget_rider(was_rider_id, order.order_id)
        if order.rider_id:
            self.by_rider[order.rider_id] = order.order_id
        self.unsaved.add(order.order_id)

    def end(self, order_id: str, at_ms: int) -> None:
        """It has ended; events of it that come again are known."""
        tracked = self.open.pop(order_id, None)
        if tracked is not None:
            self._forget_rider(tracked.order.rider_id, order_id)
        self._due_at.pop(order_id, None)
        self.late.discard(order_id)
        self.moved.pop(order_id, None)
        self.ended[order_id] = at_ms
        self.unsaved.add(order_id)
        while len(self.ended) > MAX_ENDED:
            self.ended.popitem(last=False)

    def is_old(self, order_id: str, version: int) -> bool:
        """Whether this version has been taken in."""
        known = self.open.get(order_id)
        return order_id in self.ended or (known is not None and known.order.version >= version)

    def schedule(self, tracked: Tracked, at_ms: int) -> None:
        """Look at it again then."""
        order_id = tracked.order.order_id
        self._due_at[order_id] = at_ms
        heapq.heappush(self._due, (at_ms, order_id))

    def take_due(self, now_ms: int) -> Iterator[Tracked]:
        """Those to look at now; each is scheduled again by who takes it."""
        while self._due and self._due[0][0] <= now_ms:
            at_ms, order_id = heapq.heappop(self._due)
            if self._due_at.get(order_id) == at_ms:
                yield self.open[order_id]

    def stale(self, before_ms: int) -> list[str]:
        """Orders that nobody has touched since."""
        return [t.order.order_id for t in self.open.values() if t.order.changed_at_ms < before_ms]

    def forget_ended(self, before_ms: int) -> None:
        """Those that ended before."""
        while self.ended and next(iter(self.ended.values())) < before_ms:
            self.ended.popitem(last=False)

    def put_ended(self, ended: Iterable[tuple[str, int]]) -> None:
        """What was stored, oldest first."""
        self.ended.update(ended)

    def latest(self) -> list[Eta]:
        """The late orders, the latest first."""
        found = [eta for order_id in self.late if (eta := self.open[order_id].eta) is not None]
        found.sort(key=lambda eta: (eta.promised_latest_ms - eta.at_ms, eta.order_id))
        return found

    def _forget_rider(self, rider_id: str, order_id: str) -> None:
        if self.by_rider.get(rider_id) == order_id:
            del self.by_rider[rider_id]

    def _make_room(self) -> None:
        if len(self.open) < self._max_open:
            return
        several = max(1, self._max_open // 100)
        for tracked in heapq.nsmallest(several, self.open.values(), key=lambda t: t.order.changed_at_ms):
            self.end(tracked.order.order_id, tracked.order.changed_at_ms)
