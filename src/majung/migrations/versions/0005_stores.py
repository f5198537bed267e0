"""Stores and their menus, and which rider or store an account belongs to.

`document` is the store (or its items) as JSON; beside it stand the columns that searches look at:
`search_name` as `stores/names.py` folds it, `initials` of it. `menu` has a row once there is a menu.
"""

from alembic import op

revision = "0005_stores"
down_revision = "0004_orders"
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE store (
        store_id TEXT PRIMARY KEY,
        document TEXT NOT NULL,
        search_name TEXT NOT NULL,
        initials TEXT NOT NULL,
        category TEXT NOT NULL,
        latitude DOUBLE PRECISION NOT NULL,
        longitude DOUBLE PRECISION NOT NULL,
        version BIGINT NOT NULL,
        closed_until_ms BIGINT NOT NULL,
        created_at_ms BIGINT NOT NULL,
        updated_at_ms BIGINT NOT NULL
    )
    """,
    "CREATE INDEX store_place ON store (latitude, longitude)",
    "CREATE INDEX store_category ON store (category, store_id)",
    """
    CREATE TABLE menu (
        store_id TEXT PRIMARY KEY REFERENCES store (store_id),
        document TEXT NOT NULL,
        version BIGINT NOT NULL,
        updated_at_ms BIGINT NOT NULL
    )
    """,
    "ALTER TABLE account ADD COLUMN rider_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE account ADD COLUMN store_id TEXT NOT NULL DEFAULT ''",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    for statement in (
        "ALTER TABLE account DROP COLUMN store_id",
        "ALTER TABLE account DROP COLUMN rider_id",
        "DROP TABLE menu",
        "DROP TABLE store",
    ):
        op.execute(statement)
