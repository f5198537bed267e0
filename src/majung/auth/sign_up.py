"""Accounts that people make themselves, for the roles that the settings open.

A name is given once: one that was revoked is not given again here, since what its first owner ordered
belongs to the name. A rider or person who signs up is one that nobody has seen before, whatever the name.
"""

from majung.auth.credentials import new_id
from majung.auth.limits import RateLimited, RateLimiter
from majung.auth.model import Forbidden, Role, TokenSet
from majung.auth.passwords import MAX_CHARS
from majung.auth.service import AuthService
from majung.clock import Clock
from majung.settings import DeliverySettings

MIN_CHARS = 10
OPEN_TO = frozenset({Role.CUSTOMER, Role.RIDER, Role.STORE, Role.PERSON})


class SignUp:
    """Makes accounts for strangers. One for each server; belongs to its event loop."""

    def __init__(self, auth: AuthService, clock: Clock, settings: DeliverySettings) -> None:
        self._auth = auth
        self.roles = frozenset(Role(role) for role in settings.sign_up_roles) & OPEN_TO
        per_minute = settings.sign_up_per_minute
        self._limiter = RateLimiter(per_minute / 60, max(1.0, per_minute), clock, exempt=())

    async def sign_up(self, name: str, password: str, role: Role, remote: str) -> TokenSet:
        """A new account, signed in.

        Raises Forbidden (the role is not open), ValueError (name, password), Conflict (the name is taken),
        RateLimited, Overloaded, PortError.
        """
        if role not in self.roles:
            raise Forbidden(f"nobody signs up as {role} here: ask the administrator for an account")
        _check_password(name, password)
        if wait_s := self._limiter.take(remote):
            raise RateLimited("too many new accounts from this address; try again later", wait_s)
        rider_id = f"rider-{new_id()}" if role is Role.RIDER else ""
        await self._auth.accounts.add_user(name, role, password, rider_id, again=False)
        return await self._auth.password_grant(name, password, remote)


def _check_password(name: str, password: str) -> None:
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise ValueError(f"a password has {MIN_CHARS} to {MAX_CHARS} characters")
    if password.casefold() == name.casefold():
        raise ValueError("the password is the name: choose another one")
    if len(set(password)) < 4:
        raise ValueError("the password has fewer than 4 different characters: choose another one")
