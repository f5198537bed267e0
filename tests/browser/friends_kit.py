"""What the tests of the friends page share: people with phones, and friends who report over HTTP."""

from typing import Any

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Visit
from tests.browser.delivery_kit import PHONE, enter, sign_up
from tests.friends_kit import Person
from tests.server import Server

SETTINGS = (
    "delivery.sign_up_per_minute=600",
    "positions.max_speed_mps=50000",  # people of a test walk 15 km between two screenshots
    "friends.blur_every=1s",
)
# Who has not said yet where they are asks for the places of friends, and of some there is none.
NOTHING_TO_SEE = ("the server responded with a status of 404",)
STATION = {"latitude": 37.4979, "longitude": 127.0276, "accuracy": 9}
NORTH_300_M = {"latitude": 37.5006, "longitude": 127.0276, "accuracy": 12}
EAST_2_KM = {"latitude": 37.4979, "longitude": 127.0502, "accuracy": 14}
SOUTH_EAST_15_KM = {"latitude": 37.4020, "longitude": 127.1500, "accuracy": 10}
SEOUL = {"permissions": ["geolocation"], "timezone_id": "Asia/Seoul"}
KOREAN_PHONE: dict[str, Any] = {**PHONE, **SEOUL, "locale": "ko-KR"}
ENGLISH_DESKTOP: dict[str, Any] = {**SEOUL, "locale": "en-GB", "viewport": {"width": 1280, "height": 800}}


def person(server: Server, name: str, display_name: str = "") -> Person:
    """A new account of a person, asked over HTTP; `enter_friends` signs the same one in at the page."""
    headers = sign_up(server, name, "person")
    me = httpx.get(f"{server.url}/v1/me", headers=headers).json()
    found = Person(
        server,
        {"rider_id": me["rider_id"], "name": name, "token": headers["Authorization"].removeprefix("Bearer ")},
    )
    if display_name:
        found("PATCH", "/v1/friends/me", {"display_name": display_name})
    return found


def enter_friends(visit: Open, server: Server, name: str, at: dict[str, Any], **more: Any) -> Visit:
    """Signed in at the page, with this device's position on; returns when the server has it."""
    options = {**KOREAN_PHONE, "geolocation": at, "expected": NOTHING_TO_SEE, **more}
    window = visit(server, **options)
    page = enter(window, "friends", name)
    page.get_by_role("button", name=either("이 기기의 위치 사용", "Use this device's position")).click()
    expect(page.locator(".friends")).not_to_have_attribute("data-sent", "0")
    return window


def either(*texts: str) -> Any:
    import re

    return re.compile("|".join(re.escape(text) for text in texts))


def move(window: Visit, at: dict[str, Any]) -> None:
    """The phone is somewhere else now."""
    window.page.context.set_geolocation(at)  # type: ignore[arg-type]


def row(page: Page, someone: Person, where: str = "near") -> Any:
    """A friend in one of the lists: near, further, hidden."""
    return page.locator(f"[data-list={where}] [data-person='{someone.id}']")


def metres(page: Page, someone: Person, low: int, high: int) -> None:
    """Wait until the distance in the list is between these."""
    expect(row(page, someone)).to_be_visible()
    page.wait_for_function(
        "([selector, low, high]) => { const at = Number(document.querySelector(selector)?.dataset.metres);"
        " return at >= low && at <= high; }",
        arg=[f"[data-list=near] [data-person='{someone.id}']", low, high],
        timeout=60_000,
    )


def map_drawn(page: Page) -> None:
    """The map is there, and has drawn what it was given."""
    expect(page.locator("canvas.maplibregl-canvas").first).to_be_visible()
    page.wait_for_timeout(
        900
    )  # tiles fade in: for the eye of whoever looks at the picture, no test hangs on it
