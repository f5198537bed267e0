"""The rider's phone loses its network in the middle of a delivery, goes on working, and everything follows."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.delivery_kit import (
    KOREAN,
    PHONE,
    SETTINGS,
    command,
    enter,
    heard,
    on_duty,
    open_store,
    place,
    take,
)
from tests.server import Server, start_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CUT = ("ERR_INTERNET_DISCONNECTED", "WebSocket connection to")  # what the browser says meanwhile
TWO_MINUTES_MS = 120_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with start_server(tmp_path / "data", *SETTINGS) as started:
        yield started


def ride_on(rider: Page, latitudes: list[float]) -> None:
    """Each place is a fix that the page has taken before the next."""
    for latitude in latitudes:
        kept = int(rider.locator("[data-kept]").get_attribute("data-kept") or 0)
        rider.context.set_geolocation({"latitude": latitude, "longitude": 127.029, "accuracy": 6})
        rider.wait_for_function(
            "n => Number(document.querySelector('[data-kept]').dataset.kept) > n", arg=kept
        )


def times_of(server: Server, rider_id: str) -> list[int]:
    """Device times of everything that the server has of the rider."""
    track = server.get(f"/v1/riders/{rider_id}/track", format="json")
    return [point["device_time_ms"] for point in track["points"]]


@pytest.mark.parametrize(
    "really", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["in-short", "two-minutes"]
)
def test_the_riders_phone_is_offline(server: Server, visit: Open, really: bool) -> None:
    store_id = open_store(server, "kitchen", "터널 식당")
    window = on_duty(visit, server, "rider", expected=CUT)
    rider = window.page
    order_id = place(server, store_id, "guest")
    guest_window = visit(server, **PHONE, **KOREAN)
    guest = guest_window.page
    etas = heard(guest, "eta")
    if not really:
        guest.clock.install()
    enter(guest_window, f"order#/order/{order_id}", "guest")
    command(server, order_id, "accept", cooking_minutes=10)
    take(rider)
    command(server, order_id, "ready")
    rider.get_by_role("button", name="픽업 완료").click()
    expect(guest.get_by_role("heading", name="픽업완료")).to_be_visible()
    shown = guest.locator("[data-rider]")
    expect(shown).not_to_have_attribute("data-rider", "")
    expect(shown).to_have_attribute("data-old", "false")
    last_place = shown.get_attribute("data-rider")

    rider.context.set_offline(True)
    began = time.monotonic()
    expect(rider.locator(".uplink")).to_contain_text("오프라인")
    rider.get_by_role("button", name="배달 출발").click()
    expect(rider.locator(".job")).to_have_attribute("data-state", "DELIVERING")
    ride_on(rider, [37.4995, 37.5005, 37.5015, 37.5025])
    window.screenshot(f"delivery-ride-offline-{really}")
    if really:
        guest.wait_for_timeout(max(0.0, TWO_MINUTES_MS - (time.monotonic() - began) * 1000))
    else:
        guest.clock.fast_forward(TWO_MINUTES_MS)
    expect(guest.get_by_text("라이더 마지막 위치 확인: 2분 전")).to_be_visible()
    expect(shown).to_have_attribute("data-old", "true")
    expect(shown).to_have_attribute("data-rider", str(last_place))
    expect(guest.get_by_role("heading", name="픽업완료")).to_be_visible()
    guest_window.screenshot(f"delivery-order-last-seen-{really}")
    rider.get_by_role("button", name="전달하기").click()
    rider.locator("input[name=code]").fill(guest.locator(".code b").inner_text())
    rider.get_by_role("button", name="배달 완료").click()
    expect(rider.get_by_text("기록했습니다. 연결되면 바로 보냅니다.")).to_be_visible()
    expect(rider.locator("[data-reports]")).to_have_attribute("data-reports", "2")
    window.screenshot(f"delivery-ride-reported-offline-{really}")

    rider.context.set_offline(False)
    expect(guest.get_by_role("heading", name="배달완료")).to_be_visible()
    expect(rider.locator("[data-reports]")).to_have_attribute("data-reports", "0")
    commands = [event["command"] for event in server.get(f"/v1/orders/{order_id}/audit")["events"]]
    assert commands == ["", "accept", "assign", "ready", "pick_up", "depart", "deliver"]
    everything_once(server, rider)
    made = [eta["computed_at_ms"] for eta in etas]
    assert made == sorted(made), "no ETA from before came after a newer one"
    assert all(eta["at_ms"] >= eta["computed_at_ms"] for eta in etas), "what is expected lies ahead"


def everything_once(server: Server, rider: Page) -> None:
    """Every fix that the page numbered is on the server, once, in the order in which it was taken."""
    made = rider.evaluate(
        "Number(localStorage.getItem(Object.keys(localStorage).find(key => key.endsWith('.seq'))))"
    )
    server.wait_processed()
    rider_id = str(server.get("/v1/orders")["orders"][0]["rider_id"])
    deadline = time.monotonic() + 60
    while len(times := times_of(server, rider_id)) < made and time.monotonic() < deadline:
        rider.wait_for_timeout(200)
    assert len(times) >= made  # it goes on while one counts
    assert times == sorted(set(times))
