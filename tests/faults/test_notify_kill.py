"""SIGKILL while orders change: everybody is told everything, once in the page and at least once by push."""

import asyncio
import json
import os
import random
import sqlite3
import time
import uuid
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.harness import wait_ready
from tests.paths.test_orders import HOME, MENU, PASSWORD, SHOP
from tests.push_kit import Browser
from tests.receiver import Receiver, receiving
from tests.server import Server

KILLS = 6
ORDERS = 120
CLIENTS = 8
SEED = int(os.environ.get("MAJUNG_FAULT_SEED", str(int(time.time()))))
SETS = (
    "delivery.open_sign_up=customer,store",
    "server.rate_per_s=100000",
    "server.rate_burst=100000",
    "outward.allow_networks=127.0.0.0/8,::1/128",
)
DOOR = (37.499, 127.03)  # HOME
WAY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("accept", {"cooking_minutes": 10}),
    ("reassign", {}),
    ("ready", {}),
    ("pick-up", {}),
    ("depart", {}),
    ("deliver", {}),
)
# The planted fault: what has been polled counts as done before anybody is told.
COMMITS_FIRST = """
import asyncio
from majung.notify.service import Notifier
observe = Notifier.observe
async def hasty(self, events):
    await self._log.consumer_of_the_fault.commit()
    await asyncio.sleep(0.3)
    await observe(self, events)
Notifier.observe = hasty
from majung.backends.embedded.log import EmbeddedLog
consumer = EmbeddedLog.consumer
def remembered(self, topic, group):
    made = consumer(self, topic, group)
    if group == "notify":
        self.consumer_of_the_fault = made
    return made
EmbeddedLog.consumer = remembered
from majung.cli import main
main()
"""


@dataclass
class Verdict:
    """Every list must be empty."""

    changes: int = 0
    pushes: int = 0
    untold: list[str] = field(default_factory=list)
    told_twice: list[str] = field(default_factory=list)
    made_up: list[str] = field(default_factory=list)
    not_pushed: list[str] = field(default_factory=list)
    not_near: list[str] = field(default_factory=list)
    mixed_up: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        lists = (self.untold, self.told_twice, self.made_up, self.not_pushed, self.not_near, self.mixed_up)
        return not any(lists)


class Town:
    """Orders that go their whole way, whatever happens to the server; half of them with a rider at the door."""

    def __init__(self, server: Server, service: Receiver, rng: random.Random) -> None:
        self.server, self.rng = server, rng
        self.customer, self.shop = Browser(service.url, "customer"), Browser(service.url, "shop")
        self.ready = asyncio.Event()
        self.at_the_door: set[str] = set()
        self.finished = 0
        self._left = ORDERS
        self._gateway = {"Authorization": f"Bearer {server.add_user('fleet', 'gateway')['token']}"}
        owner = self._sign_up("owner", "store")
        made = httpx.post(f"{server.url}/v1/stores", json=SHOP, headers=owner, timeout=60)
        self.store_id = str(made.json()["store_id"])
        menu = f"{server.url}/v1/stores/{self.store_id}/menu"
        assert httpx.put(menu, json=MENU, headers=owner, timeout=60).status_code == 200
        for headers, browser in ((owner, self.shop), (self._sign_up("mina", "customer"), self.customer)):
            url = f"{server.url}/v1/push/subscriptions"
            answer = httpx.post(url, json=browser.subscription(), headers=headers, timeout=60)
            assert answer.status_code == 201, answer.text

    def _sign_up(self, name: str, role: str) -> dict[str, str]:
        body = {"name": name, "password": PASSWORD, "role": role}
        token = httpx.post(f"{self.server.url}/v1/sign-up", json=body, timeout=60).json()["access_token"]
        return {"Authorization": f"Bearer {token}"}

    async def run(self) -> None:
        self.ready.set()
        async with httpx.AsyncClient(base_url=self.server.url, headers=self.server.admin, timeout=60) as http:
            await asyncio.gather(*(self._client(http) for _ in range(CLIENTS)))

    async def _client(self, http: httpx.AsyncClient) -> None:
        while self._left > 0:
            self._left -= 1
            number = ORDERS - self._left
            lines = [{"item_id": "noodles"}]
            wish = {"store_id": self.store_id, "lines": lines, "address": HOME}
            order = await self._post(http, "/v1/orders?as=customer:mina", wish)
            for step, body in WAY:
                path = f"/v1/orders/{order['order_id']}/{step}"
                rider = {"rider_id": f"r-{number}"} if step == "reassign" else {}
                await self._post(http, path, {**body, **rider})
                if step == "depart" and number % 2:
                    await self._come_near(http, f"r-{number}", str(order["order_id"]))
            self.finished += 1

    async def _post(self, http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Until it is done; 409 after a lost answer means that it was."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        while True:
            await self.ready.wait()
            try:
                answer = await http.post(path, json=body, headers=key)
            except httpx.HTTPError:
                await asyncio.sleep(0.01)
                continue
            if answer.status_code in (200, 201):
                return dict(answer.json())
            assert answer.status_code in (409, 503), answer.text
            if answer.status_code == 409:
                return dict(answer.json().get("order") or {})
            await asyncio.sleep(0.01)

    async def _come_near(self, http: httpx.AsyncClient, rider_id: str, order_id: str) -> None:
        """Fixes at the door until the customer has been told; a phone goes on reporting as well."""
        for _ in range(60):
            await self.ready.wait()
            fix: dict[str, str | float] = {"id": rider_id, "accuracy": 5}
            fix |= dict(zip(("lat", "lon"), DOOR, strict=True))
            fix["timestamp"] = int(time.time() * 1000)
            try:
                answer = await http.post("/osmand", params=fix, headers=self._gateway)
                assert answer.status_code in (200, 503), answer.text
                await asyncio.sleep(0.1)
                if self._told_near(order_id):
                    self.at_the_door.add(order_id)
                    return
            except httpx.HTTPError:
                await asyncio.sleep(0.01)

    def _told_near(self, order_id: str) -> bool:
        with closing(sqlite3.connect(self.server.data / "majung.db")) as database:
            sql = "SELECT 1 FROM notice WHERE order_id = ? AND kind = 'arriving'"
            return database.execute(sql, (order_id,)).fetchone() is not None


async def live(server: Server, service: Receiver, kills: int, rng: random.Random) -> Town:
    """The town with so many deaths; returns when all orders are through and everybody should know."""
    town = Town(server, service, rng)
    task = asyncio.create_task(town.run())
    for _ in range(kills):
        await asyncio.sleep(rng.uniform(0.4, 1.0))
        town.ready.clear()
        server.kill()
        server.start(wait=False)
        await wait_ready(server)
        before = town.finished
        town.ready.set()
        while town.finished == before and not task.done():
            await asyncio.sleep(0.01)
    await asyncio.wait_for(task, 120)
    return town


async def settled(server: Server) -> None:
    """Everything is published, consumed and sent."""
    done = (
        "SELECT NOT EXISTS (SELECT 1 FROM outbox WHERE status = 'pending')"
        " AND NOT EXISTS (SELECT 1 FROM push_queue)"
    )
    quiet = 0
    async with asyncio.timeout(60):
        with closing(sqlite3.connect(server.data / "majung.db")) as database:
            while quiet < 20:  # the consumer stands between the two: a while of nothing at both ends
                quiet = quiet + 1 if database.execute(done).fetchone()[0] else 0
                await asyncio.sleep(0.05)


def judge(town: Town, service: Receiver, data: Path) -> Verdict:
    """The audit trail against the notices, and these against what came at the push service."""
    with closing(sqlite3.connect(data / "majung.db")) as database:
        events = [json.loads(row[0]) for row in database.execute("SELECT payload FROM order_event")]
        rows = database.execute("SELECT recipient, order_id, kind FROM notice").fetchall()
    told = Counter(rows)
    verdict = Verdict(len(events), len(service.received))
    expected = expectation(events, town.store_id)
    verdict.untold = [str(one) for one in expected if not told[one]]
    verdict.told_twice = [str(one) for one, times in told.items() if times > 1]
    others = {one for one in told if one[2] not in ("arriving", "rider_at_store", "assigned", "ready")}
    verdict.made_up = [str(one) for one in others - expected]
    near = {order_id for _, order_id, kind in told if kind == "arriving"}
    verdict.not_near = [str(order_id) for order_id in near ^ town.at_the_door]
    for browser, part in ((town.customer, "customer:"), (town.shop, "store:")):
        shown = browser.shown(service.received)
        got = {(message["order_id"], message["kind"]) for message in shown}
        wanted = {(order_id, kind) for to, order_id, kind in told if to.startswith(part)}
        verdict.not_pushed += [f"{part}{one}" for one in wanted - got]
        tags = {(message["id"], message["tag"], message["title"]) for message in shown}
        if len(tags) != len({id_ for id_, _, _ in tags}):
            verdict.mixed_up.append(part)
    return verdict


def expectation(events: list[dict[str, Any]], store_id: str) -> set[tuple[str, str, str]]:
    """From the states in the audit trail, without the table of notices."""
    found: set[tuple[str, str, str]] = set()
    before: dict[str, str] = {}
    for event in sorted(events, key=lambda one: (one["order_id"], one["version"])):
        order_id, state = event["order_id"], event["order"]["state"]
        if before.get(order_id) != state:
            found.add(("customer:customer:mina", order_id, state.lower()))
        if event["version"] == 1:
            found.add((f"store:{store_id}", order_id, "new_order"))
        if event["command"] == "assign":
            found.add((f"store:{store_id}", order_id, "rider_assigned"))
        before[order_id] = state
    return found


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_everybody_is_told_whatever_dies(tmp_path: Path) -> None:
    with receiving() as service:
        server = Server(tmp_path / "data", SETS, env=service.trust(tmp_path)).start()
        try:
            town = await live(server, service, KILLS, random.Random(SEED))
            await settled(server)
        finally:
            server.kill()
        verdict = judge(town, service, server.data)
        unique = len({one["id"] for one in town.customer.shown(service.received)})
        print(
            f"\nseed {SEED}: {KILLS} kills, {verdict.changes} changes, {verdict.pushes} pushes ({unique} news)"
        )
        assert verdict.clean, verdict
        assert verdict.changes == ORDERS * 7
        assert len(town.at_the_door) == ORDERS // 2


@pytest.mark.fault
@pytest.mark.timeout(600)
async def test_the_test_finds_a_consumer_that_commits_first(tmp_path: Path) -> None:
    with receiving() as service:
        entry = ("-c", COMMITS_FIRST)
        server = Server(tmp_path / "data", SETS, env=service.trust(tmp_path), entry=entry).start()
        try:
            town = await live(server, service, 3, random.Random(1))
            await settled(server)
        finally:
            server.kill()
        assert judge(town, service, server.data).untold
