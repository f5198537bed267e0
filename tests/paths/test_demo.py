"""The one command that newcomers type: a city that orders, stops cleanly, goes on with its data, and leaves room."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

RIDERS = 60
WITHIN_S = 60.0
PAGES = {"order": "customer", "kitchen": "store", "ride": "rider", "friends": "person", "admin": "admin"}


class Demo:
    """`majung demo` in a process of its own, as somebody at a terminal has it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.output = data.parent / "demo.out"
        command = [sys.executable, "-m", "majung", "demo", "--data", str(data), "--riders", str(RIDERS)]
        command += ["--stores", "6", "--orders-per-minute", "30"]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)

    def found(self, pattern: str) -> re.Match[str]:
        """What it prints, waited for."""

        def look() -> re.Match[str] | None:
            assert self.process.poll() is None, self.output.read_text()
            return re.search(pattern, self.output.read_text())

        match: re.Match[str] = wait(look)
        return match

    @property
    def url(self) -> str:
        return self.found(r"map\s+(http://\S+?)/")[1]

    def person(self, page: str) -> "Person":
        """Signed in with the name and password that stand beside the page's address."""
        name, password = self.found(rf"/{page}\s+(\S+) / (\S+)").groups()
        return Person(self.url, name, password)

    def stop(self) -> None:
        """Ctrl-C; it must end by itself, with success."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, self.output.read_text()


class Person:
    def __init__(self, url: str, name: str, password: str) -> None:
        form = {"grant_type": "password", "username": name, "password": password}
        answer = httpx.post(f"{url}/v1/oauth/token", data=form, timeout=60)
        assert answer.status_code == 200, answer.text
        self.url = url
        self.token = answer.json()["access_token"]

    def __call__(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.request(method, f"{self.url}{path}", headers=headers, json=body, timeout=60)
        assert answer.is_success, f"{path}: {answer.text}"
        return dict(answer.json())

    def report(self, latitude: float, longitude: float) -> None:
        """A position, as the rider's page sends it; returns when it is on the map."""
        address = f"{self.url.replace('http', 'ws', 1)}/v1/positions/stream?access_token={self.token}"
        fix = {
            "session_id": "page",
            "seq": time.time_ns() // 1000,
            "device_time_ms": time.time_ns() // 1_000_000,
        }
        with connect(address, compression=None) as phone:
            phone.send(json.dumps({**fix, "latitude": latitude, "longitude": longitude}))
            assert json.loads(phone.recv(60)) == {"last_acked_seq": fix["seq"]}
        own = f"{self.url}/v1/riders/{self('GET', '/v1/me')['rider_id']}/position"
        headers = {"Authorization": f"Bearer {self.token}"}

        def shown() -> bool:
            answer = httpx.get(own, headers=headers)
            return answer.is_success and answer.json()["device_time_ms"] >= fix["device_time_ms"]

        wait(shown)


def wait(look: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {within_s} s")


def live(admin: Person, at_least: int) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        stats = admin("GET", "/v1/stats")
        return stats if stats["riders"] >= at_least else None

    return dict(wait(look))


def order_at_free_store(demo: Demo) -> str:
    """The customer who was left free orders, the free store accepts, the free rider is asked and carries it."""
    customer, kitchen, rider = demo.person("order"), demo.person("kitchen"), demo.person("ride")
    place = httpx.get(f"{demo.url}/v1/map/config.json").json()["demo_place"]
    where = f"lat={place['latitude']}&lon={place['longitude']}"
    [card] = customer("GET", f"/v1/stores?{where}&q=마중식당")["stores"]
    assert card["is_open"]
    assert card["delivers"]
    assert customer("GET", f"/v1/stores?{where}")["stores"][0]["store_id"] == card["store_id"], (
        "it is nearest"
    )

    rider.report(place["latitude"], place["longitude"])
    assert rider("POST", "/v1/riders/me/duty", {"on": True})["on"]
    menu = customer("GET", f"/v1/stores/{card['store_id']}")["menu"]["items"]
    line = {"item_id": menu[0]["item_id"], "options": [menu[0]["groups"][0]["options"][0]["option_id"]]}
    address = {
        "latitude": place["latitude"] + 0.004,
        "longitude": place["longitude"],
        "text": "서울 강남구 역삼동",
    }
    wish = {"store_id": card["store_id"], "lines": [line], "address": address}
    order_id = str(customer("POST", "/v1/orders", wish)["order_id"])
    kitchen("POST", f"/v1/orders/{order_id}/accept", {"cooking_minutes": 10})
    offer = wait(lambda: rider("GET", "/v1/riders/me/offer")["offer"])
    assert offer["order_id"] == order_id, "the free rider stands at the door: it is asked first"
    rider("POST", f"/v1/offers/{offer['offer_id']}/accept")
    return order_id


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_lives_leaves_room_stops_cleanly_and_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "demo-data"
    demo = Demo(data)
    try:
        for page, role in PAGES.items():
            assert demo.person(page)("GET", "/v1/me")["role"] == role
        admin = demo.person("admin")
        first = live(admin, RIDERS // 2)
        wait(lambda: admin("GET", "/v1/orders?open=true")["orders"])
        order_id = order_at_free_store(demo)
        friend = demo.person("friends")
        near = wait(lambda: len(friend("GET", "/v1/friends/nearby")["near"]) > 5)
        assert near, "simulated friends walk about where the free one stands"
    finally:
        demo.stop()
    said = demo.output.read_text()
    for word in ("map", "sign in", "riders", "positions", "lag", "rejected", "orders", "matched"):
        assert word in said
    assert first["ledger_errors"] == []

    demo = Demo(data)
    try:
        admin = demo.person("admin")
        again = live(admin, RIDERS // 2)
        found = admin("GET", f"/v1/orders/{order_id}")
        assert (found["state"], found["rider_id"]) == ("COOKING", "rider"), "an open order goes on"
        before = {order["order_id"] for order in admin("GET", "/v1/orders?limit=100")["orders"]}
        wait(lambda: {order["order_id"] for order in admin("GET", "/v1/orders?limit=100")["orders"]} - before)
    finally:
        demo.stop()
    assert again["stored"] >= first["stored"], "started again it goes on with its data"
    for secret in ("sign-in.json", "city.jsonl"):
        assert (data / secret).stat().st_mode & 0o077 == 0
