"""What the parts of a bus cost by themselves: a message through Redis, a client library, the bus within a process."""

import asyncio
import gc
import multiprocessing
import time
from typing import Any

import numpy as np
import psutil
from redis import Redis
from redis.client import PubSub

from bench.friends_bus import Connection, Subscribers, Usage, command, redis, redis_server
from bench.friends_ways import Update, encode, person_id
from majung.backends.embedded.fanout import EmbeddedFanout

PAYLOAD = encode(Update(person_id(1), 37.5, 127.0, 1_780_000_000_000, 1_780_000_000_120, 8.0, 1.4, 90.0))


def _message_us(receivers: int, size: int) -> float:
    """CPU of Redis for one message to so many receivers."""
    hundreds = max(2, 4_000 // ((receivers + 5) * (1 + size // 1_000)))
    batch = [command(b"PUBLISH", b"friends:bucket:1", b"x" * size)] * 100
    with redis(redis_server()) as port:
        control, subscribers = Connection(port), Subscribers(port, receivers)
        for server in range(receivers):
            subscribers.send(server, [command(b"SUBSCRIBE", b"friends:bucket:1")])
        usage = Usage(control)
        for _ in range(hundreds):
            control.ask(batch)
            subscribers.drain()
        subscribers.settle()
        spent_us = usage.cpu_us()
        subscribers.close()
        control.close()
    return spent_us / (100 * hundreds)


def bus() -> dict[str, Any]:
    """What Redis pays for a message by receivers and size, and the plane through it: the formula to reckon with."""
    tried = [(receivers, size) for receivers in (0, 1, 4, 20) for size in (85, 1_000, 10_000)]
    paid = np.array([_message_us(receivers, size) for receivers, size in tried])
    points = np.array([(1.0, n, size / 1_000, n * size / 1_000) for n, size in tried]) / paid[:, None]
    solved, *_ = np.linalg.lstsq(points, np.ones(len(tried)), rcond=None)  # the relative error counts
    names = ("us_a_message", "us_a_delivery", "us_a_kb_in", "us_a_kb_out")
    result: dict[str, Any] = {name: round(float(one), 3) for name, one in zip(names, solved, strict=True)}
    measured = zip(tried, paid, strict=True)
    result["measured"] = {f"{n} x {size} B": round(float(us), 2) for (n, size), us in measured}
    return result


def client_library(updates: int = 5_000) -> dict[str, float]:
    """The same with redis-py and its own parser: what the bare sockets leave out."""
    with redis(redis_server()) as port:
        client = Redis(port=port)
        listener: PubSub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        listener.subscribe("friends:bucket:1")
        pipeline, heard = client.pipeline(transaction=False), 0
        cpu = time.process_time()
        for _ in range(updates):
            pipeline.publish("friends:bucket:1", PAYLOAD)
        pipeline.execute()
        published_s, cpu = time.process_time() - cpu, time.process_time()
        while heard < updates:
            heard += listener.get_message(timeout=1.0) is not None
        heard_s = time.process_time() - cpu
        client.close()
    return {
        "us_a_publish": round(1e6 * published_s / updates, 1),
        "us_a_message_heard": round(1e6 * heard_s / updates, 1),
    }


def _in_process(channels: int, updates: int, to: Any) -> None:
    """Runs in a process of its own, so that memory is its own: the embedded bus with so many channels."""

    async def run() -> dict[str, float]:
        fanout = EmbeddedFanout()
        heard: list[bytes] = []
        names = [f"friends:{person_id(number)}" for number in range(channels)]
        gc.collect()
        process = psutil.Process()
        before, cpu = process.memory_info().rss, time.process_time()
        leave = [await fanout.subscribe(name, heard.append) for name in names]
        built_s, grown = time.process_time() - cpu, process.memory_info().rss - before
        order = np.random.default_rng(1).integers(0, channels, updates).tolist()
        cpu = time.process_time()
        for number in order:
            await fanout.publish(names[number], PAYLOAD)
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
