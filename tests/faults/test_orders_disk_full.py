"""The disk fills up while orders are placed: 507, nothing half done, and it goes on when there is room."""

import contextlib
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.test_storage import small_disk  # noqa: F401 - a fixture
from tests.paths.test_orders import Four
from tests.server import Server

SETS = ("delivery.open_sign_up=customer,rider,store", "delivery.sign_up_per_minute=1000")
NOTE = "문 앞에 두세요 " * 40


def fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as filler:
        while True:
            filler.write(b"\0" * 4096)


def place(four: Four, key: str) -> httpx.Response:
    return four.customer.post("/v1/orders", four.wish(note=NOTE), headers={"Idempotency-Key": key})


def rows(server: Server, sql: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{server.data}/majung.db?mode=ro", uri=True)) as database:
        return database.execute(sql).fetchall()


@pytest.mark.fault
@pytest.mark.slow
def test_orders_while_the_disk_is_full(small_disk: Path, tmp_path: Path) -> None:  # noqa: F811
    server = Server(small_disk / "data", SETS)
    server.log = tmp_path / "server.log"
    ballast = small_disk / "ballast"
    server.start()
    try:
        four = Four(server)
        placed = {"before": place(four, "before")}
        assert placed["before"].status_code == 201
        path = f"/v1/orders/{placed['before'].json()['order_id']}"
        fill(ballast)
        refused: list[str] = []
        for number in range(2_000):
            answer = place(four, f"k-{number}")
            if answer.status_code == 201:
                placed[f"k-{number}"] = answer
            else:
                assert answer.status_code == 507, answer.text
                assert answer.json()["type"] == "storage-full" and answer.headers["retry-after"]
                refused.append(f"k-{number}")
                fill(ballast)
            if len(refused) >= 20:
                break
        assert refused, "the disk was never full"
        accept = four.store.post(f"{path}/accept", {"cooking_minutes": 5})
        assert accept.status_code in (200, 507), accept.text
        # Who reads is answered all the same, and sees nothing of what was refused.
        listed = four.admin("GET", "/v1/orders?limit=200")
        assert listed.status_code == 200, listed.text
        kept = {row[0] for row in rows(server, "SELECT request_key FROM orders")}
        assert kept == placed.keys()

        ballast.unlink()
        deadline = time.monotonic() + 60
        for key in refused:
            while (answer := place(four, key)).status_code != 201:
                assert answer.status_code == 507 and time.monotonic() < deadline, answer.text
                time.sleep(0.1)
            placed[key] = answer
        if accept.status_code == 507:
            assert four.store.post(f"{path}/accept", {"cooking_minutes": 5}).status_code == 200
        last = placed[refused[-1]].json()
        while four.admin("GET", f"/v1/orders/{last['order_id']}").status_code != 200:
            assert time.monotonic() < deadline, "the views do not go on"
        for key, first in placed.items():
            assert place(four, key).json()["order_id"] == first.json()["order_id"], "once"
        whole_or_nothing(server, len(placed))
        print(f"\n{len(placed)} placed, {len(refused)} refused first")
    finally:
        server.kill()


def whole_or_nothing(server: Server, count: int) -> None:
    """Each order has its events and their outbox rows, and nothing has no order."""
    assert rows(server, "SELECT COUNT(*) FROM orders") == [(count,)]
    for table in ("order_event", "outbox"):
        halves = f"""
            SELECT o.order_id FROM orders o WHERE o.version <>
                (SELECT COUNT(*) FROM {table} e WHERE e.order_id = o.order_id)
            UNION ALL SELECT e.order_id FROM {table} e WHERE e.order_id NOT IN (SELECT order_id FROM orders)
        """
        assert rows(server, halves) == [], table
