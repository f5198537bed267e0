"""Fences, and the events that riders cause.

`document` is the fence as JSON, without what has a column of its own. `request_key` is the idempotency key
it was made with. `rider_event_counter` holds one row, from which events take their numbers in the order
of the commits.
"""

from alembic import op

revision = "0003_events_fences"
down_revision = "0002_quarantine"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE fence (
        fence_id TEXT PRIMARY KEY,
        document TEXT NOT NULL,
        version BIGINT NOT NULL,
        created_at_ms BIGINT NOT NULL,
        updated_at_ms BIGINT NOT NULL,
        made_by TEXT NOT NULL,
        request_key TEXT,
        UNIQUE (made_by, request_key)
    )
    """,
    """
    CREATE TABLE rider_event (
        id BIGINT PRIMARY KEY,
        event_id TEXT NOT NULL UNIQUE,
        rider_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        fence_id TEXT NOT NULL,
        fence_name TEXT NOT NULL,
        at_ms BIGINT NOT NULL,
        latitude DOUBLE PRECISION NOT NULL,
        longitude DOUBLE PRECISION NOT NULL,
        recorded_at_ms BIGINT NOT NULL
    )
    """,
    "CREATE INDEX rider_event_rider ON rider_event (rider_id, id)",
    "CREATE INDEX rider_event_fence ON rider_event (fence_id, id)",
    "CREATE INDEX rider_event_recorded ON rider_event (recorded_at_ms)",
    "CREATE TABLE rider_event_counter (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)",
    "INSERT INTO rider_event_counter (id, value) VALUES (1, 0)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    for table in ("rider_event_counter", "rider_event", "fence"):
        op.execute(f"DROP TABLE {table}")
