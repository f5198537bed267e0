"""The outbox: what was committed is published, later when it cannot be now, and never left out.

Guarantees: every row that a transaction wrote reaches the log at least once, and a version of an order
never before the one below it; any number of relays may run at once. Whoever consumes drops versions that it
has seen (`versions.py`), so that each takes effect once.

Neighbours: `orders/store.py` writes rows; `relay.py` publishes them to `order.events.v1`.
"""
