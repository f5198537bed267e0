"""From the push queue to push services: each in a lane of its own, none waiting for another.

A row is in the queue until its push service has taken it, refused it for good, or its time is over; so a crash
sends again, never too little. What is on its way is bounded for each service and in total. A service that has
not answered well yet, or not the last time, gets few at a time, and all such services together only a part of
what there is: whoever subscribes with addresses that swallow everything slows down nobody but these.
"""

import asyncio
from bisect import bisect_right
from enum import Enum
from hashlib import sha256

import msgspec
import structlog

from majung.clock import Clock
from majung.notify import store as sql
from majung.notify.model import Kind
from majung.notify.push import Push, message_of, pause_of
from majung.notify.push_crypto import b64, encrypt
from majung.notify.subscriptions import Subscriptions
from majung.observe.families import Counted, Figure, Level, Spread
from majung.outward import Answer, NotAllowed, Outward, Unreachable
from majung.ports import Database, PortError
from majung.settings import NotifySettings

log = structlog.get_logger("majung.notify")

AT_ONCE = 256
NEW_AT_ONCE, NEW_A_LANE = 64, 2
BAD_AT_ONCE, BAD_A_LANE = 32, 1
LANE_PAUSE_S = 60.0  # a service that is busy gets nothing at all meanwhile
_BOUNDS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0)
_IDLE_S = 30.0
_RETRY_S = 0.5
_MAX_LANES = 10_000
_GONE = frozenset({404, 410})
_NOT_OURS = frozenset({401, 403})  # the subscription was made for another key: it will never work
_URGENT = frozenset({Kind.OFFER, Kind.NEW_ORDER, Kind.ARRIVING, Kind.RIDER_AT_STORE, Kind.TAKEN_AWAY})

_decode_params = msgspec.json.Decoder(dict[str, str | int]).decode


class _Trust(Enum):
    """How a push service has answered."""

    NEW = "new"
    GOOD = "good"
    BAD = "bad"


class _Lane:
    """One push service: what is on its way to it, and when it wants to be asked again."""

    __slots__ = ("flying", "pause_until_ms", "trust")

    def __init__(self) -> None:
        self.flying: set[tuple[int, str]] = set()
        self.trust = _Trust.NEW
        self.pause_until_ms = 0


class PushSender:
    """One for each server; belongs to its event loop. `wake` says that there is something new to send."""

    def __init__(
        self,
        database: Database,
        outward: Outward,
        subscriptions: Subscriptions,
        clock: Clock,
        settings: NotifySettings,
    ) -> None:
        self._database = database
        self._outward = outward
        self._subscriptions = subscriptions
        self._clock = clock
        self._a_lane = settings.push_at_once
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._work = asyncio.Event()
        self._last_origin = ""
        self._seconds = Spread("majung_push_seconds", "From the change to the push service.", _BOUNDS_S)
        self.sent = 0
        self.retried = 0
        self.refused = 0
        self.gone = 0
        self.expired = 0

    @property
    def flying(self) -> int:
        """Pushes on their way."""
        return len(self._tasks)

    def wake(self) -> None:
        """There is something new in the queue."""
        self._work.set()

    async def run(self) -> None:
        """Send until cancelled; what was on its way then is sent again after the next start."""
        await self._subscriptions.vapid()
        try:
            while True:
                self._work.clear()
                try:
                    pause_s = await self.step()
                except PortError as problem:
                    log.error("push_waits_for_storage", problem=str(problem))
                    pause_s = _RETRY_S
                try:
                    async with asyncio.timeout(pause_s):
                        await self._work.wait()
                except TimeoutError:
                    pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def step(self) -> float:
        """Start everything that may be sent now; seconds until something else is due. Raises PortError."""
        now_ms, next_ms = self._clock.now_ms(), 2**63
        for origin in await self._origins():
            lane = self._lanes.setdefault(origin, _Lane())
            free = self._free(lane)
            if free > 0 and lane.pause_until_ms <= now_ms:
                await self._start(origin, lane, free, now_ms)
                self._last_origin = origin
            rows = await self._database.read(sql.NEXT_DUE, {"origin": origin, "now_ms": now_ms})
            next_ms = min(next_ms, 2**63 if rows[0][0] is None else rows[0][0])
            if lane.pause_until_ms > now_ms:
                next_ms = min(next_ms, lane.pause_until_ms)
        if len(self._lanes) > _MAX_LANES:
            self._lanes = {origin: lane for origin, lane in self._lanes.items() if lane.flying}
        return min(_IDLE_S, max(0.01, (next_ms - now_ms) / 1000))

    async def _origins(self) -> list[str]:
        """The push services that something waits for, beginning after the one that had its turn last."""
        found: list[str] = []
        while origin := (await self._database.read(sql.NEXT_ORIGIN, {"origin": found[-1] if found else ""}))[
            0
        ][0]:
            found.append(str(origin))
        after = bisect_right(found, self._last_origin)
        return found[after:] + found[:after]

    async def queued(self) -> int:
        """What waits. Raises PortError."""
        return int((await self._database.read(sql.COUNT_QUEUE))[0][0])

    async def drop_old(self, now_ms: int) -> None:
        """Forget what came too late. Raises PortError."""
        await self._database.write(lambda tx: tx.execute(sql.DELETE_EXPIRED, {"now_ms": now_ms}))

    def _free(self, lane: _Lane) -> int:
        """How many more may be on their way to this service."""
        total = AT_ONCE - len(self._tasks)
        if lane.trust is _Trust.GOOD:
            return min(total, self._a_lane - len(lane.flying))
        at_once, a_lane = (NEW_AT_ONCE, NEW_A_LANE) if lane.trust is _Trust.NEW else (BAD_AT_ONCE, BAD_A_LANE)
        alike = sum(len(other.flying) for other in self._lanes.values() if other.trust is lane.trust)
        return min(total, at_once - alike, a_lane - len(lane.flying))

    async def _start(self, origin: str, lane: _Lane, free: int, now_ms: int) -> None:
        asked = {"origin": origin, "now_ms": now_ms, "limit": free + len(lane.flying)}
        rows = await self._database.read(sql.SELECT_DUE, asked)
        pushes = [push for row in rows if (push := Push(*row)).key not in lane.flying]
        for push in pushes[:free]:
            lane.flying.add(push.key)
            task = asyncio.create_task(self._send(origin, lane, push))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def counters(self) -> dict[str, int]:
        """What became of pushes, for metrics."""
        names = ("sent", "retried", "refused", "gone", "expired")
        return {name: int(getattr(self, name)) for name in names}

    async def figures(self) -> list[Figure]:
        """For metrics. Raises PortError."""
        return [
            Counted("majung_push", "Push messages, by what became of them.", "outcome", self.counters()),
            Level(
                "majung_push_queued", "Push messages that no push service has taken yet.", await self.queued()
            ),
            self._seconds,
        ]

    # -------------------------------------------------------------------------------------- one push

    async def _send(self, origin: str, lane: _Lane, push: Push) -> None:
        """One push on its way, and what its answer means for the queue."""
        try:
            await self._deliver(origin, lane, push)
        except PortError as problem:  # it is still in the queue
            log.error("push_waits_for_storage", problem=str(problem))
            await asyncio.sleep(_RETRY_S)
        except Exception:
            self.refused += 1
            log.exception("push_failed", notice_id=push.notice_id)
            await self._done(push)
        finally:
            lane.flying.discard(push.key)
            self._work.set()

    async def _deliver(self, origin: str, lane: _Lane, push: Push) -> None:
        now_ms = self._clock.now_ms()
        if push.expires_at_ms <= now_ms:
            self.expired += 1
            await self._done(push)
            return
        if push.endpoint is None or push.kind is None:
            await self._done(push)
            return
        headers, body = await self._request(origin, push, now_ms)
        try:
            answer = await self._outward.post(push.endpoint, headers, body)
        except Unreachable:
            lane.trust = _Trust.BAD
            await self._again(push, None)
        except (NotAllowed, ValueError) as problem:
            log.warning("push_not_allowed", origin=origin, problem=str(problem))
            self.refused += 1
            await self._subscriptions.forget(push.subscription_id)
        else:
            await self._answered(lane, push, answer)

    async def _answered(self, lane: _Lane, push: Push, answer: Answer) -> None:
        lane.trust = _Trust.BAD if answer.status >= 500 else _Trust.GOOD
        if 200 <= answer.status < 300:
            self.sent += 1
            if push.at_ms is not None:
                self._seconds.add(max(0, self._clock.now_ms() - push.at_ms) / 1000)
            await self._done(push)
        elif answer.status in _GONE or answer.status in _NOT_OURS:
            self.gone += 1
            await self._subscriptions.forget(push.subscription_id)
        elif answer.status == 429 or answer.status >= 500:
            pause_s = await self._again(push, answer.headers.get("retry-after"))
            lane.pause_until_ms = self._clock.now_ms() + round(min(pause_s, LANE_PAUSE_S) * 1000)
        else:
            self.refused += 1
            log.warning(
                "push_refused", status=answer.status, answer=answer.body[:200].decode("utf-8", "replace")
            )
            await self._done(push)

    async def _request(self, origin: str, push: Push, now_ms: int) -> tuple[dict[str, str], bytes]:
        assert push.kind and push.recipient and push.order_id and push.p256dh and push.auth and push.params
        kind, params = Kind(push.kind), _decode_params(push.params)
        plain = message_of(
            push.notice_id, kind, push.order_id, push.recipient, push.at_ms or 0, params, push.language
        )
        topic = b64(sha256(f"{push.recipient}\0{push.order_id}".encode()).digest()[:24])
        vapid = await self._subscriptions.vapid()
        headers = {
            "Authorization": vapid.authorization(origin, now_ms // 1000),
            "Content-Type": "application/octet-stream",
            "Content-Encoding": "aes128gcm",
            "TTL": str(max(1, (push.expires_at_ms - now_ms) // 1000)),
            "Urgency": "high" if kind in _URGENT else "normal",
            "Topic": topic,  # of one order the newest alone waits for a phone that is off
        }
        return headers, encrypt(plain, push.p256dh, push.auth)

    # ------------------------------------------------------------------------------------- the queue

    async def _done(self, push: Push) -> None:
        await self._database.write(lambda tx: tx.execute(sql.DONE, push.key))

    async def _again(self, push: Push, retry_after: str | None) -> float:
        """Later; in how many seconds."""
        self.retried += 1
        pause_s = pause_of(push.tries, retry_after)
        row = {
            "notice_id": push.notice_id,
            "subscription_id": push.subscription_id,
            "due_at_ms": self._clock.now_ms() + round(pause_s * 1000),
        }
        await self._database.write(lambda tx: tx.execute(sql.AGAIN, row))
        return pause_s
