"""SIGKILL while webhooks are sent: every change of every order reaches the receiver, or waits for it."""

import asyncio
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.faults.test_orders_kill import SEED, SETS, hammer
from tests.server import Server
from tests.webhook_kit import LOOPBACK, Call, Receiver, Reply, receiving

KILLS = 5
MORE = (f"outward.allow_networks={LOOPBACK}", "webhooks.retries=100ms,300ms,1s")

# The planted fault: "delivered" is written down first, and sent then.
MARKS_BEFORE_IT_SENDS = """
import asyncio
from majung.webhooks.courier import Courier
from majung.webhooks.model import Attempt
async def hasty(self, endpoint, due):
    done = Attempt(True, 204, 1)
    await self._outcomes.record(endpoint, due.number, due.attempts + 1, due.queued_at_ms, done)
    await asyncio.sleep(0.2)
    await self.attempt(endpoint, due.event_id, due.body)
    return True
Courier._deliver = hasty
from majung.cli import main
main()
"""


def moody(call: Call) -> Reply:
    """One in ten is refused at first, as receivers do."""
    return (503, {}) if hash((call.id, call.headers["webhook-timestamp"])) % 10 == 0 else (204, {})


async def missing_after_kills(server: Server, shop: Receiver, kills: int, seed: int) -> tuple[set[str], int]:
    """What happened and was not told, and how much happened."""
    wish = {"url": shop.url, "events": ["majung.order.*"]}
    made = httpx.post(f"{server.url}/v1/webhooks", json=wish, headers=server.admin, timeout=60)
    assert made.status_code == 201, made.text
    webhook_id = made.json()["webhook"]["webhook_id"]
    await hammer(server, kills, random.Random(seed))
    with closing(sqlite3.connect(server.data / "majung.db")) as database:
        rows = database.execute("SELECT order_id || ':' || version FROM order_event").fetchall()
    happened = {row[0] for row in rows}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        shown = server.get(f"/v1/webhooks/{webhook_id}")
        if (
            not shown.get("waiting")
            and not server.get(f"/v1/webhooks/{webhook_id}/deliveries", status="waiting")["deliveries"]
        ):
            with closing(sqlite3.connect(server.data / "majung.db")) as database:
                filed = database.execute("SELECT COUNT(*) FROM webhook_delivery").fetchone()[0]
            if filed >= len(happened):
                break
        await asyncio.sleep(0.1)
    return happened - set(shop.ids), len(happened)


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_nothing_is_missing_after_kills(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", (*SETS, *MORE)).start()
    try:
        with receiving(moody) as shop:
            missing, happened = await missing_after_kills(server, shop, KILLS, SEED)
    finally:
        server.kill()
    print(f"\nseed {SEED}: {KILLS} kills, {happened} events, {len(shop.calls)} calls")
    assert missing == set()
    assert happened > 200


@pytest.mark.fault
@pytest.mark.timeout(600)
async def test_the_test_finds_a_courier_that_marks_before_it_sends(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", (*SETS, *MORE), entry=("-c", MARKS_BEFORE_IT_SENDS)).start()
    try:
        with receiving() as shop:
            missing, _ = await missing_after_kills(server, shop, 2, 1)
    finally:
        server.kill()
    assert missing
