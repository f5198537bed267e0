"""A city goes on when its server dies: its people come back, and every order comes to its end."""

import json
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.paths.test_city import FINAL, every_order, people, simulating
from tests.server import start_server

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(600)]


def test_every_order_ends_though_the_server_was_killed_twice(tmp_path: Path) -> None:
    with start_server(tmp_path / "data", "positions.max_speed_mps=6000") as server:
        report = tmp_path / "report.json"
        sizes = ("--stores", "6", "--orders-per-minute", "8", "--seconds", "6")
        city = subprocess.Popen(
            simulating(server, *sizes, "--accounts", str(people(server)), "--report", str(report))
        )
        try:
            for _ in range(2):
                seen = len(every_order(server))
                deadline = time.monotonic() + 60
                while len(every_order(server)) < seen + 5 and time.monotonic() < deadline:
                    time.sleep(0.1)
                server.kill()
                server.start()
            assert city.wait(400) == 0
        finally:
            city.kill()
        orders = every_order(server)
        found = json.loads(report.read_text())
        assert {order["state"] for order in orders.values()} <= FINAL
        assert found["ended"] == Counter(order["state"] for order in orders.values())
        assert found["placed"] == len(orders) >= 10, "what was answered is there, and nothing twice"
        assert (found["unfinished"], found["anomalies"]) == ([], [])
        assert found["waited"]["connection"] > 0
