"""Who takes an order, and what happens to who was too late: declines, and two who act at the same moment."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Open
from tests.browser.delivery_kit import (
    KOREAN,
    PHONE,
    SETTINGS,
    TABLET,
    command,
    enter,
    offer_of,
    on_duty,
    open_store,
    place,
    take,
)
from tests.server import Server, start_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

TOO_LATE = ("status of 409",)  # browsers call every 4xx an error


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with start_server(tmp_path / "data", *SETTINGS) as started:
        yield started


def test_two_riders_decline_and_the_third_accepts(server: Server, visit: Open) -> None:
    store_id = open_store(server, "kitchen", "세 번째 식당")
    # Nearest first: 10, 120 and 230 metres from the store.
    places = [{"latitude": 37.498 + 0.001 * n, "longitude": 127.0276, "accuracy": 5} for n in range(3)]
    windows = [on_duty(visit, server, f"rider-{n}", at=at) for n, at in enumerate(places)]
    order_id = place(server, store_id, "guest")
    command(server, order_id, "accept", cooking_minutes=10)
    for number, window in enumerate(windows):
        offer = offer_of(window.page)
        expect(offer).to_contain_text("세 번째 식당")
        expect(offer.get_by_role("timer")).to_be_visible()
        for other in windows[number + 1 :]:
            expect(offer_of(other.page)).to_have_count(0)
        if number < 2:
            offer.get_by_role("button", name="거절").click()
            expect(offer).to_have_count(0)
    windows[2].screenshot("delivery-third-offer")
    take(windows[2].page)
    order = server.get(f"/v1/orders/{order_id}", at_least_version=3)
    assert order["rider_id"] == server.get("/v1/orders", q="세 번째")["orders"][0]["rider_id"] != ""
    for window in windows[:2]:
        expect(window.page.get_by_text("가까운 주문을 찾고 있습니다…")).to_be_visible()


class Gate:
    """Holds the requests of one kind until they are let through."""

    def __init__(self, page: Page, pattern: str) -> None:
        self.page = page
        self.held: list[Route] = []
        page.route(pattern, lambda route: self.held.append(route))

    def wait(self) -> None:
        while not self.held:
            self.page.wait_for_timeout(20)

    def release(self) -> None:
        self.held[0].continue_()


@pytest.mark.parametrize("first", ["customer", "store", "both"])
def test_a_cancellation_meets_an_acceptance(server: Server, visit: Open, first: str) -> None:
    """Both pages show the order as RECEIVED when their buttons are pressed; the requests arrive together."""
    store_id = open_store(server, "kitchen", "동시 식당")
    order_id = place(server, store_id, "guest")
    guest_window = visit(server, expected=TOO_LATE, **PHONE, **KOREAN)
    kitchen_window = visit(server, expected=TOO_LATE, **TABLET, locale="ko-KR")
    guest = enter(guest_window, f"order#/order/{order_id}", "guest")
    kitchen = enter(kitchen_window, "kitchen", "kitchen")
    cancelling, accepting = Gate(guest, "**/cancel"), Gate(kitchen, "**/accept")
    guest.get_by_role("button", name="주문 취소").click()
    guest.get_by_role("dialog").get_by_role("button", name="주문 취소").click()
    kitchen.locator("article").get_by_role("button", name="수락").click()
    cancelling.wait()
    accepting.wait()
    if first == "store":
        accepting.release()
        expect(guest.get_by_role("heading", name="조리중")).to_be_visible()
        cancelling.release()
    else:
        cancelling.release()
        if first == "customer":
            expect(kitchen.locator("article")).to_have_count(0)
        accepting.release()

    guest.wait_for_function(
        "() => ['CANCELLED', 'COOKING'].includes(document.querySelector('.page').dataset.state)"
    )
    state = server.get(f"/v1/orders/{order_id}", at_least_version=2)["state"]
    assert state == {"customer": "CANCELLED", "store": "COOKING"}.get(first, state)
    accepted = state == "COOKING"
    late, word = (guest_window, "조리중") if accepted else (kitchen_window, "주문취소")
    expect(late.page.get_by_text(f"그 사이 주문이 “{word}” 상태로 바뀌었습니다.")).to_be_visible()
    late.screenshot(f"delivery-too-late-{first}")
    expect(guest.locator(".page")).to_have_attribute("data-state", state)
    expect(kitchen.locator("article")).to_have_count(1 if accepted else 0)
    assert [line["command"] for line in server.get(f"/v1/orders/{order_id}/audit")["events"]] == [
        "",
        "accept" if accepted else "cancel",
    ]
