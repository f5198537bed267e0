"""Who is calling: the question that every door asks first.

What was verified is remembered, so that the same credential costs about a microsecond the next time;
it is remembered under the version of `changes.py` and until it expires, so that a revocation is noticed
within a second, whichever process made it. What failed is not remembered: a device that an
administrator adds this moment works the next. A door with long streams asks again with the same
credential every now and then; that is cheap, and ends the stream of somebody who was revoked.
"""

import hashlib
import secrets
from collections import OrderedDict

import msgspec

from majung.auth.accounts import Accounts
from majung.auth.changes import Changes
from majung.auth.credentials import API_PREFIX, DEVICE_PREFIX
from majung.auth.keys import KeyRing
from majung.auth.limits import FailureLimits
from majung.auth.model import AuthError, NewDevice, NewUser, Principal, Role, TokenSet
from majung.auth.oauth import TokenGrants
from majung.auth.passwords import Passwords
from majung.auth.resolve import Resolver
from majung.auth.signin import SignIn
from majung.auth.tokens import MAX_CHARS, AccessTokens
from majung.clock import Clock
from majung.ports import Database
from majung.settings import AuthSettings

MAX_REMEMBERED = 65_536
_NEVER_MS = 2**63 - 1


class _Verified(msgspec.Struct, frozen=True, gc=False):
    """A credential that was good under `version`."""

    principal: Principal
    version: int
    expires_at_ms: int


class AuthService:
    """Authenticates, and gives out tokens. One for each server; belongs to its event loop."""

    def __init__(
        self, database: Database, clock: Clock, settings: AuthSettings, passwords: Passwords | None = None
    ) -> None:
        self._clock = clock
        self._remembered: OrderedDict[str, _Verified] = OrderedDict()
        self._pepper = secrets.token_bytes(32)
        self._passwords = passwords or Passwords()
        self._limits = FailureLimits(clock)
        token_for_s = settings.token_for.total_seconds()
        self.changes = Changes(database, clock)
        self.keys = KeyRing(database, clock, settings.rotate_keys_every.total_seconds(), token_for_s)
        self.accounts = Accounts(database, clock, self._passwords, self.changes)
        self._sign_in = SignIn(database, self._passwords, self._limits)
        tokens = AccessTokens(self.keys, clock, settings.issuer, token_for_s)
        self._resolver = Resolver(database, tokens)
        refresh_for_s = settings.refresh_for.total_seconds()
        self._grants = TokenGrants(
            database, clock, self._sign_in, self._resolver, tokens, self._limits, refresh_for_s
        )

    def close(self) -> None:
        """Stop the password threads."""
        self._passwords.close()

    # ----------------------------------------------------------------------------- who is calling

    async def authenticate_bearer(self, token: str, remote: str = "") -> Principal:
        """The caller behind an access token, device credential or API token.

        `remote` is the caller's address; with it, wrong tokens are rate-limited. Raises AuthError,
        RateLimited, PortError.
        """
        return self.remembered(token) or await self._verify_bearer(token, remote)

    def remembered(self, token: str) -> Principal | None:
        """The caller behind a credential that is known to be good at this moment; None: ask, and wait."""
        return self._recall(token, self.changes.seen())

    async def authenticate_basic(self, username: str, password: str, remote: str = "") -> Principal:
        """The caller behind a user name and password; phones put their device credential into the password.

        Their user name is then the rider or device id; with an API token, the account's name. Raises
        AuthError, RateLimited, Overloaded, PortError.
        """
        if password.startswith((DEVICE_PREFIX, API_PREFIX)):
            principal = await self.authenticate_bearer(password, remote)
            if username not in (principal.rider_id, principal.subject.partition(":")[2]) or not username:
                raise AuthError("the user name does not belong to this credential")
            return principal
        key = self._basic_key(username, password)
        found = self._recall(key, self.changes.seen())
        if found is None:
            version = await self.changes.version()
            found = self._recall(key, version)
            if found is None:
                found = (await self._sign_in.check(username, password, remote)).principal()
                self._remember(key, found, version)
        return found

    async def _verify_bearer(self, token: str, remote: str) -> Principal:
        if not token or len(token) > MAX_CHARS:
            raise AuthError("no credential of this server")
        self._limits.check_lookup(remote)
        version = await self.changes.version()  # before the lookup: see Changes.version
        found = self._recall(token, version)
        if found is not None:
            return found
        try:
            found = await self._resolver.bearer(token)
        except AuthError:
            self._limits.lookup_failed(remote)
            raise
        self._remember(token, found, version)
        return found

    def _recall(self, key: str, version: int) -> Principal | None:
        if len(key) > MAX_CHARS:
            return None
        verified = self._remembered.get(key)
        if verified is None or verified.version != version or self._clock.now_ms() >= verified.expires_at_ms:
            return None
        self._remembered.move_to_end(key)
        return verified.principal

    def _remember(self, key: str, principal: Principal, version: int) -> None:
        expires_at_ms = principal.expires_at_ms if principal.expires_at_ms is not None else _NEVER_MS
        self._remembered[key] = _Verified(principal, version, expires_at_ms)
        self._remembered.move_to_end(key)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _basic_key(self, username: str, password: str) -> str:
        # Neither the password nor a hash that could be tried against a dictionary stays in memory.
        text = f"{username}\0{password}".encode("utf-8", "surrogatepass")
        return "basic:" + hashlib.blake2b(text, key=self._pepper, digest_size=32).hexdigest()

    # ------------------------------------------------------------------------------------- tokens

    async def password_grant(self, name: str, password: str, remote: str = "") -> TokenSet:
        """Tokens for a name and password. Raises OAuthError, RateLimited, Overloaded, PortError."""
        return await self._grants.password(name, password, remote)

    async def client_credentials_grant(
        self, client_id: str, client_secret: str, remote: str = ""
    ) -> TokenSet:
        """A token for a device or gateway. Raises OAuthError, RateLimited, Overloaded, PortError."""
        return await self._grants.client_credentials(client_id, client_secret, remote)

    async def refresh_grant(self, refresh_token: str) -> TokenSet:
        """New tokens for a refresh token, which is used up by it. Raises OAuthError, PortError."""
        return await self._grants.refresh(refresh_token)

    # ----------------------------------------------------------------------------------- accounts

    async def add_user(
        self, name: str, role: Role, password: str | None = None, rider_id: str = "", store_id: str = ""
    ) -> NewUser:
        """See `Accounts.add_user`."""
        return await self.accounts.add_user(name, role, password, rider_id, store_id)

    async def add_device(self, rider_id: str, name: str = "") -> NewDevice:
        """See `Accounts.add_device`."""
        return await self.accounts.add_device(rider_id, name)


async def ensure_admin(auth: AuthService) -> NewUser | None:
    """At the first start an administrator with a random password, to be shown once; later None."""
    return await auth.accounts.ensure_admin()
