"""Who was erased: what the log still holds of them is neither stored nor shown again."""

from alembic import op

revision = "0012_erased"
down_revision = "0011_friends"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.execute(
        """
        CREATE TABLE erased_person (
            person_id TEXT PRIMARY KEY,
            before_ms BIGINT NOT NULL,
            finished INTEGER NOT NULL
        )
        """
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE erased_person")
