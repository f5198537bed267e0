"""Notifications against a real server: the list, the live stream, push to a real HTTPS receiver, and 100 m."""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from majung.positions.geodesy import distance_m
from tests.paths.test_dispatch import HOME, MENU, SHOP, Person, Rider, wait
from tests.push_kit import Browser
from tests.receiver import Receiver, Reply, receiving
from tests.server import Server, start_server

SETS = (
    "delivery.open_sign_up=customer,rider,store",
    "delivery.sign_up_per_minute=1000",
    "outward.allow_networks=127.0.0.0/8,::1/128",
)
DOOR = (37.499, 127.03)
STATES = ["received", "cooking", "ready", "picked_up", "delivering"]


class Town:
    """A customer with a phone, a store, a rider who stands at it, and a push service."""

    def __init__(self, server: Server, service: Receiver) -> None:
        self.server, self.service = server, service
        self.owner = Person(server, "owner", "store")
        self.store_id = self.owner.post("/v1/stores", SHOP, 201)["store_id"]
        menu = self.owner("PUT", f"/v1/stores/{self.store_id}/menu", MENU)
        assert menu.status_code == 200, menu.text
        self.customer = Person(server, "mina", "customer")
        self.stranger = Person(server, "juho", "customer")
        self.rider = Rider(server, "rider", 0.001)
        self.seq = 1
        self.place = (float(SHOP["latitude"]) + 0.001, float(SHOP["longitude"]))

    def subscribe(self, who: Person, name: str, language: str = "ko") -> Browser:
        browser = Browser(self.service.url, name)
        who.post("/v1/push/subscriptions", browser.subscription(language), 201)
        return browser

    def pushed(self, browser: Browser) -> list[str]:
        return [str(message["kind"]) for message in browser.shown(self.service.received)]

    def stream(self, who: Person) -> ClientConnection:
        address = f"ws://127.0.0.1:{self.server.http_port}/v1/orders/live?access_token={who.token}"
        return connect(address, compression=None)

    def ride_to(self, latitude: float, longitude: float) -> None:
        """In steps that a vehicle can do, each a fix; returns when the last is acknowledged."""
        apart_m = distance_m(*self.place, latitude, longitude)
        steps = max(1, math.ceil(apart_m / 80))
        (south, west), self.place = self.place, (latitude, longitude)
        with self.rider.socket("/v1/positions/stream") as phone:
            for step in range(1, steps + 1):
                self.seq += 1
                fix = {"session_id": "way", "seq": self.seq, "device_time_ms": int(time.time() * 1000)}
                part = step / steps
                place = {
                    "latitude": south + (latitude - south) * part,
                    "longitude": west + (longitude - west) * part,
                }
                phone.send(json.dumps({**fix, **place, "accuracy_m": 8}))
                while json.loads(phone.recv(60))["last_acked_seq"] < self.seq:
                    pass

    def order(self) -> str:
        lines = [{"item_id": "noodles", "quantity": 1, "price_krw": 9_000}]
        wish = {"store_id": self.store_id, "lines": lines, "address": HOME}
        return str(self.customer.post("/v1/orders", wish, 201)["order_id"])

    def on_the_way(self) -> str:
        order_id = self.order()
        path = f"/v1/orders/{order_id}"
        self.owner.post(f"{path}/accept", {"cooking_minutes": 10})
        self.rider.post(f"/v1/offers/{self.rider.offer()['offer_id']}/accept")
        self.owner.post(f"{path}/ready")
        self.rider.post(f"{path}/pick-up")
        self.rider.post(f"{path}/depart")
        return order_id

    def deliver(self, order_id: str) -> None:
        code = self.customer.get(f"/v1/orders/{order_id}")["delivery_code"]
        self.rider.post(f"/v1/orders/{order_id}/deliver", {"proof": {"kind": "code", "ref": code}})

    def kinds(self, who: Person, order_id: str) -> list[str]:
        """What somebody was told of an order, oldest first."""
        page = who.get("/v1/notifications?limit=200")["notices"]
        return [notice["kind"] for notice in reversed(page) if notice["order_id"] == order_id]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("notify")
    with receiving() as service, start_server(folder / "data", *SETS, env=service.trust(folder)) as server:
        yield Town(server, service)


def heard(socket: ClientConnection, until_kind: str) -> list[dict[str, Any]]:
    """Notices of a stream, up to one of that kind."""
    found: list[dict[str, Any]] = []
    while True:
        message = json.loads(socket.recv(60))
        if message["type"] == "notice":
            found.append(message)
            if message["kind"] == until_kind:
                return found


def test_one_order_in_the_page_and_on_the_phone(town: Town) -> None:
    phones = {
        who: town.subscribe(person, name, language)
        for who, person, name, language in (
            ("customer", town.customer, "mina-phone", "en"),
            ("store", town.owner, "kitchen", "ko"),
            ("rider", town.rider, "rider-phone", "ko"),
        )
    }
    with town.stream(town.customer) as socket:
        order_id = town.on_the_way()
        town.ride_to(*DOOR)
        told = heard(socket, "arriving")
        assert [notice["kind"] for notice in told] == [*STATES, "arriving"]
        town.ride_to(DOOR[0] + 0.003, DOOR[1])
        town.ride_to(*DOOR)
        town.deliver(order_id)
        heard(socket, "delivered")
    assert told[-1]["body"] == "100m 안에 왔어요. 강남 국수 음식을 받을 준비를 해 주세요."
    whole = [*STATES, "arriving", "delivered"]
    assert town.kinds(town.customer, order_id) == whole
    assert town.kinds(town.owner, order_id) == ["new_order", "rider_assigned"]
    assert town.kinds(town.rider, order_id) == ["offer", "ready"]
    assert town.kinds(town.stranger, order_id) == []
    wait(lambda: len(town.pushed(phones["customer"])) >= len(whole))
    assert sorted(town.pushed(phones["customer"])) == sorted(whole)
    assert sorted(wait(lambda: town.pushed(phones["rider"]))) == ["offer", "ready"]
    first = phones["customer"].shown(town.service.received)[0]
    assert first["title"] in ("Order received", "Being cooked")
    assert first["url"] == f"/order#/order/{order_id}"
    late_ms = [
        round(got.at_s * 1000 - phones["customer"].read(got)["at_ms"])
        for got in town.service.received
        if got.path == phones["customer"].path
    ]
    print("\nfrom the change to the push service, ms:", late_ms)


def test_reading_and_paging(town: Town) -> None:
    order_id = town.order()
    wait(lambda: town.kinds(town.customer, order_id))
    page = town.customer.get("/v1/notifications?limit=1&language=en")
    (newest,) = page["notices"]
    assert (newest["title"], newest["read"], newest["order_id"]) == ("Order received", False, order_id)
    older = town.customer.get(f"/v1/notifications?before={newest['id']}")["notices"]
    assert all(notice["id"] < newest["id"] for notice in older)
    after = town.customer.get(f"/v1/notifications?after={newest['id'] - 1}")["notices"]
    assert [notice["id"] for notice in after] == [newest["id"]]
    assert town.customer("GET", "/v1/notifications?after=1&before=2").status_code == 400
    assert town.customer.post("/v1/notifications/read", {"up_to": newest["id"]}) == {"unread": 0}
    assert town.customer.get("/v1/notifications?limit=1")["notices"][0]["read"] is True
    assert town.customer("POST", "/v1/notifications/read", {"up_to": -1}).status_code == 400
    town.customer.post(f"/v1/orders/{order_id}/cancel")
    wait(lambda: "cancelled" in town.kinds(town.owner, order_id))


def test_subscriptions_are_ones_own(town: Town) -> None:
    browser = Browser(town.service.url, "own")
    made = town.stranger.post("/v1/push/subscriptions", browser.subscription(), 201)
    again = town.stranger.post("/v1/push/subscriptions", browser.subscription("en"), 201)
    assert again["subscription_id"] == made["subscription_id"]
    listed = town.stranger.get("/v1/push/subscriptions")["subscriptions"]
    assert [(one["subscription_id"], one["language"]) for one in listed] == [(made["subscription_id"], "en")]
    path = f"/v1/push/subscriptions/{made['subscription_id']}"
    assert town.customer("DELETE", path).status_code == 404
    assert town.stranger("DELETE", path).status_code == 204
    assert town.stranger.get("/v1/push/subscriptions")["subscriptions"] == []


def test_the_key_is_a_point(town: Town) -> None:
    key = town.customer.get("/v1/push/key")["key"]
    assert (len(key), key) == (87, town.owner.get("/v1/push/key")["key"])
    assert "private" not in json.dumps(town.customer.get("/v1/push/key"))


def test_wrong_subscriptions_are_told_so(town: Town) -> None:
    good = Browser(town.service.url, "wrong").subscription()
    for change in (
        {"endpoint": "https://10.0.0.1/a"},
        {"endpoint": "http://push.example.net/a"},
        {"keys": {"p256dh": "AAAA", "auth": "AAAA"}},
        {"language": "fr"},
        {"more": 1},
    ):
        answer = town.customer("POST", "/v1/push/subscriptions", {**good, **change})
        assert answer.status_code == 400, change
        assert answer.headers["content-type"].startswith("application/problem+json")


def test_who_has_no_notices(town: Town) -> None:
    device = town.server.add_device("rider-9")["token"]
    headers = {"Authorization": f"Bearer {device}"}
    for path in ("/v1/notifications", "/v1/push/key", "/v1/push/subscriptions"):
        assert httpx.get(f"{town.server.url}{path}", headers=headers).status_code == 403
        assert httpx.get(f"{town.server.url}{path}").status_code == 401
    assert town.server.get("/v1/notifications") == {"notices": [], "unread": 0}


def test_a_kill_loses_no_push(tmp_path: Path) -> None:
    """What was queued when the process died is sent by the next."""
    with receiving(lambda _: Reply(503)) as service:
        server = Server(tmp_path / "data", SETS, env=service.trust(tmp_path)).start()
        try:
            town = Town(server, service)
            phone = town.subscribe(town.customer, "phone")
            order_id = town.on_the_way()
            town.ride_to(*DOOR)
            wait(lambda: "arriving" in town.kinds(town.customer, order_id))
            server.kill()
            service.received.clear()
            service.reply = lambda _: Reply(201)
            server.start()
            town.ride_to(*DOOR)
            wait(lambda: set(town.pushed(phone)) >= {*STATES, "arriving"})
            town.deliver(order_id)
            wait(lambda: "delivered" in town.pushed(phone))
            assert town.kinds(town.customer, order_id) == [*STATES, "arriving", "delivered"]
        finally:
            server.kill()
