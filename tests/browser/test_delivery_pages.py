"""The delivery pages: one order through four windows, from the search to the proof; and each page by itself."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.delivery_kit import (
    HOME_AT,
    KOREAN,
    PASSWORD,
    PHONE,
    RIDER_AT,
    SETTINGS,
    TABLET,
    enter,
    fits,
    open_store,
    place,
    sign_up,
)
from tests.server import Server, start_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("delivery") / "data"
    with start_server(folder, *SETTINGS) as server:
        yield server


def choose_address(page: Page) -> None:
    page.get_by_role("button", name="현재 위치 사용").click()
    expect(page.get_by_text("오차 약 ±12 m")).to_be_visible()
    page.locator("input[name=address]").fill("테헤란로 123")
    page.locator("input[name=detail]").fill("3층")
    page.get_by_role("button", name="여기로 배달").click()


def order_a_stew(page: Page, store: str) -> None:
    page.get_by_role("searchbox").fill("마중")
    page.get_by_role("link", name=store).click()
    page.get_by_role("button", name="김치찌개").click()
    page.get_by_role("radio", name="매운맛").check()
    page.get_by_role("button", name="담기 · 9,500원").click()
    page.get_by_role("link", name="장바구니").click()
    page.get_by_role("button", name="12,500원 주문하기").click()
    expect(page.get_by_role("heading", name="주문접수")).to_be_visible()


def test_one_order_in_four_windows(delivery: Server, visit: Open) -> None:
    open_store(delivery, "kitchen-one", "마중식당", minimum_krw=8000, fee_krw=3000)
    sign_up(delivery, "rider-one", "rider")
    guest_window = visit(delivery, **PHONE, geolocation=HOME_AT, **KOREAN)
    rider_window = visit(delivery, **PHONE, geolocation=RIDER_AT, **KOREAN)
    kitchen_window = visit(delivery, **TABLET, locale="ko-KR")
    admin_window = visit(delivery)

    kitchen = enter(kitchen_window, "kitchen", "kitchen-one")
    kitchen.get_by_role("button", name="알림음 꺼짐").click()
    rider = enter(rider_window, "ride", "rider-one")
    rider.get_by_role("button", name="운행 시작").click()
    expect(rider.locator("[data-sent]")).not_to_have_attribute("data-sent", "0")
    admin = enter(admin_window, "admin", "admin", delivery.admin_password)

    guest = guest_window.page
    guest.goto(f"{delivery.url}/order")
    guest.get_by_role("button", name="처음이신가요? 가입하기").click()
    guest.locator("input[name=username]").fill("guest-one")
    guest.locator("input[name=password]").fill(PASSWORD)
    guest.locator("button.submit").click()
    choose_address(guest)
    order_a_stew(guest, "마중식당")
    fits(guest)
    guest_window.screenshot("delivery-order-received")

    ticket = kitchen.locator("article", has_text="김치찌개")
    expect(ticket).to_contain_text("매운맛")
    kitchen_window.screenshot("delivery-kitchen-new")
    ticket.get_by_role("button", name="10분").click()
    ticket.get_by_role("button", name="수락").click()
    expect(guest.get_by_role("heading", name="조리중")).to_be_visible()

    offer = rider.get_by_role("alertdialog")
    expect(offer).to_contain_text("마중식당")
    fits(rider)
    rider_window.screenshot("delivery-ride-offer")
    offer.get_by_role("button", name="수락").click()
    expect(rider.locator(".job")).to_have_attribute("data-state", "COOKING")
    kitchen.get_by_role("button", name="준비 완료").click()
    expect(guest.get_by_role("heading", name="픽업대기")).to_be_visible()
    rider.get_by_role("button", name="픽업 완료").click()
    expect(guest.get_by_role("heading", name="픽업완료")).to_be_visible()
    rider.get_by_role("button", name="배달 출발").click()
    expect(guest.get_by_role("heading", name="배달중")).to_be_visible()

    rider_window.page.context.set_geolocation({"latitude": 37.5005, "longitude": 127.0288, "accuracy": 8})
    expect(guest.locator(".map[data-rider]")).to_have_attribute("data-rider", "37.5005,127.0288")
    guest_window.screenshot("delivery-order-delivering")
    code = guest.locator(".code b").inner_text()
    rider_window.screenshot("delivery-ride-job")
    rider.get_by_role("button", name="전달하기").click()
    rider.locator("input[name=code]").fill(code)
    rider.get_by_role("button", name="배달 완료").click()
    expect(guest.get_by_role("heading", name="배달완료")).to_be_visible()
    expect(rider.get_by_text("가까운 주문을 찾고 있습니다…")).to_be_visible()

    admin.get_by_role("button", name="All").click()
    admin.locator("tbody tr", has_text="마중식당").click()
    expect(admin.locator(".detail")).to_have_attribute("data-state", "DELIVERED")
    expect(admin.locator(".detail ol li")).to_have_count(
        7
    )  # placed, accept, assign, ready, pick up, depart, deliver
    admin_window.screenshot("delivery-admin-detail")


def test_a_store_rejects_sells_out_and_closes(delivery: Server, visit: Open) -> None:
    store_id = open_store(delivery, "kitchen-two", "Second kitchen")
    place(delivery, store_id, "guest-two")
    window = visit(delivery, **TABLET, color_scheme="dark")
    page = enter(window, "kitchen", "kitchen-two")
    page.locator("article").get_by_role("button", name="Reject").click()
    page.get_by_role("button", name="Too busy").click()
    expect(page.locator("article")).to_have_count(0)
    page.get_by_role("tab", name="Menu").click()
    page.get_by_role("switch", name="공기밥").click()
    expect(page.get_by_role("switch", name="공기밥")).to_have_text("Sold out")
    page.get_by_role("switch", name="Opening").click()
    expect(page.get_by_role("switch", name="Opening")).to_have_text("Closed")
    window.screenshot("delivery-kitchen-menu-dark")
    seen = delivery.get(f"/v1/stores/{store_id}")
    assert seen["is_open"] is False
    assert [item.get("sold_out", False) for item in seen["menu"]["items"]] == [False, True]


def test_an_administrator_accepts_and_cancels(delivery: Server, visit: Open) -> None:
    store_id = open_store(delivery, "kitchen-three", "Third kitchen")
    order_id = place(delivery, store_id, "guest-three")
    window = visit(delivery)
    page = enter(window, "admin", "admin", delivery.admin_password)
    page.locator("tbody tr", has_text="Third kitchen").click()
    page.get_by_role("button", name="Accept", exact=True).click()
    page.get_by_role("button", name="Do it: Accept").click()
    expect(page.locator(".detail")).to_have_attribute("data-state", "COOKING")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.locator("input[name=reason]").fill("A test")
    page.get_by_role("button", name="Do it: Cancel").click()
    expect(page.locator(".detail")).to_have_attribute("data-state", "CANCELLED")
    expect(page.locator(".detail ol li")).to_have_count(3)
    assert delivery.get(f"/v1/orders/{order_id}")["reason"] == "A test"


def test_a_customer_cancels_while_it_is_possible(delivery: Server, visit: Open) -> None:
    store_id = open_store(delivery, "kitchen-four", "Fourth kitchen")
    order_id = place(delivery, store_id, "guest-four")
    window = visit(delivery, **PHONE)
    page = enter(window, f"order#/order/{order_id}", "guest-four")
    page.get_by_role("button", name="Cancel the order").tap()
    window.screenshot("delivery-order-cancel-ask")
    page.get_by_role("dialog").get_by_role("button", name="It takes too long").tap()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the order").tap()
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()
    expect(page.get_by_text("Reason: It takes too long")).to_be_visible()
    fits(page)
    page.get_by_role("link", name="My orders").tap()
    expect(page.get_by_role("link", name="Fourth kitchen")).to_contain_text("Cancelled")


def test_a_store_registers_itself(delivery: Server, visit: Open) -> None:
    sign_up(delivery, "kitchen-five", "store")
    page = enter(visit(delivery, **PHONE), "kitchen", "kitchen-five")
    page.locator("input[name=name]").fill("Fifth kitchen")
    page.locator("input[name=address]").fill("Gangnam-daero 5")
    page.get_by_role("application").hover()
    page.mouse.down()
    page.mouse.move(160, 240, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Fifth kitchen")).to_be_visible()
    fits(page)
    page.get_by_role("tab", name="Menu").click()
    page.locator("input[name=dish]").fill("Bibimbap")
    page.locator("input[name=price]").fill("9500")
    page.get_by_role("button", name="Add a dish").click()
    expect(page.get_by_role("switch", name="Bibimbap")).to_be_visible()


def test_another_role_is_told(delivery: Server, visit: Open) -> None:
    sign_up(delivery, "guest-six", "customer")
    page = enter(visit(delivery), "kitchen", "guest-six")
    expect(page.get_by_role("alert")).to_have_text("This account (customer) cannot use this page. Sign out")


def test_pages_can_be_installed(delivery: Server) -> None:
    for app in ("order", "ride", "kitchen", "admin"):
        manifest = httpx.get(f"{delivery.url}/app/{app}")
        assert manifest.headers["content-type"] == "application/manifest+json"
        assert manifest.json()["start_url"] == f"/{app}"
        assert httpx.get(f"{delivery.url}{manifest.json()['icons'][0]['src']}").status_code == 200
    assert httpx.get(f"{delivery.url}/app/nothing").status_code == 404
    assert "geolocation=(self)" in httpx.get(f"{delivery.url}/ride").headers["permissions-policy"]
    assert "geolocation=()" in httpx.get(f"{delivery.url}/").headers["permissions-policy"]
