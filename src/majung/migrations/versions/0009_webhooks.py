"""Webhooks: endpoints, what is to be sent to them, how far the topics are read, who changed what."""

from alembic import op

revision = "0009_webhooks"
down_revision = "0008_notify"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE webhook_endpoint (
        webhook_id TEXT PRIMARY KEY,
        store_id TEXT NOT NULL,
        account TEXT NOT NULL,
        url TEXT NOT NULL,
        events TEXT NOT NULL,
        description TEXT NOT NULL,
        secret TEXT NOT NULL,
        old_secret TEXT NOT NULL,
        old_secret_until_ms BIGINT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        created_at_ms BIGINT NOT NULL,
        updated_at_ms BIGINT NOT NULL,
        failing_since_ms BIGINT NOT NULL,
        last_success_ms BIGINT NOT NULL,
        last_failure_ms BIGINT NOT NULL,
        last_problem TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE webhook_delivery (
        number BIGINT PRIMARY KEY,
        webhook_id TEXT NOT NULL,
        event_id TEXT NOT NULL,
        type TEXT NOT NULL,
        subject TEXT NOT NULL,
        at_ms BIGINT NOT NULL,
        queued_at_ms BIGINT NOT NULL,
        status TEXT NOT NULL,
        attempts BIGINT NOT NULL,
        next_at_ms BIGINT NOT NULL,
        tried_at_ms BIGINT NOT NULL,
        took_ms BIGINT NOT NULL,
        http_status BIGINT NOT NULL,
        problem TEXT NOT NULL,
        answer TEXT NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (webhook_id, event_id)
    )
    """,
    "CREATE INDEX webhook_delivery_list ON webhook_delivery (webhook_id, number)",
    """
    CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook_id, number, next_at_ms)
        WHERE status = 'waiting'
    """,
    """
    CREATE INDEX webhook_delivery_subject ON webhook_delivery (webhook_id, subject, number)
        WHERE status = 'waiting'
    """,
    "CREATE INDEX webhook_delivery_queued ON webhook_delivery (queued_at_ms) WHERE status = 'waiting'",
    "CREATE INDEX webhook_delivery_done ON webhook_delivery (tried_at_ms) WHERE status = 'done'",
    """
    CREATE INDEX webhook_delivery_dead ON webhook_delivery (webhook_id, number, tried_at_ms)
        WHERE status = 'dead'
    """,
    "CREATE TABLE webhook_counter (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)",
    "INSERT INTO webhook_counter (id, value) VALUES (1, 0)",
    """
    CREATE TABLE webhook_offset (
        topic TEXT NOT NULL,
        part BIGINT NOT NULL,
        next_offset BIGINT NOT NULL,
        PRIMARY KEY (topic, part)
    )
    """,
    """
    CREATE TABLE webhook_behind (
        webhook_id TEXT NOT NULL,
        topic TEXT NOT NULL,
        part BIGINT NOT NULL,
        next_offset BIGINT NOT NULL,
        PRIMARY KEY (webhook_id, topic, part)
    )
    """,
    """
    CREATE TABLE webhook_audit (
        audit_id TEXT PRIMARY KEY,
        webhook_id TEXT NOT NULL,
        at_ms BIGINT NOT NULL,
        actor TEXT NOT NULL,
        what TEXT NOT NULL,
        detail TEXT NOT NULL
    )
    """,
    "CREATE INDEX webhook_audit_of ON webhook_audit (webhook_id, audit_id)",
)
_TABLES = ("audit", "behind", "offset", "counter", "delivery", "endpoint")


def upgrade() -> None:
    """Make the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    for table in _TABLES:
        op.execute(f"DROP TABLE webhook_{table}")
