"""Which channels should carry friends' positions between servers: a person, a cell, a server, a bucket?

    python -m bench friends_channels                  all worlds, kept under bench/results
    python -m bench.friends_channels --people 10000   one world, printed

Subscriptions and tables are built for real, of everybody who is online, in a Redis of our own (`redis-server`, which
Debian installs). Of the updates a part is published: `updates`. Redis is one thread; its CPU is its own figure
(INFO). The CPU of a server of ours is that of its publisher, sockets included, and that of a subscriber who
takes messages apart, decodes and looks up for whom they are: bare RESP, no client library.
"""

import argparse
import gc
import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import psutil

from bench import friends_world
from bench.friends_bus import Connection, Subscribers, Usage, command, many, messages, redis, redis_server
from bench.friends_ways import (
    WAYS,
    ByCell,
    ByPerson,
    ByPersonSharded,
    Sent,
    Update,
    Way,
    encode,
    person_id,
)
from bench.friends_world import Ints, World
from majung.backends.embedded.fanout import EmbeddedFanout

SIZES = {10_000: (4, 5), 100_000: (10, 20), 1_000_000: (20, 100)}
"""Servers and cities for so many people."""
UPDATES = 10_000
BATCH = 500
COMING = 100


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
    redis_us, grown = usage.cpu_us(), usage.grown_bytes()
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
    sent, client_s, batch = Sent(0, 0), 0.0, min(BATCH, len(rows))
    usage.cpu_us()
    subscribers.bytes, subscribers.keeping = 0, True
    started = time.perf_counter()
    for start in range(0, len(rows), batch):
        before = time.process_time()
        done = way.publish(control, rows[start : start + batch])
        client_s += time.process_time() - before
        sent = Sent(sent.published + done.published, sent.delivered + done.delivered)
        subscribers.drain()
    subscribers.settle()
    wall_s, redis_us, updates = time.perf_counter() - started, usage.cpu_us(), len(rows)
    subscribers.keeping = False
    return {
        "updates": updates,
        "published": round(sent.published / updates, 3),
        "delivered": round(sent.delivered / updates, 3),
        "bytes_delivered": round(subscribers.bytes / updates, 1),
        "redis_us": round(redis_us / updates, 2),
        "redis_us_a_delivery": round(redis_us / max(1, sent.delivered), 2),
        "publisher_us": round(1e6 * client_s / updates, 2),
        "updates_per_s_here": round(updates / wall_s),
        "updates_per_s_one_redis": round(1e6 * updates / max(1.0, redis_us)),
    }


def _receive(world: World, kept: bytes) -> dict[str, Any]:
    """What server 0 pays for what it got: take apart, decode, look up."""
    here = dict.fromkeys(map(person_id, world.persons_on(0).tolist()))
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


def measure(way: Way, rows: Ints, program: str) -> dict[str, Any]:
    """One way in one world, in a Redis of its own."""
    with redis(program) as port:
        control, subscribers = Connection(port), Subscribers(port, way.world.servers)
        try:
            usage = Usage(control)
            return {
                "built": _subscribe(way, subscribers, control, usage),
                "one person comes and goes": _come_and_go(way, subscribers, control, usage),
                "an update": _publish(way, subscribers, control, usage, rows),
                "a server hears": _receive(way.world, bytes(subscribers.kept)),
            }
        finally:
            subscribers.close()
            control.close()


def wanted(world: World, rows: Sequence[int]) -> dict[str, float]:
    """For an update, how many servers have an online friend, and one within the radius."""
    return {
        "online_friends": round(float(np.mean([len(world.online_friends(row)) for row in rows])), 2),
        "servers_with_friends": round(float(np.mean([len(world.servers_of_friends(r)) for r in rows])), 2),
        "servers_with_friends_near": round(float(np.mean([len(world.servers_near(row)) for row in rows])), 2),
    }


def _in_process(channels: int, updates: int, to: Any) -> None:
    """Runs in a process of its own, so that memory is its own: the embedded bus with so many channels."""
    import asyncio

    async def run() -> dict[str, float]:
        fanout = EmbeddedFanout()
        heard: list[bytes] = []
        names = [f"friends:{person_id(number)}" for number in range(channels)]
        payload = encode(Update(person_id(1), 37.5, 127.0, 1_780_000_000_000, 1_780_000_000_120, 8.0))
        gc.collect()
        process = psutil.Process()
        before, cpu = process.memory_info().rss, time.process_time()
        leave = [await fanout.subscribe(name, heard.append) for name in names]
        built_s, grown = time.process_time() - cpu, process.memory_info().rss - before
        order = np.random.default_rng(1).integers(0, channels, updates).tolist()
        cpu = time.process_time()
        for number in order:
            await fanout.publish(names[number], payload)
        published_s = time.process_time() - cpu
        assert len(heard) == updates and len(leave) == channels
        return {
            "channels": channels,
            "mib": round(grown / 2**20, 2),
            "bytes_a_channel": round(grown / channels, 1),
            "us_a_subscription": round(1e6 * built_s / channels, 2),
            "us_a_publish": round(1e6 * published_s / updates, 2),
        }

    to.send(asyncio.run(run()))


def in_process(channels: int, updates: int = 100_000) -> dict[str, Any]:
    """Memory and CPU of EmbeddedFanout."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_in_process, args=(channels, updates, its))
    process.start()
    its.close()
    try:
        return dict(mine.recv())
    finally:
        process.join()


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
    for kind in WAYS:
        if people >= 1_000_000 and kind is ByPersonSharded:
            continue  # as the way without shards: the two smaller worlds show it
        result[kind.name] = measure(kind(world), rows, program)
        gc.collect()
    result["cell, servers by region"] = measure(ByCell(regional), rows, program)
    all_here = replace(world, servers=1, server=np.zeros_like(world.server))
    result["in process, person"] = in_process(len(ByPerson(all_here).channels(0)))
    result["in process, cell"] = in_process(len(ByCell(all_here).channels(0)))
    result["in process, bucket of 16"] = in_process(16)
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


def bus() -> dict[str, Any]:
    """What Redis pays for a message by receivers and size, and the line through it: the formula to reckon with."""
    points: list[list[float]] = []
    paid: list[float] = []
    for receivers in (0, 1, 4, 20):
        for size in (85, 1_000, 10_000):
            with redis(redis_server()) as port:
                control, subscribers = Connection(port), Subscribers(port, max(1, receivers))
                for server in range(receivers):
                    subscribers.send(server, [command(b"SUBSCRIBE", b"friends:bucket:1")])
                usage, count = (
                    Usage(control),
                    100 * max(2, 400_000 // (100 * (receivers + 5) * (1 + size // 1_000))),
                )
                batch = [command(b"PUBLISH", b"friends:bucket:1", b"x" * size)] * 100
                for _ in range(count // 100):
                    control.ask(batch)
                    subscribers.drain()
                subscribers.settle()
                points.append([1.0, receivers, size / 1_000, receivers * size / 1_000])
                paid.append(usage.cpu_us() / count)
                subscribers.close()
                control.close()
    weights = 1 / np.array(paid)
    solved, *_ = np.linalg.lstsq(np.array(points) * weights[:, None], np.array(paid) * weights, rcond=None)
    names = ("us_a_message", "us_a_delivery", "us_a_kb_in", "us_a_kb_out")
    return {
        **dict(zip(names, (round(float(one), 3) for one in solved), strict=True)),
        "measured": {
            f"{int(p[1])} x {int(p[2] * 1000)} B": round(us, 2) for p, us in zip(points, paid, strict=True)
        },
    }


def run() -> dict[str, Any]:
    """All worlds, and what a message costs."""
    return {"bus": bus()} | {
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
