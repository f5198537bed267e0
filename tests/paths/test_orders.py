"""Orders over HTTP against a real server: four people, one order, and what each is told."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.pictures import jpeg
from tests.server import Server, start_server

PASSWORD = "a long password"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SHOP: dict[str, Any] = {
    "name": "강남 국수",
    "category": "noodles",
    "latitude": 37.4979,
    "longitude": 127.0276,
    "address": "서울 강남구 역삼동 858",
    "hours": {day: ["00:00-24:00"] for day in DAYS},
    "fee_krw": 3_000,
}
MENU = {"items": [{"item_id": "noodles", "name": "칼국수", "price_krw": 9_000}]}
HOME = {"latitude": 37.499, "longitude": 127.03, "text": "서울 강남구 테헤란로 1", "detail": "202호"}
JPEG = jpeg()
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


_http = httpx.Client(timeout=60)  # one for all: a client of its own for each call costs more than the call


class Caller:
    """Somebody who is signed in."""

    def __init__(self, server: Server, headers: dict[str, str]) -> None:
        self._url, self._headers = server.url, headers

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self._headers, **more.pop("headers", {})}
        return _http.request(method, f"{self._url}{path}", headers=headers, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self("POST", path, json={} if body is None else body, **more)

    def me(self) -> dict[str, Any]:
        return dict(self("GET", "/v1/me").json())


class Four:
    """A customer, a store with a menu, two riders, and the administrator."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.customer = self._sign_up("mina", "customer")
        self.stranger = self._sign_up("juho", "customer")
        self.store = self._sign_up("noodle-owner", "store")
        self.other_store = self._sign_up("other-owner", "store")
        self.rider, self.rider2 = (self._sign_up(name, "rider") for name in ("rider-a", "rider-b"))
        self.admin = Caller(server, server.admin)
        self.store_id = self._open_shop(self.store)
        self._open_shop(self.other_store)
        self.rider_id, self.rider2_id = (one.me()["rider_id"] for one in (self.rider, self.rider2))

    def _sign_up(self, name: str, role: str) -> Caller:
        body = {"name": name, "password": PASSWORD, "role": role}
        answer = httpx.post(f"{self.server.url}/v1/sign-up", json=body, timeout=60)
        assert answer.status_code == 201, answer.text
        return Caller(self.server, {"Authorization": f"Bearer {answer.json()['access_token']}"})

    def _open_shop(self, owner: Caller) -> str:
        made = owner.post("/v1/stores", SHOP)
        assert made.status_code == 201, made.text
        store_id = str(made.json()["store_id"])
        put = owner("PUT", f"/v1/stores/{store_id}/menu", json=MENU)
        assert put.status_code == 200, put.text
        return store_id

    def wish(self, **changes: Any) -> dict[str, Any]:
        lines = [{"item_id": "noodles", "quantity": 2, "price_krw": 9_000}]
        return {"store_id": self.store_id, "lines": lines, "address": HOME, **changes}

    def place(self, **changes: Any) -> dict[str, Any]:
        answer = self.customer.post("/v1/orders", self.wish(**changes))
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def at_the_door(self) -> dict[str, Any]:
        """An order that its rider is about to hand over (and the code, which the customer has)."""
        order = self.place()
        path = f"/v1/orders/{order['order_id']}"
        for who, step, body in (
            (self.store, "accept", {"cooking_minutes": 10}),
            (self.admin, "reassign", {"rider_id": self.rider_id}),
            (self.store, "ready", {}),
            (self.rider, "pick-up", {}),
            (self.rider, "depart", {}),
        ):
            answer = who.post(f"{path}/{step}", body)
            assert answer.status_code == 200, answer.text
        return order

    def end(self, order: dict[str, Any]) -> None:
        """Whatever state it is in: the riders are free again, and the next test reads nothing of it."""
        path = f"/v1/orders/{order['order_id']}"
        for step in ("fail", "cancel"):
            answer = self.admin.post(f"{path}/{step}", {"reason": "end of the test"})
            if answer.status_code == 200:
                self.admin("GET", path, params={"at_least_version": answer.json()["version"]})


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    sets = ("delivery.open_sign_up=customer,rider,store", "delivery.sign_up_per_minute=1000")
    with start_server(tmp_path_factory.mktemp("orders") / "data", *sets) as server:
        yield Four(server)


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    body = dict(answer.json())
    assert body["type"] == kind
    return body


def test_one_order_from_wish_to_door_with_the_code(four: Four) -> None:
    order = four.at_the_door()
    assert (order["state"], order["version"], order["total_krw"]) == ("RECEIVED", 1, 21_000)
    path = f"/v1/orders/{order['order_id']}"
    done = four.rider.post(f"{path}/deliver", {"proof": {"kind": "code", "ref": order["delivery_code"]}})
    assert done.status_code == 200, done.text
    assert (done.json()["state"], done.json()["version"], done.json()["delivery_code"]) == (
        "DELIVERED",
        7,
        "",
    )
    problem(four.customer("GET", f"{path}/proof"), 404, "not-found")


@pytest.mark.parametrize(("body", "media_type"), [(JPEG, "image/jpeg"), (PNG, "image/png")])
def test_a_photo_is_the_proof(four: Four, body: bytes, media_type: str) -> None:
    order = four.at_the_door()
    path = f"/v1/orders/{order['order_id']}"
    sent = four.rider("POST", f"{path}/proof/photo", content=body, headers={"Content-Type": media_type})
    assert sent.status_code == 201, sent.text
    assert four.rider.post(f"{path}/deliver", {"proof": sent.json()}).status_code == 200
    for reader in (four.customer, four.admin, four.store, four.rider):
        got = reader("GET", f"{path}/proof")
        assert (got.status_code, got.content, got.headers["content-type"]) == (200, body, media_type)
        assert got.headers["x-content-type-options"] == "nosniff"
    for other in (four.stranger, four.other_store, four.rider2):
        problem(other("GET", f"{path}/proof"), 403, "forbidden")


def test_a_signature_is_the_proof(four: Four) -> None:
    order = four.at_the_door()
    path = f"/v1/orders/{order['order_id']}"
    evil = four.rider.post(f"{path}/proof/signature", {"path": 'M0 0"/><script>alert(1)</script>'})
    problem(evil, 400, "bad-request")
    sent = four.rider.post(
        f"{path}/proof/signature", {"path": "M 10 10 L 50 60", "width": 200, "height": 100}
    )
    assert sent.status_code == 201, sent.text
    assert four.rider.post(f"{path}/deliver", {"proof": sent.json()}).status_code == 200
    assert b'd="M 10 10 L 50 60"' in four.customer("GET", f"{path}/proof").content


def test_proofs_are_bounded_and_belong_to_their_order(four: Four) -> None:
    order = four.at_the_door()
    path = f"/v1/orders/{order['order_id']}"
    send = {"Content-Type": "image/jpeg"}
    too_large = four.rider("POST", f"{path}/proof/photo", content=JPEG[:4] + bytes(2_200_000), headers=send)
    assert too_large.status_code in (400, 413)
    problem(four.rider("POST", f"{path}/proof/photo", content=b"GIF89a", headers=send), 400, "bad-request")
    problem(four.rider2("POST", f"{path}/proof/photo", content=JPEG, headers=send), 403, "forbidden")
    problem(four.customer("POST", f"{path}/proof/photo", content=JPEG, headers=send), 403, "forbidden")
    statuses = [
        four.rider("POST", f"{path}/proof/photo", content=JPEG, headers=send).status_code for _ in range(6)
    ]
    assert statuses == [201] * 4 + [400] * 2
    for ref in ("../../majung.db", "0" * 32 + ".jpg", ""):
        answer = four.rider.post(f"{path}/deliver", {"proof": {"kind": "photo", "ref": ref}})
        problem(answer, 400, "bad-request")
    problem(four.rider.post(f"{path}/deliver", {}), 400, "bad-request")
    four.end(order)


def test_wrong_codes_run_out(four: Four) -> None:
    order = four.at_the_door()
    path = f"/v1/orders/{order['order_id']}/deliver"
    wrong = f"{(int(order['delivery_code']) + 1) % 10_000:04d}"
    for _ in range(5):
        problem(four.rider.post(path, {"proof": {"kind": "code", "ref": wrong}}), 400, "bad-request")
    right = {"proof": {"kind": "code", "ref": order["delivery_code"]}}
    problem(four.rider.post(path, right), 403, "forbidden")
    four.end(order)


def test_too_late_is_told_with_the_order_as_it_is(four: Four) -> None:
    order = four.place()
    path = f"/v1/orders/{order['order_id']}"
    assert four.customer.post(f"{path}/cancel", {"expected_version": 1}).status_code == 200
    told = problem(four.store.post(f"{path}/accept", {"cooking_minutes": 5}), 409, "order-conflict")
    assert (told["order"]["state"], told["order"]["version"]) == ("CANCELLED", 2)
    assert told["order"]["delivery_code"] == ""
    told = problem(four.customer.post(f"{path}/cancel", {"expected_version": 1}), 409, "order-conflict")
    assert told["order"]["delivery_code"] == order["delivery_code"]


def test_customer_cancels_while_the_store_accepts_and_one_wins(four: Four) -> None:
    for _ in range(10):
        order = four.place()
        path = f"/v1/orders/{order['order_id']}"
        with ThreadPoolExecutor(2) as pool:
            cancel = pool.submit(four.customer.post, f"{path}/cancel", {"expected_version": 1})
            accept = pool.submit(
                four.store.post, f"{path}/accept", {"cooking_minutes": 5, "expected_version": 1}
            )
        answers = [cancel.result(), accept.result()]
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        won = next(answer.json() for answer in answers if answer.status_code == 200)
        lost = next(answer.json() for answer in answers if answer.status_code == 409)
        assert (lost["order"]["state"], lost["order"]["version"]) == (won["state"], 2)


def test_the_same_key_makes_one_order(four: Four) -> None:
    key = {"headers": {"Idempotency-Key": "k-1"}}
    first = four.customer.post("/v1/orders", four.wish(), **key)
    again = four.customer.post("/v1/orders", four.wish(), **key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    told = problem(four.customer.post("/v1/orders", four.wish(note="x"), **key), 409, "order-conflict")
    assert told["order"]["order_id"] == first.json()["order_id"]
    other = four.stranger.post("/v1/orders", four.wish(), **key)
    assert other.json()["order_id"] != first.json()["order_id"]


def test_nobody_touches_the_order_of_somebody_else(four: Four) -> None:
    order = four.place()
    path = f"/v1/orders/{order['order_id']}"
    for who, step, body in (
        (four.stranger, "cancel", {}),
        (four.other_store, "accept", {"cooking_minutes": 5}),
        (four.rider, "pick-up", {}),
        (four.customer, "accept", {"cooking_minutes": 5}),
        (four.customer, "reassign", {"rider_id": "r"}),
        (four.store, "cancel", {"reason": "no"}),
    ):
        answer = who.post(f"{path}/{step}", {**body, "expected_version": 1})
        assert answer.status_code in (403, 409), answer.text
    problem(four.stranger.post(f"{path}/cancel", {"expected_version": 9}), 403, "forbidden")
    problem(four.store.post(f"{path}/accept?as=customer", {"cooking_minutes": 5}), 403, "forbidden")
    problem(four.rider.post("/v1/orders", four.wish()), 403, "forbidden")
    problem(four.stranger.post("/v1/orders?as=customer:mina", four.wish()), 403, "forbidden")
    unknown = four.customer.post("/v1/orders/o-none/cancel", {})
    problem(unknown, 404, "not-found")
    assert httpx.post(f"{four.server.url}{path}/cancel", json={}).status_code == 401


def test_the_administrator_may_do_it_for_anybody_and_a_rider_has_one_order(four: Four) -> None:
    first, second = four.place(), four.place()
    for order in (first, second):
        path = f"/v1/orders/{order['order_id']}"
        done = four.admin.post(f"{path}/accept?as=store", {"cooking_minutes": 5})
        assert (done.status_code, done.json()["state"]) == (200, "COOKING")
    taken = {"rider_id": four.rider2_id}
    assert four.admin.post(f"/v1/orders/{first['order_id']}/reassign", taken).status_code == 200
    problem(four.admin.post(f"/v1/orders/{second['order_id']}/reassign", taken), 409, "rider-taken")
    assert four.rider2.post(f"/v1/orders/{first['order_id']}/unassign", {}).status_code == 200
    assert four.admin.post(f"/v1/orders/{second['order_id']}/reassign", taken).status_code == 200
    placed = four.admin.post("/v1/orders?as=customer:mina", four.wish())
    assert (placed.status_code, placed.json()["customer"]) == (201, "customer:mina")
    for order in (first, second, placed.json()):
        four.end(order)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"store_id": "nobody"}, 404),
        ({"lines": []}, 400),
        ({"lines": [{"item_id": "gone"}]}, 409),
        ({"lines": [{"item_id": "noodles", "price_krw": 8_000}]}, 409),
        ({"lines": [{"item_id": "noodles", "quantity": 0}]}, 400),
        ({"lines": [{"item_id": "noodles", "quantity": 10**30}]}, 400),
        ({"total_krw": 20_000}, 409),
        ({"address": {**HOME, "latitude": 40.0}}, 400),
        ({"address": {**HOME, "latitude": 400.0}}, 400),
        ({"address": {**HOME, "text": " "}}, 400),
        ({"address": {**HOME, "precision_m": -1}}, 400),
        ({"note": "x" * 501}, 400),
        ({"surprise": 1}, 400),
    ],
)
def test_a_wish_that_cannot_be(four: Four, changes: dict[str, Any], status: int) -> None:
    answer = four.customer.post("/v1/orders", four.wish(**changes))
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == status
