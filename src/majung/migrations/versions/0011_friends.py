"""Friends: people, their friendships and what they decided, groups, invitations, requests, blocks.

A friendship is two rows of `friend_tie`, one for each direction: what `owner` decided for `viewer`. Both are
numbers, since there are hundreds of rows a person: a number is 4 bytes where an id is 19, in each row and each
index. `friend_tie_viewer` holds everything that a viewer asks for, so that the row itself is not looked up.
A number is never given twice: `friend_counter` gives them out, and the versions of `friend_change`, which tells
every server whose friendships or decisions have changed.

A request is kept by the name that was asked for, whether there is such a person or not.
"""

from alembic import op

revision = "0011_friends"
down_revision = "0010_eta"
branch_labels = None
depends_on = None

_DECISION = """
        mode TEXT,
        precision INTEGER NOT NULL DEFAULT 0,
        until_ms BIGINT,
        history INTEGER NOT NULL DEFAULT 0,
        since_ms BIGINT NOT NULL DEFAULT 0,
"""
_UP = (
    f"""
    CREATE TABLE friend_person (
        number INTEGER PRIMARY KEY,
        person_id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL UNIQUE,
        display_name TEXT NOT NULL,
        radius_m DOUBLE PRECISION NOT NULL,
        {_DECISION}
        ghost INTEGER NOT NULL DEFAULT 0,
        ghost_until_ms BIGINT,
        changed_ms BIGINT NOT NULL DEFAULT 0,
        created_ms BIGINT NOT NULL
    )
    """,
    f"""
    CREATE TABLE friend_tie (
        owner INTEGER NOT NULL,
        viewer INTEGER NOT NULL,
        made_ms BIGINT NOT NULL,
        changed_ms BIGINT NOT NULL,
        {_DECISION}
        PRIMARY KEY (owner, viewer)
    )
    """,
    """
    CREATE INDEX friend_tie_viewer ON friend_tie
        (viewer, owner, changed_ms, mode, precision, until_ms, history, since_ms)
    """,
    f"""
    CREATE TABLE friend_group (
        group_id TEXT PRIMARY KEY,
        owner INTEGER NOT NULL,
        name TEXT NOT NULL,
        {_DECISION}
        created_ms BIGINT NOT NULL
    )
    """,
    "CREATE INDEX friend_group_owner ON friend_group (owner)",
    """
    CREATE TABLE friend_member (
        owner INTEGER NOT NULL,
        viewer INTEGER NOT NULL,
        group_id TEXT NOT NULL,
        PRIMARY KEY (owner, viewer, group_id)
    )
    """,
    "CREATE INDEX friend_member_viewer ON friend_member (viewer, owner)",
    "CREATE INDEX friend_member_group ON friend_member (group_id)",
    """
    CREATE TABLE friend_invitation (
        invitation_id TEXT PRIMARY KEY,
        token_sha256 TEXT NOT NULL UNIQUE,
        owner INTEGER NOT NULL,
        created_ms BIGINT NOT NULL,
        expires_ms BIGINT NOT NULL,
        accepted_by INTEGER,
        accepted_ms BIGINT
    )
    """,
    "CREATE INDEX friend_invitation_owner ON friend_invitation (owner)",
    "CREATE INDEX friend_invitation_accepted ON friend_invitation (accepted_by) WHERE accepted_by IS NOT NULL",
    "CREATE INDEX friend_invitation_expiry ON friend_invitation (expires_ms)",
    """
    CREATE TABLE friend_request (
        request_id TEXT PRIMARY KEY,
        asker INTEGER NOT NULL,
        name TEXT NOT NULL,
        asked_ms BIGINT NOT NULL,
        declined INTEGER NOT NULL DEFAULT 0,
        UNIQUE (asker, name)
    )
    """,
    "CREATE INDEX friend_request_name ON friend_request (name, asked_ms)",
    "CREATE INDEX friend_request_asked ON friend_request (asked_ms)",
    """
    CREATE TABLE friend_block (
        owner INTEGER NOT NULL,
        blocked INTEGER NOT NULL,
        at_ms BIGINT NOT NULL,
        PRIMARY KEY (owner, blocked)
    )
    """,
    "CREATE INDEX friend_block_blocked ON friend_block (blocked)",
    """
    CREATE TABLE friend_change (
        version BIGINT NOT NULL,
        person_id TEXT NOT NULL,
        at_ms BIGINT NOT NULL,
        PRIMARY KEY (version, person_id)
    )
    """,
    "CREATE INDEX friend_change_at ON friend_change (at_ms)",
    "CREATE TABLE friend_counter (id INTEGER PRIMARY KEY, number BIGINT NOT NULL, version BIGINT NOT NULL)",
    "INSERT INTO friend_counter (id, number, version) VALUES (1, 0, 1)",
    "CREATE INDEX account_rider ON account (rider_id) WHERE rider_id <> ''",
)
_TABLES = (
    "friend_counter",
    "friend_change",
    "friend_block",
    "friend_request",
    "friend_invitation",
    "friend_member",
    "friend_group",
    "friend_tie",
    "friend_person",
)


def upgrade() -> None:
    """Make the tables."""
    # SQLite keeps a table in the order of its key only when told so; PostgreSQL does not know the word.
    ordered = " WITHOUT ROWID" if op.get_bind().dialect.name == "sqlite" else ""
    for statement in _UP:
        keyed = any(f"CREATE TABLE {name} " in statement for name in ("friend_tie", "friend_member"))
        op.execute(statement.rstrip() + (ordered if keyed else ""))


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP INDEX account_rider")
    for table in _TABLES:
        op.execute(f"DROP TABLE {table}")
