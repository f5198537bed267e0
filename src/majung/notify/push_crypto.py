"""Web Push without a vendor: message encryption (RFC 8291 over RFC 8188) and who is sending (VAPID, RFC 8292).

Written here on `cryptography` and `joserfc`, which are there anyway; docs/decisions/0007-notifications.md says
why. The example of RFC 8291, appendix A, is one of the tests.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey

MAX_PLAIN_BYTES = 3_900
"""What every push service takes (4,096, RFC 8030 §7.2), less header, padding and tag."""
RECORD_BYTES = 4_096
TOKEN_FOR_S = 12 * 3_600  # at most 24 h, RFC 8292 §2
_POINT_BYTES = 65
_SECRET_BYTES = 16
_CURVE = ec.SECP256R1()


def b64(raw: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The opposite; padding is allowed. Raises ValueError."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def check_keys(p256dh: str, auth: str) -> None:
    """Whether a browser's keys are a point of the curve and a secret. Raises ValueError."""
    try:
        point, secret = unb64(p256dh), unb64(auth)
        ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)
    except ValueError as problem:
        raise ValueError(
            "keys.p256dh must be a P-256 point and keys.auth a secret, in base64url"
        ) from problem
    if len(point) != _POINT_BYTES or len(secret) != _SECRET_BYTES:
        raise ValueError(f"keys.p256dh has {_POINT_BYTES} bytes, keys.auth {_SECRET_BYTES}")


def encrypt(
    plain: bytes,
    p256dh: str,
    auth: str,
    own: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """The body of a push message, `Content-Encoding: aes128gcm`; one record.

    `own` and `salt` are fresh for each message and given by tests alone. Raises ValueError when it is too long.
    """
    if len(plain) > MAX_PLAIN_BYTES:
        raise ValueError(f"a push message has at most {MAX_PLAIN_BYTES} bytes")
    own = own or ec.generate_private_key(_CURVE)
    salt = salt or os.urandom(_SECRET_BYTES)
    their_point = unb64(p256dh)
    own_point = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = own.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, their_point))
    secret = _derive(shared, unb64(auth), b"WebPush: info\0" + their_point + own_point, 32)
    key = _derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(secret, salt, b"Content-Encoding: nonce\0", 12)
    header = salt + RECORD_BYTES.to_bytes(4, "big") + bytes([len(own_point)]) + own_point
    return header + AESGCM(key).encrypt(nonce, plain + b"\x02", None)


def _derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)


class Vapid:
    """The key of this server, and the tokens that push services know it by; one a service and half a day."""

    def __init__(self, key: ECKey, contact: str) -> None:
        """`contact`: a `mailto:` or `https:` URL whom a push service may turn to; "": none."""
        self._key = key
        self._contact = contact
        self._tokens: dict[str, tuple[str, int]] = {}
        numbers = key.as_dict(private=False)
        self.public_key = b64(b"\x04" + unb64(str(numbers["x"])) + unb64(str(numbers["y"])))

    def authorization(self, origin: str, now_s: int) -> str:
        """The header `Authorization` for a push service."""
        token, renew_s = self._tokens.get(origin, ("", 0))
        if now_s >= renew_s:
            claims: dict[str, str | int] = {"aud": origin, "exp": now_s + TOKEN_FOR_S}
            if self._contact:
                claims["sub"] = self._contact
            token = jwt.encode({"typ": "JWT", "alg": "ES256"}, claims, self._key)
            if len(self._tokens) >= 1_000:
                self._tokens.clear()
            self._tokens[origin] = (token, now_s + TOKEN_FOR_S // 2)
        return f"vapid t={token}, k={self.public_key}"
