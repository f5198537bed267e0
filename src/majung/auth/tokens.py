"""Access tokens: JWTs by RFC 7519 in the profile of RFC 9068, signed with the newest key of the ring.

What a token must be is fixed here and nowhere negotiable: this algorithm, this type, a key of ours named
by `kid`, our issuer and audience, not expired. Keys that a token brings along (`jwk`, `jku`, `x5c`) are
never looked at.
"""

import secrets

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from majung.auth.keys import ALGORITHM, KeyRing
from majung.auth.model import AuthError, Role
from majung.clock import Clock

AUDIENCE = "majung"
TYPE = "at+jwt"
MAX_CHARS = 4096
_BROKEN = (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


class Claims(msgspec.Struct, frozen=True):
    """What a token says. `gen` is the generation of the account: a new password or a revocation ends it."""

    iss: str
    aud: str
    sub: str
    role: Role
    gen: int
    iat: int
    exp: int
    jti: str


_decode = msgspec.json.Decoder(Claims).decode
_encode = msgspec.json.Encoder().encode


class AccessTokens:
    """Signs and verifies. Belongs to one event loop."""

    def __init__(self, keys: KeyRing, clock: Clock, issuer: str, token_for_s: float) -> None:
        self._keys = keys
        self._clock = clock
        self._issuer = issuer
        self.lifetime_s = round(token_for_s)

    async def issue(self, subject: str, role: Role, generation: int) -> str:
        """A signed token for the subject. Raises PortError."""
        key = await self._keys.signing()
        now_s = self._clock.now_ms() // 1000
        claims = Claims(
            iss=self._issuer,
            aud=AUDIENCE,
            sub=subject,
            role=role,
            gen=generation,
            iat=now_s,
            exp=now_s + self.lifetime_s,
            jti=secrets.token_urlsafe(16),
        )
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}
        return jws.serialize_compact(header, _encode(claims), key.key, algorithms=[ALGORITHM])

    async def verify(self, token: str) -> Claims:
        """What a genuine token says. Raises AuthError for every other, PortError."""
        if len(token) > MAX_CHARS or token.count(".") != 2:
            raise AuthError("not a token of this server")
        try:
            signed = jws.extract_compact(token.encode("ascii"))
            header = signed.headers()
            kid, algorithm, type_ = header.get("kid"), header.get("alg"), header.get("typ")
        except _BROKEN:
            raise AuthError("not a token of this server") from None
        if algorithm != ALGORITHM or type_ != TYPE or not isinstance(kid, str):
            raise AuthError("not a token of this server")
        key = await self._keys.verifying(kid)
        if key is None:
            raise AuthError("not a token of this server")
        try:
            if not jws.validate_compact(signed, key.key, algorithms=[ALGORITHM]):
                raise AuthError("not a token of this server")
            claims = _decode(signed.payload)
        except _BROKEN:
            raise AuthError("not a token of this server") from None
        return self._current(claims)

    def _current(self, claims: Claims) -> Claims:
        if claims.iss != self._issuer or claims.aud != AUDIENCE:
            raise AuthError("a token for another server")
        if self._clock.now_ms() >= claims.exp * 1000:
            raise AuthError("the token has expired")
        return claims
