"""Accounts, devices, API tokens, viewer grants, signing keys and refresh tokens.

Raw SQL that SQLite and PostgreSQL both understand. Times are Unix milliseconds; digests are SHA-256 in
hexadecimal. `auth_change` holds one row: a counter that every removal of a right raises in its own
transaction, so that each server process sees with one cheap read whether what it remembers still holds.
"""

from alembic import op

revision = "0001_accounts"
down_revision = None
branch_labels = None
depends_on = None

_UP = (
    """
    CREATE TABLE account (
        name TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        password_hash TEXT NOT NULL,
        generation BIGINT NOT NULL DEFAULT 1,
        created_at_ms BIGINT NOT NULL,
        revoked_at_ms BIGINT
    )
    """,
    """
    CREATE TABLE api_token (
        token_id TEXT PRIMARY KEY,
        account_name TEXT NOT NULL,
        secret_sha256 TEXT NOT NULL,
        created_at_ms BIGINT NOT NULL,
        revoked_at_ms BIGINT
    )
    """,
    "CREATE INDEX api_token_account ON api_token (account_name)",
    """
    CREATE TABLE device (
        device_id TEXT PRIMARY KEY,
        rider_id TEXT NOT NULL,
        name TEXT NOT NULL,
        secret_sha256 TEXT NOT NULL,
        created_at_ms BIGINT NOT NULL,
        revoked_at_ms BIGINT
    )
    """,
    "CREATE INDEX device_rider ON device (rider_id)",
    """
    CREATE TABLE viewer_grant (
        account_name TEXT NOT NULL,
        rider_id TEXT NOT NULL,
        until_ms BIGINT,
        created_at_ms BIGINT NOT NULL,
        PRIMARY KEY (account_name, rider_id)
    )
    """,
    """
    CREATE TABLE signing_key (
        kid TEXT PRIMARY KEY,
        algorithm TEXT NOT NULL,
        private_jwk TEXT NOT NULL,
        created_at_ms BIGINT NOT NULL,
        retired_at_ms BIGINT
    )
    """,
    """
    CREATE TABLE refresh_token (
        secret_sha256 TEXT PRIMARY KEY,
        family TEXT NOT NULL,
        subject TEXT NOT NULL,
        generation BIGINT NOT NULL,
        created_at_ms BIGINT NOT NULL,
        expires_at_ms BIGINT NOT NULL,
        used_at_ms BIGINT,
        revoked_at_ms BIGINT
    )
    """,
    "CREATE INDEX refresh_token_family ON refresh_token (family)",
    "CREATE INDEX refresh_token_subject ON refresh_token (subject)",
    "CREATE INDEX refresh_token_expiry ON refresh_token (expires_at_ms)",
    "CREATE TABLE auth_change (id BIGINT PRIMARY KEY, version BIGINT NOT NULL)",
    "INSERT INTO auth_change (id, version) VALUES (1, 1)",
)

_TABLES = ("auth_change", "refresh_token", "signing_key", "viewer_grant", "device", "api_token", "account")


def upgrade() -> None:
    """Make the tables."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them, and with them every credential."""
    for table in _TABLES:
        op.execute(f"DROP TABLE {table}")
