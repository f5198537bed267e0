"""What webhooks run on, and what became of each delivery: read, sent again, counted, forgotten."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec

from majung.auth.changes import Changes
from majung.auth.model import Principal
from majung.auth.policy import Action, Policy, may
from majung.clock import Clock
from majung.observe.families import Counted, Figure, Level
from majung.outward import Outward
from majung.ports import Conflict, Database, Log, Transaction
from majung.settings import WebhookSettings
from majung.webhooks import events, store
from majung.webhooks.courier import Courier
from majung.webhooks.filing import Filer
from majung.webhooks.model import AuditEntry, Delivery, Endpoint, Replay, State, Status
from majung.webhooks.outcome import Outcomes, audit, ms
from majung.webhooks.registry import Registry

MAX_SHOWN = 100
_MAX_NUMBER = 2**63 - 1
_AUDIT_FOR = timedelta(days=365)
_AUDIT_SHOWN = 200


class WebhookConflict(Conflict):
    """What is asked does not go with how things are. `str()` is safe to show."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.outward = message


class Deliveries:
    """The part of `Webhooks` that is about deliveries; every use case asks the policy first."""

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

    def _endpoint(self, principal: Principal, webhook_id: str) -> Endpoint:
        self._policy.allow(principal, Action.WEBHOOKS)
        endpoint = self.registry.get(webhook_id)
        if not has(principal, endpoint):
            raise LookupError(f"there is no webhook {webhook_id[:64]!r}")
        return endpoint


def has(principal: Principal, endpoint: Endpoint) -> bool:
    """Whether an endpoint is the caller's to see and change."""
    if may(principal, Action.MANAGE_ANY_WEBHOOK):
        return True
    return endpoint.store_id == principal.store_id != ""
