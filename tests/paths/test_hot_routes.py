"""The short way of `serve/http/hot.py` answers like the framework: every case goes both ways.

A query that means nothing (`?long`) is enough for the long way. A token must be known for the short one, so
each caller has asked something before.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.paths.test_orders import HOME, Four
from tests.server import start_server

LINES = [{"item_id": "noodles", "quantity": 1}]
CHANGING = ("order_id", "placed_at_ms", "changed_at_ms", "accepted_at_ms", "ready_at_ms", "delivery_code")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    sets = ("delivery.open_sign_up=customer,rider,store", "delivery.sign_up_per_minute=1000")
    with start_server(tmp_path_factory.mktemp("hot") / "data", *sets) as server:
        people = Four(server)
        for caller in (people.customer, people.store, people.rider, people.admin):
            caller.me()
        yield people


def same(short: httpx.Response, long: httpx.Response) -> None:
    """Alike but for ids, times and secrets."""
    assert short.status_code == long.status_code, (short.text, long.text)
    assert dict(short.headers) | {"content-length": ""} == dict(long.headers) | {"content-length": ""}
    assert plain(short.json()) == plain(long.json())


def plain(body: Any) -> Any:
    if isinstance(body, dict):
        return {name: plain(value) for name, value in body.items() if name not in CHANGING}
    return body


def wish(four: Four, **more: Any) -> dict[str, Any]:
    return {"store_id": four.store_id, "lines": LINES, "address": HOME, **more}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"note": "문 앞에"},
        {"note": 5},
        {"unknown": 1},
        {"store_id": "nobody"},
        {"lines": []},
        {"lines": [{"item_id": "noodles", "quantity": "2"}]},
        {"lines": [{"item_id": "gone"}]},
        {"lines": [{"item_id": "noodles", "price_krw": 1}]},
        {"address": {"latitude": 91, "longitude": 0, "text": "x"}},
        {"address": {"latitude": 10, "longitude": 10, "text": "far away"}},
        {"total_krw": 1},
    ],
)
def test_an_order_is_placed_or_refused_alike(four: Four, change: dict[str, Any]) -> None:
    body = wish(four, **change)
    same(four.customer.post("/v1/orders", body), four.customer.post("/v1/orders?long", body))


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"\xff\xfe", b"[" * 20_000, b'{"a":' * 5_000])
def test_what_is_no_wish_is_refused_alike(four: Four, content: bytes) -> None:
    short, long = (
        four.customer("POST", path, content=content, headers={"Content-Type": "application/json"})
        for path in ("/v1/orders", "/v1/orders?long")
    )
    assert short.status_code == 400
    same(short, long)


@pytest.mark.parametrize("key", ["a-key", "x" * 128, "x" * 129, "키"])
def test_idempotency_keys_mean_the_same_on_both_ways(four: Four, key: str) -> None:
    headers = {"Idempotency-Key": key.encode()}
    short = four.customer.post("/v1/orders", wish(four), headers=headers)
    again = four.customer.post("/v1/orders?long", wish(four), headers=headers)
    same(short, again)
    if short.status_code == 201:
        assert short.json()["order_id"] == again.json()["order_id"]
        other = wish(four, note="something else")
        same(
            four.customer.post("/v1/orders", other, headers=headers),
            four.customer.post("/v1/orders?long", other, headers=headers),
        )


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("accept", {"cooking_minutes": 10}),
        ("accept", {"cooking_minutes": 0}),
        ("accept", {"cooking_minutes": "10"}),
        ("accept", {}),
        ("accept", {"cooking_minutes": 10, "expected_version": 7}),
        ("ready", {}),
        ("ready", {"expected_version": "x"}),
        ("pick-up", {}),
        ("depart", {}),
        ("deliver", {"proof": {"kind": "code", "ref": "1"}}),
        ("deliver", {"proof": {"kind": "photo", "ref": "../../x"}}),
        ("deliver", {"proof": 3}),
    ],
)
@pytest.mark.parametrize("who", ["store", "customer", "rider", "admin"])
def test_commands_are_done_or_refused_alike(four: Four, who: str, verb: str, body: dict[str, Any]) -> None:
    answers = []
    for query in ("", "?long"):
        order_id = four.customer.post("/v1/orders", wish(four)).json()["order_id"]
        answers.append(getattr(four, who).post(f"/v1/orders/{order_id}/{verb}{query}", body))
    assert answers[0].status_code < 500
    same(*answers)


@pytest.mark.parametrize("order_id", ["nothing", "%2e%2e", "a%2Fb", "x" * 65, "x" * 129, "%EA%B0%80", "a.b"])
def test_orders_and_offers_that_are_not_there_are_told_alike(four: Four, order_id: str) -> None:
    for path in (f"/v1/orders/{order_id}/ready", f"/v1/offers/{order_id}/accept"):
        same(four.rider.post(path), four.rider.post(f"{path}?long"))


def test_other_methods_and_callers_are_told_alike(four: Four) -> None:
    for method in ("GET", "PUT", "DELETE"):
        path = "/v1/orders/x/accept"
        same(four.store(method, path), four.store(method, f"{path}?long"))
    for headers in (
        {"Authorization": "Bearer wrong"},
        {"Authorization": ""},
        {"Authorization": "Basic eA=="},
    ):
        short = four.customer.post("/v1/orders", wish(four), headers=headers)
        assert short.status_code == 401
        same(short, four.customer.post("/v1/orders?long", wish(four), headers=headers))


def test_a_body_in_pieces_or_without_a_length_is_read_whole(four: Four) -> None:
    pieces = json.dumps(wish(four)).encode()
    for path in ("/v1/orders", "/v1/orders?long"):
        answer = four.customer("POST", path, content=iter([pieces[:20], pieces[20:]]))
        assert answer.status_code == 201, answer.text
    large = wish(four, note="x" * 70_000)
    same(four.customer.post("/v1/orders", large), four.customer.post("/v1/orders?long", large))
