"""Arrivals: open orders with what was said of them, records of the delivered, what was learned, and the offsets."""

from alembic import op

revision = "0010_eta"
down_revision = "0009_webhooks"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE eta_order (
        order_id TEXT PRIMARY KEY,
        version BIGINT NOT NULL,
        ended_at_ms BIGINT NOT NULL,
        document TEXT NOT NULL
    )
    """,
    "CREATE INDEX eta_order_open ON eta_order (order_id) WHERE ended_at_ms = 0",
    "CREATE INDEX eta_order_ended ON eta_order (ended_at_ms) WHERE ended_at_ms > 0",
    """
    CREATE TABLE eta_record (
        order_id TEXT NOT NULL,
        stage TEXT NOT NULL,
        predicted_ms BIGINT NOT NULL,
        at_ms BIGINT NOT NULL,
        earliest_ms BIGINT NOT NULL,
        latest_ms BIGINT NOT NULL,
        arrived_ms BIGINT NOT NULL,
        PRIMARY KEY (order_id, stage)
    )
    """,
    "CREATE INDEX eta_record_arrived ON eta_record (arrived_ms)",
    "CREATE TABLE eta_learned (name TEXT PRIMARY KEY, document TEXT NOT NULL, changed_at_ms BIGINT NOT NULL)",
    "CREATE TABLE eta_offset (part BIGINT PRIMARY KEY, next_offset BIGINT NOT NULL)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    for table in ("eta_order", "eta_record", "eta_learned", "eta_offset"):
        op.execute(f"DROP TABLE {table}")
