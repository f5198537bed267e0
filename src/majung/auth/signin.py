"""Names and passwords: the one place where a password is checked."""

import msgspec

from majung.auth import store
from majung.auth.limits import FailureLimits
from majung.auth.model import AuthError, Principal, Role
from majung.auth.passwords import Passwords
from majung.ports import Database, Overloaded

NO_PASSWORD = "!"  # noqa: S105 -- no hash looks like this: nobody signs in with a password
"""Stored for accounts that have an API token alone."""


class Known(msgspec.Struct, frozen=True):
    """An account that stands behind a credential, as of a generation of its rights."""

    name: str
    role: Role
    generation: int
    rider_id: str = ""
    store_id: str = ""

    @property
    def subject(self) -> str:
        """Unique among all callers; begins with the role, which `limits.EXEMPT` looks at."""
        return f"{self.role}:{self.name}"

    def principal(self, expires_at_ms: int | None = None) -> Principal:
        """The caller that the policy knows."""
        rider_id = self.rider_id or (self.name if self.role is Role.RIDER else "")
        store_id = self.store_id if self.role is Role.STORE else ""
        return Principal(self.subject, self.role, rider_id, expires_at_ms, store_id)


class SignIn:
    """Checks names and passwords."""

    def __init__(self, database: Database, passwords: Passwords, limits: FailureLimits) -> None:
        self._database = database
        self._passwords = passwords
        self._limits = limits

    async def check(self, name: str, password: str, remote: str) -> Known:
        """The account of that name and password. Raises AuthError, RateLimited, Overloaded, PortError.

        A name that does not exist, one that was revoked and a wrong password take the same path.
        """
        self._limits.start_sign_in(name, remote)
        try:
            known, stored = await self._find(name)
            right = await self._passwords.verify(stored, password)
        except Overloaded:
            self._limits.signed_in(name, remote)
            raise
        if not right or known is None or stored is None:
            raise AuthError("wrong name or password")
        self._limits.signed_in(name, remote)
        if self._passwords.is_old(stored):
            await self._rehash(name, stored, password)
        return known

    async def _find(self, name: str) -> tuple[Known | None, str | None]:
        rows = await self._database.read(store.SELECT_ACCOUNT, {"name": _storable(name)})
        if not rows or rows[0][3] is not None:
            return None, None
        role, generation, stored, _, rider_id, store_id = rows[0]
        if stored == NO_PASSWORD:
            return None, None
        return Known(name, Role(role), generation, rider_id, store_id), str(stored)

    async def _rehash(self, name: str, was: str, password: str) -> None:
        fresh = await self._passwords.hash(password)
        params = {"name": name, "password_hash": fresh, "was": was}
        await self._database.write(lambda transaction: transaction.execute(store.REHASH_PASSWORD, params))


def _storable(name: str) -> str:
    """A text that any database can compare; what no name may hold becomes a name that nobody has."""
    return name if len(name) <= 128 and name.isprintable() else ""
