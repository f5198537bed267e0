"""One order through four windows, from the search to the proof: each of the four sees every step of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Visit
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
    heard,
    offer_of,
    on_duty,
    open_store,
    take,
)
from tests.server import Server, start_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOT_HEARD_YET = ("status of 404",)  # the administrator asks where the rider is before there is an answer
SAID = {
    "RECEIVED": ("주문접수", "신규 주문"),
    "COOKING": ("조리중", "조리 중"),
    "READY": ("픽업대기", "픽업 대기"),
    "PICKED_UP": ("픽업완료", "배달 중"),
    "DELIVERING": ("배달중", "배달 중"),
    "DELIVERED": ("배달완료", ""),
}
# From the store to 50 m before the door, a step of about 100 m each.
WAY = [
    (37.4989, 127.0280),
    (37.4999, 127.0286),
    (37.5008, 127.0290),
    (37.5017, 127.0295),
    (37.5026, 127.0299),
]


@dataclass
class Four:
    """The windows of the four people."""

    guest: Visit
    kitchen: Visit
    rider: Visit
    admin: Visit

    def all_see(self, state: str) -> None:
        title, column = SAID[state]
        expect(self.guest.page.get_by_role("heading", name=title)).to_be_visible()
        expect(self.kitchen.page.locator("article")).to_have_count(1 if column else 0)
        if column:
            expect(self.kitchen.page.get_by_role("region", name=column).locator("article")).to_have_count(1)
        expect(self.admin.page.locator("tbody .state")).to_have_class(f"state {state}" + self._scope())
        if state not in ("RECEIVED", "DELIVERED"):
            expect(self.rider.page.locator(".job")).to_have_attribute("data-state", state)
        self.guest.screenshot(f"delivery-four-{state.lower()}-guest")
        self.kitchen.screenshot(f"delivery-four-{state.lower()}-kitchen")
        self.rider.screenshot(f"delivery-four-{state.lower()}-rider")
        self.admin.screenshot(f"delivery-four-{state.lower()}-admin")

    def _scope(self) -> str:
        """The class that the compiler of the pages adds to what a component styles."""
        classes = str(self.admin.page.locator("tbody .state").first.get_attribute("class")).split()
        return " " + classes[-1]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with start_server(tmp_path / "data", *SETTINGS) as started:
        yield started


def choose_address(page: Page) -> None:
    page.get_by_role("button", name="현재 위치 사용").click()
    expect(page.get_by_text("±12 m")).to_be_visible()
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


def ride_to_the_door(four: Four) -> None:
    """The marker goes where the rider goes, and the arrival is reckoned anew."""
    guest = four.guest.page
    before = guest.locator("[data-eta]").get_attribute("data-eta")
    for latitude, longitude in WAY:
        four.rider.page.context.set_geolocation({"latitude": latitude, "longitude": longitude, "accuracy": 6})
        expect(guest.locator("[data-rider]")).to_have_attribute("data-rider", f"{latitude},{longitude}")
    expect(guest.locator("[data-eta]")).not_to_have_attribute("data-eta", str(before))


def test_one_order_in_four_windows(server: Server, visit: Open) -> None:
    open_store(server, "kitchen", "마중식당", minimum_krw=8000, fee_krw=3000)
    four = Four(
        guest=visit(server, **PHONE, geolocation=HOME_AT, **KOREAN),
        kitchen=visit(server, **TABLET, locale="ko-KR"),
        rider=on_duty(visit, server, "rider", at=RIDER_AT),
        admin=visit(server, expected=NOT_HEARD_YET),
    )
    guest, rider = four.guest.page, four.rider.page
    etas = heard(guest, "eta")
    kitchen = enter(four.kitchen, "kitchen", "kitchen")
    kitchen.get_by_role("button", name="알림음 꺼짐").click()
    admin = enter(four.admin, "admin", "admin", server.admin_password)

    guest.goto(f"{server.url}/order")
    guest.get_by_role("button", name="처음이신가요? 가입하기").click()
    guest.locator("input[name=username]").fill("guest")
    guest.locator("input[name=password]").fill(PASSWORD)
    guest.locator("button.submit").click()
    choose_address(guest)
    order_a_stew(guest, "마중식당")
    four.all_see("RECEIVED")
    fits(guest)
    expect(guest.get_by_text("도착 예정")).to_be_visible()
    admin.locator("tbody tr").click()

    ticket = kitchen.locator("article", has_text="김치찌개")
    expect(ticket).to_contain_text("매운맛")
    ticket.get_by_role("button", name="10분").click()
    ticket.get_by_role("button", name="수락").click()
    expect(offer_of(rider)).to_contain_text("마중식당")
    fits(rider)
    four.rider.screenshot("delivery-four-offer-rider")
    take(rider)
    four.all_see("COOKING")
    kitchen.get_by_role("button", name="준비 완료").click()
    four.all_see("READY")
    rider.get_by_role("button", name="픽업 완료").click()
    four.all_see("PICKED_UP")
    rider.get_by_role("button", name="배달 출발").click()
    four.all_see("DELIVERING")

    ride_to_the_door(four)
    expect(guest.locator(".near")).to_contain_text("라이더가 100m 안에 왔어요")
    fits(guest)
    four.guest.screenshot("delivery-four-near-guest")
    four.admin.screenshot("delivery-four-near-admin")
    rider.get_by_role("button", name="전달하기").click()
    rider.locator("input[name=code]").fill(guest.locator(".code b").inner_text())
    four.rider.screenshot("delivery-four-code-rider")
    rider.get_by_role("button", name="배달 완료").click()
    admin.get_by_role("button", name="All", exact=True).click()
    four.all_see("DELIVERED")
    expect(rider.get_by_text("가까운 주문을 찾고 있습니다…")).to_be_visible()
    expect(guest.locator("figure[data-proof=code]")).to_be_visible()
    expect(guest.locator(".near")).to_have_count(0)
    # placed, accepted, assigned, ready, picked up, set off, delivered
    expect(admin.locator(".detail ol li")).to_have_count(7)
    assert len({eta["at_ms"] for eta in etas}) >= 4, "it changes with what happens"
    assert [eta["computed_at_ms"] for eta in etas] == sorted(eta["computed_at_ms"] for eta in etas)
