"""Notices: what an event costs, what a position costs, and how long from a change to the push service.

The first figures are of the parts alone, in this process. The last are of a real server, with orders changing
over HTTP at a steady rate and a push service on HTTPS in this process; a change is made when the order says so
(`at_ms`), sent when the push service has the whole message. CPU microseconds are of the whole process.
"""

import asyncio
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from majung.clock import SystemClock
from majung.notify.model import CarriedOrder
from majung.notify.near import NearIndex
from majung.notify.push_crypto import encrypt
from majung.orders.model import OrderState
from majung.positions.fence_model import Circle, Fence
from majung.positions.model import LivePosition, Position
from majung.positions.triggers import Triggers
from tests.notify_kit import Kit, seen
from tests.order_views_kit import story
from tests.paths.test_notify import SETS, Town
from tests.push_kit import Browser
from tests.receiver import receiving
from tests.server import Server

ORDERS = 1_000
CARRIED = 5_000
POSITIONS = 50_000
SOUTH, WEST, WIDE = 37.4889, 127.0176, 0.018
PER_S, FOR_S = 40, 15


async def events(folder: Path) -> dict[str, Any]:
    kit = Kit(folder)
    await kit.open()
    try:
        batches = [
            seen(made for number in range(start, start + 70) for made in story(number, rider_id=f"r{number}"))
            for start in range(0, ORDERS, 70)
        ]
        count = sum(len(batch) for batch in batches)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for batch in batches:
            await kit.notify.observe(batch)
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    finally:
        await kit.close()
    figures = {"per_s": round(count / wall_s), "cpu_us": round(cpu_s / count * 1e6, 1)}
    return {f"events of orders to notices, {count}": figures}


def positions() -> dict[str, Any]:
    """One position against 5,000 orders on their way in 1 km: by rider, and as fences."""
    rng = np.random.default_rng(3)
    homes = rng.uniform(0, WIDE, (CARRIED, 2)) + np.array((SOUTH, WEST))
    places = rng.uniform(0, WIDE, (POSITIONS, 2)) + np.array((SOUTH, WEST))
    now_ms = SystemClock().now_ms()
    index, triggers = NearIndex(100.0, 60_000), Triggers()
    for number, (latitude, longitude) in enumerate(homes.tolist()):
        index.put(_carried(number, latitude, longitude, now_ms))
        near = Circle(latitude, longitude, 100.0)
        fence = Fence(
            f"order {number}",
            near=near,
            rider_ids=(f"r{number}",),
            fence_id=str(number),
            version=1,
            created_at_ms=0,
            updated_at_ms=0,
        )
        triggers.put(fence)
    idle = [LivePosition("idle", lat, lon, now_ms, now_ms, 5.0) for lat, lon in places.tolist()]
    busy = [
        LivePosition(f"r{n % CARRIED}", lat + 1, lon, now_ms, now_ms, 5.0)
        for n, (lat, lon) in enumerate(places.tolist())
    ]
    result = {
        "position of a rider who carries nothing": {"ns": _each_ns(lambda: index.look(idle, now_ms))},
        "position of a rider on the way": {"ns": _each_ns(lambda: index.look(busy, now_ms))},
    }
    few = 2_000
    state, fixes = triggers.new_state(), places[:few].tolist()
    started = time.process_time()
    for number, (lat, lon) in enumerate(fixes):
        triggers.step(state, Position("idle", "s", number, lat, lon, now_ms + number, now_ms, 5.0))
    took_s = time.process_time() - started
    result["the same as fences, a rider who carries nothing"] = {"ns": round(took_s / few * 1e9)}
    return result


def _carried(number: int, latitude: float, longitude: float, now_ms: int) -> CarriedOrder:
    return CarriedOrder(
        order_id=str(number),
        version=1,
        state=OrderState.DELIVERING,
        rider_id=f"r{number}",
        customer="c",
        store_id="s",
        store_name="s",
        store_latitude=0,
        store_longitude=0,
        latitude=latitude,
        longitude=longitude,
        precision="point",
        since_ms=now_ms,
        changed_at_ms=now_ms,
    )


def _each_ns(work: Any) -> int:
    started = time.process_time()
    work()
    return round((time.process_time() - started) / POSITIONS * 1e9)


def sealing() -> dict[str, Any]:
    keys = Browser("https://push.example.net", "b").subscription()["keys"]
    started = time.process_time()
    for _ in range(500):
        encrypt(b"x" * 300, keys["p256dh"], keys["auth"])
    return {"a push message sealed": {"cpu_us": round((time.process_time() - started) / 500 * 1e6)}}


async def change(town: Town, until_s: float) -> int:
    """Orders placed and accepted, so many changes a second whatever the server does; how many there were."""
    done = 0
    tasks: set[asyncio.Task[None]] = set()
    async with httpx.AsyncClient(base_url=town.server.url, headers=town.server.admin, timeout=30) as http:

        async def one() -> None:
            nonlocal done
            wish = {
                "store_id": town.store_id,
                "lines": [{"item_id": "noodles"}],
                "address": {"latitude": 37.499, "longitude": 127.03, "text": "a"},
            }
            key = {"Idempotency-Key": uuid.uuid4().hex}
            placed = await http.post("/v1/orders?as=customer:mina", json=wish, headers=key)
            path = f"/v1/orders/{placed.json()['order_id']}/accept"
            await http.post(path, json={"cooking_minutes": 9})
            done += 2

        start_s = time.monotonic()
        number = 0
        while time.monotonic() < until_s:
            number += 1
            tasks.add(asyncio.create_task(one()))
            await asyncio.sleep(max(0.0, start_s + number * 2 / PER_S - time.monotonic()))
        await asyncio.gather(*tasks)
    return done


def sent() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, receiving() as service:
        sets = (*SETS, "server.rate_per_s=100000", "server.rate_burst=100000")
        server = Server(Path(folder) / "data", sets, env=service.trust(Path(folder))).start()
        try:
            town = Town(server, service)
            phone = town.subscribe(town.customer, "phone")
            count = asyncio.run(change(town, time.monotonic() + FOR_S))
            deadline_s = time.monotonic() + 30
            while len(service.received) < count and time.monotonic() < deadline_s:
                time.sleep(0.05)
            took_ms = [got.at_s * 1000 - phone.read(got)["at_ms"] for got in service.received]
        finally:
            server.kill()
    p50, p99, most = np.percentile(took_ms, (50, 99, 100))
    figures = {"p50_ms": round(float(p50)), "p99_ms": round(float(p99)), "max_ms": round(float(most))}
    return {f"change to push service, {len(took_ms)} of {count} at {PER_S}/s": figures}


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        first = asyncio.run(events(Path(folder)))
    return first | positions() | sealing() | sent()
