"""What customers, stores and riders may send by mistake, late, or on purpose: told what to do, and nothing changed."""

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.paths.test_dispatch import Rider, wait
from tests.paths.test_orders import HOME, MENU, SHOP, Four, problem
from tests.pictures import jpeg, png
from tests.server import start_server

RTL = "evil\u202eeman"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    sets = (
        "delivery.open_sign_up=customer,rider,store",
        "delivery.sign_up_per_minute=1000",
        "dispatch.offer_for=1s",
    )
    with start_server(tmp_path_factory.mktemp("bad") / "data", *sets) as server:
        yield Four(server)


@pytest.fixture
def unchanged(four: Four) -> Iterator[None]:
    """At the end there is exactly what there was."""
    before = everything(four)
    yield
    assert everything(four) == before


def everything(four: Four) -> dict[str, Any]:
    with closing(sqlite3.connect(four.server.data / "majung.db")) as database:
        orders = database.execute("SELECT order_id, version, document FROM orders ORDER BY 1").fetchall()
    pages = [four.admin("GET", f"/v1/stores/{four.store_id}").json()]
    files = sorted(path.name for path in (four.server.data / "proofs").rglob("*"))
    return {"orders": orders, "pages": pages, "files": files}


# --------------------------------------------------------------------------------------- the menu moved on


def at_store(four: Four, path: str, body: Any) -> None:
    answer = four.store("PUT", f"/v1/stores/{four.store_id}/{path}", json=body)
    assert answer.status_code == 200, answer.text


def test_a_restaurant_that_has_closed(four: Four) -> None:
    at_store(four, "closed", {"closed": True})
    before = everything(four)
    told = problem(four.customer.post("/v1/orders", four.wish()), 409, "store-closed")
    assert "closed now" in told["detail"]
    assert everything(four) == before
    at_store(four, "closed", {"closed": False})


def test_an_item_that_is_gone(four: Four) -> None:
    at_store(four, "sold-out", {"item_id": "noodles", "sold_out": True})
    told = problem(four.customer.post("/v1/orders", four.wish()), 409, "item-gone")
    assert "칼국수 is sold out" in told["detail"]
    assert told["item_id"] == "noodles"
    at_store(four, "menu", {"items": []})
    told = problem(four.customer.post("/v1/orders", four.wish()), 409, "item-gone")
    assert "no longer on the menu" in told["detail"]
    assert told["item_id"] == "noodles"
    at_store(four, "menu", MENU)


def test_a_price_that_changed_comes_with_the_new_one(four: Four) -> None:
    at_store(four, "menu", {"items": [{**MENU["items"][0], "price_krw": 9_500}]})
    before = everything(four)
    wish = four.wish(total_krw=21_000)
    told = problem(four.customer.post("/v1/orders", wish), 409, "price-changed")
    assert (told["priced"]["lines"][0]["price_krw"], told["priced"]["total_krw"]) == (9_500, 22_000)
    # Lines without a price that was seen, and a total that was: the same question.
    line = {"item_id": "noodles", "quantity": 2}
    told = problem(four.customer.post("/v1/orders", {**wish, "lines": [line]}), 409, "price-changed")
    assert told["priced"]["total_krw"] == 22_000
    assert everything(four) == before
    # The page asks, the customer agrees, and the order is at the price that was in the answer.
    agreed = [{**line, "price_krw": told["priced"]["lines"][0]["price_krw"]}]
    order = four.place(lines=agreed, total_krw=told["priced"]["total_krw"])
    assert order["total_krw"] == 22_000
    at_store(four, "menu", MENU)
    four.end(order)


@pytest.mark.usefixtures("unchanged")
def test_an_address_outside_the_area(four: Four) -> None:
    far = {**HOME, "latitude": SHOP["latitude"] + 0.05}
    told = problem(four.customer.post("/v1/orders", four.wish(address=far)), 400, "out-of-area")
    assert "delivers within 3000 m" in told["detail"]


# ------------------------------------------------------------------------------------------ two at once


def test_two_tabs_of_a_store_accept_at_once(four: Four) -> None:
    order = four.place()
    path = f"/v1/orders/{order['order_id']}/accept"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda m: four.store.post(path, {"cooking_minutes": m}), range(5, 13)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    won = next(answer.json() for answer in answers if answer.status_code == 200)
    for answer in answers:
        if answer.status_code == 409:
            told = problem(answer, 409, "order-conflict")["order"]
            assert (told["version"], told["cooking_minutes"]) == (2, won["cooking_minutes"])
    four.end(order)


def test_two_administrators_give_one_order_to_two_riders_at_once(four: Four) -> None:
    order = four.place()
    path = f"/v1/orders/{order['order_id']}"
    four.store.post(f"{path}/accept", {"cooking_minutes": 5})
    bodies = [{"rider_id": rider, "expected_version": 2} for rider in (four.rider_id, four.rider2_id)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda body: four.admin.post(f"{path}/reassign", body), bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    four.end(order)


def test_a_rider_who_accepts_too_late_or_what_another_was_asked(four: Four) -> None:
    late, other = Rider(four.server, "late", 0.001), Rider(four.server, "other", 0.002)
    order = four.place()
    path = f"/v1/orders/{order['order_id']}"
    four.store.post(f"{path}/accept", {"cooking_minutes": 5})
    offer = late.offer()
    assert offer["order_id"] == order["order_id"]
    other.post(f"/v1/offers/{offer['offer_id']}/accept", status=404)
    wait(lambda: late.standing()["offer"] is None)
    body = late.post(f"/v1/offers/{offer['offer_id']}/accept", status=409)
    assert body["type"] == "offer-over" and "time to accept this offer is over" in body["detail"]
    assert late.standing()["order_id"] == ""
    trail = four.admin("GET", f"{path}/audit").json()["events"]
    assert all(event["order"]["rider_id"] != late.rider_id for event in trail)
    late.off()
    other.off()
    four.end(order)


def test_a_key_that_is_used_again_for_something_else(four: Four) -> None:
    key = {"headers": {"Idempotency-Key": "again"}}
    first = four.customer.post("/v1/orders", four.wish(), **key).json()
    before = everything(four)
    for other in (
        four.wish(note="else"),
        four.wish(lines=[{"item_id": "noodles"}]),
        four.wish(address={**HOME, "detail": "1"}),
    ):
        told = problem(four.customer.post("/v1/orders", other, **key), 409, "order-conflict")
        assert told["order"]["order_id"] == first["order_id"] and "Idempotency-Key" in told["detail"]
    assert four.customer.post("/v1/orders", four.wish(), **key).json() == first
    assert everything(four) == before
    long = four.customer.post("/v1/orders", four.wish(), headers={"Idempotency-Key": "k" * 129})
    assert long.status_code == 400
    four.end(first)


# ----------------------------------------------------------------------------------------- strange bodies


def changed(wish: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The wish with one field, named `a.b`, set to another value."""
    copy = json.loads(json.dumps(wish))
    place = copy
    *way, last = path.split(".")
    for name in way:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    return dict(copy)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("lines.0.quantity", -1),
        ("lines.0.quantity", 100),
        ("lines.0.quantity", 2**63),
        ("lines.0.quantity", 1.5),
        ("lines.0.quantity", True),
        ("lines.0.item_id", ""),
        ("lines.0.item_id", "x" * 65),
        ("lines.0.item_id", "noodles\x00"),
        ("lines.0.price_krw", -9_000),
        ("lines.0.price_krw", 2**63 - 1),
        ("lines.0.options", ["x"] * 51),
        ("lines", [{"item_id": "noodles"}] * 51),
        ("total_krw", 2**63),
        ("total_krw", -1),
        ("address.latitude", 90.000001),
        ("address.longitude", "127.03 E"),
        ("address.precision_m", 1e300),
        ("address.text", "x" * 301),
        ("address.text", RTL),
        ("address.text", "NUL\x00"),
        ("address.detail", "\u2067101동"),
        ("note", "line\x1b[2Jline"),
        ("note", None),
        ("store_id", "../../etc/passwd"),
        ("store_id", "x" * 129),
    ],
)
def test_a_field_that_cannot_be(four: Four, path: str, value: Any) -> None:
    answer = four.customer.post("/v1/orders", changed(four.wish(), path, value))
    assert answer.status_code in (400, 404, 409), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.json()["detail"]) > 10, answer.text


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 400, "0x7f", "1_000", "٣٧", "null"]
)
def test_numbers_that_are_none(four: Four, number: str) -> None:
    body = json.dumps(four.wish()).replace(str(HOME["latitude"]), number)
    assert number in body
    answer = four.customer("POST", "/v1/orders", content=body.encode(), headers=JSON)
    assert (answer.status_code, answer.json()["type"]) == (400, "bad-request"), answer.text


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("body", "headers", "statuses"),
    [
        (b"", JSON, (400,)),
        (b"{", JSON, (400,)),
        (b"null", JSON, (400,)),
        (b"[" * 100_000, JSON, (400, 413)),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, JSON, (400, 413)),
        (b'{"note":"' + b"x" * 20_000_000 + b'"}', JSON, (400, 413)),
        (b'{"store_id":"\xff\xfe"}', JSON, (400,)),
        (b'{"note":"\\ud800"}', JSON, (400,)),
        (b"<order/>", {"Content-Type": "application/xml"}, (400, 415)),
        (b"store_id=x", {"Content-Type": "application/x-www-form-urlencoded"}, (400, 415)),
        (b"\x80\x04.", {"Content-Type": "application/x-msgpack"}, (400, 415)),
        (b"--x\r\n\r\n\r\n--x--", {"Content-Type": "multipart/form-data; boundary=x"}, (400, 415)),
        (b"{}", {"Content-Type": "nonsense"}, (400, 415)),
        (b"\x1f\x8b" + bytes(100), {**JSON, "Content-Encoding": "gzip"}, (400, 415)),
    ],
)
def test_bodies_that_are_none(
    four: Four, body: bytes, headers: dict[str, str], statuses: tuple[int, ...]
) -> None:
    try:
        answer = four.customer("POST", "/v1/orders", content=body, headers=headers)
    except httpx.WriteError:  # refused before all of it was sent, and closed
        assert len(body) > 1_000_000
        return
    assert answer.status_code in statuses, answer.text[:300]
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.usefixtures("unchanged")
def test_ten_thousand_lines(four: Four) -> None:
    lines = [{"item_id": "noodles", "quantity": 1}] * 10_000
    for path in ("/v1/orders", f"/v1/stores/{four.store_id}/price"):
        body = (
            four.wish(lines=lines)
            if path == "/v1/orders"
            else {"lines": lines, "latitude": 37.5, "longitude": 127}
        )
        told = problem(four.customer.post(path, body), 400, "bad-request")
        assert "<= 50" in told["detail"], told


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "item",
    [
        {"name": "칼국수", "price_krw": 100_000_001},
        {"name": "칼국수", "price_krw": -1},
        {"name": "칼국수", "price_krw": 2**64},
        {"name": RTL, "price_krw": 1},
        {"name": "a\x00b", "price_krw": 1},
        {"name": "칼국수", "price_krw": 1, "description": "\u2066hidden\u2069"},
        {"name": "칼국수", "price_krw": 1, "item_id": "<script>"},
    ],
)
def test_a_menu_that_cannot_be(four: Four, item: dict[str, Any]) -> None:
    answer = four.store("PUT", f"/v1/stores/{four.store_id}/menu", json={"items": [item]})
    problem(answer, 400, "bad-request")


def test_an_order_that_costs_more_than_can_be(four: Four) -> None:
    at_store(four, "menu", {"items": [{**MENU["items"][0], "price_krw": 100_000_000}]})
    lines = [{"item_id": "noodles", "quantity": 99}] * 50
    told = problem(four.customer.post("/v1/orders", four.wish(lines=lines)), 400, "bad-request")
    assert "at most 100000000 KRW" in told["detail"]
    at_store(four, "menu", MENU)


@pytest.mark.parametrize("name", [RTL, "nul\x00", "a/b", "a:b", " ", "", "x" * 500, "line\nline"])
@pytest.mark.parametrize("role", ["customer", "store", "rider"])
def test_names_that_are_none(four: Four, name: str, role: str) -> None:
    body = {"name": name, "password": "a long password", "role": role}
    answer = httpx.post(f"{four.server.url}/v1/sign-up", json=body, timeout=60)
    told = problem(answer, 400, "bad-request")
    assert "\u202e" not in told["detail"], "the mark is not sent back"


def test_reasons_and_commands_that_cannot_be(four: Four) -> None:
    order = four.place()
    path = f"/v1/orders/{order['order_id']}"
    bad: tuple[tuple[str, Any], ...] = (
        ("reject", {"reason": ""}),
        ("reject", {"reason": RTL}),
        ("reject", {"reason": "x" * 501}),
        ("accept", {"cooking_minutes": 0}),
        ("accept", {"cooking_minutes": 241}),
        ("accept", {"cooking_minutes": 10, "expected_version": 0}),
        ("accept", {"cooking_minutes": 10, "expected_version": 2**63}),
        ("accept", {"cooking_minutes": "ten"}),
        ("accept", {}),
        ("accept", []),
    )
    for step, body in bad:
        answer = four.store.post(f"{path}/{step}", body)
        assert answer.status_code in (400, 409), answer.text
        assert answer.json()["detail"]
    told = problem(four.admin.post(f"{path}/cancel?as=nobody", {}), 400, "bad-request")
    assert "one of customer, store, rider" in told["detail"]
    read = four.customer("GET", path, params={"at_least_version": 1})
    assert read.json()["version"] == 1
    four.end(order)


# ----------------------------------------------------------------------------------------------- proofs


def test_proofs_that_prove_nothing(four: Four) -> None:
    order = four.at_the_door()
    path = f"/v1/orders/{order['order_id']}"
    bodies = {
        "no picture": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "JPEG, PNG or WebP"),
        "a page": (b"<!doctype html><script>alert(1)</script>", "JPEG, PNG or WebP"),
        "empty": (b"", "1 to 2097152"),
        "first bytes alone": (b"\xff\xd8\xff\xe0" + b"not a picture" * 10, "take it again"),
        "cut off": (jpeg()[:-2], "take it again"),
        "a bomb": (png(50_000, 50_000), "pixels"),
    }
    for name, (body, says) in bodies.items():
        for media_type in ("image/jpeg", "application/octet-stream"):
            tried = four.rider(
                "POST", f"{path}/proof/photo", content=body, headers={"Content-Type": media_type}
            )
            assert says in problem(tried, 400, "bad-request")["detail"], name
    for drawn in (
        'M0 0"/><script>alert(1)</script>',
        "M0 0' onload='alert(1)",
        "<svg/>",
        "",
        "M 0 0 " * 20_000,
        "url(#x)",
        "M0 0\u202e",
    ):
        problem(four.rider.post(f"{path}/proof/signature", {"path": drawn}), 400, "bad-request")
    for size in ({"width": 0}, {"height": 10_001}, {"width": -5}):
        problem(four.rider.post(f"{path}/proof/signature", {"path": "M0 0 L1 1", **size}), 400, "bad-request")
    folder = four.server.data / "proofs" / order["order_id"]
    assert not folder.exists(), "nothing was kept"
    # None of these counted: all four that an order may have can still be sent.
    as_jpeg = {"Content-Type": "image/jpeg"}
    sent = [four.rider("POST", f"{path}/proof/photo", content=jpeg(), headers=as_jpeg) for _ in range(4)]
    assert [answer.status_code for answer in sent] == [201] * 4
    done = four.rider.post(f"{path}/deliver", {"proof": sent[0].json()})
    assert done.json()["state"] == "DELIVERED"
    shown = four.customer("GET", f"{path}/proof")
    assert "sandbox" in shown.headers["content-security-policy"]
