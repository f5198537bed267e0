"""SIGKILL while everybody hammers orders: what was acknowledged is in the log, once in effect, in order."""

import asyncio
import os
import random
import sqlite3
import time
import uuid
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from majung.backends.embedded.log import EmbeddedLog
from majung.clock import SystemClock
from majung.orders.model import Actor, Command, OrderEvent, OrderState
from majung.orders.store import decode_event
from majung.orders.table import TABLE, ways_out
from majung.outbox.relay import ORDER_EVENTS_TOPIC
from majung.outbox.versions import SeenVersions
from majung.settings import LogSettings
from tests.faults.harness import wait_ready
from tests.paths.test_orders import HOME, MENU, PASSWORD, SHOP
from tests.server import Server

KILLS = 5
ORDERS = 50
CLIENTS = 8
SEED = int(os.environ.get("MAJUNG_FAULT_SEED", str(int(time.time()))))
SETS = ("delivery.open_sign_up=store", "server.rate_per_s=100000", "server.rate_burst=100000")

# The planted fault: a relay that says "published" first and publishes then.
MARKS_BEFORE_IT_PUBLISHES = """
import asyncio
from majung.outbox.relay import Relay
publish, mark = Relay._publish, Relay._mark
async def hasty(self, rows):
    await mark(self, rows)
    await asyncio.sleep(0.2)
    await publish(self, rows)
async def done_already(self, rows):
    pass
Relay._publish, Relay._mark = hasty, done_already
from majung.cli import main
main()
"""

PATHS: dict[Command, tuple[str, dict[str, Any]]] = {
    Command.ACCEPT: ("accept", {"cooking_minutes": 10}),
    Command.REJECT: ("reject", {"reason": "no"}),
    Command.SET_COOKING_TIME: ("cooking-time", {"cooking_minutes": 20}),
    Command.READY: ("ready", {}),
    Command.ASSIGN: ("reassign", {}),
    Command.UNASSIGN: ("unassign", {}),
    Command.PICK_UP: ("pick-up", {}),
    Command.DEPART: ("depart", {}),
    Command.DELIVER: ("deliver", {}),
    Command.FAIL: ("fail", {"reason": "nobody there"}),
    Command.CANCEL: ("cancel", {"reason": "changed my mind"}),
}


@dataclass
class Verdict:
    """Every list must be empty."""

    acknowledged: int = 0
    records: int = 0
    lost: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    off_the_table: list[str] = field(default_factory=list)
    unlike_the_database: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        wrong = (self.lost, self.altered, self.out_of_order, self.off_the_table, self.unlike_the_database)
        return not any(wrong)


class Crowd:
    """Clients that do anything to any order, as anybody, and remember what was acknowledged."""

    def __init__(self, server: Server, rng: random.Random) -> None:
        self.server, self.rng = server, rng
        self.acked: dict[tuple[str, int], str] = {}
        self.known: dict[str, dict[str, Any]] = {}
        self.ready = asyncio.Event()
        self.last_ack_at = 0.0
        self.store_id = self._open_shop()

    def _open_shop(self) -> str:
        body = {"name": "owner", "password": PASSWORD, "role": "store"}
        token = httpx.post(f"{self.server.url}/v1/sign-up", json=body, timeout=60).json()["access_token"]
        owner = {"Authorization": f"Bearer {token}"}
        made = httpx.post(f"{self.server.url}/v1/stores", json=SHOP, headers=owner, timeout=60)
        store_id = str(made.json()["store_id"])
        put = httpx.put(f"{self.server.url}/v1/stores/{store_id}/menu", json=MENU, headers=owner, timeout=60)
        assert put.status_code == 200, put.text
        return store_id

    async def run(self) -> None:
        self.ready.set()
        async with httpx.AsyncClient(base_url=self.server.url, headers=self.server.admin, timeout=60) as http:
            await asyncio.gather(*(self._client(http) for _ in range(CLIENTS)))

    async def _client(self, http: httpx.AsyncClient) -> None:
        while True:
            await self.ready.wait()
            try:
                if len(self.known) < ORDERS:
                    await self._place(http)
                else:
                    await self._act(http)
            except httpx.HTTPError:
                await asyncio.sleep(0)  # killed just now; `ready` says when it is back

    async def _place(self, http: httpx.AsyncClient) -> None:
        lines = [{"item_id": "noodles"}]
        body = {"store_id": self.store_id, "lines": lines, "address": HOME}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        answer = await http.post("/v1/orders", params={"as": "customer:mina"}, json=body, headers=key)
        if answer.status_code == 201:
            self._remember(answer.json())

    async def _act(self, http: httpx.AsyncClient) -> None:
        order = self.known[self.rng.choice(list(self.known))]
        actor = self.rng.choice([Actor.CUSTOMER, Actor.STORE, Actor.RIDER, Actor.ADMIN])
        sensible = ways_out(OrderState(order["state"]), actor)
        command = self.rng.choice(sensible if sensible and self.rng.random() < 0.7 else list(Command))
        path, body = PATHS[command]
        body = dict(body)
        if command is Command.ASSIGN:
            body["rider_id"], actor = f"rider-{self.rng.randrange(60)}", Actor.ADMIN
        if command is Command.DELIVER and actor is Actor.RIDER:
            body["proof"] = {"kind": "code", "ref": order["delivery_code"]}
        if self.rng.random() < 0.5:
            body["expected_version"] = order["version"]
        params = {} if actor is Actor.ADMIN else {"as": actor.value}
        answer = await http.post(f"/v1/orders/{order['order_id']}/{path}", params=params, json=body)
        assert answer.status_code in (200, 400, 403, 409, 503), answer.text
        if answer.status_code == 200:
            self._remember(answer.json())
        elif answer.status_code == 409 and (current := answer.json().get("order")):
            self._refresh(current)

    def _remember(self, order: dict[str, Any]) -> None:
        self.acked[order["order_id"], order["version"]] = order["state"]
        self.last_ack_at = time.monotonic()
        self._refresh(order)

    def _refresh(self, order: dict[str, Any]) -> None:
        if order["ended_at_ms"]:
            self.known.pop(order["order_id"], None)
            return
        before = self.known.get(order["order_id"], order)
        code = order["delivery_code"] or before["delivery_code"]
        if order["version"] >= before["version"]:
            self.known[order["order_id"]] = {**order, "delivery_code": code}


async def hammer(server: Server, kills: int, rng: random.Random) -> Crowd:
    crowd = Crowd(server, rng)
    task = asyncio.create_task(crowd.run())
    for _ in range(kills):
        await asyncio.sleep(rng.uniform(0.4, 1.2))
        crowd.ready.clear()
        server.kill()
        before = time.monotonic()
        server.start(wait=False)
        await wait_ready(server)
        crowd.ready.set()
        while crowd.last_ack_at < before:
            assert not task.done(), task.exception()
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await all_published(server.data)
    return crowd


async def all_published(data: Path) -> None:
    async with asyncio.timeout(60):
        with closing(sqlite3.connect(data / "majung.db")) as database:
            while database.execute("SELECT 1 FROM outbox WHERE status = 'pending' LIMIT 1").fetchone():
                await asyncio.sleep(0.05)


async def read_topic(data: Path) -> list[OrderEvent]:
    log = await EmbeddedLog.open(data / "log", LogSettings(), SystemClock())
    try:
        stats = await log.stats(ORDER_EVENTS_TOPIC)
        consumer = log.consumer(ORDER_EVENTS_TOPIC, "judge")
        found: list[OrderEvent] = []
        while len(found) < sum(stats.end.values()) - sum(stats.begin.values()):
            found += [decode_event(record.value) for record in await consumer.poll(500, 0)]
        await consumer.close()
        return found
    finally:
        await log.close()


def judge(acked: dict[tuple[str, int], str], records: list[OrderEvent], data: Path) -> Verdict:
    """What a consumer that drops seen versions makes of the topic, against acknowledgements and database."""
    verdict = Verdict(len(acked), len(records))
    seen, effects = SeenVersions(), defaultdict(list)
    for event in records:
        if seen.take(event.order_id, event.version):
            effects[event.order_id].append(event)
    states = {(e.order_id, e.version): e.order.state for events in effects.values() for e in events}
    for change, state in acked.items():
        if change not in states:
            verdict.lost.append(str(change))
        elif states[change] != state:
            verdict.altered.append(str(change))
    for order_id, events in effects.items():
        if [event.version for event in events] != list(range(1, len(events) + 1)):
            verdict.out_of_order.append(order_id)
        for before, after in pairwise(events):
            way = TABLE.get((before.order.state, Command(after.command)))
            if way is None or way[0] is not after.order.state or after.actor not in way[1]:
                verdict.off_the_table.append(after.event_id)
    with closing(sqlite3.connect(data / "majung.db")) as database:
        rows = database.execute("SELECT order_id, version, payload FROM order_event").fetchall()
        now = dict(database.execute("SELECT order_id, version FROM orders").fetchall())
    stored = {(order_id, version): decode_event(payload).order.state for order_id, version, payload in rows}
    verdict.unlike_the_database += [str(change) for change in stored.items() ^ states.items()]
    ends = {order_id: events[-1].version for order_id, events in effects.items()}
    verdict.unlike_the_database += [str(end) for end in now.items() ^ ends.items()]
    return verdict


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_every_acknowledged_change_is_in_the_log_once_in_effect(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", SETS).start()
    try:
        crowd = await hammer(server, KILLS, random.Random(SEED))
    finally:
        server.kill()
    records = await read_topic(server.data)
    verdict = judge(crowd.acked, records, server.data)
    print(f"\nseed {SEED}: {KILLS} kills, {verdict.acknowledged} acknowledged, {verdict.records} records")
    assert verdict.clean, verdict
    assert verdict.acknowledged > 200


@pytest.mark.fault
@pytest.mark.timeout(600)
async def test_the_test_finds_a_relay_that_marks_before_it_publishes(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", SETS, entry=("-c", MARKS_BEFORE_IT_PUBLISHES)).start()
    try:
        crowd = await hammer(server, 2, random.Random(1))
    finally:
        server.kill()
    verdict = judge(crowd.acked, await read_topic(server.data), server.data)
    assert verdict.lost
    assert verdict.unlike_the_database
