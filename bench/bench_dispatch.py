"""Dispatch alone: orders offered and accepted, with durable commits, 1,000 riders within 1 km.

A match is: the event of the order taken in, the nearest free rider found, the offer stored, the acceptance
stored. `with assignment` adds the command to the order itself (its table, its event, its outbox row).
CPU microseconds are of the whole process, the writer thread included.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from majung.backends.embedded.database import EmbeddedDatabase
from majung.backends.embedded.livestore import EmbeddedLiveStore
from majung.backends.embedded.log import EmbeddedLog
from majung.clock import SystemClock
from majung.dispatch.assign import Free, Wish, assign, greedy
from majung.dispatch.service import Dispatch
from majung.orders.model import Actor, ActorRef, Command, CommandArgs, Order, OrderEvent
from majung.orders.service import OrderService
from majung.orders.store import decode_event
from majung.positions.model import LivePosition
from majung.settings import CellSettings, DispatchSettings, LogSettings
from tests.orders_kit import STORE, WISH, OpenStore

RIDERS = 1_000
ROUNDS = 3
SOUTH, WEST, WIDE = 37.4889, 127.0176, 0.018
EVENTS = "SELECT payload FROM order_event WHERE version = 2"
CANCELLED = CommandArgs(reason="bench")


class Watch:
    """Seconds and CPU seconds of steps."""

    def __init__(self) -> None:
        self.took: dict[str, list[tuple[float, float]]] = {}
        self._at = (0.0, 0.0)

    def start(self) -> None:
        self._at = (time.perf_counter(), time.process_time())

    def stop(self, name: str) -> None:
        spent = (time.perf_counter() - self._at[0], time.process_time() - self._at[1])
        self.took.setdefault(name, []).append(spent)

    def per_order(self, count: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, took in self.took.items():
            wall_s, cpu_s = min(took)
            result[name] = {"per_s": round(count / wall_s), "cpu_us": round(cpu_s / count * 1e6, 1)}
        every = [min(took) for took in self.took.values()]
        wall_s, cpu_s = sum(one[0] for one in every), sum(one[1] for one in every)
        result["match, in all"] = {"per_s": round(count / wall_s), "cpu_us": round(cpu_s / count * 1e6, 1)}
        return result


async def cooking(orders: OrderService, count: int) -> list[Order]:
    async def one() -> Order:
        order = await orders.place(WISH, "customer:bench")
        return await orders.command(order.order_id, Command.ACCEPT, STORE, CommandArgs(cooking_minutes=10))

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def rounds(folder: Path) -> dict[str, Any]:
    clock, rng, watch = SystemClock(), np.random.default_rng(7), Watch()
    database = await EmbeddedDatabase(folder / "majung.db").open()
    live = await EmbeddedLiveStore.open(folder, CellSettings.model_validate({}), clock)
    log = await EmbeddedLog.open(folder / "log", LogSettings.model_validate({}), clock)
    orders = OrderService(database, clock, OpenStore())
    dispatch = Dispatch(database, log, live, orders, clock, DispatchSettings())
    now_ms = clock.now_ms()
    places = rng.uniform(0, WIDE, (RIDERS, 2)) + np.array((SOUTH, WEST))
    names = [f"rider-{number}" for number in range(RIDERS)]
    await live.put(
        [
            LivePosition(name, float(north), float(east), now_ms, now_ms)
            for name, (north, east) in zip(names, places, strict=True)
        ]
    )
    await asyncio.gather(*(dispatch.set_duty(name, True) for name in names))
    for _ in range(ROUNDS):
        made = await cooking(orders, RIDERS)
        ids = {order.order_id for order in made}
        rows = await database.read(EVENTS)
        events: list[OrderEvent] = [decode_event(row[0]) for row in rows]
        events = [event for event in events if event.order_id in ids]
        watch.start()
        for start in range(0, len(events), 500):
            await dispatch.observe(events[start : start + 500])
        watch.stop("take in the order event")
        watch.start()
        await dispatch.step()
        watch.stop("find the nearest free rider, store the offer")
        standing = [dispatch.standing(name) for name in names]
        offers = [(one.offer.offer_id, one.rider_id) for one in standing if one.offer is not None]
        assert len(offers) == RIDERS, len(offers)
        watch.start()
        await asyncio.gather(*(dispatch.accept(*offer) for offer in offers))
        watch.stop("accept and assign (offer, order, event, outbox)")
        shop = ActorRef(Actor.STORE, STORE.id)
        ended = await asyncio.gather(
            *(orders.command(order.order_id, Command.CANCEL, shop, CANCELLED) for order in made)
        )
        await dispatch.observe(
            [OrderEvent("", o.order_id, o.version, "cancel", Actor.STORE, shop.id, 0, o) for o in ended]
        )
    for port in (log, live, database):
        await port.close()
    return watch.per_order(RIDERS)


def batches() -> dict[str, Any]:
    """The same 200 orders for 300 riders: metres to the store, each in turn against all together."""
    rng = np.random.default_rng(11)
    shops, places = (rng.uniform(0, WIDE, (count, 2)) + 37 for count in (200, 300))
    wishes = [Wish(f"o{i}", float(p[0]), float(p[1]), 6_000) for i, p in enumerate(shops)]
    riders = [Free(f"r{i}", float(p[0]), float(p[1])) for i, p in enumerate(places)]
    result: dict[str, Any] = {}
    for name, way in (("greedy", greedy), ("batch", assign)):
        try:
            way(wishes[:1], riders[:1])  # the import of scipy is not the work
            started = time.process_time()
            pairs = way(wishes, riders)
        except ValueError as problem:
            result[name] = str(problem)
            continue
        cpu_us = (time.process_time() - started) / len(wishes) * 1e6
        mean_m = sum(pair.distance_m for pair in pairs) / len(pairs)
        result[f"{name}, 200 orders × 300 riders"] = {"mean_m": round(mean_m), "cpu_us": round(cpu_us, 1)}
    return result


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(rounds(Path(folder))) | batches()
