"""Arrivals against a real server: on the stream from the placing on, falling as the rider comes, kept at the end."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from majung.positions.geodesy import destination
from tests.paths.test_dispatch import HOME, SETS, SHOP, Person, Rider, Town, wait
from tests.server import Server, start_server

STORE = (37.4979, 127.0276)
DOOR = (37.499, 127.03)
assert (SHOP["latitude"], HOME["longitude"]) == (STORE[0], DOOR[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("eta") / "data"
    # Riders here are as fast as the test: what no vehicle can do would not be shown.
    quick = ("eta.every=1s", "dispatch.offer_for=60s", "positions.max_speed_mps=1000000")
    with start_server(data, *SETS, *quick) as running:
        yield running


@pytest.fixture(scope="module")
def town(server: Server) -> Town:
    return Town(server)


def stream(who: Person) -> ClientConnection:
    address = f"ws://127.0.0.1:{who.server.http_port}/v1/orders/live?access_token={who.token}"
    return connect(address, compression=None)


def next_eta(socket: ClientConnection, order_id: str) -> dict[str, Any]:
    """The next arrival of this order; other messages are passed over."""
    while True:
        message = dict(json.loads(socket.recv(60)))
        if message["type"] == "eta" and message["order_id"] == order_id:
            return message


class Phone:
    """A rider's phone that sends where it is."""

    def __init__(self, rider: Rider, socket: ClientConnection) -> None:
        self.socket = socket
        self.seq = 1
        self.session = f"{rider.rider_id}-eta"

    def at(self, latitude: float, longitude: float) -> None:
        self.seq += 1
        fix = {
            "session_id": self.session,
            "seq": self.seq,
            "device_time_ms": int(time.time() * 1000),
            "latitude": latitude,
            "longitude": longitude,
        }
        self.socket.send(json.dumps(fix))
        assert json.loads(self.socket.recv(60)) == {"last_acked_seq": self.seq}


def test_an_arrival_from_the_placing_to_the_door(server: Server, town: Town) -> None:
    rider = Rider(server, "eta-rider", 0.004)
    with (
        stream(town.customer) as seen,
        stream(town.store) as kitchen,
        rider.socket("/v1/positions/stream") as socket,
    ):
        phone = Phone(rider, socket)
        wish = {"store_id": town.store_id, "lines": [{"item_id": "noodles"}], "address": HOME}
        order_id = town.customer.post("/v1/orders", wish, 201)["order_id"]
        path = f"/v1/orders/{order_id}"
        first = next_eta(seen, order_id)
        assert first["stage"] == "placed" and not first["late"]
        assert first["computed_at_ms"] <= first["earliest_ms"] <= first["at_ms"] <= first["latest_ms"]
        assert (first["promised_ms"], first["promised_latest_ms"]) == (first["at_ms"], first["latest_ms"])
        assert town.customer.get(f"{path}/eta") == first
        assert next_eta(kitchen, order_id) == first
        assert rider("GET", f"{path}/eta").status_code == 404  # not yet this rider's

        accepted = town.store.post(f"{path}/accept", {"cooking_minutes": 10})
        now = town.customer.get(f"{path}/eta?at_least_version={accepted['version']}")
        assert now["stage"] == "cooking" and now["promised_ms"] == first["at_ms"]
        longer = town.store.post(f"{path}/cooking-time", {"cooking_minutes": 40})
        after = town.customer.get(f"{path}/eta?at_least_version={longer['version']}")
        assert after["at_ms"] > now["at_ms"] + 20 * 60_000 and after["late"]
        late = server.get("/v1/eta/late")
        assert (late["late"], late["orders"][0]["order_id"]) == (1, order_id)

        offer = rider.offer()
        rider.post(f"/v1/offers/{offer['offer_id']}/accept")
        ready = town.store.post(f"{path}/ready")
        rider.get(f"{path}/eta?at_least_version={ready['version']}")
        assert not rider.get(f"{path}/eta")["late"]
        picked_up = rider.post(f"{path}/pick-up")
        start = destination(*DOOR, 45, 3_000)
        phone.at(*start)
        far = wait(lambda: _carrying(town.customer.get(f"{path}/eta"), picked_up["version"], 300_000))
        rider.post(f"{path}/depart")
        phone.at(*destination(*DOOR, 45, 100))
        near = wait(lambda: _near(town.customer.get(f"{path}/eta")))
        assert near["at_ms"] < far["at_ms"] - 120_000
        code = town.customer.get(path)["delivery_code"]
        ended = rider.post(f"{path}/deliver", {"proof": {"kind": "code", "ref": code}})
        gone = town.customer("GET", f"{path}/eta?at_least_version={ended['version']}")
        assert gone.status_code == 404
    stages = wait(lambda: server.get("/v1/eta/calibration")["stages"])
    found = {stage["stage"]: stage for stage in stages}
    assert {"promised", "placed", "cooking", "carrying", "near"} <= set(found)
    assert found["promised"]["n"] == 1 and found["promised"]["early"] == 1  # in seconds, not minutes
    text = httpx.get(f"{server.url}/metrics").text
    assert "majung_eta_open_orders 0.0" in text and 'majung_eta_arrivals_total{outcome="early"}' in text
    rider.off()


def _carrying(eta: dict[str, Any], version: int, left_ms: int) -> dict[str, Any] | None:
    far = eta["version"] >= version and eta["at_ms"] - eta["computed_at_ms"] > left_ms
    return eta if far and eta["stage"] == "carrying" else None


def _near(eta: dict[str, Any]) -> dict[str, Any] | None:
    return eta if eta["stage"] == "near" else None


def test_a_restart_keeps_what_was_promised(tmp_path_factory: pytest.TempPathFactory) -> None:
    with start_server(tmp_path_factory.mktemp("eta") / "data", *SETS) as server:
        town = Town(server)
        order = town.accepted()
        path = f"/v1/orders/{order['order_id']}/eta"
        before = town.customer.get(f"{path}?at_least_version={order['version']}")
        server.kill()
        server.start()
        after = town.customer.get(f"{path}?at_least_version={order['version']}")
        # Killed within the two seconds that a checkpoint may take, it is computed again from the events.
        assert (after["version"], after["promised_ms"]) == (before["version"], before["promised_ms"])


def test_who_may_ask(server: Server, town: Town) -> None:
    order = town.accepted()
    path = f"/v1/orders/{order['order_id']}/eta"
    stranger = Person(server, "eta-stranger", "customer")
    assert stranger("GET", path).status_code == 404
    assert town.store("GET", path).status_code == 200
    assert httpx.get(server.url + path).status_code == 401
    assert town.customer("GET", "/v1/orders/ord-none/eta").status_code == 404
    for admins_only in ("/v1/eta/late", "/v1/eta/calibration"):
        assert town.customer("GET", admins_only).status_code == 403
        assert town.store("GET", admins_only).status_code == 403
    town.cancel(order)
    wait(lambda: town.customer("GET", path).status_code == 404)


def test_a_straight_way(server: Server, town: Town) -> None:
    asked = {"from": f"{STORE[0]},{STORE[1]}", "to": f"{DOOR[0]},{DOOR[1]}"}
    route = server.get("/v1/routes", **asked)
    assert route["source"] == "straight" and "steps" not in route
    assert route["points"] == [[STORE[1], STORE[0]], [DOOR[1], DOOR[0]]]
    assert 300 < route["distance_m"] < 450 and 50 < route["duration_s"] < 120
    far = server.get("/v1/routes", **{"from": "37.5,127.0", "to": "-37.5,-53.0"})
    assert far["distance_m"] > 19_000_000 and far["duration_s"] > 0
    same = server.get("/v1/routes", **{"from": "90,0", "to": "90,0"})
    assert (same["distance_m"], same["duration_s"]) == (0, 0)


@pytest.mark.parametrize(
    "wrong", ["nan,127", "37.5", "91,0", "0,181", "inf,0", "a,b", "1,2,3", "", ",", "37.5,127.0" + "0" * 90]
)
def test_places_that_are_none(server: Server, town: Town, wrong: str) -> None:
    for asked in ({"from": wrong, "to": "37.5,127"}, {"from": "37.5,127", "to": wrong}):
        answer = httpx.get(f"{server.url}/v1/routes", headers=server.admin, params=asked)
        assert answer.status_code == 400, answer.text
        assert answer.json()["type"] == "bad-request"


def test_ways_need_a_credential_and_are_counted(server: Server, town: Town) -> None:
    path = "/v1/routes?from=37.5,127&to=37.51,127"
    assert httpx.get(server.url + path).status_code == 401
    hasty = Person(server, "eta-hasty", "customer")
    headers = {"Authorization": f"Bearer {hasty.token}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
        statuses = [client.get(path).status_code for _ in range(260)]
    assert statuses[0] == 200 and statuses[-1] == 429
    assert client.is_closed
