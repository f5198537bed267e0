"""Dispatch against a real server: riders on their WebSockets, offers, too late, twice, killed in the middle."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.server import Server, start_server

PASSWORD = "a long password"
SETS = ("delivery.open_sign_up=customer,rider,store", "delivery.sign_up_per_minute=1000")
SHOP: dict[str, Any] = {
    "name": "강남 국수",
    "category": "noodles",
    "latitude": 37.4979,
    "longitude": 127.0276,
    "address": "서울 강남구 역삼동 858",
    "hours": {day: ["00:00-24:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")},
}
MENU = {"items": [{"item_id": "noodles", "name": "칼국수", "price_krw": 9_000}]}
HOME = {"latitude": 37.499, "longitude": 127.03, "text": "서울 강남구 테헤란로 1", "detail": "202호"}


class Person:
    """Somebody who is signed in over HTTP."""

    def __init__(self, server: Server, name: str, role: str) -> None:
        self.server = server
        body = {"name": name, "password": PASSWORD, "role": role}
        answer = httpx.post(f"{server.url}/v1/sign-up", json=body, timeout=60)
        assert answer.status_code == 201, answer.text
        self.token = str(answer.json()["access_token"])

    def __call__(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(method, f"{self.server.url}{path}", headers=headers, json=body, timeout=60)

    def post(self, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
        answer = self("POST", path, {} if body is None else body)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    def get(self, path: str) -> dict[str, Any]:
        answer = self("GET", path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


class Rider(Person):
    """A rider with a position, on duty when `away_deg` is given."""

    def __init__(self, server: Server, name: str, north_deg: float) -> None:
        super().__init__(server, name, "rider")
        self.rider_id = self.get("/v1/me")["rider_id"]
        now_ms = int(time.time() * 1000)
        place = {"latitude": SHOP["latitude"] + north_deg, "longitude": SHOP["longitude"]}
        with self.socket("/v1/positions/stream") as phone:
            phone.send(json.dumps({"session_id": name, "seq": 1, "device_time_ms": now_ms, **place}))
            assert json.loads(phone.recv(60)) == {"last_acked_seq": 1}
        assert self.post("/v1/riders/me/duty", {"on": True})["on"]

    def socket(self, path: str) -> ClientConnection:
        address = f"ws://127.0.0.1:{self.server.http_port}{path}?access_token={self.token}"
        return connect(address, compression=None)

    def standing(self) -> dict[str, Any]:
        return self.get("/v1/riders/me/offer")

    def offer(self) -> dict[str, Any]:
        """The open offer, waited for."""
        return dict(wait(lambda: self.standing()["offer"]))

    def off(self) -> None:
        self.post("/v1/riders/me/duty", {"on": False})


def wait(look: Callable[[], Any], within_s: float = 60) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s} s")


def heard(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message, which is of this kind."""
    message = dict(json.loads(socket.recv(60)))
    assert message["type"] == kind, message
    return message


class Town:
    """A store, a customer and the administrator."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.customer = Person(server, "mina", "customer")
        self.store = Person(server, "owner", "store")
        self.store_id = self.store.post("/v1/stores", SHOP, 201)["store_id"]
        menu = self.store("PUT", f"/v1/stores/{self.store_id}/menu", MENU)
        assert menu.status_code == 200, menu.text

    def accepted(self) -> dict[str, Any]:
        wish = {"store_id": self.store_id, "lines": [{"item_id": "noodles"}], "address": HOME}
        order = self.customer.post("/v1/orders", wish, 201)
        return self.store.post(f"/v1/orders/{order['order_id']}/accept", {"cooking_minutes": 10})

    def cancel(self, order: dict[str, Any]) -> None:
        self.store.post(f"/v1/orders/{order['order_id']}/cancel", {"reason": "end of the test"})

    def unassigned(self) -> dict[str, Any]:
        return dict(self.server.get("/v1/dispatch/unassigned"))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with start_server(tmp_path_factory.mktemp("dispatch") / "data", *SETS) as server:
        yield Town(server)


def test_offer_decline_accept_and_what_each_phone_hears(town: Town) -> None:
    near, far = Rider(town.server, "near", 0.001), Rider(town.server, "far", 0.004)
    with near.socket("/v1/riders/me/live") as a, far.socket("/v1/riders/me/live") as b:
        first = heard(a, "standing")
        assert (first["on"], first["offer"], first["order_id"]) == (True, None, "")
        heard(b, "standing")
        order = town.accepted()
        offer = heard(a, "offer")["offer"]
        assert offer["order_id"] == order["order_id"]
        assert offer["expires_at_ms"] - offer["offered_at_ms"] == 15_000
        assert 100 < offer["store_distance_m"] < 125 and offer["earning_krw"] > 3_000
        assert "202" not in json.dumps(offer)  # the door is for who carries it
        near.post(f"/v1/offers/{offer['offer_id']}/decline")
        assert heard(a, "withdrawn")["offer_id"] == offer["offer_id"]
        offer = heard(b, "offer")["offer"]
        # Another's offer does not exist for me, a declined one is over, and accepting twice is once.
        near.post(f"/v1/offers/{offer['offer_id']}/accept", status=404)
        with ThreadPoolExecutor(4) as pool:
            path = f"/v1/offers/{offer['offer_id']}/accept"
            answers = list(pool.map(lambda _: far.post(path), range(4)))
        assert {(one["status"], one["order_id"]) for one in answers} == {("accepted", order["order_id"])}
        assert heard(b, "assigned")["order_id"] == order["order_id"]
        path = f"/v1/orders/{order['order_id']}"
        town.store.post(f"{path}/ready")
        near.post(f"{path}/pick-up", status=403)
        assert far.post(f"{path}/pick-up")["state"] == "PICKED_UP"
        far.post(f"{path}/fail", {"reason": "end of the test"})
        assert heard(b, "released")["order_id"] == order["order_id"]
        near.off()
        assert heard(a, "duty") == {"type": "duty", "on": False, "off_because": ""}
    far.off()


def test_nobody_free_is_seen_by_the_administrator_alone(town: Town) -> None:
    order = town.accepted()
    seen = wait(lambda: town.unassigned()["orders"])
    assert [one["order_id"] for one in seen] == [order["order_id"]]
    assert town.customer("GET", "/v1/dispatch/unassigned").status_code == 403
    rider = Rider(town.server, "comes-late", 0.002)
    offer = rider.offer()
    town.cancel(order)
    wait(lambda: rider.standing()["offer"] is None)
    body = rider.post(f"/v1/offers/{offer['offer_id']}/accept", status=409)
    assert body["type"] == "offer-over" and body["detail"]
    assert town.unassigned()["unassigned"] == 0
    rider.off()


def test_only_riders_have_duty_and_offers(town: Town) -> None:
    for method, path in (("POST", "/v1/riders/me/duty"), ("GET", "/v1/riders/me/offer")):
        body = {"on": True} if method == "POST" else None
        assert town.customer(method, path, body).status_code == 403
        assert town.store(method, path, body).status_code == 403
    address = f"ws://127.0.0.1:{town.server.http_port}/v1/riders/me/live"
    for query, status in (("", 401), (f"?access_token={town.customer.token}", 403)):
        with pytest.raises(InvalidStatus) as refused, connect(f"{address}{query}"):
            pass
        assert refused.value.response.status_code == status


def test_many_orders_at_once_and_no_rider_has_two(town: Town) -> None:
    riders = [Rider(town.server, f"crowd-{number}", 0.0005 * number) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        orders = list(pool.map(lambda _: town.accepted(), range(6)))
        offers = list(pool.map(lambda rider: rider.offer(), riders))
        assert len({offer["order_id"] for offer in offers}) == 6
        path = "/v1/offers/{}/accept"
        pairs = zip(riders, offers, strict=True)
        list(pool.map(lambda pair: pair[0].post(path.format(pair[1]["offer_id"])), pairs))
    carried = [rider.standing()["order_id"] for rider in riders]
    assert sorted(carried) == sorted(order["order_id"] for order in orders)
    for rider in riders:
        rider.off()
    for order in orders:
        town.cancel(order)


def test_killed_with_offers_open_it_goes_on_where_it_was(tmp_path: Path) -> None:
    with start_server(tmp_path / "data", *SETS, "dispatch.offer_for=3s") as server:
        town = Town(server)
        a, b = Rider(server, "a", 0.001), Rider(server, "b", 0.002)
        order = town.accepted()
        offer = a.offer()
        server.kill()
        server.start()
        late = wait(lambda: b.standing()["offer"])  # a's time ran out meanwhile, or runs out now
        assert late["order_id"] == order["order_id"]
        assert "over" in a.post(f"/v1/offers/{offer['offer_id']}/accept", status=409)["detail"]
        b.post(f"/v1/offers/{late['offer_id']}/accept")
        server.kill()
        server.start()
        assert b.standing()["order_id"] == order["order_id"]
        # The assignment may still be on its way from the log: soon nobody waits for a rider.
        assert wait(lambda: town.unassigned()["unassigned"] == 0)
