"""Views of orders: how fast events are filed, and how fast one order is read by its primary key.

Durable commits, one process, in-process callers.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from majung.backends.embedded.database import EmbeddedDatabase
from majung.orders import view_store
from majung.orders.model import Actor, Address, Line, Order, OrderEvent, OrderState
from majung.orders.view_policy import Part, Scope

ORDERS = 20_000
BATCH = 500
READS = 10_000
CALLERS = 16


def _event(number: int) -> OrderEvent:
    order = Order(
        order_id=f"ord-{number:09d}",
        version=1,
        state=OrderState.RECEIVED,
        customer=f"user:c{number % 5_000}",
        store_id=f"s{number % 500}",
        store_name="마중 분식",
        store_latitude=37.5,
        store_longitude=127.03,
        address=Address(37.51, 127.04, "서울 강남구 테헤란로 1"),
        lines=(Line("i1", "떡볶이", 2, 5_000), Line("i2", "김밥", 1, 4_000)),
        total_krw=14_000,
        placed_at_ms=number,
        changed_at_ms=number,
        rider_id=f"r{number}",
    )
    return OrderEvent(f"e{number}", order.order_id, 1, "", Actor.CUSTOMER, order.customer, number, order)


def _figures(count: int, wall_s: float, cpu_s: float) -> dict[str, float]:
    return {"a second": round(count / wall_s), "CPU µs each": round(cpu_s / count * 1e6, 1)}


async def _measure(count: int, work: Callable[[], Awaitable[object]]) -> dict[str, float]:
    """`CALLERS` tasks that share `count` calls."""

    async def caller() -> None:
        for _ in range(count // CALLERS):
            await work()

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return _figures(count, wall, cpu)


async def _run(orders: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        database = await EmbeddedDatabase(Path(folder) / "views.db", folder=None).open()
        await database.write(view_store.prepare)
        began, cpu = time.perf_counter(), time.process_time()
        for start in range(0, orders, BATCH):
            events = [_event(number) for number in range(start, start + BATCH)]
            await database.write(lambda tx, events=events: view_store.file(tx, events, {0: 0}))  # type: ignore[misc]
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        result["events filed"] = _figures(orders, wall, cpu)

        def one() -> Awaitable[object]:
            return view_store.read_one(database, f"ord-{random.randrange(orders):09d}")

        def board() -> Awaitable[object]:
            scope = Scope(Part.STORE, f"s{random.randrange(500)}")
            return view_store.read_open(database, scope, 40)

        def job() -> Awaitable[object]:
            return view_store.read_open(database, Scope(Part.RIDER, f"r{random.randrange(orders)}"), 1)

        result["order by its id"] = await _measure(READS, one)
        result["job of a rider"] = await _measure(READS, job)
        result["board of 40 orders"] = await _measure(READS // 10, board)
        await database.close()
    return result


def run() -> dict[str, Any]:
    """File orders, then read them."""
    return asyncio.run(_run(ORDERS))
