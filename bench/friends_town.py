"""The people of the friends' load: who they are, where they stand, who is whose friend.

People live in towns of 1,000. In a town everybody stands on a circle, and the online friends of a person are
its neighbours there: as many on one side as on the other. So how many of them are within the radius is a matter
of how close people stand, and both the server's answer and the right one are known for everybody (`near`).
The friends who are away are accounts of nobody else.
"""

import asyncio
import contextlib
import math
import sqlite3
from pathlib import Path

import msgspec

from majung.auth import store as accounts
from majung.auth.model import Role
from majung.auth.signin import NO_PASSWORD
from majung.auth.tokens import AccessTokens
from majung.compose import open_services
from majung.data_folder import database_path
from majung.ports import Transaction
from majung.services import Services
from majung.settings import Settings

TOWN = 1_000
RADIUS_M = 8_046.72
TOKEN_FOR_S = 6 * 3600.0
_DEGREE_M = 111_320.0
_NUMBERS = "{0} (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM {0} WHERE n + 1 < :{0})"
_PERSONS = f"""
    WITH RECURSIVE {_NUMBERS.format("everybody")}
    INSERT INTO friend_person (number, person_id, name, display_name, radius_m, mode, created_ms)
    SELECT n + 1, printf('person-%07d', n), 'p' || n, 'Person ' || n, :radius_m, 'exact', 1 FROM everybody
"""
_TIES = f"""
    WITH RECURSIVE {_NUMBERS.format("people")}, {_NUMBERS.format("each")},
    apart (owner, viewer) AS (
        SELECT p.n + 1, :people + (p.n * :each + e.n) % :away + 1 FROM people AS p, each AS e
    )
    INSERT INTO friend_tie (owner, viewer, made_ms, changed_ms)
    SELECT owner, viewer, 1, 1 FROM (
        SELECT owner, viewer FROM pair UNION ALL SELECT owner, viewer FROM apart
        UNION ALL SELECT viewer, owner FROM apart
    ) ORDER BY owner, viewer
"""


class World(msgspec.Struct, frozen=True):
    """Tokens by number of person, the administrator's, and how many friends each has."""

    tokens: list[str]
    admin: str
    friends: int
    online: int


def person_id(number: int) -> str:
    """Of the n-th person; those who are never online have the higher numbers."""
    return f"person-{number:07d}"


def neighbours(number: int, online: int) -> list[int]:
    """The online friends: `online / 2` to each side on the circle of the town, the nearest first."""
    town, at = divmod(number, TOWN)
    steps = [sign * step for step in range(1, online // 2 + 1) for sign in (1, -1)]
    return [town * TOWN + (at + step) % TOWN for step in steps]


def near(number: int, online: int, near_part: float) -> list[int]:
    """Those of them who are within the radius, by where `place` puts everybody."""
    return neighbours(number, online)[: 2 * reach(online, near_part)]


def reach(online: int, near_part: float) -> int:
    """How many neighbours on one side are within the radius; at least one."""
    return max(1, round(online // 2 * near_part))


def place(number: int, online: int, near_part: float) -> tuple[float, float]:
    """Latitude and longitude. Neighbours stand so that the last one who is near has half a step to spare."""
    town, at = divmod(number, TOWN)
    step_m = RADIUS_M / (reach(online, near_part) + 0.5)
    circle_m = step_m * TOWN / math.tau
    angle = at * math.tau / TOWN
    latitude, longitude = 5.0 - 10.0 * (town % 2), -170.0 + 10.0 * (town // 2 % 34)
    north = latitude + circle_m * math.cos(angle) / _DEGREE_M
    return north, longitude + circle_m * math.sin(angle) / (_DEGREE_M * math.cos(math.radians(north)))


async def _accounts(services: Services, people: int) -> tuple[list[str], str]:
    """Accounts without a password (nobody signs in), and a token for each."""
    settings, clock = services.settings, services.clock
    tokens = AccessTokens(services.auth.keys, clock, settings.auth.issuer, TOKEN_FOR_S)
    names = [f"p{number}" for number in range(people)]
    rows = [
        _account(name, Role.PERSON, person_id(number), clock.now_ms()) for number, name in enumerate(names)
    ]
    rows.append(_account("bench-admin", Role.ADMIN, "", clock.now_ms()))

    def work(transaction: Transaction) -> None:
        transaction.execute_many(accounts.INSERT_ACCOUNT, rows)

    await services.database.write(work)
    [(generation,)] = await services.database.read(
        "SELECT generation FROM account WHERE name = 'bench-admin'"
    )
    made = [await tokens.issue(f"{Role.PERSON}:{name}", Role.PERSON, generation) for name in names]
    return made, await tokens.issue(f"{Role.ADMIN}:bench-admin", Role.ADMIN, generation)


def _account(name: str, role: Role, rider_id: str, now_ms: int) -> dict[str, object]:
    return {"name": name, "role": role.value, "password_hash": NO_PASSWORD, "now_ms": now_ms,
            "rider_id": rider_id, "store_id": ""}  # fmt: skip


def _friends(database: Path, people: int, friends: int, online: int) -> None:
    """Persons 1 to `people` with their neighbours, and `friends - online` each out of nine times as many.

    Written beside the services, in the order of the key and with the index made last: millions of rows.
    """
    away, each = people * 9, friends - online
    given = {"people": people, "away": away, "each": each, "everybody": people + away, "radius_m": RADIUS_M}
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        [(index,)] = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'friend_tie_viewer'")
        connection.execute("BEGIN")
        connection.execute("DROP INDEX friend_tie_viewer")
        connection.execute(_PERSONS, given)
        connection.execute("CREATE TEMP TABLE pair (owner INTEGER, viewer INTEGER)")
        pairs = ((one + 1, other + 1) for one in range(people) for other in neighbours(one, online))
        connection.executemany("INSERT INTO pair VALUES (?, ?)", pairs)
        connection.execute(_TIES, given)
        connection.execute("UPDATE friend_counter SET number = :everybody", given)
        connection.execute(index)
        connection.execute("COMMIT")


async def _build(data: Path, people: int, friends: int, online: int) -> World:
    async with open_services(Settings(data=data)) as services:
        tokens, admin = await _accounts(services, people)
    await asyncio.to_thread(_friends, database_path(data), people, friends, online)
    return World(tokens, admin, friends, online)


def build(data: Path, people: int, friends: int, online: int) -> World:
    """Write all of them into `data`; no server may run there."""
    return asyncio.run(_build(data, people, friends, online))
