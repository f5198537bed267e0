"""Stores over HTTP against a real server: register, menu, find, price, and who may not."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server import Server, start_server

PASSWORD = "a long password"
ALWAYS = {day: ["00:00-24:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
HERE = {"latitude": 37.4979, "longitude": 127.0276}
CHICKEN: dict[str, Any] = {
    "name": "강남 황금치킨",
    "category": "chicken",
    **HERE,
    "address": "서울 강남구 역삼동 858",
    "hours": ALWAYS,
    "minimum_krw": 10_000,
    "fee_krw": 3_000,
    "radius_m": 2_000,
}
MENU: dict[str, Any] = {
    "items": [
        {
            "item_id": "fried",
            "name": "후라이드",
            "price_krw": 18_000,
            "groups": [
                {
                    "name": "크기",
                    "required": True,
                    "options": [
                        {"option_id": "m", "name": "보통"},
                        {"option_id": "l", "name": "크게", "price_krw": 4_000},
                    ],
                }
            ],
        },
        {"name": "콜라", "price_krw": 2_000},
    ]
}


class Caller:
    """Somebody who is signed in."""

    def __init__(self, server: Server, token: str) -> None:
        self.url, self.headers = server.url, {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=60, **more)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    sets = ("delivery.open_sign_up=customer,rider,store", "delivery.sign_up_per_minute=1000")
    with start_server(tmp_path_factory.mktemp("stores") / "data", *sets) as running:
        yield running


def signed_up(server: Server, name: str, role: str) -> Caller:
    body = {"name": name, "password": PASSWORD, "role": role}
    answer = httpx.post(f"{server.url}/v1/sign-up", json=body, timeout=60)
    assert answer.status_code == 201, answer.text
    return Caller(server, answer.json()["access_token"])


@pytest.fixture(scope="module")
def owner(server: Server) -> Caller:
    return signed_up(server, "golden", "store")


@pytest.fixture(scope="module")
def customer(server: Server) -> Caller:
    return signed_up(server, "jiu", "customer")


@pytest.fixture(scope="module")
def store(owner: Caller) -> dict[str, Any]:
    """A registered store with its menu."""
    made = owner("POST", "/v1/stores", json=CHICKEN)
    assert made.status_code == 201, made.text
    assert made.headers["etag"] == '"1"'
    store = dict(made.json())
    menu = owner("PUT", f"/v1/stores/{store['store_id']}/menu", json=MENU)
    assert menu.status_code == 200, menu.text
    return store


def found(caller: Caller, **params: Any) -> list[str]:
    answer = caller("GET", "/v1/stores", params=params)
    assert answer.status_code == 200, answer.text
    return [card["store_id"] for card in answer.json()["stores"]]


def test_the_account_runs_the_store_from_now_on(owner: Caller, store: dict[str, Any]) -> None:
    assert owner("GET", "/v1/me").json()["store_id"] == store["store_id"]
    assert owner("POST", "/v1/stores", json=CHICKEN).status_code == 409


def test_a_customer_finds_it(customer: Caller, store: dict[str, Any]) -> None:
    near = {"lat": 37.4980, "lon": 127.0280}
    mine = [store["store_id"]]
    for params in ({}, {"q": "황금"}, {"q": "강남황금"}, {"q": "ㅎㄱㅊㅋ"}, {"category": "chicken"}):
        assert found(customer, **params) == mine, params
        assert found(customer, **near, **params) == mine, params
    elsewhere: tuple[dict[str, Any], ...] = (
        {"q": "피자"},
        {"q": "%"},
        {"category": "pizza"},
        {"lat": 35.1, "lon": 129.0},
    )
    for wish in elsewhere:
        assert found(customer, **wish) == [], wish
    card = customer("GET", "/v1/stores", params=near).json()["stores"][0]
    assert card["is_open"] is True
    assert card["delivers"] is True
    assert 0 < card["distance_m"] < 100
    assert customer("GET", "/v1/store-categories").json() == {
        "categories": [{"category": "chicken", "stores": 1}]
    }


def test_the_page_of_a_store(customer: Caller, store: dict[str, Any]) -> None:
    page = customer("GET", f"/v1/stores/{store['store_id']}").json()
    assert page["is_open"] is True
    assert [item["name"] for item in page["menu"]["items"]] == ["후라이드", "콜라"]
    assert all(item["item_id"] for item in page["menu"]["items"])
    assert customer("GET", "/v1/stores/store-nowhere").status_code == 404


def basket(**line: Any) -> dict[str, Any]:
    wanted = {"item_id": "fried", "options": ["l"], "price_krw": 22_000, "quantity": 2}
    return {"lines": [{**wanted, **line}], **HERE}


def test_a_basket_is_priced(customer: Caller, store: dict[str, Any]) -> None:
    answer = customer("POST", f"/v1/stores/{store['store_id']}/price", json=basket())
    assert answer.status_code == 200, answer.text
    priced = answer.json()
    assert (priced["items_krw"], priced["fee_krw"], priced["total_krw"]) == (44_000, 3_000, 47_000)
    assert priced["lines"][0]["options"] == ["크게"]


@pytest.mark.parametrize(
    ("body", "status", "type_"),
    [
        (basket(price_krw=21_000), 409, "price-changed"),
        (basket(item_id="roast"), 409, "item-gone"),
        (basket(options=["xl"]), 400, "bad-request"),
        (basket(options=["m", "xl"], price_krw=None), 409, "item-gone"),
        (basket(options=["m", "l"]), 400, "bad-request"),
        (basket(quantity=0), 400, "bad-request"),
        ({**basket(), "latitude": 37.6}, 400, "out-of-area"),
        ({"lines": [], **HERE}, 400, "bad-request"),
    ],
)
def test_why_a_basket_cannot_be_had(
    customer: Caller, store: dict[str, Any], body: dict[str, Any], status: int, type_: str
) -> None:
    answer = customer("POST", f"/v1/stores/{store['store_id']}/price", json=body)
    assert (answer.status_code, answer.json()["type"]) == (status, type_), answer.text
    assert answer.json()["detail"]


def test_sold_out_and_below_the_minimum(owner: Caller, customer: Caller, store: dict[str, Any]) -> None:
    at = f"/v1/stores/{store['store_id']}"
    menu = customer("GET", at).json()["menu"]
    cola = menu["items"][1]["item_id"]
    small = {"lines": [{"item_id": cola, "price_krw": 2_000}], **HERE}
    assert customer("POST", f"{at}/price", json=small).json()["type"] == "too-small"
    gone = owner("PUT", f"{at}/sold-out", json={"item_id": cola, "sold_out": True})
    assert gone.json()["version"] == menu["version"] + 1
    assert customer("POST", f"{at}/price", json=small).json()["type"] == "item-gone"
    owner("PUT", f"{at}/sold-out", json={"item_id": cola, "sold_out": False})
    assert customer("POST", f"{at}/price", json=small).json()["type"] == "too-small"
    assert owner("PUT", f"{at}/sold-out", json={"item_id": "no", "sold_out": True}).status_code == 404


def test_closed_by_hand_and_open_again(owner: Caller, customer: Caller, store: dict[str, Any]) -> None:
    at = f"/v1/stores/{store['store_id']}"
    assert owner("PUT", f"{at}/closed", json={"closed": True}).status_code == 200
    page = customer("GET", at).json()
    assert page["is_open"] is False
    assert page.get("opens_at_ms") is None
    assert customer("POST", f"{at}/price", json=basket()).json()["type"] == "store-closed"
    assert found(customer, open_only=True) == []
    assert found(customer) == [store["store_id"]]
    assert owner("PUT", f"{at}/closed", json={"closed": False}).status_code == 200
    assert found(customer, open_only=True) == [store["store_id"]]
    assert (
        owner("PUT", f"{at}/closed", json={"closed": True, "until": "2026-01-01T00:00:00"}).status_code == 400
    )


def test_two_people_change_it_at_once(owner: Caller, store: dict[str, Any]) -> None:
    at = f"/v1/stores/{store['store_id']}"
    tag = owner("GET", at).headers["etag"]
    first = owner("PUT", at, json={**CHICKEN, "phone": "02-555-0100"}, headers={"If-Match": tag})
    assert first.status_code == 200, first.text
    second = owner("PUT", at, json=CHICKEN, headers={"If-Match": tag})
    assert (second.status_code, second.json()["type"]) == (412, "changed-meanwhile")
    assert owner("GET", at).json()["store"]["phone"] == "02-555-0100"
    stale = owner("PUT", f"{at}/menu", json=MENU, headers={"If-Match": '"0"'})
    assert stale.status_code == 412
    assert owner("PUT", at, json=CHICKEN, headers={"If-Match": "x"}).status_code == 400


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hours": {"mon": ["9-5"]}}, "span"),
        ({"hours": {"mon": ["09:00-12:00", "11:00-13:00"]}}, "overlap"),
        ({"hours": {"someday": ["09:00-12:00"]}}, "someday"),
        ({"tz": "Mars/Base"}, "time zone"),
        ({"tz": "../etc/passwd"}, "time zone"),
        ({"latitude": 91.0}, "latitude"),
        ({"name": " "}, "name"),
        ({"radius_m": 0}, "radius_m"),
        ({"owner": "me"}, "owner"),
    ],
)
def test_a_store_that_is_wrong(
    owner: Caller, store: dict[str, Any], change: dict[str, Any], says: str
) -> None:
    answer = owner("PUT", f"/v1/stores/{store['store_id']}", json={**CHICKEN, **change})
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["detail"]


def test_nobody_touches_what_is_not_his(server: Server, customer: Caller, store: dict[str, Any]) -> None:
    at = f"/v1/stores/{store['store_id']}"
    neighbour, rider = signed_up(server, "neighbour", "store"), signed_up(server, "rider-a", "rider")
    for caller in (neighbour, rider, customer):
        assert caller("PUT", at, json=CHICKEN).status_code == 403
        assert caller("PUT", f"{at}/menu", json=MENU).status_code == 403
        assert caller("PUT", f"{at}/closed", json={"closed": True}).status_code == 403
        assert caller("PUT", f"{at}/sold-out", json={"item_id": "fried", "sold_out": True}).status_code == 403
    assert rider("POST", "/v1/stores", json=CHICKEN).status_code == 403
    assert neighbour("POST", "/v1/stores", params={"owner": "golden"}, json=CHICKEN).status_code == 403
    assert httpx.get(f"{server.url}/v1/stores").status_code == 401


def test_an_administrator_registers_for_an_account(server: Server, store: dict[str, Any]) -> None:
    admin = Caller(server, server.sign_in("admin", server.admin_password))
    pizza = {**CHICKEN, "name": "역삼 피자", "category": "pizza", "latitude": -45.0, "longitude": 179.999}
    kitchen = signed_up(server, "pizza-kitchen", "store")
    made = admin("POST", "/v1/stores", params={"owner": "pizza-kitchen"}, json=pizza)
    assert made.status_code == 201, made.text
    assert kitchen("GET", "/v1/me").json()["store_id"] == made.json()["store_id"]
    assert admin("POST", "/v1/stores", params={"owner": "nobody"}, json=pizza).status_code == 404
    across = {"lat": -45.0, "lon": -179.999, "category": "pizza"}
    assert found(admin, **across) == [made.json()["store_id"]]
    assert admin("PUT", f"/v1/stores/{store['store_id']}", json=CHICKEN).status_code == 200


def test_stores_are_found_after_a_restart(server: Server, customer: Caller, store: dict[str, Any]) -> None:
    assert server.stop() == 0
    server.start()
    assert found(customer, lat=37.4979, lon=127.0276) == [store["store_id"]]
