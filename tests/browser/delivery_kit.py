"""What the tests of the delivery pages share: accounts, a store with a menu, and people who sit at the pages."""

import json
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Open, Visit
from tests.server import Server

PASSWORD = "four-windows-one-order"
SETTINGS = ("delivery.open_sign_up=customer,rider,store", "delivery.sign_up_per_minute=600")
STORE_AT = {"latitude": 37.4979, "longitude": 127.0276}
HOME_AT = {"latitude": 37.5030, "longitude": 127.0300, "accuracy": 12}
RIDER_AT = {"latitude": 37.4990, "longitude": 127.0280, "accuracy": 8}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
TABLET: dict[str, Any] = {"viewport": {"width": 1180, "height": 820}, "has_touch": True}
KOREAN: dict[str, Any] = {"permissions": ["geolocation"], "locale": "ko-KR"}
WHOLE_WEEK = {day: ["00:00-24:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
MENU = [
    {
        "name": "김치찌개",
        "price_krw": 9000,
        "category": "찌개",
        "groups": [
            {
                "name": "맵기",
                "required": True,
                "options": [{"name": "순한맛"}, {"name": "매운맛", "price_krw": 500}],
            }
        ],
    },
    {"name": "공기밥", "price_krw": 1000, "category": "곁들임"},
]


def sign_up(server: Server, name: str, role: str) -> dict[str, str]:
    """A new account; headers of it."""
    answer = httpx.post(f"{server.url}/v1/sign-up", json={"name": name, "password": PASSWORD, "role": role})
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def open_store(server: Server, account: str, name: str, **more: Any) -> str:
    """A store with a menu, at the station; its id."""
    headers = sign_up(server, account, "store")
    wish = {
        "name": name,
        "category": "korean",
        "address": "강남대로 396",
        "hours": WHOLE_WEEK,
        **STORE_AT,
        **more,
    }
    store = httpx.post(f"{server.url}/v1/stores", json=wish, headers=headers)
    assert store.status_code == 201, store.text
    store_id = str(store.json()["store_id"])
    menu = httpx.put(f"{server.url}/v1/stores/{store_id}/menu", json={"items": MENU}, headers=headers)
    assert menu.status_code == 200, menu.text
    return store_id


def place(server: Server, store_id: str, name: str, **more: Any) -> str:
    """An order of a new customer over HTTP; its id."""
    headers = sign_up(server, name, "customer")
    menu = httpx.get(f"{server.url}/v1/stores/{store_id}", headers=headers).json()["menu"]["items"]
    rice = next(item for item in menu if item["name"] == "공기밥")
    wish = {
        "store_id": store_id,
        "lines": [{"item_id": rice["item_id"], "quantity": 2, "price_krw": 1000}],
        "address": {"latitude": 37.4985, "longitude": 127.0280, "text": "Teheran-ro 1"},
        **more,
    }
    placed = httpx.post(f"{server.url}/v1/orders", json=wish, headers=headers)
    assert placed.status_code == 201, placed.text
    return str(placed.json()["order_id"])


def command(server: Server, order_id: str, name: str, as_: str = "store", **body: Any) -> dict[str, Any]:
    """As an administrator does it for somebody."""
    answer = httpx.post(
        f"{server.url}/v1/orders/{order_id}/{name}",
        params={"as": as_} if as_ else {},
        json=body,
        headers=server.admin,
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def enter(window: Visit, app: str, name: str, password: str = PASSWORD) -> Page:
    """Through the door of a page."""
    page = window.page
    page.goto(f"{window.server.url}/{app}")
    page.locator("input[name=username]").fill(name)
    page.locator("input[name=password]").fill(password)
    page.locator("button.submit").click()
    expect(page.locator("input[name=password]")).to_have_count(0)
    return page


def fits(page: Page) -> None:
    """Nothing sticks out at the side of a phone."""
    parts = "[document.documentElement, ...document.querySelectorAll('header, main, dialog[open]')]"
    assert page.evaluate(f"{parts}.every(part => part.scrollWidth <= part.clientWidth + 1)")


def on_duty(visit: Open, server: Server, name: str, at: dict[str, Any] = RIDER_AT, **more: Any) -> Visit:
    """A rider on duty, whose place the server knows."""
    sign_up(server, name, "rider")
    window = visit(server, **{**PHONE, **KOREAN, "geolocation": at, **more})
    page = enter(window, "ride", name)
    page.get_by_role("button", name="운행 시작").click()
    expect(page.locator("[data-sent]")).not_to_have_attribute("data-sent", "0")
    return window


def rider_id_of(server: Server, name: str) -> str:
    """By which id the server knows the rider of an account."""
    headers = {"Authorization": f"Bearer {server.sign_in(name, PASSWORD)}"}
    return str(httpx.get(f"{server.url}/v1/me", headers=headers).json()["rider_id"])


def offer_of(page: Page) -> Locator:
    """The offer that fills the rider's page."""
    return page.get_by_role("alertdialog")


def take(rider: Page) -> None:
    """Accept the offer that is shown."""
    offer_of(rider).get_by_role("button", name="수락").click()
    expect(rider.locator(".job")).to_be_visible()


def heard(page: Page, kind: str) -> list[dict[str, Any]]:
    """Messages of one type that reach the page over its WebSockets, as they come."""
    found: list[dict[str, Any]] = []

    def take_in(frame: str | bytes) -> None:
        message = json.loads(frame)
        if isinstance(message, dict) and message.get("type") == kind:
            found.append(message)

    page.on("websocket", lambda socket: socket.on("framereceived", take_in))
    return found
