"""The endpoints, in memory: who is to be told of an event."""

from collections.abc import Iterator

import msgspec
import structlog

from majung.ports import Database, Row
from majung.webhooks import store
from majung.webhooks.events import TYPES, Event, chosen_types
from majung.webhooks.model import OUTAGE, Endpoint, State, Status

log = structlog.get_logger("majung.webhooks")


class Registry:
    """All endpoints, and by the key of what they may be told. Belongs to one event loop."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Endpoint] = {}
        self._by_key: dict[str, dict[str, Endpoint]] = {}

    async def load(self, database: Database, topics: tuple[str, ...]) -> None:
        """Read everything; once, before anything is filed or sent."""
        for row in await database.read(store.SELECT_ENDPOINTS):
            self.put(endpoint_of(row))
        for webhook_id, status, count, _ in await database.read(store.COUNT):
            if status == Status.WAITING and webhook_id in self._endpoints:
                self._endpoints[webhook_id].waiting = int(count)
        for topic in topics:
            for webhook_id, _, _ in await database.read(store.SELECT_BEHIND, (topic,)):
                if webhook_id in self._endpoints:
                    self._endpoints[webhook_id].behind.add(topic)

    def put(self, endpoint: Endpoint) -> None:
        """A new endpoint. Its key never changes."""
        self._endpoints[endpoint.webhook_id] = endpoint
        self._by_key.setdefault(endpoint.key, {})[endpoint.webhook_id] = endpoint

    def drop(self, webhook_id: str) -> None:
        """Tell it nothing more."""
        endpoint = self._endpoints.pop(webhook_id, None)
        if endpoint is not None:
            endpoint.state = State.DISABLED
            same = self._by_key[endpoint.key]
            del same[webhook_id]
            if not same:
                del self._by_key[endpoint.key]

    def get(self, webhook_id: str) -> Endpoint:
        """One. Raises LookupError."""
        if webhook_id not in self._endpoints:
            raise LookupError(f"there is no webhook {webhook_id[:64]!r}")
        return self._endpoints[webhook_id]

    def find(self, webhook_id: str) -> Endpoint | None:
        """One, or none."""
        return self._endpoints.get(webhook_id)

    def of_key(self, key: str) -> list[Endpoint]:
        """Those that may be told the same."""
        return list(self._by_key.get(key, {}).values())

    def behind(self, topic: str) -> list[Endpoint]:
        """Those that are to be read on from the log."""
        return [
            endpoint
            for endpoint in self._endpoints.values()
            if topic in endpoint.behind and endpoint.state is not State.DISABLED
        ]

    def targets(self, event: Event, appended_at_ms: int) -> Iterator[Endpoint]:
        """Who is to be told: may be, wants it, and was there when it happened."""
        for key in event.keys:
            for endpoint in self._by_key.get(key, {}).values():
                if (
                    endpoint.state is not State.DISABLED
                    and event.type in endpoint.types
                    and appended_at_ms >= endpoint.created_at_ms
                ):
                    yield endpoint

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(list(self._endpoints.values()))

    def __len__(self) -> int:
        return len(self._endpoints)


def endpoint_of(row: Row) -> Endpoint:
    """A row of `SELECT_ENDPOINTS`."""
    (
        webhook_id,
        store_id,
        account,
        url,
        events,
        description,
        secret,
        old_secret,
        old_until_ms,
        state,
        reason,
    ) = row[:11]
    patterns = msgspec.json.decode(events, type=tuple[str, ...])
    try:
        types = chosen_types(patterns, bool(store_id))
    except ValueError as problem:  # made by a version that told more: what is still told of it goes on
        log.error("webhook_pattern_unknown", webhook_id=webhook_id, problem=str(problem))
        types = frozenset(kind for kind in TYPES if kind in patterns)
    endpoint = Endpoint(
        webhook_id, store_id, account, url, patterns, types, description, secret, old_secret, old_until_ms,
        State(state), reason, *row[11:17],
    )  # fmt: skip
    endpoint.failures = (
        OUTAGE if endpoint.failing_since_ms else 0
    )  # whether it is there again is tried with care
    return endpoint
