"""Dispatch: who is on duty, the open orders as dispatch sees them, and offers.

The two partial unique indexes of `dispatch_offer` are the promise: a rider holds one thing at most, be it
an open offer or an accepted order, and an order is held by one rider at most.
"""

from alembic import op

revision = "0006_dispatch"
down_revision = "0005_stores"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE rider_duty (
        rider_id TEXT PRIMARY KEY,
        on_duty INTEGER NOT NULL,
        changed_at_ms BIGINT NOT NULL
    )
    """,
    """
    CREATE TABLE dispatch_order (
        order_id TEXT PRIMARY KEY,
        version BIGINT NOT NULL,
        state TEXT NOT NULL,
        rider_id TEXT NOT NULL,
        store_id TEXT NOT NULL,
        store_name TEXT NOT NULL,
        store_latitude DOUBLE PRECISION NOT NULL,
        store_longitude DOUBLE PRECISION NOT NULL,
        latitude DOUBLE PRECISION NOT NULL,
        longitude DOUBLE PRECISION NOT NULL,
        address TEXT NOT NULL,
        start_at_ms BIGINT NOT NULL,
        since_ms BIGINT NOT NULL,
        changed_at_ms BIGINT NOT NULL
    )
    """,
    """
    CREATE INDEX dispatch_order_open ON dispatch_order (since_ms, order_id)
        WHERE state IN ('COOKING', 'READY', 'PICKED_UP', 'DELIVERING')
    """,
    "CREATE INDEX dispatch_order_rider ON dispatch_order (rider_id) WHERE rider_id <> ''",
    "CREATE INDEX dispatch_order_changed ON dispatch_order (changed_at_ms)",
    """
    CREATE TABLE dispatch_offer (
        offer_id TEXT PRIMARY KEY,
        order_id TEXT NOT NULL,
        rider_id TEXT NOT NULL,
        status TEXT NOT NULL,
        offered_at_ms BIGINT NOT NULL,
        expires_at_ms BIGINT NOT NULL,
        decided_at_ms BIGINT NOT NULL,
        store_distance_m DOUBLE PRECISION NOT NULL,
        way_m DOUBLE PRECISION NOT NULL,
        earning_krw BIGINT NOT NULL
    )
    """,
    """
    CREATE UNIQUE INDEX dispatch_offer_one_a_rider ON dispatch_offer (rider_id)
        WHERE status IN ('open', 'accepted')
    """,
    """
    CREATE UNIQUE INDEX dispatch_offer_one_an_order ON dispatch_offer (order_id)
        WHERE status IN ('open', 'accepted')
    """,
    "CREATE INDEX dispatch_offer_order ON dispatch_offer (order_id)",
    "CREATE INDEX dispatch_offer_decided ON dispatch_offer (decided_at_ms)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    for table in ("dispatch_offer", "dispatch_order", "rider_duty"):
        op.execute(f"DROP TABLE {table}")
