"""A receiver of webhooks, and a house that sends them: real tables, a real log, time by hand."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from majung.auth.changes import Changes
from majung.auth.model import Principal, Role
from majung.auth.policy import Policy
from majung.backends.embedded.database import EmbeddedDatabase
from majung.backends.embedded.log import EmbeddedLog
from majung.clock import ManualClock
from majung.orders.model import OrderEvent
from majung.outbox.relay import ORDER_EVENTS_TOPIC
from majung.outward import Outward
from majung.settings import LogSettings, OutwardSettings, WebhookSettings
from majung.webhooks.model import NewWebhook, Webhook
from majung.webhooks.service import Webhooks
from majung.webhooks.signing import verify

LOOPBACK = "127.0.0.0/8"
ADMIN = Principal("admin:admin", Role.ADMIN)
WITHIN_S = 60.0
ACCOUNT = "INSERT INTO account (name, role, password_hash, created_at_ms, store_id) VALUES (?, ?, '', 0, ?)"
Reply = tuple[int, dict[str, str]]


@dataclass
class Call:
    """One request that came."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verify(self, secret: str, now_s: float | None = None) -> None:
        verify(
            secret,
            self.headers,
            self.body,
            float(self.headers["webhook-timestamp"]) if now_s is None else now_s,
        )


@dataclass
class Receiver:
    """An HTTP server on loopback; `answer` says what each call gets."""

    answer: Callable[[Call], Reply] = lambda call: (204, {})
    calls: list[Call] = field(default_factory=list)
    url: str = ""
    in_the_air: int = 0
    most_in_the_air: int = 0

    @property
    def ids(self) -> list[str]:
        return [call.id for call in self.calls]


@contextlib.contextmanager
def receiving(answer: Callable[[Call], Reply] | None = None, port: int = 0) -> Iterator[Receiver]:
    """A receiver that runs."""
    receiver = Receiver() if answer is None else Receiver(answer)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            call = Call({name.lower(): value for name, value in self.headers.items()}, body)
            with lock:
                receiver.calls.append(call)
                receiver.in_the_air += 1
                receiver.most_in_the_air = max(receiver.most_in_the_air, receiver.in_the_air)
            status, headers = receiver.answer(call)
            with lock:
                receiver.in_the_air -= 1
            text = b"" if status == 204 else b"thank you" if status < 300 else b"no, sorry"
            with contextlib.suppress(OSError):
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

        def log_message(self, *told: Any) -> None:
            """Nothing on the terminal."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *told: Any) -> None:
            """A caller that was killed in the middle is no news."""

    server = Quiet(("127.0.0.1", port), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class House:
    """Webhooks on a database and a log that outlive them, as they do in a crash."""

    def __init__(
        self, database: EmbeddedDatabase, log: EmbeddedLog, clock: ManualClock, **settings: Any
    ) -> None:
        self.database, self.log, self.clock = database, log, clock
        self.settings = WebhookSettings(**settings)
        self.outward = Outward(OutwardSettings(allow_networks=LOOPBACK))
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> "House":
        changes = Changes(self.database, self.clock)
        policy = Policy(self.database, self.clock, changes)
        self.webhooks = Webhooks(
            self.database, self.log, self.clock, policy, changes, self.outward, self.settings, "/majung"
        )
        await self.webhooks.load()
        for endpoint in self.webhooks.registry:
            self.webhooks.courier.wake(endpoint.webhook_id)
        self._tasks = [asyncio.create_task(filer.run()) for filer in self.webhooks.filers.values()]
        return self

    async def stop(self) -> None:
        """As a kill does: nothing is finished, nothing is said."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        await self.stop()
        await self.outward.close()

    async def add(self, url: str, principal: Principal = ADMIN, **wish: Any) -> tuple[Webhook, str]:
        made = await self.webhooks.create(principal, NewWebhook(url, **wish))
        return made.webhook, made.secret

    async def happen(self, *events: OrderEvent) -> None:
        """These events are published, and filed."""
        records = [(event.order_id, msgspec.json.encode(event)) for event in events]
        await self.log.append(ORDER_EVENTS_TOPIC, records)
        await self.filed()

    async def filed(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            for topic, filer in self.webhooks.filers.items():
                ends = (await self.log.stats(topic)).end
                while any(filer.position.get(part, 0) < end for part, end in ends.items()):
                    await self.pause()

    async def pause(self) -> None:
        """Let others go on, between two looks at a condition."""
        await asyncio.sleep(0.002)

    async def settle(self) -> None:
        """Everything that is due now is sent."""
        async with asyncio.timeout(WITHIN_S):
            await self.webhooks.courier.settle()

    async def days(self, days: float, step_s: float = 3_600.0) -> None:
        """Time passes, and the server does its work in it."""
        for _ in range(round(days * 86_400 / step_s)):
            self.clock.advance(step_s)
            await self.webhooks.tend()
            await self.settle()
            await self.webhooks.drop_old(self.clock.now_ms())

    async def shown(self, webhook_id: str) -> Webhook:
        return await self.webhooks.get(ADMIN, webhook_id)


@contextlib.asynccontextmanager
async def house(folder: Path, **settings: Any) -> AsyncIterator[House]:
    """A house that runs, on an empty folder."""
    clock = ManualClock()
    database = await EmbeddedDatabase(folder / "majung.db").open()
    log = await EmbeddedLog.open(folder / "log", LogSettings(), clock)
    await database.write(lambda tx: tx.execute(ACCOUNT, ("admin", "admin", "")))
    made = await House(database, log, clock, **settings).start()
    try:
        yield made
    finally:
        await made.close()
        await log.close()
        await database.close()
