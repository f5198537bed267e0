"""What unit tests of people share: one database, a clock that stands still, and people with accounts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from majung.auth.model import Principal, Role
from majung.auth.policy import Policy
from majung.friends.changes import FriendChanges
from majung.friends.friendships import Friendships
from majung.friends.groups import Groups
from majung.friends.invitations import Invitations
from majung.friends.me import Me
from majung.friends.model import Caller
from majung.friends.people import People
from majung.friends.requests import Requesting
from majung.friends.sharing import Deciding
from majung.settings import FriendsSettings
from tests.auth_kit import Kit, open_kit

BASE = "https://ex.am/"


class Desk:
    """What one server knows of people and friendships; where they are is not in it."""

    def __init__(self, kit: Kit, settings: FriendsSettings) -> None:
        database, clock = kit.database, kit.clock
        self.changes = FriendChanges(database, clock)
        self.people = People(database, clock, self.changes)
        self.me = Me(self.people, self.changes, Policy(database, clock), clock, settings)
        self.friendships = Friendships(self.people, self.changes, database, clock, settings)
        self.invitations = Invitations(self.changes, database, clock, settings)
        self.requests = Requesting(self.changes, database, clock, settings)
        self.deciding = Deciding(self.changes, clock)
        self.groups = Groups(self.changes, database, clock, settings)

    async def drop_old(self, now_ms: int) -> None:
        for part in (self.changes, self.invitations, self.requests):
            await part.drop_old(now_ms)


class Town:
    """Two servers on one database, `here` and `there`, and who of whom changed as each was told."""

    def __init__(self, kit: Kit, **settings: Any) -> None:
        self.kit = kit
        self.clock = kit.clock
        self.settings = FriendsSettings.model_validate(settings)
        self.here, self.there = self._server(), self._server()
        self.told_here: list[str] = []
        self.told_there: list[str] = []
        self.here.people.listeners.append(self.told_here.append)
        self.there.people.listeners.append(self.told_there.append)

    def _server(self) -> Desk:
        return Desk(self.kit, self.settings)

    async def principal(self, name: str) -> Principal:
        made = await self.kit.accounts.add_user(name, Role.PERSON, "correct horse")
        return Principal(f"person:{name}", Role.PERSON, made.rider_id)

    async def person(self, name: str) -> Caller:
        return await self.here.me.caller(await self.principal(name))

    async def befriend(self, one: Caller, other: Caller) -> None:
        made = await self.here.invitations.create(one, BASE)
        await self.here.invitations.accept(other, made.token)

    async def rows(self, table: str) -> int:
        return int((await self.kit.database.read(f"SELECT COUNT(*) FROM {table}"))[0][0])


@asynccontextmanager
async def open_town(folder: Path, **settings: Any) -> AsyncIterator[Town]:
    async with open_kit(folder) as kit:
        town = Town(kit, **settings)
        await town.here.changes.load()
        await town.there.changes.load()
        yield town
