"""Orders and their events, made for tests of the reading side."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from majung.auth.model import Principal, Role
from majung.backends.embedded.livestore import EmbeddedLiveStore
from majung.backends.embedded.log import EmbeddedLog
from majung.backends.embedded.remade import RemadeDatabase
from majung.clock import ManualClock
from majung.orders.live_viewer import OrderViewer
from majung.orders.model import Actor, Address, Line, Order, OrderEvent, OrderState
from majung.orders.order_live import OrderLive
from majung.orders.view_policy import Scope
from majung.orders.views import TOPIC, OrderViews, Source
from majung.positions.model import LivePosition
from majung.settings import CellSettings, LiveSettings, LogSettings

S = OrderState
STEPS = ("", "accept", "assign", "ready", "pick_up", "depart", "deliver")
STATES = (S.RECEIVED, S.COOKING, S.COOKING, S.READY, S.PICKED_UP, S.DELIVERING, S.DELIVERED)
CODE = "7318"


def event(
    number: int,
    version: int,
    customer: str = "ann",
    store_id: str = "s1",
    rider_id: str = "r1",
    **changes: Any,
) -> OrderEvent:
    """The event that brings order `number` to `version` (1–7) on the straight way to the door."""
    step = version - 1
    order = Order(
        order_id=f"ord-{number:04d}",
        version=version,
        state=STATES[step],
        customer=customer,
        store_id=store_id,
        store_name="마중 분식",
        store_latitude=37.5,
        store_longitude=127.03,
        address=Address(37.51, 127.04, "테헤란로 1"),
        lines=(Line("i1", "떡볶이", 2, 5_000),),
        total_krw=10_000,
        placed_at_ms=1_780_000_000_000,
        changed_at_ms=1_780_000_000_000 + version,
        rider_id=rider_id if step >= 2 else "",
        picked_up_at_ms=1_780_000_000_000 if step >= 4 else 0,
        delivery_code=CODE,
    )
    order = msgspec.structs.replace(order, **changes)
    return OrderEvent(
        f"e-{number}-{version}",
        order.order_id,
        version,
        STEPS[step],
        Actor.ADMIN,
        "x",
        order.changed_at_ms,
        order,
    )


def story(number: int, last: int = 7, **parts: Any) -> list[OrderEvent]:
    """Every event of one order, up to version `last`."""
    return [event(number, version, **parts) for version in range(1, last + 1)]


class Kit:
    """Views and their live stream, on a log of four partitions."""

    def __init__(self, folder: Path, **live: Any) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.settings = LiveSettings.model_validate(live)
        self.source: Source | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        log = LogSettings.model_validate({"partitions": 4, "commit_every": "0ms"})
        self.log = await EmbeddedLog.open(self.folder / "log", log, self.clock)
        self.live_store = await EmbeddedLiveStore.open(self.folder, CellSettings(), self.clock)
        await self.start()

    async def start(self) -> None:
        """A new life: what was in memory is gone."""
        self.database = await RemadeDatabase(self.folder / "views.db").open()
        self.live = OrderLive(self.settings, self.clock, self.database, self.live_store)
        self.views = OrderViews(
            self.log, self.database, self.clock, self.live, self.source, self.database.start_over
        )
        self.database.listeners.append(self.views.lost)
        self._task = asyncio.create_task(self.views.run())
        await self.views.restored.wait()

    async def end_life(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.database.close()

    def lose_views(self) -> None:
        for file in self.folder.glob("views.db*"):
            file.unlink()

    async def close(self) -> None:
        await self.end_life()
        await self.live_store.close()
        await self.log.close()

    async def happen(self, events: Sequence[OrderEvent]) -> None:
        """Publish, and wait until all of them are filed."""
        await self.log.append(TOPIC, [(e.order_id, msgspec.json.encode(e)) for e in events])
        await self.caught_up()

    async def caught_up(self) -> None:
        while (await self.log.lag(TOPIC, "order-views")).records:
            assert self._task is not None and not self._task.done()
            await asyncio.sleep(0)

    def viewer(
        self, scope: Scope, epoch: str = "", offset: int = 0, principal: Principal | None = None
    ) -> OrderViewer:
        async def see() -> Scope:
            return scope

        return self.live.open(principal or Principal("t", Role.ADMIN), scope, see, epoch, offset)


@contextlib.asynccontextmanager
async def opened(folder: Path, **live: Any) -> AsyncIterator[Kit]:
    kit = Kit(folder, **live)
    await kit.open()
    try:
        yield kit
    finally:
        await kit.close()


def position(rider_id: str, latitude: float = 37.5, at_ms: int = 1_780_000_001_000) -> LivePosition:
    return LivePosition(rider_id, latitude, 127.0, at_ms, at_ms)


async def take(viewer: OrderViewer) -> list[dict[str, Any]]:
    """The next messages."""
    return [json.loads(frame.body) for frame in await asyncio.wait_for(viewer.take(), 60)]


class Page:
    """What a page that follows the grammar of docs/order-views.md shows: open orders by id."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.riders: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, list[int]] = {}
        self.epoch = ""
        self.offset = 0
        self.resyncs = 0

    def apply(self, messages: Sequence[dict[str, Any]]) -> None:
        for message in messages:
            getattr(self, f"_{message['type']}")(message)
            self.offset = message.get("offset", self.offset)

    def _snapshot(self, message: dict[str, Any]) -> None:
        assert message["complete"]
        self.epoch = message["epoch"]
        found = msgspec.convert(message["orders"], list[Order])
        self.orders = {order.order_id: order for order in found}
        self.riders = {}
        self.versions = {order.order_id: [order.version] for order in found}

    def _order(self, message: dict[str, Any]) -> None:
        order = msgspec.convert(message["order"], Order)
        seen = self.versions.setdefault(order.order_id, [])
        if seen:
            assert order.version > seen[-1], "a stream never goes backwards"
        seen.append(order.version)
        ended = order.state in (S.DELIVERED, S.REJECTED, S.CANCELLED, S.FAILED)
        if ended:
            self.orders.pop(order.order_id, None)
        else:
            self.orders[order.order_id] = order
        if order.state not in (S.PICKED_UP, S.DELIVERING):
            self.riders.pop(order.order_id, None)

    def _left(self, message: dict[str, Any]) -> None:
        self.orders.pop(message["order_id"], None)

    def _rider(self, message: dict[str, Any]) -> None:
        self.riders[message["order_id"]] = message["position"]

    def _resync(self, _message: dict[str, Any]) -> None:
        self.orders, self.riders, self.versions = {}, {}, {}
        self.resyncs += 1

    def _resumed(self, _message: dict[str, Any]) -> None:
        return
