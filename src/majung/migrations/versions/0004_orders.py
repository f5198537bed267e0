"""Orders as they are now, every event of theirs for ever, and the outbox that the relay empties.

`orders.document` is the whole order and `order_event.payload` and `outbox.payload` the whole event, as
JSON. `busy_rider_id` is the rider while the order is alive, else NULL: its uniqueness is the promise
that no rider has two orders. `lane` is a part of all orders, for which one relay at a time is responsible
(`outbox_lane`: until when, and who).
"""

from alembic import op

revision = "0004_orders"
down_revision = "0003_events_fences"
branch_labels = None
depends_on = None

_LANES = 16
_UP = (
    """
    CREATE TABLE orders (
        order_id TEXT PRIMARY KEY,
        version BIGINT NOT NULL,
        state TEXT NOT NULL,
        customer TEXT NOT NULL,
        store_id TEXT NOT NULL,
        busy_rider_id TEXT UNIQUE,
        changed_at_ms BIGINT NOT NULL,
        document TEXT NOT NULL,
        wrong_codes BIGINT NOT NULL,
        proofs BIGINT NOT NULL,
        request_key TEXT,
        request_digest TEXT,
        UNIQUE (customer, request_key)
    )
    """,
    """
    CREATE TABLE order_event (
        order_id TEXT NOT NULL,
        version BIGINT NOT NULL,
        payload TEXT NOT NULL,
        PRIMARY KEY (order_id, version)
    )
    """,
    """
    CREATE TABLE outbox (
        event_id TEXT NOT NULL,
        order_id TEXT NOT NULL,
        version BIGINT NOT NULL,
        lane BIGINT NOT NULL,
        made_at_ms BIGINT NOT NULL,
        status TEXT NOT NULL,
        payload TEXT NOT NULL,
        PRIMARY KEY (order_id, version)
    )
    """,
    "CREATE INDEX outbox_pending ON outbox (order_id, version) WHERE status = 'pending'",
    "CREATE TABLE outbox_lane (lane BIGINT PRIMARY KEY, owner TEXT NOT NULL, until_ms BIGINT NOT NULL)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _UP:
        op.execute(statement)
    lanes = ", ".join(f"({lane}, '', 0)" for lane in range(_LANES))
    op.execute(f"INSERT INTO outbox_lane (lane, owner, until_ms) VALUES {lanes}")  # noqa: S608


def downgrade() -> None:
    """Drop them."""
    for table in ("outbox_lane", "outbox", "order_event", "orders"):
        op.execute(f"DROP TABLE {table}")
