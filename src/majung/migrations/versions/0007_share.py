"""Share links: the digest of the token, never the token."""

from alembic import op

revision = "0007_share"
down_revision = "0006_dispatch"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE share (
        share_id TEXT PRIMARY KEY,
        token_sha256 TEXT NOT NULL UNIQUE,
        order_id TEXT NOT NULL REFERENCES orders (order_id),
        made_by TEXT NOT NULL,
        created_at_ms BIGINT NOT NULL,
        expires_at_ms BIGINT NOT NULL,
        revoked_at_ms BIGINT
    )
    """,
    "CREATE INDEX share_order ON share (order_id)",
    "CREATE INDEX share_revoked ON share (revoked_at_ms) WHERE revoked_at_ms IS NOT NULL",
    "CREATE INDEX share_expires ON share (expires_at_ms)",
)


def upgrade() -> None:
    """Make the table."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE share")
