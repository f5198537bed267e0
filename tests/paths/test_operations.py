"""What operators look at: quarantine, cells, statistics, metrics, health; on a real server."""

import time
from typing import Any

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.paths.grpc_client import position, stream_positions
from tests.paths.reads_kit import NOW_MS, get, refused
from tests.server import Server

GOOD, TWICE, BAD = 40, 10, 30


@pytest.fixture(scope="module")
def fleet(module_server: Server) -> str:
    """40 good positions, 10 of them sent again, and 30 that no check lets through, of ten riders."""
    token = str(module_server.add_user("operations-fleet", "gateway")["token"])
    good = [position(n, rider_id=f"fleet-{n % 10}", device_time_ms=NOW_MS + n) for n in range(1, GOOD + 1)]
    stream_positions(module_server.grpc, token, good)
    stream_positions(module_server.grpc, token, good[:TWICE])
    for number in range(BAD // 3):
        rider_id = f"fleet-{number}"
        bad = [
            position(1000 + number, rider_id=rider_id, latitude=95.0),
            position(2000 + number, rider_id=rider_id, latitude=0.0, longitude=0.0),
            position(3000 + number, rider_id=rider_id, device_time_ms=1),
        ]
        stream_positions(module_server.grpc, token, bad)
    module_server.wait_processed()
    wait_for_quarantine(module_server, BAD)
    return token


def wait_for_quarantine(server: Server, count: int) -> None:
    deadline = time.monotonic() + 60
    while sum(server.get("/v1/quarantine")["reasons"].values()) < count:
        assert time.monotonic() < deadline


# --------------------------------------------------------------------------------------- quarantine


def test_quarantine_says_why(module_server: Server, fleet: str) -> None:
    page = module_server.get("/v1/quarantine", limit=1000)
    assert page["reasons"] == {"null_island": 10, "out_of_range": 10, "too_old": 10}
    assert page["next_before_id"] is None
    assert len(page["items"]) == BAD
    item = next(item for item in page["items"] if item["reason"] == "out_of_range")
    assert item["rider_id"].startswith("fleet-")
    assert (item["door"], item["principal"]) == ("grpc", "gateway:operations-fleet")
    assert "95" in item["detail"]
    assert NOW_MS <= item["received_at_ms"] <= time.time_ns() // 1_000_000


def test_quarantine_comes_newest_first_in_pages(module_server: Server, fleet: str) -> None:
    """Riders lie on several partitions, so ids alone do not tell what is newest."""
    whole = module_server.get("/v1/quarantine", limit=1000)["items"]
    times = [item["received_at_ms"] for item in whole]
    assert times == sorted(times, reverse=True)
    assert [item["id"] for item in whole] != sorted((item["id"] for item in whole), reverse=True)
    for limit in (1, 7, 30):
        pages: list[dict[str, Any]] = []
        following: dict[str, int] = {}
        while True:
            page = module_server.get("/v1/quarantine", limit=limit, **following)
            pages += page["items"]
            if page["next_before_id"] is None:
                break
            following = {"before_id": page["next_before_id"]}
        assert pages == whole, limit
    assert module_server.get("/v1/quarantine", before_id=2**62)["items"] == []


def test_quarantine_of_one_rider_and_one_reason(module_server: Server, fleet: str) -> None:
    of_rider = module_server.get("/v1/quarantine", rider_id="fleet-3")["items"]
    assert [item["rider_id"] for item in of_rider] == ["fleet-3"] * 3
    assert {item["reason"] for item in of_rider} == {"out_of_range", "null_island", "too_old"}
    one = module_server.get("/v1/quarantine", rider_id="fleet-3", reason="too_old")["items"]
    assert [item["reason"] for item in one] == ["too_old"]
    assert module_server.get("/v1/quarantine", rider_id="nobody")["items"] == []
    for params in (
        {"limit": 0},
        {"limit": 1001},
        {"before_id": -1},
        {"before_id": "x"},
        {"reason": "r" * 65},
    ):
        refused(get(module_server, "/v1/quarantine", **params), 400, next(iter(params)))


# ----------------------------------------------------------------------------- cells and statistics


def test_cells_add_up_to_the_riders(module_server: Server, fleet: str) -> None:
    cells = module_server.get("/v1/cells")
    assert sum(cell["members"] for cell in cells) == module_server.stats()["riders"] == 10
    assert [cell["cell"] for cell in cells] == sorted(cell["cell"] for cell in cells)
    for cell in cells:
        assert 6 <= len(cell["cell"]) <= 8
        assert cell["cell"].startswith("wydm"), "Gangnam"
        assert cell["reads_per_s"] >= 0


def test_the_sums_of_the_ledger_close(module_server: Server, fleet: str) -> None:
    stats = module_server.wait_processed()
    assert stats["ledger_errors"] == []
    assert stats["received"] == GOOD + TWICE + BAD
    assert stats["accepted"] == GOOD + TWICE
    assert stats["quarantined"] == BAD
    assert stats["received"] == sum(stats[n] for n in ("accepted", "quarantined", "refused", "pending"))
    assert stats["appended"] == stats["processed"] == GOOD + TWICE
    assert stats["deduplicated"] == TWICE
    assert stats["stored"] == GOOD == stats["shown"] + stats["late"] + stats["marked"]
    assert stats["lag_records"] == stats["lag_s"] == 0
    assert stats["ack_count"] > 0
    assert stats["ack_ms_sum"] > 0
    assert stats["damage"] == stats["tasks_down"] == []


def test_rates_come_from_two_looks(server: Server) -> None:
    token = server.add_user("fleet", "gateway")["token"]
    assert set(server.stats()["rates"].values()) == {0.0}
    stream_positions(server.grpc, token, [position(n, rider_id="a") for n in range(1, 101)])
    deadline = time.monotonic() + 60
    while server.stats()["rates"]["received_per_s"] == 0.0:
        assert time.monotonic() < deadline
    rates = server.stats()["rates"]
    assert set(rates) == {f"{n}_per_s" for n in ("received", "accepted", "quarantined", "stored", "shown")}
    assert rates["received_per_s"] <= 100


# ------------------------------------------------------------------------------------------ metrics


def metrics(server: Server) -> dict[str, Metric]:
    answer = httpx.get(f"{server.url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def by_label(family: Metric, label: str) -> dict[str, float]:
    return {s.labels[label]: s.value for s in family.samples if s.name.endswith("_total")}


def test_metrics_say_the_same_as_statistics(module_server: Server, fleet: str) -> None:
    stats, found = module_server.wait_processed(), metrics(module_server)
    door = by_label(found["majung_door_positions"], "outcome")
    assert door == {name: stats[name] for name in ("received", "accepted", "quarantined", "refused")}
    consumer = by_label(found["majung_consumer_positions"], "outcome")
    assert consumer == {name: stats[name] for name in consumer}
    assert set(consumer) >= {"processed", "deduplicated", "stored", "shown", "late", "marked", "undecodable"}
    steps = by_label(found["majung_step_seconds"], "step")
    assert set(steps) == set(stats["step_seconds"]) > {"decode", "dedupe", "store", "show"}
    for name, value in {
        "riders": 10,
        "lag_records": 0,
        "ledger_errors": 0,
        "damage_found": 0,
        "tasks_down": 0,
    }.items():
        assert found[f"majung_{name}"].samples[0].value == value, name
    acks = {sample.name: sample.value for sample in found["majung_ack_seconds"].samples}
    assert acks["majung_ack_seconds_count"] >= stats["ack_count"]
    assert acks["majung_ack_seconds_sum"] >= stats["ack_ms_sum"] / 1000 - 1e-6
    assert {"process_resident_memory_bytes", "python_info", "python_gc_collections"} <= set(found)
    for name, family in found.items():
        assert family.documentation, name


def test_metrics_are_open_to_the_own_machine_alone(module_server: Server) -> None:
    url = f"{module_server.url}/metrics"
    forwarded = {"X-Forwarded-For": "203.0.113.7"}
    refused(httpx.get(url, headers=forwarded), 401)
    assert httpx.get(url, headers={**forwarded, **module_server.admin}).status_code == 200
    device = {"Authorization": f"Bearer {module_server.add_device('curious')['token']}"}
    refused(httpx.get(url, headers={**forwarded, **device}), 403)


# ------------------------------------------------------------------------------------------- health


def test_health(module_server: Server) -> None:
    alive = httpx.get(f"{module_server.url}/healthz")
    assert (alive.status_code, alive.text) == (200, "ok")
    assert alive.headers["content-type"].startswith("text/plain")
    ready = httpx.get(f"{module_server.url}/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "waiting_for": [], "damage": []})
