"""What an order and each of its changes cost, step by step, in CPU microseconds of the whole process.

The real services, without HTTP and one step after the other, so that each can be told from the others:
priced, placed, changed, published, filed in the views, told to viewers. Durable commits.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.gangnam_city import STATION, make
from majung.auth.model import Principal, Role
from majung.compose import open_services
from majung.orders import view_store
from majung.orders.model import Actor, ActorRef, Address, Command, CommandArgs, OrderEvent
from majung.orders.view_policy import Part, Scope
from majung.orders.views import TOPIC
from majung.orders.wish import NewOrder
from majung.services import Services
from majung.settings import Settings
from majung.stores.model import WishedLine

ORDERS = 3_000
VIEWERS = 300
AT_ONCE = 64
_HOME = Address(*STATION, "서울 강남구 테헤란로 1", "101동 202호")
_LINES = (WishedLine("dish-0", 2, ("large",)), WishedLine("dish-5"))
_decode = msgspec.json.Decoder(OrderEvent).decode


class Meter:
    """Figures by step."""

    def __init__(self) -> None:
        self.result: dict[str, Any] = {}

    async def measure(self, name: str, count: int, work: Callable[[int], Awaitable[object]]) -> None:
        """`AT_ONCE` callers share `count` calls."""
        numbers = iter(range(count))

        async def caller() -> None:
            for number in numbers:
                await work(number)

        wall_s, cpu_s = time.perf_counter(), time.process_time()
        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
        self.keep(name, count, time.perf_counter() - wall_s, time.process_time() - cpu_s)

    def keep(self, name: str, count: int, wall_s: float, cpu_s: float) -> None:
        """Put a figure in."""
        self.result[name] = {"a second": round(count / wall_s), "CPU µs each": round(cpu_s / count * 1e6, 1)}


async def _steps(services: Services, meter: Meter) -> None:
    city = await make(services, 20, 0, 0)
    shop = city.shops[0]
    wish, ids = NewOrder(shop.store_id, _LINES, _HOME, "문 앞에 두세요"), list[str]()
    now_ms = services.clock.now_ms()

    async def price(_: int) -> None:
        await services.stores.price(wish.store_id, wish.lines, wish.address, now_ms)

    async def place(number: int) -> None:
        ids.append((await services.orders.place(wish, f"customer:{number % 500}", f"k{number}")).order_id)

    async def accept(number: int) -> None:
        store, args = ActorRef(Actor.STORE, shop.store_id), CommandArgs(cooking_minutes=9)
        await services.orders.command(ids[number], Command.ACCEPT, store, args)

    await meter.measure("validate and price", ORDERS, price)
    await meter.measure("place: price, and the transaction (order, event, outbox)", ORDERS, place)
    await meter.measure("change: the transaction (order, event, outbox)", ORDERS, accept)
    await _published(services, meter)
    await _read(services, meter, ids)


async def _published(services: Services, meter: Meter) -> None:
    """What comes after the commit, for each change."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    while await services.relay.publish_once():
        pass
    meter.keep(
        "relay: outbox → log, marked", 2 * ORDERS, time.perf_counter() - wall_s, time.process_time() - cpu_s
    )
    await services.views_db.write(view_store.prepare)
    consumer = services.log.consumer(TOPIC, "bench")
    scopes = [Scope(Part.CUSTOMER, f"customer:{number}", True) for number in range(VIEWERS)]
    who = Principal("customer:bench", Role.CUSTOMER)
    for scope in scopes:

        async def see(scope: Scope = scope) -> Scope:
            return scope

        services.order_live.open(who, scope, see)
    done, spent = 0, {"log: read": [0.0, 0.0], "view": [0.0, 0.0], "live: 300 customers watch": [0.0, 0.0]}

    async def timed(name: str, work: Awaitable[Any]) -> Any:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        value = await work
        spent[name][0] += time.perf_counter() - wall_s
        spent[name][1] += time.process_time() - cpu_s
        return value

    async def file(events: list[OrderEvent]) -> Any:
        return await services.views_db.write(lambda tx: view_store.file(tx, events, {0: 0}))

    async def tell(filed: Any) -> None:
        services.order_live.publish(filed)

    while done < 2 * ORDERS:
        records = await timed("log: read", consumer.poll(500, 0.005))
        filed = await timed("view", file([_decode(record.value) for record in records]))
        await timed("live: 300 customers watch", tell(filed))
        done += len(records)
    await consumer.close()
    for name, took in spent.items():
        meter.keep(name, done, *took)


async def _read(services: Services, meter: Meter, ids: list[str]) -> None:
    services.order_views.restored.set()  # they are complete: all there is has been filed

    async def one(number: int) -> None:
        await services.order_views.order(ids[number % len(ids)])

    await meter.measure("view reads: one order", 2 * ORDERS, one)


async def _run(folder: Path) -> dict[str, Any]:
    meter = Meter()
    async with open_services(Settings(data=folder / "data")) as services:
        await _steps(services, meter)
    return meter.result


def run() -> dict[str, Any]:
    """Figures by step."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_run(Path(folder)))
