"""One push: the row of the queue that it is, what a browser is sent for it, and when it is tried again."""

import random

import msgspec

from majung.notify.model import Kind, Params
from majung.notify.words import text_of

MAX_PAUSE_S = 3_600.0
FIRST_PAUSE_S = 1.0
_PAGES = {"customer": "/order#/order/{}", "store": "/kitchen", "rider": "/ride"}

_encode = msgspec.json.Encoder().encode


class Push(msgspec.Struct, frozen=True):
    """A row of the queue with all that sending needs. Without endpoint or kind: what it was for is gone."""

    notice_id: int
    subscription_id: str
    expires_at_ms: int
    tries: int
    endpoint: str | None
    p256dh: str | None
    auth: str | None
    language: str | None
    kind: str | None
    order_id: str | None
    recipient: str | None
    at_ms: int | None
    params: str | None

    @property
    def key(self) -> tuple[int, str]:
        """What makes it one of its kind."""
        return (self.notice_id, self.subscription_id)


def pause_of(tries: int, retry_after: str | None) -> float:
    """Seconds until the next try: what the service asks for, else twice as long each time, spread a little."""
    if retry_after is not None and retry_after.strip().isdecimal():
        return float(min(MAX_PAUSE_S, max(FIRST_PAUSE_S, int(retry_after[:9]))))
    longest_s = min(MAX_PAUSE_S, FIRST_PAUSE_S * float(2 ** min(tries, 16)))
    return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 -- spreads retries, guards nothing


def message_of(
    notice_id: int,
    kind: Kind,
    order_id: str,
    recipient: str,
    at_ms: int,
    params: Params,
    language: str | None,
) -> bytes:
    """What the service worker gets, as JSON."""
    title, body = text_of(kind, order_id, params, language or "ko")
    part = recipient.partition(":")[0]
    message = {
        "id": notice_id,
        "kind": kind,
        "order_id": order_id,
        "at_ms": at_ms,
        "title": title,
        "body": body,
        "tag": order_id,
        "url": _PAGES[part].format(order_id),
        "language": language or "ko",
    }
    return _encode(message)
