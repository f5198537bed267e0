"""A share link from the customer's page, opened by somebody who has no account."""

import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.delivery_kit import (
    KOREAN,
    PHONE,
    SETTINGS,
    command,
    enter,
    fits,
    open_store,
    place,
    sign_up,
)
from tests.paths.grpc_client import position, stream_positions
from tests.server import Server, start_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
HOME = {"latitude": 37.5030, "longitude": 127.0300, "text": "테헤란로 123", "detail": "302호"}
GONE = "the server responded with a status of 4"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("share-page") / "data", *SETTINGS) as running:
        yield running


class Rider:
    """Reports places; each is thirty seconds after the one before, by its phone."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        headers = sign_up(server, name, "rider")
        self.rider_id = httpx.get(f"{server.url}/v1/me", headers=headers).json()["rider_id"]
        self.token = str(server.add_user(f"{name}-fleet", "gateway")["token"])
        self.began_ms = time.time_ns() // 1_000_000 - 3_600_000
        self.seq = 0

    def at(self, latitude: float, longitude: float) -> None:
        self.seq += 1
        place = {"latitude": latitude, "longitude": longitude}
        at_ms = self.began_ms + self.seq * 30_000
        fix = position(self.seq, rider_id=self.rider_id, device_time_ms=at_ms, **place)
        stream_positions(self.server.grpc, self.token, [fix])


def make_link(page: Page, order_id: str) -> str:
    page.goto(f"{page.url.split('#')[0]}#/order/{order_id}")
    page.get_by_role("button", name="배달 현황 공유").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("6시간").click()
    dialog.get_by_role("button", name="링크 만들기").click()
    return page.locator("input[name=link]").input_value()


def test_a_friend_follows_without_an_account(server: Server, visit: Open) -> None:
    store_id = open_store(server, "share-kitchen", "마중식당")
    order_id = place(server, store_id, "share-guest", address=HOME)
    rider = Rider(server, "share-rider")
    command(server, order_id, "accept", cooking_minutes=10)
    command(server, order_id, "reassign", as_="", rider_id=rider.rider_id)

    guest = visit(server, **PHONE, **KOREAN)
    page = enter(guest, "order", "share-guest")
    link = make_link(page, order_id)
    fits(page)
    guest.screenshot("share-dialog")

    friend_window = visit(server, expected=(GONE,), **PHONE, locale="ko-KR", color_scheme="dark")
    friend = friend_window.page
    friend.goto(link)
    expect(friend.get_by_role("heading", name="조리중")).to_be_visible()
    expect(friend.locator("canvas.maplibregl-canvas")).to_be_visible()
    expect(friend).to_have_title("배달 현황 · 마중")
    fits(friend)
    friend_window.screenshot("share-page-cooking-dark")

    command(server, order_id, "ready")
    command(server, order_id, "pick-up", as_="rider")
    command(server, order_id, "depart", as_="rider")
    expect(friend.get_by_role("heading", name="배달중")).to_be_visible()
    rider.at(37.4990, 127.0280)
    expect(friend.locator(".map[data-rider]")).to_have_attribute("data-rider", "37.499,127.028")
    rider.at(37.5005, 127.0288)
    expect(friend.locator(".map[data-rider]")).to_have_attribute("data-rider", "37.5005,127.0288")
    other_window = visit(server)
    other_window.page.goto(link)
    expect(other_window.page.get_by_role("heading", name="On the way")).to_be_visible()
    expect(other_window.page.locator(".spot.rider")).to_be_visible()
    other_window.screenshot("share-page-delivering")
    friend_window.screenshot("share-page-delivering-dark")

    rider.at(37.5028, 127.0299)
    expect(friend.locator("section.map")).to_have_attribute("data-near", "true")
    expect(friend.locator(".spot.rider")).to_have_count(0)
    for secret in ("302호", "테헤란로", "공기밥", "share-guest", rider.rider_id):
        assert secret not in friend.content(), secret
    friend_window.screenshot("share-page-near-dark")

    page.get_by_role("button", name="공유 중지").click()
    expect(friend.get_by_role("heading", name="링크가 만료되었습니다")).to_be_visible()
    expect(friend.locator("section.map")).to_have_count(0)
    friend_window.screenshot("share-page-over-dark")
    friend.reload()
    expect(friend.get_by_role("heading", name="링크가 만료되었습니다")).to_be_visible()


def test_a_link_that_never_was(server: Server, visit: Open) -> None:
    window = visit(server, expected=(GONE,), **PHONE)
    window.page.goto(f"{server.url}/track/nothing-of-ours")
    expect(window.page.get_by_role("heading", name="There is no such link")).to_be_visible()
    fits(window.page)
    window.screenshot("share-page-unknown")
