"""For consumers of `order.events.v1`: each version takes effect once.

The log holds a version at least once and in order. A consumer whose effect is in a database keeps the version
beside it, in the same transaction, and needs nothing of this; one whose effect is in memory, or goes out,
asks here.
"""

from collections import OrderedDict


class SeenVersions:
    """The newest version of each order that has taken effect; of the last `max_orders` orders."""

    def __init__(self, max_orders: int = 100_000) -> None:
        self._max_orders = max_orders
        self._newest: OrderedDict[str, int] = OrderedDict()
        self.repeated = 0
        self.holes = 0

    def take(self, order_id: str, version: int) -> bool:
        """Whether this version is new; it counts as seen from now on.

        A version that skips others is new as well (an event carries the whole order), and counted in
        `holes`, which stays 0 for who has read the topic from its beginning.
        """
        newest = self._newest.get(order_id)
        if newest is not None and version <= newest:
            self.repeated += 1
            return False
        if newest is not None and version > newest + 1:
            self.holes += 1
        self._newest[order_id] = version
        self._newest.move_to_end(order_id)
        if len(self._newest) > self._max_orders:
            self._newest.popitem(last=False)
        return True

    def newest(self, order_id: str) -> int:
        """The newest version seen of an order; 0: none."""
        return self._newest.get(order_id, 0)

    def forget(self, order_id: str) -> None:
        """Nothing more will come of this order that matters."""
        self._newest.pop(order_id, None)

    def __len__(self) -> int:
        return len(self._newest)
