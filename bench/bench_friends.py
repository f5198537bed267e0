"""Friends without sockets: what an update and a delivery cost in `friends.nearby` alone, and the memory a person.

Everybody watches and reports, with 40 friends within the radius, as in `friends_load`; from the newest position to
the bytes of the frames. Grows from 1,000 to 20,000 people: what is left of the growth is the processor's cache.
"""

import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from bench.friends_town import RADIUS_M, neighbours, person_id, place
from majung.auth.model import Principal, Role
from majung.compose import open_services
from majung.friends.consent import Mode, Seen
from majung.friends.viewer import FriendViewer
from majung.positions.model import PERSON, LivePosition
from majung.serve.http.lean_socket import frame
from majung.services import Services
from majung.settings import Settings

SIZES = (1_000, 5_000, 20_000)
ONLINE = 40
UPDATES = 3_000
EXACTLY = Seen(Mode.EXACT)


async def _see() -> None:
    return


def _position(number: int, step: int) -> LivePosition:
    latitude, longitude = place(number, ONLINE, 1.0)
    now_ms = time.time_ns() // 1_000_000 + step  # no two of a person at one moment
    return LivePosition(person_id(number), latitude + step % 3 * 1e-5, longitude, now_ms, now_ms, kind=PERSON)


def _meet(services: Services, people: int) -> list[FriendViewer]:
    """Everybody, linked to its friends."""
    nearby = services.friends.nearby
    links, viewers = nearby.links, []
    for number in range(people):
        watcher = links.watcher(person_id(number))
        viewer = FriendViewer(
            nearby, Principal(f"person:{number}", Role.PERSON, person_id(number)), _see, watcher
        )
        watcher.streams.append(viewer)
        watcher.ready = True
        links.reach(watcher, RADIUS_M)
        links.moved(_position(number, 0))
        watcher.me.call(f"Person {number}")
        viewers.append(viewer)
    for number in range(people):
        watcher = links.watcher(person_id(number))
        for friend in neighbours(number, ONLINE):
            links.join(watcher, links.subject(person_id(friend)), EXACTLY)
    for viewer in viewers:
        viewer.serve(lambda: None)
        viewer.drain()
    return viewers


def _run(services: Services, viewers: list[FriendViewer]) -> dict[str, Any]:
    """The CPU time of both halves: who is near now, and saying so."""
    links, rnd = services.friends.nearby.links, random.Random(4)
    moved_s = said_s = 0.0
    said = size = 0
    for step in range(1, UPDATES + 1):
        number = rnd.randrange(len(viewers))
        position = _position(number, step)
        began_s = time.thread_time()
        links.moved(position)
        moved_at_s = time.thread_time()
        for friend in (number, *neighbours(number, ONLINE)):
            bodies = viewers[friend].drain()
            said += len(bodies)
            size += len(b"".join([frame(body) for body in bodies]))
        said_s += time.thread_time() - moved_at_s
        moved_s += moved_at_s - began_s
    deliveries = UPDATES * ONLINE
    assert said == deliveries + UPDATES, f"{said} messages"
    return {
        "µs an update, to know who is near": round(moved_s / UPDATES * 1e6, 1),
        "µs an update, to say so": round(said_s / UPDATES * 1e6, 1),
        "µs a delivery, all in": round((moved_s + said_s) / deliveries * 1e6, 2),
        "bytes a message": round(size / said),
    }


async def _measure(people: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with open_services(Settings(data=Path(folder))) as services:
            before = psutil.Process().memory_info().rss
            viewers = _meet(services, people)
            kib = (psutil.Process().memory_info().rss - before) / people / 1024
            return {"KiB a person": round(kib, 1), **_run(services, viewers)}


def run() -> dict[str, Any]:
    return {f"{people} people": asyncio.run(_measure(people)) for people in SIZES}


if __name__ == "__main__":
    print(run())
