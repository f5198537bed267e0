"""The grants of the OAuth 2.0 token endpoint (RFC 6749): password, client credentials, refresh token.

A refresh token is used once; its answer holds the next one. One that comes a second time was stolen, or
its thief was quicker: the whole family that descends from that sign-in ends (RFC 9700 §4.14.2).
"""

from majung.auth import store
from majung.auth.credentials import digest, new_id, new_secret
from majung.auth.limits import FailureLimits
from majung.auth.model import AuthError, OAuthError, Role, TokenSet
from majung.auth.resolve import Resolver
from majung.auth.signin import Known, SignIn
from majung.auth.tokens import AccessTokens
from majung.clock import Clock
from majung.ports import Database, Transaction

MAX_REFRESH_PER_SUBJECT = 1000


class TokenGrants:
    """Credentials in, tokens out."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        sign_in: SignIn,
        resolver: Resolver,
        tokens: AccessTokens,
        limits: FailureLimits,
        refresh_for_s: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._sign_in = sign_in
        self._resolver = resolver
        self._tokens = tokens
        self._limits = limits
        self._refresh_for_ms = round(refresh_for_s * 1000)

    async def password(self, name: str, password: str, remote: str) -> TokenSet:
        """RFC 6749 §4.3. Raises OAuthError (invalid_grant), RateLimited, Overloaded, PortError."""
        try:
            known = await self._sign_in.check(name, password, remote)
        except AuthError as error:
            raise OAuthError("invalid_grant", str(error)) from None
        row = self._refresh_row(known, family=new_id())
        secret = new_secret()
        await self._database.write(lambda transaction: self._keep(transaction, secret, row))
        return await self._answer(known, secret)

    async def client_credentials(self, client_id: str, client_secret: str, remote: str) -> TokenSet:
        """RFC 6749 §4.4: a device by its id and secret, a gateway by its name and password or API token.

        Raises OAuthError (invalid_client), RateLimited, Overloaded, PortError.
        """
        self._limits.check_lookup(remote)
        try:
            device = await self._resolver.device(client_id, client_secret)
            if device is not None:
                token = await self._tokens.issue(device.subject, Role.DEVICE, 0)
                return TokenSet(token, self._tokens.lifetime_s, "Bearer")
            known = await self._gateway(client_id, client_secret, remote)
        except AuthError:
            self._limits.lookup_failed(remote)
            raise OAuthError("invalid_client", "unknown client or wrong secret") from None
        token = await self._tokens.issue(known.subject, known.role, known.generation)
        return TokenSet(token, self._tokens.lifetime_s, "Bearer")

    async def refresh(self, refresh_token: str) -> TokenSet:
        """RFC 6749 §6. Raises OAuthError (invalid_grant), PortError."""
        secret = new_secret()
        used = digest(refresh_token)
        known = await self._database.write(lambda transaction: self._rotate(transaction, used, secret))
        if known is None:
            raise OAuthError(
                "invalid_grant", "the refresh token is unknown, expired, revoked or was used before"
            )
        return await self._answer(known, secret)

    async def _gateway(self, client_id: str, client_secret: str, remote: str) -> Known:
        known = await self._resolver.api_account(client_secret)
        if known is None:
            known = await self._sign_in.check(client_id, client_secret, remote)
        if known.name != client_id or known.role is not Role.GATEWAY:
            raise AuthError("not a client")
        return known

    async def _answer(self, known: Known, refresh_token: str) -> TokenSet:
        token = await self._tokens.issue(known.subject, known.role, known.generation)
        return TokenSet(token, self._tokens.lifetime_s, "Bearer", refresh_token)

    def _refresh_row(self, known: Known, family: str) -> dict[str, object]:
        return {"family": family, "subject": known.subject, "generation": known.generation}

    def _keep(self, transaction: Transaction, secret: str, row: dict[str, object]) -> None:
        now_ms = self._clock.now_ms()
        transaction.execute(store.DELETE_OLD_REFRESH, {"now_ms": now_ms})
        times = {"now_ms": now_ms, "expires_at_ms": now_ms + self._refresh_for_ms}
        transaction.execute(store.INSERT_REFRESH, {**row, **times, "secret_sha256": digest(secret)})
        surplus = {"subject": row["subject"], "keep": MAX_REFRESH_PER_SUBJECT}
        transaction.execute(store.DELETE_SURPLUS_REFRESH, surplus)

    def _rotate(self, transaction: Transaction, used: str, secret: str) -> Known | None:
        # Returns None rather than raise: the end of a family must be committed.
        rows = transaction.execute(store.SELECT_REFRESH, {"secret_sha256": used})
        if not rows:
            return None
        family, subject, generation, expires_at_ms, used_at_ms, revoked_at_ms = rows[0]
        now_ms = self._clock.now_ms()
        if revoked_at_ms is not None or now_ms >= expires_at_ms:
            return None
        mine = transaction.execute(store.USE_REFRESH, {"secret_sha256": used, "now_ms": now_ms})
        if used_at_ms is not None or not mine:
            transaction.execute(store.REVOKE_FAMILY, {"family": family, "now_ms": now_ms})
            return None
        name = subject.partition(":")[2]
        accounts = transaction.execute(store.SELECT_ACCOUNT, {"name": name})
        if not accounts or accounts[0][3] is not None or accounts[0][1] != generation:
            return None
        known = Known(name, Role(accounts[0][0]), generation)
        self._keep(transaction, secret, self._refresh_row(known, family))
        return known
