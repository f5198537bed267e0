"""What an attempt changes: the delivery, the health of its endpoint, and perhaps that it is given up."""

from datetime import timedelta

import msgspec
import structlog

from majung.clock import Clock
from majung.orders.model import new_id
from majung.ports import Database, Transaction
from majung.settings import WebhookSettings
from majung.webhooks import schedule, store
from majung.webhooks.model import OUTAGE, Attempt, Endpoint, State, Status

log = structlog.get_logger("majung.webhooks")

SERVER = "majung"
_GONE = 410


class Outcomes:
    """Writes down what became of attempts. Counters count from the start of the process."""

    def __init__(self, database: Database, clock: Clock, settings: WebhookSettings) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._delays_s = settings.retry_delays_s
        self.delivered = 0
        self.failed = 0
        self.dead = 0

    async def record(
        self, endpoint: Endpoint, number: int, attempts: int, queued_at_ms: int, attempt: Attempt
    ) -> None:
        """The row and the endpoint, in one transaction. Raises PortError: then it is tried again."""
        now_ms = self._clock.now_ms()
        wait_ms = round(schedule.retry_s(self._delays_s, attempts, attempt.retry_after_s) * 1000)
        over = now_ms + wait_ms > queued_at_ms + ms(self._settings.give_up_after)
        gone = attempt.http_status == _GONE
        status = Status.DONE if attempt.ok else Status.DEAD if over or gone else Status.WAITING
        recovered = attempt.ok and endpoint.failures >= OUTAGE
        self._note_health(endpoint, attempt, now_ms)
        lost = (
            "" if attempt.ok else self._lost(endpoint, gone, now_ms)
        )  # now: a call beside this one may succeed
        row = {
            "number": number,
            "status": status,
            "next_at_ms": now_ms + wait_ms if status is Status.WAITING else 0,
            "now_ms": now_ms,
            "took_ms": attempt.took_ms,
            "http_status": attempt.http_status,
            "problem": attempt.problem,
            "answer": attempt.answer,
        }

        def work(tx: Transaction) -> bool:
            changed = bool(tx.execute(store.RECORD, row))
            tx.execute(store.UPDATE_HEALTH, _health(endpoint))
            if recovered:
                tx.execute(store.RELEASE, {"webhook_id": endpoint.webhook_id, "now_ms": now_ms})
            return changed

        changed = await self._database.write(work)
        if changed and status is not Status.WAITING:
            endpoint.waiting = max(0, endpoint.waiting - 1)
        self.delivered += attempt.ok
        self.failed += not attempt.ok
        self.dead += status is Status.DEAD
        if lost:
            await self.disable(endpoint, lost)

    def _note_health(self, endpoint: Endpoint, attempt: Attempt, now_ms: int) -> None:
        if attempt.ok:
            endpoint.failures = endpoint.failing_since_ms = endpoint.hold_until_ms = 0
            endpoint.last_success_ms = now_ms
            endpoint.last_problem = ""
            return
        endpoint.failures += 1
        endpoint.failing_since_ms = endpoint.failing_since_ms or now_ms
        endpoint.last_failure_ms = now_ms
        endpoint.last_problem = attempt.problem
        endpoint.hold_until_ms = now_ms + round(
            schedule.hold_s(endpoint.failures, attempt.retry_after_s) * 1000
        )

    def _lost(self, endpoint: Endpoint, gone: bool, now_ms: int) -> str:
        """Why nothing more is to be sent there; "" when there is no reason."""
        if gone:
            return "it answered 410 Gone"
        if now_ms - endpoint.failing_since_ms >= ms(self._settings.disable_after):
            days = self._settings.disable_after.total_seconds() / 86_400
            return f"nothing but failures for {days:g} days; the last one: {endpoint.last_problem}"
        return ""

    async def disable(self, endpoint: Endpoint, reason: str) -> None:
        """Send nothing more; what waits is dead, and can be replayed. Raises PortError."""
        if endpoint.state is State.DISABLED:
            return
        endpoint.state, endpoint.reason = State.DISABLED, reason
        now_ms = self._clock.now_ms()
        endpoint.updated_at_ms = now_ms
        died, endpoint.waiting = endpoint.waiting, 0
        endpoint.behind.clear()

        def work(tx: Transaction) -> None:
            tx.execute(store.UPDATE_ENDPOINT, stored(endpoint))
            buried = {"webhook_id": endpoint.webhook_id, "now_ms": now_ms, "problem": f"disabled: {reason}"}
            tx.execute(store.BURY, buried)
            tx.execute(store.DELETE_BEHIND_OF, (endpoint.webhook_id,))
            audit(tx, endpoint.webhook_id, now_ms, SERVER, "disabled", reason)

        await self._database.write(work)
        self.dead += died
        log.warning("webhook_disabled", webhook_id=endpoint.webhook_id, reason=reason)

    async def give_up_old(self, now_ms: int) -> dict[str, int]:
        """What has waited too long is dead, tried or not; how many of each endpoint. Raises PortError."""
        asked = {"now_ms": now_ms, "before_ms": now_ms - ms(self._settings.give_up_after)}
        rows = await self._database.write(lambda tx: tx.execute(store.GIVE_UP, asked))
        counts: dict[str, int] = {}
        for (webhook_id,) in rows:
            counts[webhook_id] = counts.get(webhook_id, 0) + 1
        self.dead += len(rows)
        return counts


def audit(tx: Transaction, webhook_id: str, now_ms: int, actor: str, what: str, detail: str) -> None:
    """Who did what to an endpoint."""
    tx.execute(store.INSERT_AUDIT, (new_id("wha", now_ms), webhook_id, now_ms, actor, what, detail))


def stored(endpoint: Endpoint) -> dict[str, object]:
    """The parameters of `UPDATE_ENDPOINT`."""
    names = (
        "webhook_id", "account", "url", "description", "secret", "old_secret", "old_secret_until_ms", "state",
        "reason", "updated_at_ms", "failing_since_ms",
    )  # fmt: skip
    events = msgspec.json.encode(endpoint.events).decode()
    return {**{name: getattr(endpoint, name) for name in names}, "events": events}


def _health(endpoint: Endpoint) -> dict[str, object]:
    names = ("webhook_id", "failing_since_ms", "last_success_ms", "last_failure_ms", "last_problem")
    return {name: getattr(endpoint, name) for name in names}


def ms(span: timedelta) -> int:
    """Whole milliseconds."""
    return round(span.total_seconds() * 1000)
