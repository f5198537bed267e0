"""How an order ends, and who sees it: photo, signature, failure, a handover on the way, and the search for it all."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Visit
from tests.browser.delivery_kit import (
    KOREAN,
    PHONE,
    SETTINGS,
    STORE_AT,
    command,
    enter,
    on_duty,
    open_store,
    place,
    rider_id_of,
    take,
)
from tests.server import Server, start_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOT_HEARD_YET = ("status of 404",)  # where a rider is who has not been heard since the handover


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with start_server(tmp_path / "data", *SETTINGS) as started:
        yield started


def picture() -> bytes:
    """A PNG of 32 × 32, as a phone's camera would not make it, but as a browser reads it."""
    rows = b"".join(b"\0" + bytes((x * 8, y * 8, 120)) * 32 for y in range(32) for x in (y,))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def to_the_door(server: Server, rider: Page, store_id: str, guest: str) -> str:
    """An order that this rider has with them, on the way; its id."""
    order_id = place(server, store_id, guest)
    command(server, order_id, "accept", cooking_minutes=5)
    take(rider)
    command(server, order_id, "ready")
    rider.get_by_role("button", name="픽업 완료").click()
    rider.get_by_role("button", name="배달 출발").click()
    rider.get_by_role("button", name="전달하기").wait_for()
    return order_id


def seen_by_the_customer(server: Server, visit: Open, guest: str, order_id: str) -> Visit:
    window = visit(server, **PHONE, **KOREAN)
    enter(window, f"order#/order/{order_id}", guest)
    return window


def loaded(page: Page) -> None:
    """The picture is there, and is one."""
    page.wait_for_function("() => document.querySelector('figure img')?.naturalWidth > 0")


def test_a_photo_and_a_signature_are_seen(server: Server, visit: Open) -> None:
    store_id = open_store(server, "kitchen", "증거 식당")
    rider_window = on_duty(visit, server, "rider")
    rider = rider_window.page

    photographed = to_the_door(server, rider, store_id, "guest-photo")
    rider.get_by_role("button", name="전달하기").click()
    rider.get_by_role("button", name="사진", exact=True).click()
    rider.locator("input[name=photo]").set_input_files(
        {"name": "door.png", "mimeType": "image/png", "buffer": picture()}
    )
    expect(rider.locator("dialog img")).to_be_visible()
    rider_window.screenshot("delivery-ride-proof-photo")
    rider.get_by_role("button", name="배달 완료").click()
    guest_window = seen_by_the_customer(server, visit, "guest-photo", photographed)
    expect(guest_window.page.locator("figure[data-proof=photo]")).to_be_visible()
    loaded(guest_window.page)
    guest_window.screenshot("delivery-order-proof-photo")
    guest_window.page.get_by_role("button", name="다시 주문").click()
    expect(guest_window.page.get_by_text("공기밥")).to_be_visible()
    expect(guest_window.page.get_by_role("button", name="2,000원 주문하기")).to_be_enabled()
    guest_window.screenshot("delivery-order-again")

    signed = to_the_door(server, rider, store_id, "guest-signature")
    rider.get_by_role("button", name="전달하기").click()
    rider.get_by_role("button", name="서명", exact=True).click()
    field = rider.locator("dialog svg[role=img]")
    box = field.bounding_box()
    assert box is not None
    rider.mouse.move(box["x"] + 40, box["y"] + 40)
    rider.mouse.down()
    rider.mouse.move(box["x"] + 160, box["y"] + 90, steps=6)
    rider.mouse.move(box["x"] + 260, box["y"] + 30, steps=6)
    rider.mouse.up()
    rider_window.screenshot("delivery-ride-proof-signature")
    rider.get_by_role("button", name="배달 완료").click()
    expect(rider.get_by_text("가까운 주문을 찾고 있습니다…")).to_be_visible()

    admin_window = visit(server, color_scheme="dark")
    admin = enter(admin_window, "admin", "admin", server.admin_password)
    admin.get_by_role("button", name="All").click()
    admin.locator(f"tr[data-order='{signed}']").click()
    expect(admin.locator("figure[data-proof=signature]")).to_be_visible()
    loaded(admin)
    expect(admin.locator(".detail ol li")).to_have_count(7)
    admin_window.screenshot("delivery-admin-signature-dark")


def test_a_handover_on_the_way_and_a_failure(server: Server, visit: Open) -> None:
    store_id = open_store(server, "kitchen", "이어달리기 식당")
    first = on_duty(visit, server, "first").page
    order_id = to_the_door(server, first, store_id, "guest")
    guest_window = seen_by_the_customer(server, visit, "guest", order_id)
    guest = guest_window.page
    where = guest.locator("[data-rider]")
    expect(where).not_to_have_attribute("data-rider", "")
    second_window = on_duty(visit, server, "second", at={**STORE_AT, "accuracy": 5})
    second = second_window.page
    other = rider_id_of(server, "second")

    admin_window = visit(server, expected=NOT_HEARD_YET)
    admin = enter(admin_window, "admin", "admin", server.admin_password)
    admin.locator(f"tr[data-order='{order_id}']").click()
    admin.get_by_role("button", name="Give to another rider", exact=True).click()
    admin.locator("input[name=rider]").fill(other)
    admin.get_by_role("button", name="Do it: Give to another rider").click()
    expect(second.locator(".job")).to_have_attribute("data-state", "DELIVERING")
    expect(first.get_by_text("가까운 주문을 찾고 있습니다…")).to_be_visible()
    second.context.set_geolocation({"latitude": 37.4981, "longitude": 127.0277, "accuracy": 5})
    expect(where).to_have_attribute("data-rider", "37.4981,127.0277")
    admin_window.screenshot("delivery-admin-reassigned")

    second.get_by_role("button", name="전달하지 못함").click()
    second_window.screenshot("delivery-ride-fail-reasons")
    second.get_by_role("button", name="아무도 없음").click()
    expect(guest.get_by_role("heading", name="배달실패")).to_be_visible()
    expect(guest.get_by_text("사유: 아무도 없음")).to_be_visible()
    guest_window.screenshot("delivery-order-failed")
    expect(admin.locator(".detail")).to_have_attribute("data-state", "FAILED")
    expect(admin.locator(".detail ol li").last).to_contain_text("아무도 없음")
    expect(second.get_by_text("가까운 주문을 찾고 있습니다…")).to_be_visible()


def test_an_administrator_takes_an_order_back_and_finds_it_later(server: Server, visit: Open) -> None:
    store_id = open_store(server, "kitchen", "Lost and found kitchen")
    rider = on_duty(visit, server, "rider").page
    order_id = place(server, store_id, "guest", note="blue door")
    command(server, order_id, "accept", cooking_minutes=5)
    take(rider)
    admin_window = visit(server)
    admin = enter(admin_window, "admin", "admin", server.admin_password)
    admin.locator(f"tr[data-order='{order_id}']").click()
    admin.get_by_role("button", name="Take from the rider").click()
    admin.get_by_role("button", name="Do it: Take from the rider").click()
    expect(rider.locator(".job")).to_have_count(0)
    expect(admin.locator(".detail ol")).to_contain_text("Taken from the rider")
    admin.get_by_role("button", name="Cancel", exact=True).click()
    admin.locator("input[name=reason]").fill("Nobody brings it")
    admin.get_by_role("button", name="Do it: Cancel").click()
    expect(admin.locator(".detail")).to_have_attribute("data-state", "CANCELLED")
    expect(admin.get_by_text("No order matches")).to_be_visible()

    admin.reload()  # ended orders are not in the stream: they are found by the server
    admin.get_by_role("button", name="All").click()
    admin.get_by_role("searchbox").fill("BLUE door")
    expect(admin.locator("tbody tr")).to_have_count(1)
    admin.get_by_role("searchbox").fill("red door")
    expect(admin.get_by_text("No order matches")).to_be_visible()
    admin_window.screenshot("delivery-admin-nothing-found")
