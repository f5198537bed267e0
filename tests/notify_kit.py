"""Notices on a real database, with the events of `order_views_kit`, and what was told live."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec

from majung.backends.embedded.database import EmbeddedDatabase
from majung.backends.embedded.livestore import EmbeddedLiveStore
from majung.backends.embedded.log import EmbeddedLog
from majung.clock import ManualClock
from majung.notify.model import SeenEvent
from majung.notify.sender import PushSender
from majung.notify.service import Notifier
from majung.notify.subscriptions import NewSubscription, Subscriptions
from majung.orders.model import OrderEvent
from majung.outward import Outward
from majung.positions.model import LivePosition
from majung.settings import CellSettings, LogSettings, NotifySettings, OutwardSettings
from tests.push_kit import Browser

HOME = (37.51, 127.04)  # where the orders of order_views_kit go
STORE = (37.5, 127.03)


def seen(events: Iterable[OrderEvent]) -> list[SeenEvent]:
    """As they come out of the log."""
    return [msgspec.json.decode(msgspec.json.encode(event), type=SeenEvent) for event in events]


class Kit:
    """One server's notifications. `start` again is a new life on the same rows."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.settings = NotifySettings.model_validate(settings)
        self.told: list[dict[str, Any]] = []
        self.told_to: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        settings = LogSettings.model_validate({"partitions": 4, "commit_every": "0ms"})
        self.log = await EmbeddedLog.open(self.folder / "log", settings, self.clock)
        self.live = await EmbeddedLiveStore.open(self.folder, CellSettings(), self.clock)
        self.database = await EmbeddedDatabase(self.folder / "majung.db").open()
        self.outward = Outward(
            OutwardSettings.model_validate({"allow_networks": "127.0.0.0/8,::1/128", "timeout": "5s"})
        )
        await self.start()

    async def start(self) -> None:
        self.subscriptions = Subscriptions(self.database, self.outward, self.clock, self.settings)
        self.sender = PushSender(self.database, self.outward, self.subscriptions, self.clock, self.settings)
        self.notify = Notifier(self.database, self.log, self.live, self._tell, self.clock, self.settings)
        self.notify.wake_sender = self.sender.wake
        await self.notify.load()

    def push(self) -> None:
        """Start to send."""
        self._tasks.append(asyncio.create_task(self.sender.run()))

    async def end_life(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        await self.end_life()
        await self.outward.close()
        await self.live.close()
        await self.log.close()
        await self.database.close()

    def _tell(self, keys: Iterable[str], body: bytes) -> None:
        self.told_to += keys
        self.told.append(msgspec.json.decode(body))

    async def happen(self, *events: OrderEvent) -> None:
        await self.notify.observe(seen(events))
        await self.notify.flush()

    async def move(self, rider_id: str, place: tuple[float, float], **more: Any) -> None:
        """A plain position; returns when what it means has been written."""
        position = at(self.clock, rider_id, place, **more)
        self.notify.positions([position])
        await self.notify.flush()

    def kinds(self, recipient: str) -> list[str]:
        """What was told live to somebody, in order."""
        return [m["kind"] for to, m in zip(self.told_to, self.told, strict=True) if to == recipient]

    async def stored(self, recipient: str) -> list[str]:
        return [notice.kind.value for notice in await self.notify.after(recipient, 0, 200)]

    async def account(self, name: str, role: str = "customer") -> None:
        values = {"name": name, "role": role}
        sql = (
            "INSERT INTO account (name, role, password_hash, created_at_ms)"
            " VALUES (:name, :role, '!', 0) ON CONFLICT DO NOTHING"
        )
        await self.database.write(lambda tx: tx.execute(sql, values))

    async def subscribe(self, account: str, recipient: str, browser: Browser, language: str = "ko") -> str:
        await self.account(account)
        wish = msgspec.convert(browser.subscription(language), NewSubscription)
        return (await self.subscriptions.add(account, recipient, wish)).subscription_id


def at(clock: ManualClock, rider_id: str, place: tuple[float, float], **more: Any) -> LivePosition:
    now_ms = clock.now_ms()
    values: dict[str, Any] = {"device_time_ms": now_ms, "received_at_ms": now_ms, "accuracy_m": 8.0, **more}
    return LivePosition(rider_id, *place, **values)


def north_of(place: tuple[float, float], metres: float) -> tuple[float, float]:
    return place[0] + metres / 111_195, place[1]


@contextlib.asynccontextmanager
async def opened(folder: Path, **settings: Any) -> AsyncIterator[Kit]:
    kit = Kit(folder, **settings)
    await kit.open()
    try:
        yield kit
    finally:
        await kit.close()
