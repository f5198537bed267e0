"""Orders: placed and changed a second with durable commits, and published; CPU microseconds each."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from majung.backends.embedded.database import EmbeddedDatabase
from majung.backends.embedded.log import EmbeddedLog
from majung.clock import SystemClock
from majung.orders.model import Actor, ActorRef, Address, Command, CommandArgs, Line
from majung.orders.service import OrderService
from majung.orders.wish import NewOrder
from majung.outbox.relay import Relay
from majung.settings import LogSettings
from majung.stores.model import Priced, Store, WishedLine

ORDERS = 5_000
AT_ONCE = 256
_HOME = Address(37.5, 127.03, "서울 강남구 테헤란로 1", "101동 202호")
_WISH = NewOrder("st-1", (WishedLine("a", 2), WishedLine("b", 1, ("large",))), _HOME, "문 앞에 두세요")
_SHOP = Store(
    name="국수집",
    category="noodles",
    latitude=37.4979,
    longitude=127.0276,
    address="강남역",
    hours={},
    store_id="st-1",
    version=1,
    created_at_ms=0,
    updated_at_ms=0,
)
_PRICED = Priced(
    _SHOP, (Line("a", "칼국수", 2, 9_000), Line("b", "만두", 1, 6_000, ("크게",))), 24_000, 0, 24_000
)
_STEPS = (
    (Command.ACCEPT, ActorRef(Actor.STORE, "st-1"), CommandArgs(cooking_minutes=15)),
    (Command.READY, ActorRef(Actor.STORE, "st-1"), CommandArgs()),
)


class _Prices:
    async def price(self, *_: object) -> Priced:
        """Known at once: stores are measured elsewhere."""
        return _PRICED


async def _measure(count: int, work: Callable[[int], Awaitable[object]], at_once: int) -> dict[str, float]:
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            await work(number)

    wall_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(at_once)))
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return {"a second": round(count / wall_s), "CPU µs each": round(1e6 * cpu_s / count, 1)}


async def _run(folder: Path) -> dict[str, Any]:
    clock = SystemClock()
    database = await EmbeddedDatabase(folder / "majung.db").open()
    log = await EmbeddedLog.open(folder / "log", LogSettings(), clock)
    orders, relay = OrderService(database, clock, _Prices()), Relay(database, log, clock)
    ids: list[str] = []

    async def place(number: int) -> None:
        ids.append((await orders.place(_WISH, f"customer:{number}", f"key-{number}")).order_id)

    async def change(number: int) -> None:
        command, actor, args = _STEPS[number // ORDERS]
        await orders.command(ids[number % ORDERS], command, actor, args)

    try:
        result: dict[str, Any] = {
            f"orders, {AT_ONCE} clients": await _measure(ORDERS, place, AT_ONCE),
            f"status changes, {AT_ONCE} clients": await _measure(ORDERS * 2, change, AT_ONCE),
        }
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        while await relay.publish_once():
            pass
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        result["published"] = {
            "a second": round(relay.published / wall_s),
            "CPU µs each": round(1e6 * cpu_s / relay.published, 1),
        }
        result["orders, one client"] = await _measure(200, lambda n: place(ORDERS + n), 1)
        return result
    finally:
        await log.close()
        await database.close()


def run() -> dict[str, Any]:
    """Figures of the writing side alone, without HTTP; every answer waits for its commit."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_run(Path(folder)))
