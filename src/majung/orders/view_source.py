"""Where lost views come from: the events that the write database keeps for ever, page by page.

Only a rebuild reads this; requests never do.
"""

from collections.abc import Sequence

import msgspec

from majung.orders.model import OrderEvent
from majung.orders.views import Source
from majung.ports import Database

SELECT_PAGE = """
SELECT payload FROM order_event WHERE (order_id, version) > (:order_id, :version)
ORDER BY order_id, version LIMIT :limit
"""
_decode = msgspec.json.Decoder(OrderEvent).decode


def kept_events(database: Database) -> Source:
    """The paged source that `OrderViews` rebuilds from."""

    async def page(after_order_id: str, after_version: int, limit: int) -> Sequence[OrderEvent]:
        params = {"order_id": after_order_id, "version": after_version, "limit": limit}
        return [_decode(row[0]) for row in await database.read(SELECT_PAGE, params)]

    return page
