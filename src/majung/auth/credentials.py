"""Secrets that Majung makes: device credentials `mjd_<device_id>_<secret>`, API tokens `mju_<id>_<secret>`.

Letters and digits that survive being typed into a phone (no 0, 1, i, l, o). A secret has 158 random
bits, so a plain SHA-256 of it is all that is stored: there is nothing to guess that a slow hash would
protect.
"""

import hashlib
import hmac
import secrets

import msgspec

DEVICE_PREFIX = "mjd_"
API_PREFIX = "mju_"

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_ID_CHARS = 12
_SECRET_CHARS = 32


class Secret(msgspec.Struct, frozen=True):
    """A credential taken apart: which row it claims to be, and the proof."""

    prefix: str
    id: str
    secret: str


def _random(chars: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(chars))


def new_id() -> str:
    """An id with 59 random bits."""
    return _random(_ID_CHARS)


def new_secret() -> str:
    """A secret with 158 random bits."""
    return _random(_SECRET_CHARS)


def new_password() -> str:
    """A password with 99 random bits, in groups for reading it out."""
    return "-".join(_random(5) for _ in range(4))


def parse(token: str) -> Secret | None:
    """Take a device credential or API token apart; None when it is not shaped like one."""
    prefix = token[:4]
    id_, separator, secret = token[4:].partition("_")
    if prefix not in (DEVICE_PREFIX, API_PREFIX) or not separator:
        return None
    if len(id_) != _ID_CHARS or len(secret) != _SECRET_CHARS or not token.isascii():
        return None
    return Secret(prefix, id_, secret)


def digest(secret: str) -> str:
    """SHA-256 in hexadecimal, as it is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def matches(secret: str, stored: str) -> bool:
    """Compare with a stored digest, in a time that says nothing."""
    return hmac.compare_digest(digest(secret), stored)
