"""From a credential to who stands behind it *now*: one read of the database for each."""

import msgspec

from majung.auth import store
from majung.auth.credentials import API_PREFIX, DEVICE_PREFIX, matches, parse
from majung.auth.model import AuthError, Principal, Role
from majung.auth.signin import Known
from majung.auth.tokens import AccessTokens
from majung.ports import Database

_NO = "unknown, expired or revoked credential"
_DECOY = "0" * 64


class KnownDevice(msgspec.Struct, frozen=True):
    """A device whose credential holds."""

    device_id: str
    rider_id: str

    @property
    def subject(self) -> str:
        """Unique among all callers."""
        return f"device:{self.device_id}"

    def principal(self, expires_at_ms: int | None = None) -> Principal:
        """The caller that the policy knows."""
        return Principal(self.subject, Role.DEVICE, self.rider_id, expires_at_ms)


class Resolver:
    """Looks credentials up. Remembers nothing: `service.py` does."""

    def __init__(self, database: Database, tokens: AccessTokens) -> None:
        self._database = database
        self._tokens = tokens

    async def bearer(self, token: str) -> Principal:
        """Whoever a device credential, API token or access token belongs to. Raises AuthError, PortError."""
        if token.startswith(DEVICE_PREFIX):
            parts = parse(token)
            device = await self.device(parts.id, parts.secret) if parts else None
            if device is None:
                raise AuthError(_NO)
            return device.principal()
        if token.startswith(API_PREFIX):
            known = await self.api_account(token)
            if known is None:
                raise AuthError(_NO)
            return known.principal()
        return await self._access_token(token)

    async def device(self, device_id: str, secret: str) -> KnownDevice | None:
        """The device of that id and secret."""
        row = await self._device_row(device_id)
        right = matches(secret, row[1] if row else _DECOY)
        return KnownDevice(device_id, row[0]) if row and right else None

    async def api_account(self, token: str) -> Known | None:
        """The account of an API token; None when it is none, or none that holds."""
        parts = parse(token)
        if parts is None or parts.prefix != API_PREFIX:
            return None
        rows = await self._database.read(store.SELECT_API_TOKEN, {"token_id": parts.id})
        secret_sha256, name, role, generation, *ids = rows[0] if rows else (_DECOY, "", "", 0)
        right = matches(parts.secret, secret_sha256)
        return Known(name, Role(role), generation, *ids) if rows and right else None

    async def _access_token(self, token: str) -> Principal:
        claims = await self._tokens.verify(token)
        kind, _, id_ = claims.sub.partition(":")
        expires_at_ms = claims.exp * 1000
        if kind == "device":
            device = await self._device_row(id_)
            if device is None:
                raise AuthError(_NO)
            return KnownDevice(id_, device[0]).principal(expires_at_ms)
        rows = await self._database.read(store.SELECT_ACCOUNT, {"name": id_})
        if not rows or rows[0][3] is not None or rows[0][1] != claims.gen:
            raise AuthError(_NO)
        return Known(id_, Role(rows[0][0]), claims.gen, *rows[0][4:6]).principal(expires_at_ms)

    async def _device_row(self, device_id: str) -> tuple[str, str] | None:
        if len(device_id) > 64 or not device_id.isalnum():
            return None
        rows = await self._database.read(store.SELECT_DEVICE, {"device_id": device_id})
        return (str(rows[0][0]), str(rows[0][1])) if rows else None
