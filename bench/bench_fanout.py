"""Fan-out without sockets: CPU of the hub for each delivered update, and memory of a waiting viewer.

A delivered update costs what the run took beyond one in which nobody watches: finding who watches, the
mailbox, waking, the frame. 2,000 viewers, 50,000 riders over a city of 0.5° × 0.5°, batches of 500
positions. What a viewer costs in its socket is in bench_path.
"""

import asyncio
import gc
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from majung.auth.model import Principal, Role
from majung.backends.embedded.fanout import EmbeddedFanout
from majung.backends.embedded.livestore import EmbeddedLiveStore
from majung.clock import SystemClock
from majung.live.hub import Hub
from majung.live.messages import Subscribe, Viewport
from majung.live.viewer import Viewer, ViewerClosed, Visible
from majung.positions.model import LivePosition
from majung.settings import CellSettings, LiveSettings

VIEWERS = int(os.environ.get("BENCH_VIEWERS", "2000"))
RIDERS = 50_000
BATCH = 500
BATCHES = 100
IDLE_VIEWERS = 20_000
SOUTH, WEST, SIZE_DEG = 37.3, 126.8, 0.5


async def see() -> Visible:
    return None


class City:
    """Riders that move a little each time they report."""

    def __init__(self) -> None:
        self._random = random.Random(1)
        self._places = [
            (SOUTH + SIZE_DEG * self._random.random(), WEST + SIZE_DEG * self._random.random())
            for _ in range(RIDERS)
        ]
        self._next = 0
        self._time_ms = 1_780_000_000_000

    def all(self) -> list[LivePosition]:
        return [self._at(number) for number in range(RIDERS)]

    def batch(self) -> list[LivePosition]:
        chosen = [(self._next + i * 97) % RIDERS for i in range(BATCH)]
        self._next += 1
        self._time_ms += 50
        for number in chosen:
            latitude, longitude = self._places[number]
            step = self._random.uniform(-0.0005, 0.0005)
            self._places[number] = (latitude + step, longitude + step)
        return [self._at(number) for number in chosen]

    def _at(self, number: int) -> LivePosition:
        rider_id, now_ms = f"rider-{number:05}", self._time_ms
        return LivePosition(rider_id, *self._places[number], now_ms, now_ms, 5.0, 8.3, 90.0)


def wish_by_rider(number: int) -> Subscribe:
    return Subscribe("r", riders=[f"rider-{number * 23 % RIDERS:05}"])


def wish_by_area(number: int) -> Subscribe:
    """A viewport of 2 km: about 80 riders in it."""
    rnd = random.Random(number)
    south, west = SOUTH + rnd.random() * (SIZE_DEG - 0.02), WEST + rnd.random() * (SIZE_DEG - 0.02)
    return Subscribe("a", area=Viewport(south, west, south + 0.02, west + 0.02))


def wish_for_all(_: int) -> Subscribe:
    return Subscribe("a", area=Viewport(SOUTH - 1, WEST - 1, SOUTH + 1, WEST + 1))


async def read(viewer: Viewer) -> None:
    """A door with an endlessly quick socket."""
    try:
        while True:
            for frame in await viewer.take():
                len(frame.body)
    except ViewerClosed:
        return


async def measure(
    store: EmbeddedLiveStore, city: City, viewers: int, wish: Callable[[int], Subscribe]
) -> dict[str, Any]:
    hub = Hub(
        LiveSettings(flush_every="1ms", viewer_buffer_bytes=16_777_216),
        SystemClock(),
        store,
        EmbeddedFanout(),
    )
    hub.publish(city.all())
    opened = [await hub.open(Principal(f"v{number}", Role.OPERATOR), see) for number in range(viewers)]
    tasks = [asyncio.ensure_future(read(viewer)) for viewer in opened]
    for number, viewer in enumerate(opened):
        hub.subscribe(viewer, wish(number))
    await asyncio.sleep(0.1)
    for _ in range(3):
        await asyncio.sleep(0.01)
        hub.flush()
    batches = [city.batch() for _ in range(BATCHES)]
    sent_before, publish_s, started = hub.sent, 0.0, time.process_time()
    for batch in batches:
        before = time.process_time()
        hub.publish(batch)
        publish_s += time.process_time() - before
        await asyncio.sleep(0)
        hub.flush()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    cpu_s, delivered = time.process_time() - started, hub.sent - sent_before
    hub.close()
    await asyncio.gather(*tasks)
    return {
        "viewers": viewers,
        "delivered": delivered,
        "µs of publishing a position": round(1e6 * publish_s / (BATCH * BATCHES), 2),
        "CPU s": round(cpu_s, 2),
    }


async def memory(store: EmbeddedLiveStore) -> float:
    """KiB of a viewer that waits, with one subscription and its task."""
    hub = Hub(LiveSettings(), SystemClock(), store, EmbeddedFanout())
    gc.collect()
    before = psutil.Process().memory_info().rss
    opened = [await hub.open(Principal(f"v{n}", Role.OPERATOR), see) for n in range(IDLE_VIEWERS)]
    tasks = [asyncio.ensure_future(read(viewer)) for viewer in opened]
    for number, viewer in enumerate(opened):
        hub.subscribe(viewer, wish_by_rider(number))
    await asyncio.sleep(0.2)
    grown = psutil.Process().memory_info().rss - before
    hub.close()
    await asyncio.gather(*tasks)
    return round(grown / IDLE_VIEWERS / 1024, 2)


async def _run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        store, city = await EmbeddedLiveStore.open(Path(folder), CellSettings(), SystemClock()), City()
        await store.put(city.all())
        result: dict[str, Any] = {"KiB of a waiting viewer (no socket)": await memory(store)}
        nobody = result["nobody watches"] = await measure(store, city, 0, wish_by_rider)
        for name, viewers, wish in (
            ("one rider each", VIEWERS, wish_by_rider),
            ("an area of 2 km each", VIEWERS, wish_by_area),
            ("the whole city", 20, wish_for_all),
        ):
            found = result[name] = await measure(store, city, viewers, wish)
            more_s = found["CPU s"] - nobody["CPU s"]
            found["µs a delivered update"] = round(1e6 * more_s / found["delivered"], 2)
        await store.close()
    return result


def run() -> dict[str, Any]:
    """CPU microseconds; medians are not taken, as the work is long enough."""
    return asyncio.run(_run())
