"""A small simulated city against a real server, at sixty times the pace: what it says is what happened."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.server import Server, majung, start_server

STORES, RIDERS, CUSTOMERS = 6, 20, 150
SPEED = 60
SECONDS = 4
FINAL = {"DELIVERED", "REJECTED", "CANCELLED", "FAILED"}


@dataclass
class Lived:
    """A city that has lived: its server, its report, every order with its audit trail."""

    server: Server
    report: dict[str, Any]
    orders: dict[str, dict[str, Any]]
    events: dict[str, list[dict[str, Any]]]


def people(server: Server) -> Path:
    """Accounts for everybody, as somebody at a console makes them."""
    file = server.data.parent / "city.jsonl"
    wanted = {"store": STORES, "rider": RIDERS, "customer": CUSTOMERS, "gateway": 1}
    with file.open("w") as output:
        for role, count in wanted.items():
            output.write(
                majung("user", "add-many", "--role", role, "--count", str(count), "--data", str(server.data))
            )
    return file


def simulating(server: Server, *more: str) -> list[str]:
    """The command."""
    command = [sys.executable, "-m", "majung", "simulate", "--delivery", "--http", server.url]
    return [*command, "--to", server.grpc, "--speed", str(SPEED), "--riders", str(RIDERS), *more]


def simulate(server: Server, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(simulating(server, *more), capture_output=True, text=True, timeout=400)


def every_order(server: Server) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    before = None
    while True:
        page = server.get("/v1/orders", limit=100, **({"before": before} if before else {}))
        found |= {order["order_id"]: order for order in page["orders"]}
        before = page["next_before"]
        if before is None:
            return found


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    folder = tmp_path_factory.mktemp("city")
    # Sixty times as fast, a rider is faster than any vehicle.
    with start_server(folder / "data", "positions.max_speed_mps=6000") as server:
        report = folder / "report.json"
        sizes = ("--stores", str(STORES), "--orders-per-minute", "12", "--seconds", str(SECONDS))
        done = simulate(server, *sizes, "--accounts", str(people(server)), "--report", str(report))
        assert done.returncode == 0, done.stdout + done.stderr
        orders = every_order(server)
        events = {order_id: server.get(f"/v1/orders/{order_id}/audit")["events"] for order_id in orders}
        yield Lived(server, json.loads(report.read_text()), orders, events)


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_every_order_comes_to_an_end_and_none_is_lost(city: Lived) -> None:
    assert len(city.orders) >= 10
    assert {order["state"] for order in city.orders.values()} <= FINAL
    assert city.report["unfinished"] == []
    assert city.report["placed"] == len(city.orders)
    assert city.report["ended"] == Counter(order["state"] for order in city.orders.values())
    assert city.report["ended"]["DELIVERED"] >= len(city.orders) // 2


def test_versions_have_no_hole_and_the_view_is_the_last_event(city: Lived) -> None:
    for order_id, events in city.events.items():
        assert [event["version"] for event in events] == list(range(1, len(events) + 1))
        assert events[-1]["order"] == city.orders[order_id]


def test_no_rider_had_two_orders_at_once(city: Lived) -> None:
    assert city.report["anomalies"] == []
    held: dict[str, str] = {}
    told = sorted(
        (event for events in city.events.values() for event in events),
        key=lambda event: (event["at_ms"], event["order_id"], event["version"]),
    )
    for event in told:
        order_id, order = event["order_id"], event["order"]
        for rider_id in [rider for rider, holds in held.items() if holds == order_id]:
            if order["rider_id"] != rider_id or order["state"] in FINAL:
                del held[rider_id]
        if order["rider_id"] and order["state"] not in FINAL:
            assert held.setdefault(order["rider_id"], order_id) == order_id
    assert held == {}


def test_riders_were_at_the_store_and_at_the_door(city: Lived) -> None:
    delivered = [order for order in city.orders.values() if order["state"] == "DELIVERED"]
    near = 0
    for order in delivered[:8]:
        times = {"from": iso(order["picked_up_at_ms"] - 3_000), "to": iso(order["ended_at_ms"] + 1_000)}
        track = city.server.get(f"/v1/riders/{order['rider_id']}/track", format="json", **times)
        places = [(point["latitude"], point["longitude"]) for point in track["points"]]
        door = (order["address"]["latitude"], order["address"]["longitude"])
        store = (order["store_latitude"], order["store_longitude"])
        near += min((metres(place, door) for place in places), default=1e9) < 100
        near += min((metres(place, store) for place in places), default=1e9) < 100
    assert near >= 12, "of 16 places: a tunnel may hide one"


def test_the_figures_agree_with_each_other(city: Lived) -> None:
    report = city.report
    assert report["place_ms"]["count"] == report["placed"]
    assert report["placed_to_delivered_ms"]["count"] == report["ended"]["DELIVERED"]
    assert 0 < report["match_ms"]["count"] <= report["placed"]
    assert report["cpu_us_per_order"] > 0
    assert report["stores"] == STORES
    assert report["positions"]["acked"] == report["positions"]["reported"] > 0
    for found in report["eta"].values():
        assert found["hits"] <= found["seen"] <= report["ended"]["DELIVERED"]
    assert report["eta"]["placed"]["seen"] > 0, "customers read when it will be here"


def test_riders_went_off_duty_and_stores_are_found(city: Lived) -> None:
    overview = city.server.get("/v1/dispatch/unassigned")
    assert (overview["unassigned"], overview["riders_on_duty"]) == (0, 0)
    found = city.server.get("/v1/stores", lat=37.4979, lon=127.0276)["stores"]
    assert len(found) == STORES
    assert len({store["name"] for store in found}) == STORES


def test_who_has_no_account_signs_up_where_that_is_open(tmp_path: Path) -> None:
    sets = ("delivery.open_sign_up=customer,rider,store", "delivery.sign_up_per_minute=600")
    with start_server(tmp_path / "data", *sets, "positions.max_speed_mps=6000") as server:
        sizes = ("--stores", "2", "--orders-per-minute", "3", "--seconds", "3")
        done = simulate(server, *sizes, "--riders", "6")
        assert done.returncode == 0, done.stdout + done.stderr
        assert {order["state"] for order in every_order(server).values()} <= FINAL
        assert len(every_order(server)) >= 1


def test_a_closed_door_is_said_in_one_line(tmp_path: Path) -> None:
    with start_server(tmp_path / "data", "delivery.open_sign_up=customer") as server:
        done = simulate(server, "--stores", "1", "--riders", "1", "--seconds", "1")
    assert done.returncode == 1
    assert "cannot sign up as rider" in done.stderr
    assert "Traceback" not in done.stderr


def iso(at_ms: float) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def metres(one: tuple[float, float], other: tuple[float, float]) -> float:
    east = (one[1] - other[1]) * 88_200
    north = (one[0] - other[0]) * 111_195
    return float((east**2 + north**2) ** 0.5)
