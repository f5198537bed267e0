"""The SQL of people, friendships and decisions; tables in migration `0011_friends`.

Constants with the parameters they take, and what their rows mean. Inside, people are numbers (`number`);
outside, ids (`person_id`). Groups, invitations, requests and blocks are in `store_more.py`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from majung.friends.consent import Mode, Owner, Sharing, Tie
from majung.friends.model import Caller
from majung.ports import Row

# ------------------------------------------------------------------------------------------ counters

NEXT_NUMBER = "UPDATE friend_counter SET number = number + 1 WHERE id = 1 RETURNING number"
NEXT_VERSION = "UPDATE friend_counter SET version = version + 1 WHERE id = 1 RETURNING version"
SELECT_VERSION = "SELECT version FROM friend_counter WHERE id = 1"
TAKE_NUMBERS = "UPDATE friend_counter SET number = number + :many WHERE id = 1 RETURNING number"

INSERT_CHANGE = "INSERT INTO friend_change (version, person_id, at_ms) VALUES (:version, :person_id, :now_ms)"
SELECT_CHANGES = """
SELECT version, person_id FROM friend_change WHERE version > :after ORDER BY version, person_id LIMIT :limit
"""
OLDEST_CHANGE = "SELECT MIN(version) FROM friend_change"
DELETE_CHANGES = "DELETE FROM friend_change WHERE at_ms < :before_ms"

# -------------------------------------------------------------------------------------------- people

_PERSON = """
p.number, p.person_id, p.name, p.display_name, p.radius_m, p.mode, p.precision, p.until_ms, p.history, p.since_ms,
p.ghost, p.ghost_until_ms, p.changed_ms
"""
# An account that is revoked makes no person any more, whoever still remembers its token.
INSERT_PERSON = """
INSERT INTO friend_person (number, person_id, name, display_name, radius_m, created_ms)
SELECT CAST(:number AS INTEGER), rider_id, name, :display_name, CAST(:radius_m AS DOUBLE PRECISION),
    CAST(:now_ms AS BIGINT)
FROM account WHERE rider_id = :person_id AND rider_id <> '' AND role = 'person'
    AND revoked_at_ms IS NULL
"""
# Without an account: people of the benchmark, and of tests.
INSERT_PEOPLE = """
INSERT INTO friend_person (number, person_id, name, display_name, radius_m, mode, precision, history, since_ms,
    created_ms)
VALUES (:number, :person_id, :name, :name, :radius_m, :mode, :precision, :history, :now_ms, :now_ms)
"""
# A name that an administrator gave again belongs to whom it was given.
FREE_NAME = "UPDATE friend_person SET name = person_id WHERE name = :name AND person_id <> :person_id"
SELECT_ACCOUNT_NAME = """
SELECT name FROM account WHERE rider_id = :person_id AND rider_id <> '' AND role = 'person'
    AND revoked_at_ms IS NULL
"""
SELECT_PERSON_ID = "SELECT rider_id FROM account WHERE name = :name AND revoked_at_ms IS NULL"
SELECT_PERSON = f"SELECT {_PERSON} FROM friend_person p WHERE p.person_id = :person_id"  # noqa: S608
SELECT_PERSON_NAMED = f"SELECT {_PERSON} FROM friend_person p WHERE p.name = :name"  # noqa: S608
SELECT_NUMBER = "SELECT number FROM friend_person WHERE person_id = :person_id"
# Changes nothing, and keeps others from befriending or blocking this person until the commit.
HOLD_PERSON = "UPDATE friend_person SET created_ms = created_ms WHERE number = :number"
SET_DISPLAY_NAME = "UPDATE friend_person SET display_name = :display_name WHERE number = :number"
SET_RADIUS = "UPDATE friend_person SET radius_m = :radius_m WHERE number = :number"
SET_GHOST = """
UPDATE friend_person SET ghost = :ghost, ghost_until_ms = :ghost_until_ms, changed_ms = :now_ms
WHERE number = :number
"""
SET_DEFAULT = """
UPDATE friend_person SET mode = :mode, precision = :precision, until_ms = :until_ms, history = :history,
    since_ms = :now_ms
WHERE number = :number
"""

# ------------------------------------------------------------------------------- friendships, decisions

_OWNER = """
p.mode, p.precision, p.until_ms, p.history, p.since_ms, p.ghost, p.ghost_until_ms, p.changed_ms
"""
_TIE = "t.changed_ms, t.mode, t.precision, t.until_ms, t.history, t.since_ms"
_GROUP = "g.mode, g.precision, g.until_ms, g.history, g.since_ms"
# One statement reads the decision for a friend and those of its groups: both as they were at one moment. A
# row for each group, so a friend in two has two.
_GROUPS = """
LEFT JOIN friend_member m ON m.owner = t.owner AND m.viewer = t.viewer
LEFT JOIN friend_group g ON g.group_id = m.group_id
"""
_NUMBER_OF = "(SELECT number FROM friend_person WHERE person_id = :{})"
SELECT_OWNER = f"SELECT {_OWNER} FROM friend_person p WHERE p.person_id = :person_id"  # noqa: S608
SELECT_TIES_TO = f"""
SELECT p.person_id, {_OWNER}, {_TIE}, {_GROUP}
FROM friend_tie t JOIN friend_person p ON p.number = t.owner {_GROUPS}
WHERE t.viewer = {_NUMBER_OF.format("person_id")}
"""  # noqa: S608
SELECT_TIE = f"""
SELECT p.person_id, {_OWNER}, {_TIE}, {_GROUP}
FROM friend_tie t JOIN friend_person p ON p.number = t.owner {_GROUPS}
WHERE t.owner = {_NUMBER_OF.format("owner_id")} AND t.viewer = {_NUMBER_OF.format("viewer_id")}
"""  # noqa: S608
SELECT_TIES_FROM = f"""
SELECT p.person_id, {_TIE}, {_GROUP}
FROM friend_tie t JOIN friend_person p ON p.number = t.viewer {_GROUPS}
WHERE t.owner = {_NUMBER_OF.format("person_id")}
"""  # noqa: S608
SELECT_DISPLAY_NAMES = f"""
SELECT p.person_id, p.display_name FROM friend_tie t JOIN friend_person p ON p.number = t.viewer
WHERE t.owner = {_NUMBER_OF.format("person_id")}
"""  # noqa: S608
SELECT_FRIENDS = f"""
SELECT p.person_id FROM friend_tie t JOIN friend_person p ON p.number = t.viewer
WHERE t.owner = {_NUMBER_OF.format("person_id")} ORDER BY p.person_id
"""  # noqa: S608
AMONG = " AND p.person_id IN ({})"
"""Behind the statements above: of these people alone."""
# With names, as the list of friends shows them.
SELECT_NAMES = f"""
SELECT p.person_id, p.name, p.display_name, t.made_ms
FROM friend_tie t JOIN friend_person p ON p.number = t.viewer
WHERE t.owner = {_NUMBER_OF.format("person_id")} ORDER BY p.display_name, p.person_id
"""  # noqa: S608
ARE_FRIENDS = "SELECT 1 FROM friend_tie WHERE owner = :owner AND viewer = :viewer"
COUNT_FRIENDS = "SELECT COUNT(*) FROM friend_tie WHERE owner = :owner"
INSERT_TIE = """
INSERT INTO friend_tie (owner, viewer, made_ms, changed_ms) VALUES (:owner, :viewer, :now_ms, :now_ms)
"""
DELETE_TIE = "DELETE FROM friend_tie WHERE owner = :owner AND viewer = :viewer"
SET_TIE = """
UPDATE friend_tie SET mode = :mode, precision = :precision, until_ms = :until_ms, history = :history,
    since_ms = :now_ms, changed_ms = :now_ms
WHERE owner = :owner AND viewer = :viewer
"""
CLEAR_TIE = """
UPDATE friend_tie SET mode = NULL, precision = 0, until_ms = NULL, history = 0, since_ms = 0,
    changed_ms = :now_ms
WHERE owner = :owner AND viewer = :viewer
"""
TOUCH_TIE = "UPDATE friend_tie SET changed_ms = :now_ms WHERE owner = :owner AND viewer = :viewer"
DELETE_TIES_OF = "DELETE FROM friend_tie WHERE owner = :number OR viewer = :number"
DELETE_PERSON = "DELETE FROM friend_person WHERE number = :number"

# ------------------------------------------------------------------------------------ what rows mean

_MODES: dict[str, Mode] = {mode.value: mode for mode in Mode}


def sharing_of(row: Row) -> Sharing | None:
    """`mode, precision, until_ms, history, since_ms`; None: nothing was decided."""
    return _sharing(*row) if row[0] is not None else None


def _sharing(mode: str, precision: int, until_ms: int | None, history: int, since_ms: int) -> Sharing:
    return Sharing(_MODES[mode], precision, until_ms, bool(history), since_ms)


def owner_of(person_id: str, row: Row) -> Owner:
    """The columns of `_OWNER`."""
    return Owner(person_id, sharing_of(row[:5]) or Sharing(), bool(row[5]), row[6], row[7])


def caller_of(row: Row) -> Caller:
    """The columns of `_PERSON`."""
    return Caller(row[0], row[1], row[2], row[3], row[4], owner_of(row[1], row[5:13]))


def ties_of(rows: Iterable[Row]) -> dict[str, Tie]:
    """`person_id`, then the columns of `_TIE` and `_GROUP`: by the person_id."""
    found: dict[str, Tie] = {}
    for person_id, *tie in rows:
        found[person_id] = _tie_of(found.get(person_id), tie)
    return found


def owned_ties_of(rows: Iterable[Row]) -> dict[str, tuple[Owner, Tie]]:
    """`person_id`, then the columns of `_OWNER`, `_TIE` and `_GROUP`: by the person_id."""
    found: dict[str, tuple[Owner, Tie]] = {}
    for row in rows:
        person_id = row[0]
        before = found.get(person_id)
        if before is None:
            found[person_id] = owner_of(person_id, row[1:9]), _tie_of(None, row[9:])
        else:
            found[person_id] = before[0], _tie_of(before[1], row[9:])
    return found


def _tie_of(before: Tie | None, row: Sequence[Any]) -> Tie:
    """The tie of a row; with `before`, which is of the same friend, the decision of one more group."""
    changed_ms, mode, _, _, _, _, group_mode, _, _, _, _ = row
    groups = before.groups if before else ()
    if group_mode is not None:
        groups = (*groups, _sharing(*row[6:]))
    return Tie(_sharing(*row[1:6]) if mode is not None else None, groups, changed_ms)


def sharing_params(sharing: Sharing) -> dict[str, Any]:
    """What the statements that set a decision take of it."""
    return {
        "mode": sharing.mode.value,
        "precision": sharing.precision,
        "until_ms": sharing.until_ms,
        "history": int(sharing.history),
    }
