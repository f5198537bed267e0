"""Notices, who has part in an order that is carried, push subscriptions, and what waits to be pushed.

`notice` is unique by recipient, order, kind and cause: the promise that nobody is told a thing twice.
`notice_read` says up to which one somebody has read them. `notice_counter` holds one row, from which notices
take their numbers in the order of the commits. `push_queue` holds what has not been handed to a push service
yet, one row a notice and subscription.
"""

from alembic import op

revision = "0008_notify"
down_revision = "0007_share"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE notice (
        id BIGINT PRIMARY KEY,
        recipient TEXT NOT NULL,
        order_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        cause TEXT NOT NULL,
        params TEXT NOT NULL,
        at_ms BIGINT NOT NULL,
        UNIQUE (recipient, order_id, kind, cause)
    )
    """,
    "CREATE INDEX notice_recipient ON notice (recipient, id)",
    "CREATE TABLE notice_read (recipient TEXT PRIMARY KEY, up_to BIGINT NOT NULL)",
    "CREATE TABLE notice_counter (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)",
    "INSERT INTO notice_counter (id, value) VALUES (1, 0)",
    """
    CREATE TABLE notify_order (
        order_id TEXT PRIMARY KEY,
        version BIGINT NOT NULL,
        state TEXT NOT NULL,
        rider_id TEXT NOT NULL,
        customer TEXT NOT NULL,
        store_id TEXT NOT NULL,
        store_name TEXT NOT NULL,
        store_latitude DOUBLE PRECISION NOT NULL,
        store_longitude DOUBLE PRECISION NOT NULL,
        latitude DOUBLE PRECISION NOT NULL,
        longitude DOUBLE PRECISION NOT NULL,
        precision TEXT NOT NULL,
        since_ms BIGINT NOT NULL,
        changed_at_ms BIGINT NOT NULL,
        store_told_ms BIGINT NOT NULL DEFAULT 0,
        home_told_ms BIGINT NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE INDEX notify_order_carried ON notify_order (order_id)
        WHERE rider_id <> '' AND state IN ('COOKING', 'READY', 'PICKED_UP', 'DELIVERING')
    """,
    "CREATE INDEX notify_order_changed ON notify_order (changed_at_ms)",
    """
    CREATE TABLE push_key (
        id BIGINT PRIMARY KEY,
        private_jwk TEXT NOT NULL,
        created_at_ms BIGINT NOT NULL
    )
    """,
    """
    CREATE TABLE push_subscription (
        subscription_id TEXT PRIMARY KEY,
        account_name TEXT NOT NULL,
        recipient TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        origin TEXT NOT NULL,
        p256dh TEXT NOT NULL,
        auth TEXT NOT NULL,
        language TEXT NOT NULL,
        created_at_ms BIGINT NOT NULL,
        seen_at_ms BIGINT NOT NULL
    )
    """,
    "CREATE INDEX push_subscription_recipient ON push_subscription (recipient)",
    "CREATE INDEX push_subscription_account ON push_subscription (account_name)",
    """
    CREATE TABLE push_queue (
        notice_id BIGINT NOT NULL,
        subscription_id TEXT NOT NULL,
        origin TEXT NOT NULL,
        due_at_ms BIGINT NOT NULL,
        expires_at_ms BIGINT NOT NULL,
        tries BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (notice_id, subscription_id)
    )
    """,
    "CREATE INDEX push_queue_due ON push_queue (origin, due_at_ms)",
    "CREATE INDEX push_queue_subscription ON push_queue (subscription_id)",
    "CREATE INDEX push_queue_expiry ON push_queue (expires_at_ms)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    tables = (
        "push_queue",
        "push_subscription",
        "push_key",
        "notify_order",
        "notice_counter",
        "notice_read",
        "notice",
    )
    for table in tables:
        op.execute(f"DROP TABLE {table}")
