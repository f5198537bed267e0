"""10 million people online on paper: what each way between servers takes, from what was measured.

    python -m bench.friends_machines [--update-us 500]

Reads the newest kept results of `friends_channels`, and of `friends_load` for the CPU of an update with all its
deliveries (unless it is given). The formulas are those of `docs/decisions/0009-friends-channels.md`.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"

UPDATES_PER_S = 334_000
ONLINE, PEOPLE, FRIENDS = 10_000_000, 100_000_000, 400
ONLINE_FRIENDS = 42  # 14 million deliveries a second
SESSION_S = 20 * 60
TOLD_EVERY_S = 0.04
"""What comes in this time goes together: `positions.batch_linger`."""
BUSY = 0.6
"""How much of a core a server may use, of its own and of Redis."""
UPDATE_BYTES, FRAME_BYTES = 85, 57
CAME_BYTES, CAME_US = 1_650, (40.0, 8.0)
"""Who begins to report is announced with 32 bits for each friend; µs of who tells it, and of each who hears it."""
BUCKETS = 4
SAME_CITY = 0.061
"""Chance that two people live in one city: of 100 cities with sizes 1, 1/2, 1/3, …"""
REDIS_GB, REDIS_GB_PER_S = 25, 1.0
"""What one Redis may hold, and send (10 Gbit/s)."""


@dataclass(frozen=True)
class Measured:
    """CPU µs and bytes; of the world of a million people."""

    update: float
    message: float
    delivery: float
    kb_in: float
    kb_out: float
    person_delivery: float
    publish: float
    table_publish: float
    hear: float
    hear_one: float
    subscription: float
    subscription_here: float
    """Of the server that asks for it; `subscription` is what Redis pays."""
    subscription_bytes: float
    row: float
    row_here: float
    row_bytes: float


@dataclass(frozen=True)
class Load:
    """A second of everything, for one way."""

    messages: float
    deliveries: float
    bytes_out: float
    redis_us: float
    """Beside messages, deliveries and bytes: tables and subscriptions."""
    redis_bytes: float
    server_us: float
    """Of all servers together: publishing, hearing, coming and going."""


def reached(servers: float, friends: float = ONLINE_FRIENDS) -> float:
    """How many of the servers have one of so many friends."""
    return float(servers * (1 - (1 - 1 / servers) ** friends)) if servers > 1 else 1.0


def by_person(servers: float, us: Measured) -> Load:
    heard, changes = UPDATES_PER_S * reached(servers), 2 * FRIENDS * ONLINE / SESSION_S
    table_us = heard * max(0.0, us.person_delivery - us.delivery) + changes * us.subscription
    return Load(
        UPDATES_PER_S,
        heard,
        heard * (UPDATE_BYTES + FRAME_BYTES),
        table_us,
        PEOPLE * reached(servers, FRIENDS * ONLINE / PEOPLE) * us.subscription_bytes,
        UPDATES_PER_S * us.publish + heard * us.hear_one + changes * us.subscription_here,
    )


def by_server(servers: float, us: Measured) -> Load:
    heard, changes = UPDATES_PER_S * reached(servers), 2 * FRIENDS * ONLINE / SESSION_S
    messages = min(heard, servers * servers / TOLD_EVERY_S)
    return Load(
        messages,
        messages,
        heard * UPDATE_BYTES + messages * FRAME_BYTES,
        UPDATES_PER_S * us.message + changes * us.row,
        PEOPLE * reached(servers, FRIENDS * ONLINE / PEOPLE) * us.row_bytes,
        UPDATES_PER_S * us.table_publish + heard * us.hear + changes * us.row_here,
    )


def by_bucket(servers: float, us: Measured) -> Load:
    messages = min(UPDATES_PER_S, servers * BUCKETS / TOLD_EVERY_S)
    came = ONLINE / SESSION_S
    bytes_out = servers * (UPDATES_PER_S * UPDATE_BYTES + messages * FRAME_BYTES + came * CAME_BYTES)
    work_us = UPDATES_PER_S * (us.publish + servers * us.hear)
    work_us += came * (CAME_US[0] + servers * CAME_US[1])
    return Load(messages, messages * servers, bytes_out, 0.0, servers * BUCKETS * 200, work_us)


def by_region(servers: float, us: Measured) -> Load:
    """Wide cells, and servers that each serve a region: a city's people are on its share of the servers."""
    hearing, came = 1 + SAME_CITY * servers, ONLINE / SESSION_S
    messages = (
        UPDATES_PER_S  # a server publishes for its own region: few at a time, so each by itself at worst
    )
    bytes_out = hearing * (UPDATES_PER_S * (UPDATE_BYTES + FRAME_BYTES) + came * CAME_BYTES)
    work_us = UPDATES_PER_S * (us.publish + hearing * us.hear_one) + came * (
        CAME_US[0] + hearing * CAME_US[1]
    )
    return Load(messages, messages * hearing, bytes_out, 0.0, servers * 1_000 * 200, work_us)


WAYS: dict[str, Callable[[float, Measured], Load]] = {
    "a channel a person": by_person,
    "a channel a server, table, batches": by_server,
    "4 buckets, batches": by_bucket,
    "cells of 156 km, servers by region": by_region,
}


def plan(way: Callable[[float, Measured], Load], us: Measured) -> dict[str, float]:
    """Servers and Redis for the way: servers also carry what the bus costs them, so it is found in turns."""
    servers = UPDATES_PER_S * us.update / (BUSY * 1e6)
    for _ in range(200):
        wanted = (UPDATES_PER_S * us.update + way(servers, us).server_us) / (BUSY * 1e6)
        servers += (wanted - servers) / 2
        if servers > 1e6:
            return {"servers": float("inf")}
    load = way(servers, us)
    redis_us = load.messages * us.message + load.deliveries * us.delivery + load.redis_us
    redis_us += UPDATES_PER_S * UPDATE_BYTES / 1e3 * us.kb_in + load.bytes_out / 1e3 * us.kb_out
    shards = {
        "by CPU": redis_us / (BUSY * 1e6),
        "by memory": load.redis_bytes / (REDIS_GB * 1e9),
        "by network": load.bytes_out / (REDIS_GB_PER_S * 1e9),
    }
    return {
        "servers": round(servers),
        "of these for the bus": round(load.server_us / (BUSY * 1e6)),
        "servers reached by an update": round(reached(servers), 1),
        "messages into Redis, million/s": round(load.messages / 1e6, 2),
        "messages out, million/s": round(load.deliveries / 1e6, 1),
        "bytes out, GB/s": round(load.bytes_out / 1e9, 1),
        "bytes into a server, MB/s": round(load.bytes_out / servers / 1e6, 1),
        "Redis memory, GB": round(load.redis_bytes / 1e9, 1),
        "Redis shards": max(1, round(max(shards.values()) + 0.5)),
        **{f"… {name}": round(value, 1) for name, value in shards.items()},
    }


def measured(channels: dict[str, Any], update_us: float) -> Measured:
    """From kept results; an entry's cost is that of coming and going in the world of a million."""
    world, bus = channels["1,000,000 people"], channels["bus"]
    person, table, buckets = world["person"], world["server, in batches"], world["4 buckets, in batches"]
    return Measured(
        update=update_us,
        message=bus["us_a_message"],
        delivery=bus["us_a_delivery"],
        kb_in=bus["us_a_kb_in"],
        kb_out=bus["us_a_kb_out"],
        person_delivery=person["an update"]["redis_us_a_delivery"],
        publish=buckets["an update"]["publisher_us"],
        table_publish=table["an update"]["publisher_us"],
        hear=buckets["a server hears"]["receiver_us_an_update_heard"],
        hear_one=person["a server hears"]["receiver_us_an_update_heard"],
        subscription=person["built"]["redis_us_an_entry"],
        subscription_here=person["built"]["client_us_an_entry"],
        subscription_bytes=person["built"]["redis_bytes_an_entry"],
        row=table["built"]["redis_us_an_entry"],
        row_here=table["built"]["client_us_an_entry"],
        row_bytes=table["built"]["redis_bytes_an_entry"],
    )


def newest(name: str) -> dict[str, Any]:
    """The last kept result of a benchmark; raises LookupError."""
    for path in sorted(RESULTS.glob("*.json"), reverse=True):
        kept = json.loads(path.read_text())
        if name in kept:
            return dict(kept[name])
    raise LookupError(f"no kept result of {name}: python -m bench {name}")


def update_us_of(load: dict[str, Any]) -> float:
    """CPU of a server for an update and its deliveries, in the largest crowd that was tried."""
    sizes = {int(name.split()[0]): figures for name, figures in load.items() if name.endswith(" people")}
    return float(sizes[max(sizes)]["server CPU µs an update (all in)"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.friends_machines", description=__doc__)
    parser.add_argument("--update-us", type=float, help="CPU of an update with its 42 deliveries")
    given = parser.parse_args()
    update_us = given.update_us or update_us_of(newest("friends_load"))
    us = measured(newest("friends_channels"), update_us)
    print(f"{UPDATES_PER_S:,} updates/s, {UPDATES_PER_S * ONLINE_FRIENDS:,} deliveries/s; µs: {us}")
    for name, way in WAYS.items():
        print(f"\n{name}")
        for what, value in plan(way, us).items():
            print(f"  {what:34} {value:,}")


if __name__ == "__main__":
    main()
