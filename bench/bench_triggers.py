"""Triggers: CPU of one position with 0 and with 10,000 fences in a city, and of a visit to a polygon."""

import math
import random
import time
from typing import Any

from majung.positions.fence_model import Circle, Fence
from majung.positions.model import Position
from majung.positions.triggers import Triggers

FENCES = 10_000
RIDERS = 1_000
ROUNDS = 50
SOUTH, WEST, SIZE_DEG = 37.4, 126.9, 0.3


def fence(number: int, polygon: bool) -> Fence:
    rnd = random.Random(number)
    latitude, longitude = SOUTH + SIZE_DEG * rnd.random(), WEST + SIZE_DEG * rnd.random()
    corners = tuple(
        (latitude + 0.002 * math.sin(i * math.tau / 12), longitude + 0.002 * math.cos(i * math.tau / 12))
        for i in range(12)
    )
    return Fence(
        name="fence",
        circle=None if polygon else Circle(latitude, longitude, 200),
        polygon=corners if polygon else None,
        fence_id=f"f{number}",
        version=1,
        created_at_ms=0,
        updated_at_ms=0,
    )


def positions() -> list[Position]:
    rnd = random.Random(7)
    at = [(SOUTH + SIZE_DEG * rnd.random(), WEST + SIZE_DEG * rnd.random()) for _ in range(RIDERS)]
    found = []
    for second in range(ROUNDS):
        for number, (latitude, longitude) in enumerate(at):
            time_ms = 1_780_000_000_000 + second * 5_000
            at[number] = (latitude + rnd.uniform(-2e-4, 2e-4), longitude + rnd.uniform(-2e-4, 2e-4))
            found.append(Position(f"r{number}", "s", second + 1, *at[number], time_ms, time_ms, 8.0))
    return found


def measure(fences: list[Fence]) -> dict[str, Any]:
    triggers = Triggers()
    started = time.process_time()
    for one in fences:
        triggers.put(one)
    put_s = time.process_time() - started
    states = {f"r{number}": triggers.new_state() for number in range(RIDERS)}
    todo, events = positions(), 0
    started = time.process_time()
    for position in todo:
        events += len(triggers.step(states[position.rider_id], position))
    step_s = time.process_time() - started
    return {
        "fences": len(fences),
        "events": events,
        "µs a position": round(1e6 * step_s / len(todo), 2),
        "µs to put a fence": round(1e6 * put_s / max(1, len(fences)), 1),
    }


def run() -> dict[str, Any]:
    """CPU microseconds."""
    return {
        "no fence": measure([]),
        "circles": measure([fence(number, polygon=False) for number in range(FENCES)]),
        "polygons": measure([fence(number, polygon=True) for number in range(FENCES)]),
    }
