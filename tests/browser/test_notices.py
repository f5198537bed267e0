"""Notices in Chromium: the bell, the toast, the banner at 100 m, push on a device, and the service worker."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.browser.conftest import Open, Visit
from tests.browser.delivery_kit import (
    HOME_AT,
    PHONE,
    SETTINGS,
    TABLET,
    command,
    enter,
    fits,
    open_store,
    place,
)
from tests.push_kit import Browser
from tests.receiver import Receiver, receiving, wait_for
from tests.server import Server, start_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

ALLOWED: dict[str, Any] = {"permissions": ["notifications", "geolocation"], "geolocation": HOME_AT}
# No vendor is reached from here: the browser's own part of subscribing is played, the rest is real.
SUBSCRIBES = """
const toJSON = () => (%s);
PushManager.prototype.subscribe = async function (options) {
  window.askedWith = { visible: options.userVisibleOnly, key: options.applicationServerKey };
  this.constructor.kept = { toJSON, unsubscribe: async () => { this.constructor.kept = null; return true; } };
  return this.constructor.kept;
};
PushManager.prototype.getSubscription = async function () { return this.constructor.kept ?? null; };
"""
RIDER = "rider-near"


@pytest.fixture(scope="module")
def service() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, service: Receiver) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("notices")
    sets = (*SETTINGS, "outward.allow_networks=127.0.0.0/8,::1/128")
    with start_server(folder / "data", *sets, env=service.trust(folder)) as server:
        yield server


def customer(visit: Open, town: Server, name: str, **more: Any) -> tuple[Visit, Page, str]:
    """A customer on the phone, and an order of theirs that is placed but not on the page yet."""
    store_id = open_store(town, f"kitchen-of-{name}", f"{name} 식당")
    order_id = place(town, store_id, name)
    window = visit(town, **{"locale": "ko-KR", **PHONE, **ALLOWED, **more})
    return window, window.page, order_id


def carry(town: Server, order_id: str, rider_id: str) -> None:
    """From the kitchen to the street."""
    command(town, order_id, "accept", cooking_minutes=10)
    command(town, order_id, "reassign", "", rider_id=rider_id)
    command(town, order_id, "ready")
    command(town, order_id, "pick-up", "rider")
    command(town, order_id, "depart", "rider")


def stand_at(town: Server, rider_id: str, latitude: float, longitude: float) -> None:
    """One fix of a rider."""
    token = town.add_device(rider_id)["token"]
    fix = {"lat": latitude, "lon": longitude, "accuracy": 5, "id": token}
    assert httpx.post(f"{town.url}/osmand", params=fix).status_code == 200


def bell(page: Page) -> Any:
    return page.locator("button.bell")


def test_notices_come_while_the_page_is_open(town: Server, visit: Open) -> None:
    window, page, order_id = customer(visit, town, "guest-bell")
    enter(window, "order#/orders", "guest-bell")
    expect(bell(page)).to_have_accessible_name("알림, 새 알림 1개")
    command(town, order_id, "accept", cooking_minutes=10)
    expect(page.locator(".toast")).to_contain_text("조리를 시작했어요")
    command(town, order_id, "ready")
    expect(page.locator(".toast")).to_contain_text("음식이 준비되었어요")
    expect(page.locator(".toast")).to_have_count(1)
    expect(bell(page)).to_have_accessible_name("알림, 새 알림 3개")
    window.screenshot("notices-toast")
    bell(page).tap()
    expect(page.locator("dialog li")).to_have_count(3)
    expect(page.locator("dialog li").nth(1)).to_contain_text("약 10분 뒤")
    fits(page)
    window.screenshot("notices-list-ko")
    page.get_by_role("button", name="닫기").first.tap()
    expect(bell(page)).to_have_accessible_name("알림")
    page.reload()
    expect(bell(page)).to_have_accessible_name("알림")


def test_the_banner_at_a_hundred_metres(town: Server, visit: Open) -> None:
    window, page, order_id = customer(visit, town, "guest-near")
    enter(window, f"order#/order/{order_id}", "guest-near")
    carry(town, order_id, RIDER)
    expect(page.get_by_role("heading", name="배달중")).to_be_visible()
    expect(page.locator(".near")).to_have_count(0)
    address = town.get(f"/v1/orders/{order_id}")["address"]
    stand_at(town, RIDER, address["latitude"] + 0.0003, address["longitude"])
    expect(page.locator(".near")).to_contain_text("라이더가 100m 안에 왔어요")
    expect(page.locator(".toast")).to_have_count(0)
    fits(page)
    window.screenshot("notices-near-ko")
    page.reload()
    expect(page.locator(".near")).to_be_visible()
    command(town, order_id, "deliver", "")
    expect(page.locator(".near")).to_have_count(0)


def test_turning_push_on_and_off(town: Server, service: Receiver, visit: Open) -> None:
    window, page, order_id = customer(visit, town, "guest-push", locale="en-US", color_scheme="dark")
    device = Browser(service.url, "guest-push")
    shown = {name: value for name, value in device.subscription().items() if name != "language"}
    page.add_init_script(SUBSCRIBES % json.dumps(shown))
    enter(window, "order", "guest-push")
    bell(page).tap()
    expect(page.get_by_text("Shall we tell you when this page is closed?")).to_be_visible()
    window.screenshot("notices-ask-en-dark")
    page.get_by_role("button", name="Notify this device").tap()
    expect(page.get_by_text("This device gets notifications.")).to_be_visible()
    window.screenshot("notices-on-en-dark")
    asked = page.evaluate("window.askedWith")
    assert asked["visible"] is True
    assert len(asked["key"]) == 87
    command(town, order_id, "accept", cooking_minutes=25)
    wait_for(lambda: device.shown(service.received))
    (message,) = device.shown(service.received)
    assert (message["title"], message["body"]) == ("Being cooked", "guest-push 식당 · ready in about 25 min.")
    page.get_by_role("button", name="Stop").tap()
    expect(page.get_by_role("button", name="Notify this device")).to_be_visible()
    command(town, order_id, "ready")
    expect(page.locator("dialog li").first).to_contain_text("The food is ready")
    assert len(device.shown(service.received)) == 1


def test_signing_out_takes_the_device_with_it(town: Server, service: Receiver, visit: Open) -> None:
    window, page, order_id = customer(visit, town, "guest-leaves", locale="en-US")
    device = Browser(service.url, "guest-leaves")
    shown = {name: value for name, value in device.subscription().items() if name != "language"}
    page.add_init_script(SUBSCRIBES % json.dumps(shown))
    enter(window, "order", "guest-leaves")
    bell(page).tap()
    page.get_by_role("button", name="Notify this device").tap()
    expect(page.get_by_text("This device gets notifications.")).to_be_visible()
    page.get_by_role("button", name="Close").first.tap()
    page.get_by_role("button", name="Sign out").tap()
    expect(page.locator("input[name=password]")).to_be_visible()
    command(town, order_id, "accept", cooking_minutes=5)
    town.get(f"/v1/orders/{order_id}", at_least_version=2)
    assert device.shown(service.received) == []


def test_a_browser_that_says_no_is_explained(town: Server, visit: Open) -> None:
    store_id = open_store(town, "kitchen-no", "No kitchen")
    place(town, store_id, "guest-no")
    window = visit(town, **PHONE, locale="ko-KR")
    window.page.add_init_script("Object.defineProperty(Notification, 'permission', { get: () => 'denied' })")
    page = enter(window, "order", "guest-no")
    bell(page).tap()
    expect(page.get_by_text("브라우저에서 알림이 차단되어 있어요.")).to_be_visible()
    fits(page)
    window.screenshot("notices-denied-ko")


def test_the_store_has_a_bell_too(town: Server, visit: Open) -> None:
    store_id = open_store(town, "kitchen-bell", "Bell kitchen")
    window = visit(town, **TABLET, locale="en-US")
    page = enter(window, "kitchen", "kitchen-bell")
    expect(bell(page)).to_be_visible()
    place(town, store_id, "guest-rings")
    expect(bell(page)).to_have_accessible_name("Notifications, 1 new")
    bell(page).click()
    expect(page.locator("dialog li")).to_contain_text("New order")
    window.screenshot("notices-kitchen-en")


# --------------------------------------------------------------------------- the service worker


class Worker:
    """The service worker of a page, and what the browser would hand it from a push service."""

    def __init__(self, page: Page, server: Server) -> None:
        self._page, self._origin = page, server.url
        self._cdp: CDPSession = page.context.new_cdp_session(page)
        self._ids: list[str] = []
        self._cdp.on("ServiceWorker.workerRegistrationUpdated", self._registered)
        self._cdp.send("ServiceWorker.enable")

    def _registered(self, event: dict[str, Any]) -> None:
        self._ids += [found["registrationId"] for found in event["registrations"] if not found["isDeleted"]]

    def push(self, **message: Any) -> None:
        wait = self._page.wait_for_timeout
        while not self._ids:  # events of the browser come while the page waits
            wait(20)
        self._cdp.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": self._origin, "registrationId": self._ids[-1], "data": json.dumps(message)},
        )

    def shown(self) -> list[dict[str, Any]]:
        """The notifications that are on the screen."""
        found = self._page.evaluate(
            """async () => {
              const registration = await navigator.serviceWorker.getRegistration("/order");
              const shown = await registration.getNotifications();
              return shown.map(({ title, body, tag, data, renotify, silent }) =>
                ({ title, body, tag, data, renotify, silent }));
            }"""
        )
        return list(found)

    def wait_shown(self, titles: list[str]) -> list[dict[str, Any]]:
        for _ in range(500):
            found = self.shown()
            if [one["title"] for one in found] == titles:
                return found
            self._page.wait_for_timeout(20)
        raise AssertionError(f"{titles}, not {self.shown()}")


def test_the_service_worker_shows_what_is_pushed(town: Server, visit: Open) -> None:
    window, page, order_id = customer(visit, town, "guest-worker")
    enter(window, "order", "guest-worker")
    bell(page).tap()
    expect(page.get_by_role("button", name="이 기기로 알림 받기")).to_be_visible()
    worker = Worker(page, town)
    news = {"order_id": order_id, "tag": order_id, "url": f"/order#/order/{order_id}", "language": "ko"}
    worker.push(id=4, kind="received", title="보고 있어요", body="", at_ms=1, **news)
    with page.expect_response("**/v1/notifications?*"):
        worker.push(id=4, kind="received", title="보고 있어요", body="", at_ms=1, **news)
    assert worker.shown() == []  # whoever looks at the page is told there
    page.evaluate("sessionStorage.clear()")
    page.goto(f"{town.url}/kitchen")  # nobody looks at the customer's page any more
    worker.push(id=5, kind="cooking", title="조리를 시작했어요", body="약 10분", at_ms=1, **news)
    (first,) = worker.wait_shown(["조리를 시작했어요"])
    assert (first["tag"], first["body"], first["data"]["id"]) == (order_id, "약 10분", 5)
    worker.push(id=7, kind="arriving", title="라이더가 곧 도착해요", body="", at_ms=2, **news)
    (second,) = worker.wait_shown(["라이더가 곧 도착해요"])
    assert second["renotify"] is True
    worker.push(id=6, kind="ready", title="늦게 온 소식", body="", at_ms=2, **news)
    worker.push(id=7, kind="arriving", title="라이더가 곧 도착해요", body="", at_ms=2, **news)
    worker.push(id=8, kind="received", title="다른 주문", body="", at_ms=3, **{**news, "tag": "other"})
    page.wait_for_function(
        """async () => {
          const registration = await navigator.serviceWorker.getRegistration("/order");
          return (await registration.getNotifications()).length === 2;
        }"""
    )
    assert {one["title"] for one in worker.shown()} == {"라이더가 곧 도착해요", "다른 주문"}


def test_the_service_worker_may_serve_every_page(town: Server) -> None:
    answer = httpx.get(f"{town.url}/sw.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["service-worker-allowed"] == "/"
    assert answer.headers["cache-control"] == "no-cache"
