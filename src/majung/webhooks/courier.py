"""Sends what waits. Each endpoint has a lane of its own while something is due for it, and none otherwise.

A lane keeps a few calls in the air, never two of one subject. Failures in a row hold the endpoint back for a
moment that grows with each, and in that state one call at a time tries whether it is there again.
"""

import asyncio
import contextlib
import heapq
from collections import deque
from dataclasses import dataclass, field

import msgspec
import structlog

import majung
from majung.clock import Clock
from majung.outward import Answer, NotAllowed, Outward, Unreachable
from majung.ports import Database, PortError, Row
from majung.settings import WebhookSettings
from majung.webhooks import schedule, signing, store
from majung.webhooks.events import MEDIA_TYPE
from majung.webhooks.model import OUTAGE, Attempt, Endpoint, State
from majung.webhooks.outcome import Outcomes
from majung.webhooks.registry import Registry

log = structlog.get_logger("majung.webhooks")

MAX_IN_FRONT = 3
"""Refused so often, an event is no longer waited for by the later ones of its order; in an outage it is."""
_NEVER = 2**31
_READ = 64
_AT_ONCE = 400
_ANSWER_BYTES = 4_096
_SHOWN_CHARS = 1_000
_LOOK_EVERY_S = 1.0
_AFTER_TROUBLE_MS = 5_000


class Due(msgspec.Struct, frozen=True):
    """A delivery that is to be tried now."""

    number: int
    event_id: str
    subject: str
    queued_at_ms: int
    attempts: int
    body: str


@dataclass
class _Lane:
    """An endpoint being served: what is in the air, by subject."""

    bell: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    busy: "dict[str, tuple[int, asyncio.Task[bool]]]" = field(default_factory=dict)
    rows: deque[Due] = field(default_factory=deque)


class Courier:
    """One for each server; belongs to its event loop."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        outward: Outward,
        registry: Registry,
        outcomes: Outcomes,
        settings: WebhookSettings,
    ) -> None:
        self._database = database
        self._clock = clock
        self._outward = outward
        self._registry = registry
        self._outcomes = outcomes
        self._settings = settings
        self._lanes: dict[str, _Lane] = {}
        self._ready: set[str] = set()
        self._timers: list[tuple[int, str]] = []
        self._bell = asyncio.Event()
        self._air = asyncio.Semaphore(_AT_ONCE)

    def wake(self, webhook_id: str) -> None:
        """Something may be due for this endpoint."""
        lane = self._lanes.get(webhook_id)
        if lane is not None:
            lane.bell.set()
        else:
            self._ready.add(webhook_id)
        self._bell.set()

    async def run(self) -> None:
        """Send until cancelled; what is in the air then is sent again after the next start."""
        for endpoint in self._registry:
            self.wake(endpoint.webhook_id)
        try:
            while True:
                self._bell.clear()
                self._start_due()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._bell.wait()
        finally:
            tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self) -> None:
        """Send until nothing is due by the clock."""
        self._start_due()
        while tasks := [lane.task for lane in self._lanes.values() if lane.task is not None]:
            await asyncio.wait(tasks)
            self._start_due()

    async def attempt(self, endpoint: Endpoint, event_id: str, body: str) -> Attempt:
        """One call, and what came of it. Never raises."""
        now_ms, started_s = self._clock.now_ms(), self._clock.monotonic_s()
        headers = {
            "content-type": MEDIA_TYPE,
            "user-agent": f"Majung/{majung.__version__}",
            **signing.headers(event_id, now_ms // 1000, body, endpoint.secrets(now_ms)),
        }
        try:
            async with self._air:
                answer = await self._outward.post(endpoint.url, headers, body.encode(), _ANSWER_BYTES)
        except (ValueError, NotAllowed, Unreachable) as problem:
            took_ms = round((self._clock.monotonic_s() - started_s) * 1000)
            return Attempt(False, 0, took_ms, str(problem)[:_SHOWN_CHARS])
        took_ms = round((self._clock.monotonic_s() - started_s) * 1000)
        return _judge(answer, took_ms, now_ms)

    # ---------------------------------------------------------------------------------------- lanes

    def _start_due(self) -> None:
        now_ms = self._clock.now_ms()
        while self._timers and self._timers[0][0] <= now_ms:
            self._ready.add(heapq.heappop(self._timers)[1])
        ready, self._ready = self._ready, set()
        for webhook_id in ready:
            endpoint = self._registry.find(webhook_id)
            if endpoint is not None and endpoint.state is State.ACTIVE and webhook_id not in self._lanes:
                lane = self._lanes[webhook_id] = _Lane()
                lane.task = asyncio.create_task(self._serve(endpoint, lane), name=f"webhook-{webhook_id}")

    async def _serve(self, endpoint: Endpoint, lane: _Lane) -> None:
        again_ms: int | None = None
        try:
            while True:
                lane.bell.clear()
                await self._send_some(endpoint, lane)
                if not lane.busy:
                    again_ms = await self._next_ms(endpoint)
                    if not lane.bell.is_set():
                        break
                    continue
                await _first_of(lane)
                for subject, (_, task) in list(lane.busy.items()):
                    if task.done():
                        del lane.busy[subject]
                        if not task.result():
                            lane.rows.clear()
        except Exception as problem:
            if not isinstance(problem, PortError):
                log.exception("webhook_lane_died", webhook_id=endpoint.webhook_id)
            again_ms = self._clock.now_ms() + _AFTER_TROUBLE_MS
        finally:
            tasks = [task for _, task in lane.busy.values()]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.gather(*tasks, return_exceptions=True)
            del self._lanes[endpoint.webhook_id]
            if again_ms is not None:
                heapq.heappush(self._timers, (again_ms, endpoint.webhook_id))
            self._bell.set()

    async def _send_some(self, endpoint: Endpoint, lane: _Lane) -> None:
        """As many as may be in the air, oldest first."""
        if not self._may_send(endpoint):
            lane.rows.clear()
            return
        width = 1 if endpoint.failures > schedule.TOLERATED else self._settings.at_once
        if not lane.rows and len(lane.busy) < width:
            flying = {
                number for number, _ in lane.busy.values()
            }  # before the read: they are waiting rows still
            lane.rows.extend(due for due in await self._due(endpoint) if due.number not in flying)
        for due in list(lane.rows):
            if len(lane.busy) >= width or not self._may_send(endpoint):
                return
            if due.subject not in lane.busy:
                lane.rows.remove(due)
                task = asyncio.create_task(self._deliver(endpoint, due))
                lane.busy[due.subject] = (due.number, task)

    def _may_send(self, endpoint: Endpoint) -> bool:
        return endpoint.state is State.ACTIVE and endpoint.hold_until_ms <= self._clock.now_ms()

    async def _due(self, endpoint: Endpoint) -> list[Due]:
        asked = {
            "webhook_id": endpoint.webhook_id,
            "now_ms": self._clock.now_ms(),
            "in_front": _NEVER if endpoint.failures >= OUTAGE else MAX_IN_FRONT,
            "limit": _READ,
        }
        return [Due(*row) for row in await self._database.read(store.SELECT_DUE, asked)]

    async def _next_ms(self, endpoint: Endpoint) -> int | None:
        """When to look again, None: when somebody wakes the endpoint."""
        if endpoint.state is not State.ACTIVE:
            return None
        now_ms = self._clock.now_ms()
        asked = {"webhook_id": endpoint.webhook_id, "now_ms": now_ms}
        rows: list[Row] = await self._database.read(store.SELECT_NEXT, asked)
        due_ms, waiting = rows[0]
        if not waiting:
            return None
        if endpoint.hold_until_ms > now_ms:
            return endpoint.hold_until_ms
        return now_ms if due_ms is None else int(due_ms)

    async def _deliver(self, endpoint: Endpoint, due: Due) -> bool:
        attempt = await self.attempt(endpoint, due.event_id, due.body)
        await self._outcomes.record(endpoint, due.number, due.attempts + 1, due.queued_at_ms, attempt)
        return attempt.ok


async def _first_of(lane: _Lane) -> None:
    """Until one of those in the air has landed, or the bell rings."""
    bell = asyncio.ensure_future(lane.bell.wait())
    try:
        tasks = [task for _, task in lane.busy.values()]
        await asyncio.wait([bell, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        bell.cancel()


def _judge(answer: Answer, took_ms: int, now_ms: int) -> Attempt:
    ok = 200 <= answer.status < 300
    problem = "" if ok else f"HTTP {answer.status}"
    if 300 <= answer.status < 400:
        problem += ": redirects are not followed; register the address it leads to"
    wait_s = 0.0 if ok else schedule.retry_after(answer.headers, now_ms)
    shown = answer.body.decode("utf-8", "replace").replace("\0", "�")[:_SHOWN_CHARS]
    return Attempt(ok, answer.status, took_ms, problem, shown, wait_s)
