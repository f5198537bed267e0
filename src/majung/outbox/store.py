"""The outbox in the database: leases on lanes, what is pending, what is published.

Rows are published and kept for a while, then dropped; `order_event` keeps every event for ever.
"""

CLAIM = (
    "UPDATE outbox_lane SET owner = :owner, until_ms = :until_ms WHERE owner = :owner OR until_ms <= :now_ms"
)
HELD = "SELECT lane FROM outbox_lane WHERE owner = ? ORDER BY lane"
RELEASE = "UPDATE outbox_lane SET owner = '', until_ms = 0 WHERE owner = ?"
# By order and version: within an order nothing is overtaken, and orders that were placed first come first.
PENDING = """
SELECT order_id, version, payload FROM outbox WHERE status = 'pending' {lanes}
ORDER BY order_id, version LIMIT :limit
"""
MARK = "UPDATE outbox SET status = 'published' WHERE order_id = ? AND version = ?"
COUNT = "SELECT COUNT(*), MIN(made_at_ms) FROM outbox WHERE status = 'pending'"
DELETE_OLD = "DELETE FROM outbox WHERE status = 'published' AND made_at_ms < ?"
