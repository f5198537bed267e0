"""The friends page: sign-up, an invitation from phone to computer, decisions, groups, no network, no permission."""

import json
import zipfile
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.delivery_kit import PASSWORD, enter, fits
from tests.browser.friends_kit import (
    EAST_2_KM,
    ENGLISH_DESKTOP,
    KOREAN_PHONE,
    NORTH_300_M,
    SETTINGS,
    STATION,
    enter_friends,
    map_drawn,
    metres,
    person,
    row,
)
from tests.server import Server, start_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
REFUSED = ("ERR_INTERNET_DISCONNECTED", "ERR_FAILED", "the server responded with a status of 4")
NOTHING_KEPT = "() => !Object.keys(localStorage).some(key => key.startsWith('majung.friends.last'))"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("friends-pages") / "data", *SETTINGS) as running:
        yield running


def test_a_friend_by_a_link(server: Server, visit: Open) -> None:
    """From nothing: sign up, invite, accept in another browser, decide, be seen."""
    phone = visit(server, expected=REFUSED, **KOREAN_PHONE, geolocation=STATION)
    page = phone.page
    page.goto(f"{server.url}/friends")
    phone.screenshot("friends-ko-door")
    page.get_by_role("button", name="처음이신가요? 가입하기").click()
    page.locator("input[name=username]").fill("hana")
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("button.submit").click()
    expect(page.get_by_role("heading", name="첫 친구를 초대해 보세요")).to_be_visible()
    map_drawn(page)
    fits(page)
    phone.screenshot("friends-ko-first")
    page.get_by_role("button", name="이 기기의 위치 사용").click()
    expect(page.locator(".friends")).not_to_have_attribute("data-sent", "0")
    page.locator(".empty").get_by_role("link", name="친구 추가").click()
    page.get_by_role("button", name="링크 만들기").click()
    expect(page.get_by_role("img", name="친구의 휴대폰으로 찍어도 됩니다")).to_be_visible()
    link = page.locator("input[name=link]").input_value()
    assert link.startswith(f"{server.url}/friends#/invite/")
    fits(page)
    phone.screenshot("friends-ko-invite-qr")

    person(server, "tom", "Tom Reed")
    desk = visit(server, expected=REFUSED, **ENGLISH_DESKTOP, geolocation=EAST_2_KM)
    desk.page.goto(link)
    expect(desk.page.get_by_text("A friend invites you.")).to_be_visible()
    desk.screenshot("friends-en-desktop-door")
    desk.page.locator("input[name=username]").fill("tom")
    desk.page.locator("input[name=password]").fill(PASSWORD)
    desk.page.locator("button.submit").click()
    expect(desk.page.get_by_role("heading", name="hana wants to be friends with you")).to_be_visible()
    desk.screenshot("friends-en-desktop-invite")
    desk.page.get_by_role("button", name="Become friends").click()
    expect(desk.page.get_by_role("heading", name="hana", exact=True)).to_be_visible()

    # Friends alone see nothing; each decides.
    page.goto(f"{server.url}/friends#/")
    expect(page.locator("[data-list=hidden]")).to_contain_text("Tom Reed")
    expect(page.locator(".visible")).to_contain_text("아무에게도 안 보여요")
    phone.screenshot("friends-ko-nobody")
    page.locator("[data-list=hidden] a").click()
    expect(page.locator(".sees")).to_contain_text("Tom Reed님은 나를 전혀 볼 수 없어요")
    page.locator(".handle").click()
    page.locator(".mode", has_text="대략").click()
    page.get_by_role("button", name="1 km").click()
    page.get_by_role("button", name="오늘 밤까지").click()
    expect(page.locator("figure[data-mode=blurred] canvas")).to_be_visible()
    map_drawn(page)
    page.locator("figure").scroll_into_view_if_needed()
    phone.screenshot("friends-ko-decide-area")
    page.get_by_role("button", name="저장").click()
    expect(page.locator(".sees")).to_contain_text("약 1 km 범위를 봐요")
    expect(desk.page.get_by_text("somewhere in the square")).to_be_visible()
    map_drawn(desk.page)
    desk.screenshot("friends-en-desktop-square")
    page.locator(".mode", has_text="정확히").click()
    page.get_by_role("button", name="저장").click()
    expect(page.locator(".sees")).to_contain_text("내 위치를 정확히 봐요")
    expect(desk.page.get_by_text("somewhere in the square")).to_have_count(0)
    desk.page.goto(f"{server.url}/friends#/")
    desk.page.get_by_role("button", name="Use this device's position").click()
    desk.page.locator("[data-list=near] a").click()
    expect(desk.page.locator(".where")).to_contain_text("mi")
    page.locator(".mode", has_text="정확히").scroll_into_view_if_needed()
    map_drawn(page)
    phone.screenshot("friends-ko-decide-exact")


def test_who_sees_what_and_groups(server: Server, visit: Open) -> None:
    ada = person(server, "ada", "Ada Byron")
    others = [
        person(server, name, shown)
        for name, shown in (("bob", "Bob"), ("cho", "조하늘"), ("dee", "Dee Lang"))
    ]
    ada.befriend(*others)
    for one, at in zip(others, (NORTH_300_M, STATION, EAST_2_KM), strict=True):
        one.share("exact")
        one.report(at["latitude"], at["longitude"], accuracy_m=20)
    desk = enter_friends(
        visit,
        server,
        "ada",
        {**STATION, "latitude": 37.4990},
        **ENGLISH_DESKTOP,
        is_mobile=False,
        has_touch=False,
    )
    page = desk.page
    expect(page.locator("[data-list=near] li")).to_have_count(3)
    shown = [
        int(at)
        for at in page.locator("[data-list=near] a").evaluate_all("all => all.map(a => a.dataset.metres)")
    ]
    assert shown == sorted(shown)
    map_drawn(page)
    desk.screenshot("friends-en-desktop-list")

    page.get_by_role("link", name="Groups").click()
    expect(page.get_by_role("heading", name="Groups")).to_be_focused()
    page.get_by_placeholder("Name of the new group").fill("Sunday run")
    page.get_by_role("button", name="Make").click()
    expect(page.get_by_role("heading", name="Sunday run")).to_be_visible()
    page.get_by_role("checkbox", name="Bob").click()
    page.get_by_role("checkbox", name="조하늘").click()
    page.locator(".mode", has_text="Exactly").click()
    page.get_by_text("Also where I was").click()
    desk.screenshot("friends-en-desktop-group")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".visible")).to_have_attribute("data-watching", "2")
    page.get_by_role("button", name="Hide me").press("Enter")
    expect(page.get_by_role("group", name="For how long").get_by_role("button")).to_have_count(3)
    desk.screenshot("friends-en-desktop-ghost")
    page.get_by_role("button", name="Show me again").press("Space")
    expect(page.locator(".visible")).to_have_attribute("data-watching", "2")
    page.locator(".visible a").click()
    expect(page.locator("a[data-gives=exact]")).to_have_count(2)
    expect(page.locator("a[data-gives=off]")).to_contain_text("Dee Lang")
    desk.screenshot("friends-en-desktop-sharing")

    # A request by name, accepted in the list.
    eve = person(server, "eve", "Eve Moss")
    eve("POST", "/v1/friends/requests", {"name": "ada"})
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_text("Eve Moss wants to be friends")).to_be_visible(timeout=60_000)
    desk.screenshot("friends-en-desktop-request")
    page.get_by_role("button", name="Accept").click()
    expect(page.locator("[data-list=hidden]")).to_contain_text("Eve Moss")

    # Removing asks first, and takes away at once.
    page.locator(f"[data-person='{others[2].id}']").last.click()
    page.get_by_role("button", name="Remove from friends").click()
    dialog = page.get_by_role("dialog")
    desk.screenshot("friends-en-desktop-remove")
    dialog.get_by_role("button", name="Remove from friends").click()
    expect(page.locator(f"[data-person='{others[2].id}']")).to_have_count(0)
    assert ada.ask("GET", f"/v1/friends/{others[2].id}/position").status_code == 404


def test_settings(server: Server, visit: Open) -> None:
    kai = person(server, "kai", "카이")
    phone = enter_friends(visit, server, "kai", STATION, expected=REFUSED)
    page = phone.page
    page.get_by_role("link", name="설정").click()
    page.locator("input[name=display-name]").fill("카이 한")
    page.get_by_role("button", name="저장").click()
    expect(page.get_by_text("저장했어요.")).to_be_visible()
    page.get_by_role("slider").focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("output")).not_to_have_text("8 km")
    page.get_by_role("button", name="마일").click()
    expect(page.locator("output")).to_contain_text("mi")
    fits(page)
    phone.screenshot("friends-ko-settings")
    page.get_by_role("button", name="휴대폰 연결").click()
    page.get_by_placeholder("휴대폰 이름").fill("내 픽셀")
    page.get_by_role("button", name="휴대폰 연결").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="OwnTracks 설정 파일").click()
    otrc = json.loads(download.value.path().read_text())
    assert otrc["_type"] == "configuration"
    page.get_by_role("button", name="OwnTracks 설정 파일").scroll_into_view_if_needed()
    phone.screenshot("friends-ko-settings-phone")
    assert kai("GET", "/v1/friends/me")["display_name"] == "카이 한"

    with page.expect_download() as download:
        page.get_by_role("button", name="내 데이터 내보내기").click()
    assert zipfile.ZipFile(download.value.path()).namelist()
    page.get_by_role("button", name="계정 삭제").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[name=password]").fill("not-the-password")
    dialog.get_by_role("button", name="삭제").click()
    expect(page.get_by_text("비밀번호가 맞지 않아요.")).to_be_visible()
    phone.screenshot("friends-ko-delete")
    dialog.locator("input[name=password]").fill(PASSWORD)
    dialog.get_by_role("button", name="삭제").click()
    expect(page.locator("input[name=username]")).to_be_visible()
    page.wait_for_function(NOTHING_KEPT)
    assert httpx.get(f"{server.url}/v1/friends/me", headers=kai.headers).status_code == 401


def test_ended_elsewhere_leaves_nothing_on_this_device(server: Server, visit: Open) -> None:
    """The account is erased on another device: this page learns it from the server, and forgets as well."""
    sol = person(server, "sol", "솔")
    page = enter_friends(visit, server, "sol", STATION, expected=REFUSED).page
    page.wait_for_function(f"() => !({NOTHING_KEPT})()")
    sol("DELETE", "/v1/friends/me", {"password": PASSWORD})
    expect(page.locator("input[name=username]")).to_be_visible()
    page.wait_for_function(NOTHING_KEPT)


def test_without_a_network(server: Server, visit: Open) -> None:
    """It opens with the last list and says so; positions wait and are sent later."""
    mina, bora = person(server, "min", "이민"), person(server, "bo", "보")
    mina.befriend(bora)
    bora.share("exact")
    bora.report(NORTH_300_M["latitude"], NORTH_300_M["longitude"])
    phone = visit(server, expected=REFUSED, **KOREAN_PHONE, geolocation=STATION)
    page = phone.page
    page.goto(f"{server.url}/friends")
    page.locator("input[name=stay]").check()
    page.locator("input[name=username]").fill("min")
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("button.submit").click()
    page.get_by_role("button", name="이 기기의 위치 사용").click()
    metres(page, bora, 280, 320)
    page.wait_for_function(
        "() => JSON.parse(localStorage.getItem('majung.friends.last.min'))?.near.length === 1"
    )
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_function("() => navigator.serviceWorker.controller !== null")
    _has_network(page, False)
    page.reload()
    expect(page.get_by_text("네트워크가 없습니다.")).to_be_visible()
    expect(row(page, bora)).to_be_visible()
    map_drawn(page)
    fits(page)
    phone.screenshot("friends-ko-offline")
    expect(page.locator(".friends")).not_to_have_attribute("data-kept", "0")
    _has_network(page, True)
    expect(page.locator(".friends")).to_have_attribute("data-connected", "true", timeout=60_000)
    expect(page.locator(".friends")).to_have_attribute("data-kept", "0")
    expect(page.get_by_text("네트워크가 없습니다.")).to_have_count(0)


def _has_network(page: Page, online: bool) -> None:
    page.context.set_offline(not online)


def test_no_permission(server: Server, visit: Open) -> None:
    person(server, "noa", "노아")
    phone = visit(server, **{**KOREAN_PHONE, "permissions": []}, color_scheme="dark")
    page = enter(phone, "friends", "noa")
    page.get_by_role("button", name="이 기기의 위치 사용").click()
    expect(page.get_by_role("alert")).to_contain_text("브라우저가 위치를 알려 주지 않아요")
    fits(page)
    phone.screenshot("friends-ko-denied-dark")
    page.get_by_role("button", name="이 기기는 사용 안 함").click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_an_app_of_its_own(server: Server) -> None:
    manifest = httpx.get(f"{server.url}/app/friends").json()
    assert (manifest["start_url"], manifest["display"]) == ("/friends", "standalone")
    for icon in manifest["icons"]:
        answer = httpx.get(f"{server.url}{icon['src']}")
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(icon["type"])
    worker = httpx.get(f"{server.url}/friends-sw.js")
    assert worker.status_code == 200 and "__FILES__" not in worker.text
    files = json.loads(worker.text.split("const FILES = ")[1].split(";\n")[0])
    assert any("FriendsMap" in file for file in files)
    for file in files:
        assert httpx.get(f"{server.url}{file}").status_code == 200, file
