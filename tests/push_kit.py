"""A browser's side of Web Push: keys, and reading what was sealed for them (RFC 8291, written again from it)."""

import hashlib
import hmac
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from majung.notify.push_crypto import b64
from tests.receiver import Received

_CURVE = ec.SECP256R1()


def public_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _expand(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    extracted = hmac.digest(salt, secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)[:length]


def decrypt(body: bytes, own: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """Raises cryptography.exceptions.InvalidTag."""
    salt, length = body[:16], body[20]
    theirs, sealed = body[21 : 21 + length], body[21 + length :]
    shared = own.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, theirs))
    secret = _expand(shared, auth, b"WebPush: info\0" + public_of(own) + theirs, 32)
    key = _expand(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _expand(secret, salt, b"Content-Encoding: nonce\0", 12)
    return AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\0")[:-1]


class Browser:
    """One subscription at a push service of the test."""

    def __init__(self, service_url: str, name: str) -> None:
        self.endpoint = f"{service_url}/{name}"
        self.path = f"/{name}"
        self._key = ec.generate_private_key(_CURVE)
        self._auth = hashlib.sha256(name.encode()).digest()[:16]

    def subscription(self, language: str = "ko") -> dict[str, Any]:
        """What the page sends: `PushSubscription.toJSON()`, and the language of the page."""
        keys = {"p256dh": b64(public_of(self._key)), "auth": b64(self._auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys, "language": language}

    def read(self, got: Received) -> dict[str, Any]:
        return dict(msgspec.json.decode(decrypt(got.body, self._key, self._auth)))

    def shown(self, received: list[Received]) -> list[dict[str, Any]]:
        """Everything that came for this browser."""
        return [self.read(got) for got in received if got.path == self.path]
