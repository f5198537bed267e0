"""Endpoints and deliveries, as the API shows them and as the server holds them."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

OUTAGE = 5
"""So many failures in a row are an outage: it is waited for in order, and when it ends everything is due."""


MAX_REPLAYED = 500
Url = Annotated[str, Meta(min_length=1, max_length=2_000)]
Pattern = Annotated[str, Meta(min_length=1, max_length=80)]
Patterns = Annotated[tuple[Pattern, ...], Meta(min_length=1, max_length=30)]
Description = Annotated[str, Meta(max_length=200)]
StoreId = Annotated[str, Meta(max_length=128)]
Number = Annotated[int, Meta(ge=0, le=2**53)]


class State(StrEnum):
    """Whether an endpoint gets anything. What an endpoint that is paused misses waits for it."""

    ACTIVE = "active"
    PAUSED = "paused"  # by its owner
    DISABLED = "disabled"  # by the server; `reason` says why


class Status(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    DONE = "done"
    DEAD = "dead"


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An endpoint as it is asked for. `events`: types of events, `*` for any part: `majung.order.*`.

    `store_id`: only of this store; a store's account always gets its own.
    """

    url: Url
    events: Patterns = ("*",)
    description: Description = ""
    store_id: StoreId = ""


class WebhookChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be different. `active`: false pauses, true goes on, also after the server disabled it."""

    url: Url | None = None
    events: Patterns | None = None
    description: Description | None = None
    active: bool | None = None


class Webhook(msgspec.Struct, frozen=True, omit_defaults=True):
    """An endpoint and how it does; times are Unix ms, 0 (left out) for never.

    `behind`: more waits than `webhooks.max_waiting`; the rest is read from the log when there is room.
    `failing_since_ms`: the first failure since the last success.
    """

    webhook_id: str
    url: str
    events: tuple[str, ...]
    state: State
    made_by: str
    created_at_ms: int
    updated_at_ms: int
    description: str = ""
    store_id: str = ""
    reason: str = ""
    waiting: int = 0
    dead: int = 0
    oldest_waiting_ms: int = 0
    behind: bool = False
    failing_since_ms: int = 0
    last_success_ms: int = 0
    last_failure_ms: int = 0
    last_problem: str = ""
    old_secret_until_ms: int = 0


class WebhookSecret(msgspec.Struct, frozen=True):
    """An endpoint with its secret, which is shown this once."""

    webhook: Webhook
    secret: str


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event for one endpoint. `request` is the body as it is sent, `answer` the beginning of the last one."""

    number: int
    event_id: str
    type: str
    subject: str
    status: Status
    at_ms: int
    queued_at_ms: int
    attempts: int
    request: str
    next_at_ms: int = 0
    tried_at_ms: int = 0
    took_ms: int = 0
    http_status: int = 0
    problem: str = ""
    answer: str = ""


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to send again: these deliveries, or all with this status and time of the event (Unix ms)."""

    deliveries: Annotated[tuple[Number, ...], Meta(max_length=MAX_REPLAYED)] = ()
    status: Status | None = None
    from_ms: Number | None = None
    to_ms: Number | None = None


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of one call. `http_status` 0: there was no answer, `problem` says why."""

    ok: bool
    http_status: int
    took_ms: int
    problem: str = ""
    answer: str = ""
    retry_after_s: float = 0.0


class AuditEntry(msgspec.Struct, frozen=True):
    """Who (`majung`: the server itself) did what to an endpoint, and when."""

    at_ms: int
    actor: str
    what: str
    detail: str


@dataclass
class Endpoint:
    """An endpoint in memory: what is stored of it, and how it stands with sending."""

    webhook_id: str
    store_id: str
    account: str
    url: str
    events: tuple[str, ...]
    types: frozenset[str]
    description: str
    secret: str
    old_secret: str
    old_secret_until_ms: int
    state: State
    reason: str
    created_at_ms: int
    updated_at_ms: int
    failing_since_ms: int = 0
    last_success_ms: int = 0
    last_failure_ms: int = 0
    last_problem: str = ""
    waiting: int = 0
    behind: set[str] = field(default_factory=set)  # topics
    failures: int = 0  # in a row
    hold_until_ms: int = 0
    due_ms: int = 0

    @property
    def key(self) -> str:
        """The `Scope.key` of what it may be told."""
        return f"store:{self.store_id}" if self.store_id else "all:"

    def secrets(self, now_ms: int) -> list[str]:
        """To sign with: the newest, then the one that is being replaced."""
        return [self.secret, *([self.old_secret] if now_ms < self.old_secret_until_ms else [])]
