"""The use cases: endpoints are made, changed, looked at and replayed; every one asks the policy first."""

import dataclasses
from typing import Any

import msgspec

from majung.auth.model import Principal
from majung.auth.policy import Action, may
from majung.orders.model import new_id
from majung.ports import Transaction
from majung.webhooks import events, store
from majung.webhooks.deliveries import MAX_SHOWN, Deliveries, WebhookConflict, has
from majung.webhooks.model import (
    Attempt,
    Endpoint,
    NewWebhook,
    State,
    Status,
    Webhook,
    WebhookChange,
    WebhookSecret,
)
from majung.webhooks.outcome import audit, ms, stored
from majung.webhooks.signing import new_secret

__all__ = ["MAX_SHOWN", "WebhookConflict", "Webhooks"]


class Webhooks(Deliveries):
    """One for each server; belongs to its event loop. `load` first, then `work` under the supervisor."""

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
            if has(principal, endpoint)
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

    # ------------------------------------------------------------------------------------- helpers

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


def _own_store(principal: Principal) -> str:
    if not principal.store_id:
        raise WebhookConflict("register your store first: a webhook of a store gets that store's orders")
    return principal.store_id


def _account(principal: Principal) -> str:
    return principal.subject.partition(":")[2]
