"""Which channels should carry friends' positions between servers: a person, a cell, a server, a bucket?

    python -m bench friends_channels                  all worlds, kept under bench/results
    python -m bench.friends_channels --people 10000   one world, printed

Subscriptions and tables are built for real, of everybody who is online, in a Redis of our own (`redis-server`, which
Debian installs). Of the updates a part is published: `updates`. Redis is one thread; its CPU is its own figure
(INFO). The CPU of a server of ours is that of its publisher, sockets included, and that of a subscriber who
takes messages apart, decodes and looks up for whom they are: bare RESP, no client library.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from bench import friends_world
from bench.friends_bus import Connection, Subscribers, Usage, many, messages, redis, redis_server
from bench.friends_parts import bus, client_library, in_process
from bench.friends_ways import (
    WAYS,
    WAYS_BY_REGION,
    ByCell,
    ByPerson,
    ByPersonSharded,
    Sent,
    Update,
    Way,
    person_id,
)
from bench.friends_world import Ints, World

SIZES = {10_000: (4, 5), 100_000: (10, 20), 1_000_000: (20, 100)}
"""Servers and cities for so many people."""
UPDATES = 10_000
BATCH = 100
"""Updates that a server publishes at once: what comes in 40 ms (`positions.batch_linger`) at 2,500 a second."""
COMING = 100
SESSION_UPDATES = 40
"""Between coming and going: 20 minutes."""


def _subscribe(way: Way, subscribers: Subscribers, control: Connection, usage: Usage) -> dict[str, Any]:
    """Build what the way needs for everybody who is online."""
    world, subscriptions, rows = way.world, 0, 0
    started, cpu = time.perf_counter(), time.process_time()
    for server in range(world.servers):
        channels = way.channels(server)
        subscribers.send(server, many(way.subscribe, channels))
        table = way.table(server)
        for start in range(0, len(table), 1000):
            control.ask(table[start : start + 1000])
        subscriptions, rows = subscriptions + len(channels), rows + len(table)
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    redis_us, grown = (
        usage.cpu_us(),
        max(0, usage.grown_bytes()),
    )  # buffers of clients shrink: 0.5 MiB is noise
    entries = max(1, subscriptions + rows)
    return {
        "subscriptions": subscriptions,
        "rows_in_tables": rows,
        "redis_mib": round(grown / 2**20, 2),
        "redis_bytes_a_person": round(grown / world.people, 1),
        "redis_bytes_an_entry": round(grown / entries, 1),
        "entries_per_s": round(entries / wall_s),
        "redis_us_an_entry": round(redis_us / entries, 2),
        "client_us_an_entry": round(1e6 * cpu_s / entries, 2),
    }


def _come_and_go(way: Way, subscribers: Subscribers, control: Connection, usage: Usage) -> dict[str, Any]:
    """One person goes and comes back, many times; without what the server itself remembers."""
    rows = way.world.rows_on(0)[:COMING]
    changes, client_s, entries = [way.without(int(row)) for row in rows], 0.0, 0
    usage.cpu_us()
    for channels, out, back in changes:
        entries += len(channels) + len(back)
        started = time.process_time()
        for word, commands in ((way.unsubscribe, out), (way.subscribe, back)):
            subscribers.send(0, many(word, channels))
            if commands:
                control.ask(commands)
        client_s += time.process_time() - started
    redis_us = usage.cpu_us()
    return {
        "entries": round(entries / len(rows), 1),
        "redis_us_both": round(redis_us / len(rows), 1),
        "client_us_both": round(1e6 * client_s / len(rows), 1),
    }


def _publish(
    way: Way, subscribers: Subscribers, control: Connection, usage: Usage, rows: Ints
) -> dict[str, Any]:
    """Publish the updates of `rows` in batches, as the pipeline does."""
    sent, client_s, batch = Sent(), 0.0, min(BATCH, len(rows))
    usage.cpu_us()
    subscribers.start_counting()
    started = time.perf_counter()
    for start in range(0, len(rows), batch):
        before = time.process_time()
        done = way.publish(control, rows[start : start + batch])
        client_s += time.process_time() - before
        sent = sent.plus(done)
        subscribers.drain()
    subscribers.settle()
    wall_s, redis_us, updates = time.perf_counter() - started, usage.cpu_us(), len(rows)
    subscribers.keeping = False
    return {
        "updates": updates,
        "published": round(sent.published / updates, 3),
        "delivered": round(sent.delivered / updates, 3),
        "updates_heard": round(sent.heard / updates, 3),
        "bytes_delivered": round(subscribers.bytes / updates, 1),
        "redis_us": round(redis_us / updates, 2),
        "redis_us_a_delivery": round(redis_us / max(1, sent.delivered), 2),
        "publisher_us": round(1e6 * client_s / updates, 2),
        "updates_per_s_here": round(updates / wall_s),
        "updates_per_s_one_redis": round(1e6 * updates / max(1.0, redis_us)),
    }


def _receive(world: World, kept: bytes) -> dict[str, Any]:
    """What server 0 pays for what it got: take apart, decode, look up."""
    persons = world.persons_on(0)
    here = set(map(person_id, persons[world.row_of[persons] >= 0].tolist()))  # who is away sends nothing
    one, several = msgspec.msgpack.Decoder(Update), msgspec.msgpack.Decoder(list[Update])
    got = wanted = pushes = 0
    cpu = time.process_time()
    for payload in messages(kept):
        pushes += 1
        # An update is an array of eight and begins with its text; a list of updates with the first update.
        for update in (one.decode(payload),) if payload[1] >> 5 == 5 else several.decode(payload):
            got += 1
            wanted += update.person_id in here
    spent_us = 1e6 * (time.process_time() - cpu)
    return {
        "updates_heard": got,
        "for_somebody_here": round(wanted / max(1, got), 3),
        "receiver_us_an_update_heard": round(spent_us / max(1, got), 2),
        "receiver_us_a_message": round(spent_us / max(1, pushes), 2),
    }


def _all_us(changed: dict[str, Any], sent: dict[str, Any], heard: dict[str, Any]) -> float:
    """CPU of everybody for one update: Redis, publisher, all who hear it, and its share of coming and going."""
    session_us = changed["redis_us_both"] + changed["client_us_both"]
    hearing_us = sent["updates_heard"] * heard["receiver_us_an_update_heard"]
    return round(
        float(sent["redis_us"] + sent["publisher_us"] + hearing_us + session_us / SESSION_UPDATES), 1
    )


def measure(ways: Sequence[Way], rows: Ints, program: str) -> dict[str, Any]:
    """Ways that need the same subscriptions and tables, in a Redis of their own; the figures of each by name."""
    first, result = ways[0], {}
    with redis(program) as port:
        control, subscribers = Connection(port), Subscribers(port, first.world.servers)
        try:
            usage = Usage(control)
            built = _subscribe(first, subscribers, control, usage)
            changed = _come_and_go(first, subscribers, control, usage)
            for way in ways:
                sent = _publish(way, subscribers, control, usage, rows)
                heard = _receive(way.world, bytes(subscribers.kept))
                sent["all_us"] = _all_us(changed, sent, heard)
                result[way.name] = {
                    "built": built,
                    "one person comes and goes": changed,
                    "an update": sent,
                    "a server hears": heard,
                }
        finally:
            subscribers.close()
            control.close()
    return result


def wanted(world: World, rows: Sequence[int]) -> dict[str, float]:
    """For an update, how many servers have an online friend, and one within the radius."""
    return {
        "online_friends": round(float(np.mean([len(world.online_friends(row)) for row in rows])), 2),
        "servers_with_friends": round(float(np.mean([len(world.servers_of_friends(r)) for r in rows])), 2),
        "servers_with_friends_near": round(float(np.mean([len(world.servers_near(row)) for row in rows])), 2),
    }


def world_of(people: int, servers: int, cities: int, updates: int) -> dict[str, Any]:
    """Every way in one world."""
    program = redis_server()
    started = time.monotonic()
    world = friends_world.build(people, servers, cities)
    regional = friends_world.by_region(world)
    rows = np.random.default_rng(2).integers(0, len(world.online), updates)
    some = rows[:2_000].tolist()
    result: dict[str, Any] = {
        "people": people,
        "online": len(world.online),
        "servers": servers,
        "wanted": wanted(world, some),
        "wanted, servers by region": wanted(regional, some),
    }
    for kinds in WAYS:
        if people < 1_000_000 or ByPersonSharded not in kinds:  # it costs what it costs without shards
            result |= measure([kind(world) for kind in kinds], rows, program)
    for kinds in WAYS_BY_REGION:
        found = measure([kind(regional) for kind in kinds], rows, program)
        result |= {f"{name}, servers by region": figures for name, figures in found.items()}
    all_here = replace(world, servers=1, server=np.zeros_like(world.server))
    result["in process, person"] = in_process(len(ByPerson(all_here).channels(0)))
    result["in process, cell"] = in_process(len(ByCell(all_here).channels(0)))
    result["in process, 4 buckets"] = in_process(4)
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


def run() -> dict[str, Any]:
    """All worlds, and what a message costs."""
    return {"bus": bus(), "redis-py": client_library()} | {
        f"{people:,} people": world_of(people, servers, cities, UPDATES)
        for people, (servers, cities) in SIZES.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.friends_channels", description=__doc__)
    parser.add_argument("--people", type=int, choices=SIZES, help="one world only")
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--small", action="store_true", help="1,000 people: does everything run?")
    given = parser.parse_args()
    if given.small:
        result = world_of(1_000, 2, 1, 500)
    elif given.people:
        result = world_of(given.people, *SIZES[given.people], given.updates)
    else:
        result = run()
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
