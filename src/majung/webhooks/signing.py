"""Signatures of Standard Webhooks 1.0 (https://www.standardwebhooks.com), symmetric: HMAC-SHA256, `v1`.

What is signed is `{webhook-id}.{webhook-timestamp}.{body}`, the body as it is sent. While a secret is being
replaced there are two signatures, separated by a space; a receiver takes whichever it can verify.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable, Mapping
from hashlib import sha256

PREFIX = "whsec_"
TOLERANCE_S = 300
_SECRET_BYTES = 32


class BadSignature(Exception):
    """The call does not come from who knows the secret, or comes too late."""


def new_secret() -> str:
    """`whsec_` and 256 random bits in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def headers(event_id: str, at_s: int, body: str, secrets_: Iterable[str]) -> dict[str, str]:
    """The three headers of a call at `at_s` (Unix seconds): an older secret's signature after the newest's."""
    signatures = [f"v1,{_sign(secret, event_id, str(at_s), body.encode())}" for secret in secrets_]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(signatures),
    }


def verify(secret: str, given: Mapping[str, str], body: bytes, now_s: float) -> None:
    """What a receiver does (header names in lower case). Raises BadSignature."""
    event_id, at, signed = (given.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (event_id and at.isascii() and at.isdigit() and abs(now_s - int(at)) <= TOLERANCE_S):
        raise BadSignature("no webhook-id, or a webhook-timestamp that is not now")
    wanted = _sign(secret, event_id, at, body)
    offered = [part.removeprefix("v1,") for part in signed.split() if part.startswith("v1,")]
    if not any(hmac.compare_digest(one.encode(), wanted.encode()) for one in offered):
        raise BadSignature("no signature in webhook-signature is right")


def _sign(secret: str, event_id: str, at: str, body: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as problem:
        raise ValueError("a secret is whsec_ and base64") from problem
    message = f"{event_id}.{at}.".encode() + body
    return base64.b64encode(hmac.new(key, message, sha256).digest()).decode()
