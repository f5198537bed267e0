"""Two phones approach, meet, part; one goes silent, one turns ghost; a third friend is a square."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.delivery_kit import fits
from tests.browser.friends_kit import (
    EAST_2_KM,
    ENGLISH_DESKTOP,
    NORTH_300_M,
    SETTINGS,
    SOUTH_EAST_15_KM,
    STATION,
    enter_friends,
    map_drawn,
    metres,
    move,
    person,
    row,
)
from tests.friends_kit import Person
from tests.server import Server, start_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
GHOST_WITHIN_S = 1.0
TRIES = 3
"""One of so many counts: a machine that is busy with something else is no fault of the server's."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("friends") / "data", *SETTINGS) as running:
        yield running


@pytest.mark.alone
def test_two_phones(server: Server, visit: Open) -> None:
    mina, bora = person(server, "mina", "이미나"), person(server, "bora", "김보라")
    june = person(server, "june", "June Park")
    mina.befriend(bora, june)
    bora.befriend(june)
    for one in (mina, bora):
        one.share("exact", history=True)
    june.share("blurred", precision=5)

    hers = enter_friends(visit, server, "mina", STATION)
    his = enter_friends(visit, server, "bora", SOUTH_EAST_15_KM, color_scheme="dark")
    page, other = hers.page, his.page
    expect(row(page, bora, "further")).to_be_visible(timeout=60_000)  # asked for each 30 s
    expect(page.locator(".visible")).to_have_attribute("data-watching", "2")
    june.report(37.5100, 127.0600)
    expect(row(page, june)).to_contain_text("약 5 km")
    map_drawn(page)
    fits(page)
    hers.screenshot("friends-ko-phone-blurred")

    # They approach: further away, then near, then nearer.
    move(his, EAST_2_KM)
    metres(page, bora, 1_900, 2_100)
    metres(other, mina, 1_900, 2_100)
    expect(page.get_by_text("김보라님이 가까이 왔어요")).to_be_visible()
    hers.screenshot("friends-ko-phone-entered")
    move(his, NORTH_300_M)
    metres(page, bora, 280, 320)
    expect(page.locator(f".face[data-person='{bora.id}']")).to_have_attribute("data-at", "37.5006,127.0276")
    map_drawn(page)
    hers.screenshot("friends-ko-phone-met")
    map_drawn(other)
    his.screenshot("friends-ko-phone-met-dark")

    # The one who moves herself sees other distances, too.
    move(hers, {**STATION, "latitude": 37.4990})
    metres(page, bora, 150, 200)

    # They part.
    move(his, SOUTH_EAST_15_KM)
    expect(page.get_by_text("김보라님이 멀어졌어요")).to_be_visible()
    expect(row(page, bora, "further")).to_be_visible()
    expect(row(page, bora)).to_have_count(0)
    move(his, NORTH_300_M)
    metres(page, bora, 150, 200)

    # A ghost is off the other's map within a second, and cannot be told from a phone that is silent.
    took_s = float("inf")
    for _ in range(TRIES):
        took_s = hides_and_is_gone(page, other, bora)
        if took_s < GHOST_WITHIN_S:
            break
        other.get_by_role("button", name="다시 보이기").click()
        metres(page, bora, 150, 200)
    assert took_s < GHOST_WITHIN_S, took_s
    expect(row(page, bora, "hidden")).to_be_visible()
    expect(page.get_by_text("김보라님을 더는 볼 수 없어요")).to_be_visible()
    hers.screenshot("friends-ko-phone-gone")
    other.get_by_role("button", name="내일까지").click()
    expect(other.locator(".visible")).to_contain_text("까지 아무도")
    his.screenshot("friends-ko-phone-ghost-dark")
    other.get_by_role("button", name="다시 보이기").click()
    metres(page, bora, 150, 200)

    # June is a square here, with nothing in it that says where.
    page.locator(f"[data-list=near] [data-person='{june.id}']").click()
    expect(page.get_by_role("heading", name="June Park", exact=True)).to_be_visible()
    expect(page.get_by_text("네모 안 어딘가")).to_be_visible()
    assert "37.51" not in page.content()
    map_drawn(page)
    hers.screenshot("friends-ko-phone-square")
    desk = enter_friends(
        visit, server, "june", EAST_2_KM, **ENGLISH_DESKTOP, is_mobile=False, has_touch=False
    )
    expect(row(desk.page, mina)).to_be_visible()
    desk.page.locator(f"[data-list=near] [data-person='{bora.id}']").click()
    map_drawn(desk.page)
    desk.screenshot("friends-en-desktop-friend")


def test_a_phone_goes_silent(tmp_path_factory: pytest.TempPathFactory, visit: Open) -> None:
    folder = tmp_path_factory.mktemp("friends-silent") / "data"
    with start_server(folder, *SETTINGS, "friends.gone_after=20s") as server:
        mina, bora = person(server, "mina", "이미나"), person(server, "bora", "김보라")
        mina.befriend(bora)
        bora.share("exact")
        hers = enter_friends(visit, server, "mina", STATION)
        bora.report(NORTH_300_M["latitude"], NORTH_300_M["longitude"])
        metres(hers.page, bora, 280, 320)
        for step in range(60):  # she is heard all the time, he is not
            move(hers, {**STATION, "latitude": STATION["latitude"] + step % 2 * 0.0001})
            hers.page.wait_for_timeout(1000)
            if row(hers.page, bora, "hidden").count():
                break
        expect(hers.page.get_by_text("김보라님을 더는 볼 수 없어요")).to_be_visible()
        expect(hers.page.locator(f".face[data-person='{bora.id}']")).to_have_count(0)
        bora.report(NORTH_300_M["latitude"], NORTH_300_M["longitude"])
        metres(hers.page, bora, 280, 320)
        hers.page.close()  # before the server stops


def hides_and_is_gone(page: Page, other: Page, someone: Person) -> float:
    """They hide on their own phone; seconds until the face is off the friend's map."""
    page.evaluate(
        """id => { window.left = new Promise(done => { const look = () =>
            document.querySelector(`.face[data-person='${id}']`) ? requestAnimationFrame(look) : done(Date.now());
            look(); }); }""",
        someone.id,
    )
    began_s = time.time()
    other.get_by_role("button", name="숨기").click()
    expect(other.locator(".visible")).to_have_attribute("data-ghost", "true")
    return float(page.evaluate("window.left")) / 1000 - began_s
