"""Who tries the demo is not in Gangnam: the rider's page rides a simulated position to the store and to the door."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.delivery_kit import (
    PASSWORD,
    PHONE,
    SETTINGS,
    command,
    enter,
    fits,
    offer_of,
    open_store,
    place,
    rider_id_of,
    sign_up,
)
from tests.server import Server, start_server

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
START = (37.4987, 127.0276)
STORE = (37.4979, 127.0276)
DOOR = (37.4985, 127.0280)


def bar(page: Page, text: str) -> None:
    """What the bar says of where one is."""
    expect(page.get_by_role("group", name="Demo position").get_by_role("status")).to_contain_text(text)


def stands_at(server: Server, rider_id: str, where: tuple[float, float]) -> None:
    """The server knows it too: what it acknowledged has been processed."""
    server.wait_processed()
    found = server.get(f"/v1/riders/{rider_id}/position")
    assert abs(found["latitude"] - where[0]) < 1e-4
    assert abs(found["longitude"] - where[1]) < 1e-4


def test_the_demo_position_rides_to_the_store_and_to_the_door(tmp_path: Path, visit: Open) -> None:
    sets = (*SETTINGS, f"delivery.demo_place={START[0]},{START[1]}")
    with start_server(tmp_path / "data", *sets) as server:
        store_id = open_store(server, "kitchen", "마중식당")
        sign_up(server, "rider", "rider")
        rider_id = rider_id_of(server, "rider")
        window = visit(server, **PHONE)  # a browser that gives no position
        page = enter(window, "ride", "rider")
        bar(page, "your position is simulated")
        page.locator(".below").get_by_role("button", name="Go on duty").click()
        expect(page.locator("[data-sent]")).not_to_have_attribute("data-sent", "0")
        stands_at(server, rider_id, START)

        order_id = place(server, store_id, "guest")
        command(server, order_id, "accept", cooking_minutes=10)
        offer_of(page).get_by_role("button", name="Accept").click()
        page.get_by_role("button", name="Ride to the store").click()
        bar(page, "to go")
        fits(page)
        window.screenshot("demo-ride")
        bar(page, "your position is simulated")
        stands_at(server, rider_id, STORE)

        command(server, order_id, "ready")
        page.get_by_role("button", name="Picked up").click()
        page.get_by_role("button", name="Set off").click()
        page.get_by_role("button", name="Ride to the customer").click()
        bar(page, "to go")
        bar(page, "your position is simulated")
        stands_at(server, rider_id, DOOR)

        page.reload()
        bar(page, "your position is simulated")
        stands_at(server, rider_id, DOOR)
        page.close()  # before its server goes


def test_without_the_setting_nobody_pretends(tmp_path: Path, visit: Open) -> None:
    with start_server(tmp_path / "data", *SETTINGS) as server:
        sign_up(server, "rider", "rider")
        page = enter(visit(server, **PHONE), "ride", "rider", PASSWORD)
        expect(page.locator(".below").get_by_role("button", name="Go on duty")).to_be_visible()
        page.wait_for_function(
            "performance.getEntriesByName(location.origin + '/v1/map/config.json').length > 0"
        )
        expect(page.get_by_role("group", name="Demo position")).to_have_count(0)
        page.close()
