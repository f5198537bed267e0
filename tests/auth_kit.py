"""What the tests of `auth` share: a real database, a clock that stands still, and cheap hashes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from argon2 import PasswordHasher

from majung.auth.passwords import Passwords
from majung.auth.service import AuthService
from majung.backends.embedded.database import EmbeddedDatabase
from majung.clock import ManualClock
from majung.ports import Database
from majung.settings import AuthSettings

PASSWORD = "correct horse"


def cheap() -> PasswordHasher:
    """argon2id with the smallest parameters there are."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Kit:
    """One server's view of the accounts; `other()` is a second process on the same database."""

    def __init__(self, database: Database, clock: ManualClock, settings: AuthSettings | None = None) -> None:
        self.database = database
        self.clock = clock
        self.settings = settings or AuthSettings.model_validate({})
        self.passwords = Passwords(cheap())
        self.auth = AuthService(database, clock, self.settings, self.passwords)
        self.accounts = self.auth.accounts

    def other(self, settings: AuthSettings | None = None) -> "Kit":
        return Kit(self.database, self.clock, settings or self.settings)

    async def sign_in(self, name: str, password: str = PASSWORD) -> str:
        return (await self.auth.password_grant(name, password)).access_token


@asynccontextmanager
async def open_kit(folder: Path) -> AsyncIterator[Kit]:
    database = await EmbeddedDatabase(folder / "majung.db").open()
    try:
        yield Kit(database, ManualClock())
    finally:
        await database.close()
