"""Everybody at the hot spot, in a process of its own: `python -m bench.gangnam_load PLAN.json`.

Orders come at fixed times whatever the server does (open loop); latency counts from the time an order was due.
Each then runs its course: the store accepts at once and is ready a moment later, the rider who is offered it
takes it, picks it up, drives a leg that is cut to seconds, and delivers with the customer's code. Riders hear
of offers on their WebSocket, some customers follow their orders on theirs. Before it begins everybody has asked
for something once, a store's page, since nobody orders without having seen a menu. Prints one JSON line.
"""

import asyncio
import contextlib
import gc
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import uvloop
import websockets

from bench.gangnam_city import City, place
from bench.gangnam_http import Answer, Pool

_SOCKETS_AT_ONCE = 50
_READERS = 32


class Plan(msgspec.Struct, frozen=True):
    """What to do to whom. Times in seconds; a rider's leg lasts `leg_s` on the mean."""

    host: str
    port: int
    city: City
    per_min: float
    seconds: float
    streams: int
    react_s: float
    cook_s: float
    leg_s: float
    drain_s: float
    acknowledged: str


class _Order(msgspec.Struct):
    order_id: str
    version: int
    delivery_code: str = ""


class _Offer(msgspec.Struct):
    offer_id: str
    order_id: str


class _ToRider(msgspec.Struct):
    type: str
    offer: _Offer | None = None


class _ToCustomer(msgspec.Struct):
    type: str
    at_ms: int = 0


class _Job:
    """An order on its way through the hands of all four."""

    __slots__ = ("accepting_s", "code", "over", "ready", "version")

    def __init__(self, code: str) -> None:
        self.code = code
        self.version = 1
        self.accepting_s = 0.0
        self.ready = asyncio.Event()
        self.over = False


_order = msgspec.json.Decoder(_Order).decode
_to_rider = msgspec.json.Decoder(_ToRider).decode
_to_customer = msgspec.json.Decoder(_ToCustomer).decode


class Refused(Exception):
    """The server said no."""


class Load:
    """One run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.pool = Pool(plan.host, plan.port)
        self.rng = random.Random(41)
        self.jobs: dict[str, _Job] = {}
        self.took_ms: dict[str, list[float]] = {}
        self.refused: Counter[str] = Counter()
        self.carrying: set[str] = set()
        self.counts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    # ----------------------------------------------------------------------------------- requests

    async def post(self, what: str, path: str, token: str, body: bytes, since_s: float = 0.0) -> Answer:
        """A command; its latency is kept under `what`. Raises Refused."""
        now_s = asyncio.get_running_loop().time
        began_s = since_s or now_s()
        headers = f"idempotency-key: k{self.pool.requests}\r\n" if what == "place" else ""
        try:
            answer = await self.pool.request("POST", path, token, body, headers)
        except OSError as problem:
            self.refused[f"{what}: {problem}"] += 1
            raise Refused from problem
        self.took_ms.setdefault(what, []).append((now_s() - began_s) * 1000)
        if answer.status >= 300:
            self.refused[f"{what}: {answer.status} {answer.body[:160].decode(errors='replace')}"] += 1
            raise Refused
        return answer

    async def command(self, what: str, order_id: str, token: str, body: bytes = b"{}") -> None:
        answer = await self.post(what, f"/v1/orders/{order_id}/{what}", token, body)
        if job := self.jobs.get(order_id):
            job.version = max(job.version, _order(answer.body).version)

    def go(self, work: Any) -> None:
        async def quietly() -> None:
            with contextlib.suppress(Refused):
                await work

        task = asyncio.create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------------------------------------- people

    async def order(self, number: int, due_s: float) -> None:
        """A customer orders; then it is the store's turn."""
        city = self.plan.city
        shop = city.shops[self.rng.randrange(len(city.shops))]
        north, east = place(self.rng)
        body = (
            f'{{"store_id":"{shop.store_id}","lines":[{{"item_id":"dish-0","quantity":2,"options":["large"]}},'
            f'{{"item_id":"dish-{number % 4 + 4}"}}],"address":{{"latitude":{north:.6f},"longitude":{east:.6f},'
            f'"text":"서울 강남구 테헤란로 {number % 500}","detail":"101동 {number % 900}호"}},'
            f'"note":"문 앞에 두세요"}}'
        )
        token = city.customers[number % len(city.customers)]
        made = _order((await self.post("place", "/v1/orders", token, body.encode(), due_s)).body)
        job = self.jobs[made.order_id] = _Job(made.delivery_code)
        job.accepting_s = asyncio.get_running_loop().time()
        await self.command("accept", made.order_id, shop.token, b'{"cooking_minutes":1}')
        await asyncio.sleep(self.rng.random() * 2 * self.plan.cook_s)
        await self.command("ready", made.order_id, shop.token)
        job.ready.set()

    async def rider(self, rider_id: str, token: str, gate: asyncio.Semaphore) -> None:
        """On duty, and listening for offers until the end."""
        async with gate:
            await self.post("duty", "/v1/riders/me/duty", token, b'{"on":true}')
            socket = await self._socket("/v1/riders/me/live", token)
            self.counts["riders listening"] += 1
        async for text in socket:
            message = _to_rider(text)
            if message.type == "offer" and message.offer is not None:
                self.go(self.carry(rider_id, token, message.offer))

    async def carry(self, rider_id: str, token: str, offer: _Offer) -> None:
        """One delivery, from the offer to the door."""
        now_s = asyncio.get_running_loop().time
        job = self.jobs.get(offer.order_id)
        self.counts["offers"] += 1
        if job is None:  # the customer has no answer yet, but the rider has the offer: cannot be
            self.counts["offers of orders that are not there"] += 1
            return
        self.took_ms.setdefault("accepted → offer at the rider", []).append(
            (now_s() - job.accepting_s) * 1000
        )
        await asyncio.sleep(self.plan.react_s)
        await self.post("take", f"/v1/offers/{offer.offer_id}/accept", token, b"")
        if rider_id in self.carrying:
            self.counts["second order in one rider's hands"] += 1
        self.carrying.add(rider_id)
        try:
            await job.ready.wait()
            await self.command("pick-up", offer.order_id, token)
            await self.command("depart", offer.order_id, token)
            await asyncio.sleep(self.plan.leg_s * (0.5 + self.rng.random()))
            self.carrying.discard(rider_id)  # from here on the next offer may come before this answer
            proof = f'{{"proof":{{"kind":"code","ref":"{job.code}"}}}}'
            await self.command("deliver", offer.order_id, token, proof.encode())
            job.over = True
        finally:
            self.carrying.discard(rider_id)

    async def follow(self, token: str, gate: asyncio.Semaphore) -> None:
        """A customer with the page open."""
        async with gate:
            socket = await self._socket("/v1/orders/live", token)
            self.counts["customers listening"] += 1
        async for text in socket:
            message = _to_customer(text)
            self.counts[f"live {message.type}"] += 1
            if message.type == "order":
                took_ms = self.took_ms.setdefault("changed → on the customer's screen", [])
                took_ms.append(time.time_ns() / 1e6 - message.at_ms)

    async def look_around(self) -> None:
        """Every customer and every store reads a page."""
        city = self.plan.city
        callers = iter([*city.customers, *(shop.token for shop in city.shops)])

        async def reader() -> None:
            for token in callers:
                path = f"/v1/stores/{self.rng.choice(city.shops).store_id}"
                answer = await self.pool.request("GET", path, token)
                if answer.status != 200:
                    raise RuntimeError(f"{path}: {answer.status} {answer.body!r}")

        await asyncio.gather(*(reader() for _ in range(_READERS)))

    async def _socket(self, path: str, token: str) -> websockets.ClientConnection:
        url = f"ws://{self.plan.host}:{self.plan.port}{path}?access_token={token}"
        return await websockets.connect(url, compression=None, ping_interval=None, open_timeout=60)

    # ---------------------------------------------------------------------------------------- run

    async def run(self) -> dict[str, Any]:
        plan, loop, gate = self.plan, asyncio.get_running_loop(), asyncio.Semaphore(_SOCKETS_AT_ONCE)
        listening = [
            *(asyncio.create_task(self.rider(*who, gate)) for who in plan.city.riders.items()),
            *(asyncio.create_task(self.follow(token, gate)) for token in plan.city.customers[: plan.streams]),
        ]
        wanted = len(listening)
        while self.counts["riders listening"] + self.counts["customers listening"] < wanted:
            for task in listening:
                if task.done():
                    task.result()
            await asyncio.sleep(0.1)
        await self.look_around()
        self.took_ms.clear()
        self.pool.requests = 0
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        gc.collect()
        gc.freeze()
        cpu_s, begin_s = time.process_time(), loop.time()
        count = round(plan.per_min / 60 * plan.seconds)
        for number in range(count):
            due_s = begin_s + number * 60 / plan.per_min
            if (pause_s := due_s - loop.time()) > 0:
                await asyncio.sleep(pause_s)
            self.go(self.order(number, due_s))
        sent_s, cpu_s = loop.time() - begin_s, time.process_time() - cpu_s
        until_s = loop.time() + plan.drain_s
        while self._tasks and loop.time() < until_s:
            await asyncio.sleep(0.05)
        drained_s = loop.time() - begin_s - sent_s
        for task in [*listening, *self._tasks]:
            task.cancel()
        Path(plan.acknowledged).write_bytes(
            msgspec.json.encode({order_id: job.version for order_id, job in self.jobs.items()})
        )
        return self._result(count, sent_s, drained_s, cpu_s)

    def _result(self, count: int, sent_s: float, drained_s: float, cpu_s: float) -> dict[str, Any]:
        return {
            "orders due": count,
            "orders acknowledged": len(self.jobs),
            "orders delivered": sum(job.over for job in self.jobs.values()),
            "orders a minute": round(len(self.jobs) / sent_s * 60),
            "requests": self.pool.requests,
            "connections": self.pool.opened,
            "ms": {what: percentiles(took_ms) for what, took_ms in self.took_ms.items() if took_ms},
            "counts": dict(self.counts),
            "refused": dict(self.refused.most_common(10)),
            "seconds until all were delivered": round(drained_s, 1),
            "load generator CPU %": round(cpu_s / sent_s * 100, 1),
        }


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p99 and the largest."""
    values = sorted(values)
    last = len(values) - 1
    return {
        "p50": round(values[last // 2], 1),
        "p99": round(values[int(last * 0.99)], 1),
        "max": round(values[-1], 1),
    }


def main() -> None:
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    print(json.dumps(uvloop.run(Load(plan).run()), ensure_ascii=False))


if __name__ == "__main__":
    main()
