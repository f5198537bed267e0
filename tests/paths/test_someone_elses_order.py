"""Someone else's order, at every door there is: nothing is told of it and nothing is done to it.

The doors come from the description of the API, so a new one is tried as soon as it exists.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from majung.serve.http.app import api_description
from tests.paths.test_orders import JPEG, Caller, Four
from tests.server import Server, majung, start_server

DESCRIPTION: dict[str, Any] = msgspec.json.decode(api_description())
DOORS = [
    (method.upper(), path, operation)
    for path, methods in DESCRIPTION["paths"].items()
    for method, operation in methods.items()
    if "{order_id}" in path
]
GOOD = {"cooking_minutes": 5, "rider_id": "rider-of-nobody", "path": "M 1 1 L 20 20"}  # by required field
NOBODYS = "o-00000000000000000"


class City(Four):
    """The four, and everybody else whom the server knows."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        device = server.add_device("rider-of-nobody")["token"]
        self.others = {
            "another customer": self.stranger,
            "another store": self.other_store,
            "another rider": self.rider2,
            "a store without a store": self._sign_up("homeless", "store"),
            "a viewer": self._with_password("viewer"),
            "a gateway": Caller(
                server, {"Authorization": f"Bearer {server.add_user('gate', 'gateway')['token']}"}
            ),
            "a device": Caller(server, {"Authorization": f"Bearer {device}"}),
            "a phone of the rider": Caller(
                server, {"Authorization": f"Bearer {server.add_device(self.rider2_id)['token']}"}
            ),
        }
        self.operator = self._with_password("operator")
        self.order = self.at_the_door()
        self.path = f"/v1/orders/{self.order['order_id']}"
        self.admin("GET", self.path, params={"at_least_version": 6})

    def _with_password(self, role: str) -> Caller:
        password = self.server.add_user(f"some-{role}", role)["password"]
        token = self.server.sign_in(f"some-{role}", password)
        return Caller(self.server, {"Authorization": f"Bearer {token}"})

    def state(self) -> dict[str, Any]:
        """All that is known of the order."""
        trail = self.admin("GET", f"{self.path}/audit").json()
        shares = self.admin("GET", f"{self.path}/shares").json()
        files = sorted(path.name for path in (self.server.data / "proofs").rglob("*"))
        return {"trail": trail, "shares": shares, "files": files}


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    sets = ("delivery.open_sign_up=customer,rider,store", "delivery.sign_up_per_minute=1000")
    with start_server(tmp_path_factory.mktemp("others") / "data", *sets) as server:
        yield City(server)


def body_of(operation: dict[str, Any]) -> dict[str, Any]:
    """A good body, as the description has it, so that nothing but the caller is wrong."""
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        if media_type != "application/json":
            return {"content": JPEG, "headers": {"Content-Type": "image/jpeg"}}
        schema = DESCRIPTION["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        return {"json": {name: GOOD[name] for name in schema.get("required", ())}}
    return {}


def secrets_of(order: dict[str, Any]) -> list[str]:
    place = order["address"]
    return [place["text"], place["detail"], order["customer"], str(place["latitude"]), order["store_name"]]


@pytest.mark.parametrize(
    ("method", "path", "operation"), DOORS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_door_is_closed_to_everybody_else(
    city: City, method: str, path: str, operation: dict[str, Any]
) -> None:
    before = city.state()
    body = body_of(operation)
    address = path.replace("{share_id}", "sh-00000000000000000")
    for name, caller in city.others.items():
        told = {}
        for order_id in (city.order["order_id"], NOBODYS):
            answer = caller(method, address.replace("{order_id}", order_id), **body)
            assert answer.status_code in (403, 404), f"{name}: {method} {path}: {answer.text}"
            assert answer.headers["content-type"] == "application/problem+json"
            for secret in secrets_of(city.order):
                assert secret not in answer.text, f"{name} is told {secret!r} by {method} {path}"
            told[order_id] = answer.text.replace(order_id, "")
        if method == "GET" and not path.endswith("/proof"):
            assert len(set(told.values())) == 1, f"{name} learns that there is such an order: {told}"
    bare = httpx.request(
        method, f"{city.server.url}{address.replace('{order_id}', city.order['order_id'])}", **body
    )
    assert bare.status_code == 401
    assert city.state() == before


@pytest.mark.parametrize(
    ("method", "path", "operation"), DOORS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_who_only_looks_changes_nothing(
    city: City, method: str, path: str, operation: dict[str, Any]
) -> None:
    before = city.state()
    address = path.replace("{order_id}", city.order["order_id"]).replace("{share_id}", "sh-0")
    answer = city.operator(method, address, **body_of(operation))
    assert answer.status_code in ((200, 403, 404) if method == "GET" else (403,)), answer.text
    assert city.state() == before


def test_lists_boards_and_streams_are_empty_for_everybody_else(city: City) -> None:
    order_id = city.order["order_id"]
    for name, caller in city.others.items():
        asked = (
            "/v1/orders?limit=200",
            f"/v1/orders?q={order_id}",
            f"/v1/orders?customer={city.order['customer']}",
            f"/v1/orders?store_id={city.store_id}",
            f"/v1/orders?rider_id={city.rider_id}",
            f"/v1/stores/{city.store_id}/board",
            "/v1/dispatch/unassigned",
        )
        for path in asked:
            answer = caller("GET", path)
            assert answer.status_code in (200, 403), f"{name}: {path}: {answer.text}"
            assert answer.json().get("orders", []) == [], f"{name}: {path}"
            assert order_id not in answer.text.replace(path, "")
        for query in (f"store_id={city.store_id}", f"order_id={order_id}", ""):
            assert order_id not in first_of_stream(caller, query), f"{name}: {query}"


def first_of_stream(caller: Caller, query: str) -> str:
    """The first message of the live stream, or what refuses it."""
    token = caller._headers["Authorization"].removeprefix("Bearer ")
    address = f"{caller._url.replace('http', 'ws', 1)}/v1/orders/live?{query}&access_token={token}"
    try:
        with connect(address, compression=None) as socket:
            return str(socket.recv(60))
    except InvalidStatus as refused:
        assert refused.response.status_code == 403
        return json.dumps(json.loads(refused.response.body), ensure_ascii=False)


def test_acting_as_somebody_else_is_for_administrators(city: City) -> None:
    before = city.state()
    for caller in (*city.others.values(), city.operator, city.customer, city.store, city.rider):
        for who in ("customer", "store", "rider", "admin"):
            answer = caller.post(f"{city.path}/cancel?as={who}", {"reason": "mine"})
            assert answer.status_code == 403, answer.text
        assert caller.post(f"/v1/orders?as={city.order['customer']}", city.wish()).status_code == 403
    assert city.state() == before


def test_the_rider_whom_it_was_taken_from_sees_it_no_more(city: City) -> None:
    order = city.place()
    path = f"/v1/orders/{order['order_id']}"
    city.store.post(f"{path}/accept", {"cooking_minutes": 5})
    assert city.admin.post(f"{path}/reassign", {"rider_id": city.rider2_id}).status_code == 200
    assert city.rider2("GET", path, params={"at_least_version": 3}).status_code == 200
    third = city._sign_up("third", "rider")
    moved = city.admin.post(f"{path}/reassign", {"rider_id": third.me()["rider_id"]}).json()
    assert third("GET", path, params={"at_least_version": moved["version"]}).status_code == 200
    assert city.rider2("GET", path).status_code == 404
    assert city.rider2("GET", "/v1/riders/me/job").json() == {"order": None}
    assert city.rider2.post(f"{path}/unassign").status_code == 403
    city.end(order)


def test_a_deleted_store_account_has_no_part_any_more(city: City) -> None:
    token = city.other_store._headers["Authorization"].removeprefix("Bearer ")
    majung("user", "revoke", "other-owner", "--data", str(city.server.data))
    caller = Caller(city.server, {"Authorization": f"Bearer {token}"})
    while (answer := caller("GET", "/v1/orders")).status_code == 200:
        pass  # within a second; the time limit of the test is the bound
    assert answer.status_code == 401
