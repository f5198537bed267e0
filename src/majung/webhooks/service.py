"""The use cases: endpoints are made, changed, looked at and replayed; every one asks the policy first."""

import dataclasses
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import structlog

from majung.auth.changes import Changes
from majung.auth.model import Principal
from majung.auth.policy import Action, Policy, may
from majung.clock import Clock
from majung.observe.families import Counted, Figure, Level
from majung.orders.model import new_id
from majung.outward import Outward
from majung.ports import Conflict, Database, Log, Transaction
from majung.settings import WebhookSettings
from majung.webhooks import events, store
from majung.webhooks.courier import Courier
from majung.webhooks.filing import Filer
from majung.webhooks.model import (
    Attempt,
    AuditEntry,
    Delivery,
    Endpoint,
    NewWebhook,
    Replay,
    State,
    Status,
    Webhook,
    WebhookChange,
    WebhookSecret,
)
from majung.webhooks.outcome import Outcomes, audit, ms, stored
from majung.webhooks.registry import Registry
from majung.webhooks.signing import new_secret

log = structlog.get_logger("majung.webhooks")

MAX_SHOWN = 100
_MAX_NUMBER = 2**63 - 1
_AUDIT_FOR = timedelta(days=365)
_AUDIT_SHOWN = 200


class WebhookConflict(Conflict):
    """What is asked does not go with how things are. `str()` is safe to show."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.outward = message


class Webhooks:
    """One for each server; belongs to its event loop. `load` first, then `work` under the supervisor."""

    def __init__(
        self,
        database: Database,
        log_port: Log,
        clock: Clock,
        policy: Policy,
        changes: Changes,
        outward: Outward,
        settings: WebhookSettings,
        source: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._policy = policy
        self._changes = changes
        self._outward = outward
        self._settings = settings
        self._source = source
        self._rights_version = 0
        self.registry = Registry()
        self.outcomes = Outcomes(database, clock, settings)
        self.courier = Courier(database, clock, outward, self.registry, self.outcomes, settings)
        self.filers = {
            topic: Filer(
                log_port,
                database,
                clock,
                self.registry,
                topic,
                lambda value, read=read: read(value, source),  # type: ignore[misc]
                settings.max_waiting,
                self.courier.wake,
            )
            for topic, read in events.READERS.items()
        }

    # ------------------------------------------------------------------------------------- at work

    async def load(self) -> None:
        """Read the endpoints; once, before anything else."""
        await self.registry.load(self._database, tuple(self.filers))

    def work(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs in the background, by name; `tend` is to be called every second beside it."""
        filers = {f"webhooks-{topic}": filer.run for topic, filer in self.filers.items()}
        return {**filers, "webhooks": self.courier.run}

    async def tend(self) -> None:
        """Read on for those who are behind; stop endpoints whose account may no longer have them."""
        for filer in self.filers.values():
            await filer.catch_up()
        version = await self._changes.version()
        if version != self._rights_version and len(self.registry):
            for (webhook_id,) in await self._database.read(store.SELECT_OUTLAWED):
                endpoint = self.registry.find(str(webhook_id))
                if endpoint is not None:
                    reason = "the account that it belongs to is revoked or has another store"
                    await self.outcomes.disable(endpoint, reason)
        self._rights_version = version

    async def drop_old(self, now_ms: int) -> None:
        """Give up what has waited too long, forget what is over."""
        for webhook_id, count in (await self.outcomes.give_up_old(now_ms)).items():
            endpoint = self.registry.find(webhook_id)
            if endpoint is not None:
                endpoint.waiting = max(0, endpoint.waiting - count)

        def work(tx: Transaction) -> None:
            tx.execute(store.DELETE_DONE, (now_ms - ms(self._settings.keep_for),))
            tx.execute(store.DELETE_DEAD, (now_ms - ms(self._settings.keep_dead_for),))
            tx.execute(store.DELETE_OLD_AUDIT, (now_ms - ms(_AUDIT_FOR),))

        await self._database.write(work)

    async def figures(self) -> list[Figure]:
        """For `/metrics`: what waits and is dead, the age of the oldest that waits, and what became of calls."""
        rows = await self._database.read(store.COUNT)
        oldest_ms = min(
            (int(row[3]) for row in rows if row[1] == Status.WAITING), default=self._clock.now_ms()
        )
        waiting = sum(int(row[2]) for row in rows if row[1] == Status.WAITING)
        dead = sum(int(row[2]) for row in rows if row[1] == Status.DEAD)
        calls = {"delivered": self.outcomes.delivered, "failed": self.outcomes.failed}
        age_s = max(0, self._clock.now_ms() - oldest_ms) / 1000
        return [
            Counted("majung_webhook_attempts", "Calls of webhooks, by outcome.", "outcome", calls),
            Level("majung_webhook_waiting", "Deliveries that wait.", waiting),
            Level("majung_webhook_oldest_seconds", "Age of the oldest event that waits.", age_s),
            Level("majung_webhook_dead", "Deliveries that were given up, and are kept.", dead),
        ]

    # ----------------------------------------------------------------------------------- endpoints

    async def create(self, principal: Principal, wish: NewWebhook) -> WebhookSecret:
        """Raises Forbidden, ValueError (URL, patterns), WebhookConflict (too many), PortError."""
        self._policy.allow(principal, Action.WEBHOOKS)
        store_id = wish.store_id
        if not may(principal, Action.MANAGE_ANY_WEBHOOK):
            store_id = _own_store(principal)
        types = self._check(wish.url, wish.events, wish.description, store_id)
        now_ms = self._clock.now_ms()
        endpoint = Endpoint(
            webhook_id=new_id("wh", now_ms),
            store_id=store_id,
            account=_account(principal),
            url=wish.url,
            events=wish.events,
            types=types,
            description=wish.description,
            secret=new_secret(),
            old_secret="",
            old_secret_until_ms=0,
            state=State.ACTIVE,
            reason="",
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
        if len(self.registry.of_key(endpoint.key)) >= self._settings.max_endpoints:
            raise WebhookConflict(f"there are {self._settings.max_endpoints} webhooks already")
        row = {**stored(endpoint), "store_id": store_id, "now_ms": now_ms}

        def work(tx: Transaction) -> None:
            tx.execute(store.INSERT_ENDPOINT, row)
            audit(tx, endpoint.webhook_id, now_ms, principal.subject, "created", endpoint.url)

        self.registry.put(
            endpoint
        )  # before its row: what happens from now on may be told, and waits for the row
        try:
            await self._database.write(work)
        except BaseException:
            self.registry.drop(endpoint.webhook_id)
            raise
        return WebhookSecret(await self._shown(endpoint), endpoint.secret)

    async def all(self, principal: Principal) -> list[Webhook]:
        """Those that the caller may see, oldest first."""
        self._policy.allow(principal, Action.WEBHOOKS)
        counts = _by_endpoint(await self._database.read(store.COUNT))
        return [
            _show(endpoint, counts.get(endpoint.webhook_id, {}))
            for endpoint in sorted(self.registry, key=lambda one: one.webhook_id)
            if _has(principal, endpoint)
        ]

    async def get(self, principal: Principal, webhook_id: str) -> Webhook:
        """Raises Forbidden, LookupError (also for somebody else's)."""
        return await self._shown(self._endpoint(principal, webhook_id))

    async def change(self, principal: Principal, webhook_id: str, change: WebhookChange) -> Webhook:
        """Raises Forbidden, LookupError, ValueError, PortError."""
        endpoint = self._endpoint(principal, webhook_id)
        url = endpoint.url if change.url is None else change.url
        patterns = endpoint.events if change.events is None else change.events
        description = endpoint.description if change.description is None else change.description
        types = self._check(url, patterns, description, endpoint.store_id)
        values: dict[str, Any] = {"url": url, "events": patterns, "types": types, "description": description}
        if change.active is not None:
            values |= _switched(principal, endpoint, change.active)
        told = msgspec.json.encode(change).decode()
        await self._save(endpoint, values, principal, "changed", told, release=change.active is True)
        return await self._shown(endpoint)

    async def delete(self, principal: Principal, webhook_id: str) -> None:
        """With everything that waits for it. Raises Forbidden, LookupError, PortError."""
        endpoint = self._endpoint(principal, webhook_id)
        self.registry.drop(webhook_id)  # before its rows: what is filed from now on is filed without it
        now_ms = self._clock.now_ms()

        def work(tx: Transaction) -> None:
            tx.execute(store.DELETE_ENDPOINT, (webhook_id,))
            tx.execute(store.DELETE_DELIVERIES_OF, (webhook_id,))
            tx.execute(store.DELETE_BEHIND_OF, (webhook_id,))
            audit(tx, webhook_id, now_ms, principal.subject, "deleted", endpoint.url)

        await self._database.write(work)

    async def rotate(self, principal: Principal, webhook_id: str) -> WebhookSecret:
        """A new secret; for `webhooks.old_secret_for` the old one signs as well. Raises as `change`."""
        endpoint = self._endpoint(principal, webhook_id)
        until_ms = self._clock.now_ms() + ms(self._settings.old_secret_for)
        values = {"secret": new_secret(), "old_secret": endpoint.secret, "old_secret_until_ms": until_ms}
        await self._save(endpoint, values, principal, "secret_rotated", "")
        return WebhookSecret(await self._shown(endpoint), endpoint.secret)

    async def ping(self, principal: Principal, webhook_id: str) -> Attempt:
        """One signed `majung.ping.v1`, now; what came of it. Nothing is kept. Raises Forbidden, LookupError."""
        endpoint = self._endpoint(principal, webhook_id)
        now_ms = self._clock.now_ms()
        event_id = new_id("ping", now_ms)
        data = {"webhook_id": webhook_id}
        body = events.cloud_event(event_id, events.PING, webhook_id, now_ms, self._source, data)
        return await self.courier.attempt(endpoint, event_id, body)

    # ---------------------------------------------------------------------------------- deliveries

    async def deliveries(
        self, principal: Principal, webhook_id: str, status: Status | None, before: int | None, limit: int
    ) -> list[Delivery]:
        """Newest first. Raises Forbidden, LookupError."""
        self._endpoint(principal, webhook_id)
        asked = {
            "webhook_id": webhook_id,
            "before": _MAX_NUMBER if before is None else before,
            "status": "" if status is None else str(status),
            "limit": min(limit, MAX_SHOWN),
        }
        rows = await self._database.read(store.SELECT_DELIVERIES, asked)
        return [
            Delivery(number, event_id, kind, subject, Status(stands), at_ms, queued_ms, attempts, body, *rest)
            for number, event_id, kind, subject, stands, at_ms, queued_ms, attempts, body, *rest in rows
        ]

    async def replay(self, principal: Principal, webhook_id: str, wish: Replay) -> int:
        """Send again, oldest first, as many as there is room for; how many.

        Raises Forbidden, LookupError, ValueError, WebhookConflict (disabled, or no room), PortError.
        """
        endpoint = self._endpoint(principal, webhook_id)
        if endpoint.state is State.DISABLED:
            raise WebhookConflict("the webhook is disabled: make it active first")
        if not wish.deliveries and wish.status is None and wish.from_ms is None and wish.to_ms is None:
            raise ValueError("say which: deliveries, a status, or a time")
        room = self._settings.max_waiting - endpoint.waiting
        if room <= 0:
            raise WebhookConflict("too many deliveries are waiting already")
        now_ms = self._clock.now_ms()
        asked: dict[str, object] = {
            "webhook_id": webhook_id,
            "now_ms": now_ms,
            "status": "" if wish.status is None else str(wish.status),
            "from_ms": wish.from_ms or 0,
            "to_ms": _MAX_NUMBER if wish.to_ms is None else wish.to_ms,
            "room": room,
        }
        named = {f"n{place}": number for place, number in enumerate(wish.deliveries)}
        numbers = f"AND number IN ({', '.join(f':{name}' for name in named)})" if named else ""
        statement = store.REPLAY.format(numbers=numbers)

        def work(tx: Transaction) -> int:
            count = len(tx.execute(statement, {**asked, **named}))
            detail = msgspec.json.encode(wish).decode()[:500]
            audit(tx, webhook_id, now_ms, principal.subject, "replayed", f"{count}: {detail}")
            return count

        count = await self._database.write(work)
        endpoint.waiting += count
        self.courier.wake(webhook_id)
        return count

    async def trail(self, principal: Principal, webhook_id: str) -> list[AuditEntry]:
        """Who did what to it, newest first. Raises Forbidden, LookupError."""
        self._endpoint(principal, webhook_id)
        rows = await self._database.read(store.SELECT_AUDIT, (webhook_id, _AUDIT_SHOWN))
        return [AuditEntry(*row) for row in rows]

    # ------------------------------------------------------------------------------------- helpers

    def _endpoint(self, principal: Principal, webhook_id: str) -> Endpoint:
        self._policy.allow(principal, Action.WEBHOOKS)
        endpoint = self.registry.get(webhook_id)
        if not _has(principal, endpoint):
            raise LookupError(f"there is no webhook {webhook_id[:64]!r}")
        return endpoint

    def _check(self, url: str, patterns: tuple[str, ...], description: str, store_id: str) -> frozenset[str]:
        self._outward.check_url(url)
        if not (description.isprintable() and store_id.isprintable()):
            raise ValueError("description and store_id: printable characters alone")
        return events.chosen_types(patterns, bool(store_id))

    async def _save(
        self,
        endpoint: Endpoint,
        values: dict[str, Any],
        principal: Principal,
        what: str,
        detail: str,
        release: bool = False,
    ) -> None:
        """First the row, then the memory: what is refused by the database has not happened."""
        now_ms = self._clock.now_ms()
        values = {**values, "updated_at_ms": now_ms}
        row = stored(dataclasses.replace(endpoint, **values))

        def work(tx: Transaction) -> None:
            tx.execute(store.UPDATE_ENDPOINT, row)
            if release:
                tx.execute(store.RELEASE, {"webhook_id": endpoint.webhook_id, "now_ms": now_ms})
            audit(tx, endpoint.webhook_id, now_ms, principal.subject, what, detail)

        await self._database.write(work)
        for name, value in values.items():
            setattr(endpoint, name, value)
        self.courier.wake(endpoint.webhook_id)

    async def _shown(self, endpoint: Endpoint) -> Webhook:
        rows = await self._database.read(store.COUNT_OF, (endpoint.webhook_id,))
        return _show(endpoint, _by_endpoint(rows).get(endpoint.webhook_id, {}))


def _switched(principal: Principal, endpoint: Endpoint, active: bool) -> dict[str, Any]:
    """What pausing or going on changes; who wakes a disabled endpoint answers for it from now on."""
    if not active:
        return {"state": State.PAUSED} if endpoint.state is State.ACTIVE else {}
    fresh: dict[str, Any] = {"state": State.ACTIVE, "reason": "", "failing_since_ms": 0}
    fresh |= {"failures": 0, "hold_until_ms": 0}
    return fresh | ({"account": _account(principal)} if endpoint.state is State.DISABLED else {})


_Counts = dict[str, tuple[int, int]]


def _by_endpoint(rows: list[tuple[object, ...]]) -> dict[str, _Counts]:
    """Rows of `COUNT`: for each endpoint and status how many, and the time of the oldest event."""
    found: dict[str, _Counts] = {}
    for webhook_id, status, count, oldest_ms in rows:
        found.setdefault(str(webhook_id), {})[str(status)] = (int(str(count)), int(str(oldest_ms)))
    return found


def _show(endpoint: Endpoint, counts: _Counts) -> Webhook:
    waiting, oldest_ms = counts.get(Status.WAITING, (0, 0))
    names = (
        "webhook_id", "url", "events", "state", "created_at_ms", "updated_at_ms", "description", "store_id",
        "reason", "failing_since_ms", "last_success_ms", "last_failure_ms", "last_problem",
        "old_secret_until_ms",
    )  # fmt: skip
    return Webhook(
        **{name: getattr(endpoint, name) for name in names},
        made_by=endpoint.account,
        waiting=waiting,
        oldest_waiting_ms=oldest_ms,
        dead=counts.get(Status.DEAD, (0, 0))[0],
        behind=bool(endpoint.behind),
    )


def _has(principal: Principal, endpoint: Endpoint) -> bool:
    if may(principal, Action.MANAGE_ANY_WEBHOOK):
        return True
    return endpoint.store_id == principal.store_id != ""


def _own_store(principal: Principal) -> str:
    if not principal.store_id:
        raise WebhookConflict("register your store first: a webhook of a store gets that store's orders")
    return principal.store_id


def _account(principal: Principal) -> str:
    return principal.subject.partition(":")[2]
