"""The keys that sign access tokens: made at first start, kept in the database, replaced by age.

ES256 (ECDSA on P-256, RFC 7518 §3.4): on the machine of `design.md` §9 it verifies in 63 µs and signs in
32, Ed25519 in 82 and 33. HS256 would take 14, but then whoever can verify can sign, and no JWKS could be
published. A replaced key verifies until the last token that it signed has expired.
"""

import asyncio
from typing import Any

import msgspec
from joserfc.jwk import ECKey

from majung.auth import store
from majung.auth.credentials import new_id
from majung.clock import Clock
from majung.ports import Database, Transaction

ALGORITHM = "ES256"
_RELOAD_EVERY_S = 1.0


class SigningKey(msgspec.Struct, frozen=True):
    """One key of the ring; `key` holds the private part."""

    kid: str
    key: ECKey
    created_at_ms: int


class KeyRing:
    """The keys, newest first. Belongs to one event loop; other processes may share the database."""

    def __init__(self, database: Database, clock: Clock, rotate_every_s: float, token_for_s: float) -> None:
        self._database = database
        self._clock = clock
        self._rotate_every_ms = round(rotate_every_s * 1000)
        self._token_for_ms = round(token_for_s * 1000)
        self._keys: dict[str, SigningKey] = {}
        self._newest: SigningKey | None = None
        self._reload_at_s = -1.0
        self._asking = asyncio.Lock()

    async def signing(self) -> SigningKey:
        """The key to sign with; a new one when there is none or it has had its time. Raises PortError."""
        if self._is_young(self._newest):
            assert self._newest is not None
            return self._newest
        await self._load()
        if not self._is_young(self._newest):
            await self._database.write(self._rotate)
            await self._load()
        assert self._newest is not None
        return self._newest

    async def verifying(self, kid: str) -> SigningKey | None:
        """The key of this id; the database is asked again, once a second at most, for one not known."""
        if kid not in self._keys:
            async with self._asking:  # after a restart all come at once: they wait for the one who asks
                if kid not in self._keys and self._clock.monotonic_s() >= self._reload_at_s:
                    await self._load()
        return self._keys.get(kid)

    async def public(self) -> dict[str, Any]:
        """The JWK set (RFC 7517 §5) of every key that still verifies, without private parts."""
        await self.signing()
        keys = [
            {**key.key.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
            for kid, key in self._keys.items()
        ]
        return {"keys": keys}

    def _is_young(self, key: SigningKey | None) -> bool:
        return key is not None and self._clock.now_ms() - key.created_at_ms < self._rotate_every_ms

    async def _load(self) -> None:
        self._reload_at_s = self._clock.monotonic_s() + _RELOAD_EVERY_S
        rows = await self._database.read(store.SELECT_KEYS)
        loaded = [
            self._keys.get(kid) or SigningKey(kid, ECKey.import_key(msgspec.json.decode(jwk)), created_at_ms)
            for kid, algorithm, jwk, created_at_ms in rows
            if algorithm == ALGORITHM
        ]
        self._keys = {key.kid: key for key in loaded}
        self._newest = loaded[0] if loaded else None

    def _rotate(self, transaction: Transaction) -> None:
        now_ms = self._clock.now_ms()
        rows = transaction.execute(store.SELECT_KEYS)
        if rows and now_ms - rows[0][3] < self._rotate_every_ms:
            return  # another process was quicker
        key = ECKey.generate_key("P-256", private=True)
        transaction.execute(store.DELETE_KEYS, {"before_ms": now_ms - self._token_for_ms})
        transaction.execute(store.RETIRE_KEYS, {"now_ms": now_ms})
        jwk = msgspec.json.encode(key.as_dict(private=True)).decode()
        transaction.execute(
            store.INSERT_KEY,
            {"kid": new_id(), "algorithm": ALGORITHM, "private_jwk": jwk, "now_ms": now_ms},
        )
