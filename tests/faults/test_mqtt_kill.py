"""What a broker has accepted from a phone arrives once, whatever happens to this server meanwhile."""

import contextlib
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.test_storage import small_disk  # noqa: F401  (a fixture)
from tests.mosquitto_kit import PATIENCE_S, Phone, figure, fix, start_broker
from tests.server import Server

KILLS = 5
EVERY_S = 0.01


def messages(server: Server, outcome: str) -> float:
    text = httpx.get(f"{server.url}/metrics", timeout=PATIENCE_S).text
    return figure(text, f'majung_mqtt_messages_total{{outcome="{outcome}"}}')


def add_device(server: Server, rider_id: str) -> None:
    answer = httpx.post(
        f"{server.url}/v1/accounts/devices",
        headers=server.admin,
        json={"rider_id": rider_id},
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 201, answer.text


def track(server: Server, rider_id: str) -> list[dict[str, Any]]:
    server.wait_processed()
    points: list[dict[str, Any]] = server.get(f"/v1/riders/{rider_id}/track", **{"from": "2020-01-01"})[
        "points"
    ]
    return points


def wait_for(server: Server, rider_id: str, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + PATIENCE_S
    while len(points := track(server, rider_id)) < count:
        assert time.monotonic() < deadline, f"{len(points)} of {count} within {PATIENCE_S} s"
        time.sleep(0.1)
    return points


@pytest.mark.fault
@pytest.mark.slow
def test_killed_again_and_again_nothing_is_lost_and_nothing_counts_twice(
    mosquitto: str, tmp_path: Path
) -> None:
    with start_broker(mosquitto, tmp_path / "broker", "rider-1") as broker:
        server = Server(tmp_path / "data", (f"mqtt.url={broker.url()}",))
        server.start()
        try:
            add_device(server, "rider-1")
            stop = threading.Event()
            sent: list[int] = []
            at_s = int(time.time()) - 20_000

            def ride() -> None:
                with Phone(broker, "rider-1") as phone:
                    while not stop.is_set():
                        number = len(sent)
                        phone.publish(fix(37.4 + number * 1e-5, 127.0, at_s + number))
                        sent.append(at_s + number)
                        stop.wait(EVERY_S)

            rider = threading.Thread(target=ride)
            rider.start()
            for _ in range(KILLS):
                before = len(sent)
                while len(sent) < before + 60:
                    time.sleep(0.01)
                server.kill()
                before = len(sent)
                while len(sent) < before + 60:  # the broker keeps these
                    time.sleep(0.01)
                server.start()
            stop.set()
            rider.join(PATIENCE_S)
            points = wait_for(server, "rider-1", len(sent))
            counted = Counter(point["device_time_ms"] // 1000 for point in points)
            assert sorted(counted) == sent
            assert set(counted.values()) == {1}
            assert server.stats()["ledger_errors"] == []
        finally:
            with contextlib.suppress(Exception):
                server.kill()


@pytest.mark.fault
@pytest.mark.slow
def test_nothing_is_acknowledged_that_the_disk_did_not_take(
    mosquitto: str,
    small_disk: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """The broker has it again, and again, until there is room; then it arrives once."""
    with start_broker(mosquitto, tmp_path / "broker", "rider-1") as broker:
        server = Server(small_disk / "data", (f"mqtt.url={broker.url()}",))
        server.log = tmp_path / "server.log"
        server.start()
        try:
            add_device(server, "rider-1")
            ballast = small_disk / "ballast"
            fill(ballast)
            padding = {f"tag{n}": "y" * 128 for n in range(8)}
            sent: list[int] = []
            at_s = int(time.time()) - 20_000
            with Phone(broker, "rider-1") as phone:
                while (
                    "session ended" not in server.tail()
                ):  # the log refused, and the session was ended for it
                    assert len(sent) < 20_000
                    phone.publish(fix(37.4, 127.0, at_s + len(sent), poi="y" * 120, tag="z" * 120, **padding))
                    sent.append(at_s + len(sent))
                    if len(sent) % 50 == 0:
                        fill(ballast)
            assert messages(server, "acknowledged") < len(sent)
            ballast.unlink()
            points = wait_for(server, "rider-1", len(sent))
            assert [point["device_time_ms"] // 1000 for point in points] == sent
        finally:
            with contextlib.suppress(Exception):
                server.kill()


def fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("ab") as filler:
        while True:
            filler.write(b"\0" * 4096)
            filler.flush()
