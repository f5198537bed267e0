"""Each delivery page by itself: what it does, what it says when something is wrong, and how it is installed."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.delivery_kit import (
    KOREAN,
    PASSWORD,
    PHONE,
    SETTINGS,
    TABLET,
    enter,
    fits,
    open_store,
    place,
    sign_up,
)
from tests.server import Server, start_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("delivery") / "data"
    with start_server(folder, *SETTINGS) as server:
        yield server


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
    window = visit(delivery, **PHONE)
    page = enter(window, "kitchen", "kitchen-five")
    page.locator("input[name=name]").fill("Fifth kitchen")
    address = page.locator("input[name=address]")
    address.fill("Gangnam-daero 5")
    address.blur()  # what may be meant is shown over the map while one types
    shown = page.get_by_role("application")
    shown.hover()
    box = shown.bounding_box()
    assert box is not None
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 90, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Fifth kitchen")).to_be_visible()
    fits(page)
    page.get_by_role("tab", name="Menu").click()
    page.get_by_role("button", name="Add a dish").click()
    page.locator("input[name=dish]").fill("Bibimbap")
    page.locator("input[name=price]").fill("9500")
    page.locator("input[name=section]").fill("Bowls")
    page.get_by_role("button", name="Add a question").click()
    page.locator("input[name=group]").fill("Egg")
    page.get_by_role("checkbox", name="Must choose").check()
    page.locator("input[name=option]").fill("Fried")
    page.get_by_role("button", name="Add a choice").click()
    page.locator("input[name=option]").nth(1).fill("Raw")
    page.locator("input[name=extra]").nth(1).fill("500")
    window.screenshot("delivery-kitchen-item-editor")
    fits(page)
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_role("switch", name="Bibimbap")).to_be_visible()
    page.get_by_role("button", name="Change Bibimbap").click()
    page.get_by_role("button", name="Remove Raw").click()
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    window.screenshot("delivery-kitchen-menu-phone")
    item = delivery.get("/v1/stores", q="Fifth")["stores"][0]["store_id"]
    (dish,) = delivery.get(f"/v1/stores/{item}")["menu"]["items"]
    (group,) = dish["groups"]
    assert (dish["price_krw"], group["name"], group["required"]) == (9500, "Egg", True)
    assert [option["name"] for option in group["options"]] == ["Fried"]


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


def test_who_asks_for_it_stays_signed_in_on_this_device(delivery: Server, visit: Open) -> None:
    sign_up(delivery, "guest-seven", "customer")
    window = visit(delivery, **PHONE)
    enter(window, "order", "guest-seven")
    another = window.page.context.new_page()
    another.goto(f"{delivery.url}/order")
    expect(another.locator("input[name=password]")).to_be_visible()  # a tab of its own asks again

    another.locator("input[name=username]").fill("guest-seven")
    another.locator("input[name=password]").fill(PASSWORD)
    another.get_by_role("checkbox", name="Stay signed in on this device").check()
    another.locator("button.submit").click()
    expect(another.get_by_role("link", name="My orders")).to_be_visible()
    kept = "localStorage.getItem('majung.signed-in.order')"
    before = another.evaluate(kept)
    another.close()

    later = window.page.context.new_page()
    later.goto(f"{delivery.url}/order")
    expect(later.get_by_role("link", name="My orders")).to_be_visible()
    expect(later.locator("h1")).to_be_visible()
    assert later.evaluate(kept) != before, "a refresh token is used once"
    again = window.page.context.new_page()
    again.goto(f"{delivery.url}/order")
    expect(again.locator("h1")).to_have_text("Where shall we bring it?")
    later.get_by_role("button", name="Sign out").click()
    expect(again.locator("input[name=password]")).to_be_visible()
    assert again.evaluate(kept) is None


def test_long_names_and_addresses_fit_a_phone(delivery: Server, visit: Open) -> None:
    store_id = open_store(delivery, "kitchen-eight", "여덟 번째 " + "아주길고긴이름" * 8)
    sign_up(delivery, "guest-eight", "customer")
    window = visit(delivery, **PHONE, **KOREAN)
    page = enter(window, "order", "guest-eight")
    address = {
        "latitude": 37.4985,
        "longitude": 127.028,
        "text": "서울특별시 강남구 테헤란로 123 " + "여삼빌딩" * 12,
        "detail": "12층 1204호",
        "precision": "point",
        "precision_m": 12,
    }
    page.evaluate("address => localStorage.setItem('majung.address', JSON.stringify(address))", address)
    page.reload()
    expect(page.get_by_role("link", name="여덟 번째")).to_be_visible()
    fits(page)
    page.goto(f"{delivery.url}/order#/store/{store_id}")
    expect(page.get_by_role("button", name="김치찌개")).to_be_visible()
    fits(page)
    window.screenshot("delivery-long-names")
