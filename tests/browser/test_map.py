"""The operators' page, driven in Chromium against a real server."""

import csv
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Open
from tests.server import Server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

GANGNAM = (37.4979, 127.0276)


class Phone:
    """A phone with Traccar Client's query string, at whatever place and time the test says."""

    def __init__(self, server: Server, rider_id: str) -> None:
        self.url = f"{server.url}/osmand"
        self.token = server.add_device(rider_id)["token"]

    def at(self, latitude: float, longitude: float, seconds_ago: float = 0, **more: float) -> None:
        query = {
            "id": self.token,
            "lat": latitude,
            "lon": longitude,
            "timestamp": int(time.time() - seconds_ago),
        }
        answer = httpx.get(self.url, params={**query, **more})
        assert answer.status_code == 200, answer.text


def place_of(page: Page) -> tuple[float, float]:
    """What the details of the selected rider say."""
    text = page.locator("button.place").inner_text()
    latitude, longitude = text.split(", ")
    return float(latitude), float(longitude)


def section(page: Page, name: str) -> Locator:
    return page.get_by_role("navigation").get_by_role("button", name=name)


def find(page: Page, rider_id: str) -> None:
    page.get_by_role("combobox").fill(rider_id)
    page.get_by_role("option").first.click()
    expect(page.get_by_role("heading", name=rider_id)).to_be_visible()


@contextmanager
def running(*arguments: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "majung", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def one_trip(shared_data: Path, folder: Path) -> tuple[Path, str]:
    """The first real trip of one bus, as a file of its own."""
    with (shared_data / "liverpool_bus" / "route14_outbound.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    trip = [row for row in rows if row["trip_id"] == rows[0]["trip_id"]]
    file = folder / "trip.csv"
    with file.open("w", newline="") as text:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(trip)
    return file, str(trip[0]["vehicle_id"])


@pytest.mark.shared_data
def test_the_bus_is_seen_moving(
    module_server: Server, shared_data: Path, visit: Open, tmp_path: Path
) -> None:
    """A recorded bus, replayed through the gRPC door, moves on the map of a person who looks."""
    file, bus = one_trip(shared_data, tmp_path)
    token = module_server.add_user("bus-replay", "gateway")["token"]
    window = visit(module_server)
    page = window.admin("#12.2/53.4300/-2.9400")
    with running("replay", str(file), "--to", module_server.grpc, "--token", token, "--speed", "60"):
        expect(page.locator("[data-riders]")).not_to_have_attribute("data-riders", "0")
        find(page, bus)
        seen = {place_of(page)}
        for _ in range(3):
            expect(page.locator("button.place")).not_to_have_text("{:.6f}, {:.6f}".format(*place_of(page)))
            seen.add(place_of(page))
        assert len(seen) == 4
        file = window.screenshot("bus-on-the-map")
    assert file.stat().st_size > 20_000
    live = module_server.get(f"/v1/riders/{bus}/position")
    assert 53.3 < live["latitude"] < 53.6


def test_a_wrong_password_is_told_and_a_right_one_signs_in(module_server: Server, visit: Open) -> None:
    window = visit(module_server)
    page = window.page
    page.goto(module_server.url)
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill("not it")
    page.locator("button.submit").click()
    expect(page.get_by_role("alert")).to_have_text("User name or password is wrong.")
    window.problems.clear()  # the browser itself reports the refused request
    window.admin()
    page.reload()
    expect(page.locator("canvas.maplibregl-canvas")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("input[name=password]")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_track_replay_and_export(module_server: Server, visit: Open, tmp_path: Path) -> None:
    phone = Phone(module_server, "replayed")
    for step in range(20):
        phone.at(GANGNAM[0] + step * 0.0005, GANGNAM[1], seconds_ago=(20 - step) * 5, speed=20)
    module_server.wait_processed()
    page = visit(module_server).admin()
    find(page, "replayed")
    expect(page.locator("section .points")).to_have_text("20 points")
    page.get_by_role("button", name="Replay").click()
    page.get_by_role("button", name="Pause").click()
    slider = page.get_by_role("slider")
    slider.press("Home")
    first = slider.get_attribute("aria-valuetext")
    before = page.locator(".puck").bounding_box()
    slider.press("End")
    expect(slider).not_to_have_attribute("aria-valuetext", str(first))
    after = page.locator(".puck").bounding_box()
    assert before is not None and after is not None
    assert after["y"] < before["y"] - 20  # it drove north
    for name, marker in (("GPX", "<trkpt"), ("GeoJSON", '"Point"'), ("CSV", "\n")):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).click()
        text = Path(download.value.path()).read_text()
        assert download.value.suggested_filename == f"replayed.{name.lower()}"
        assert text.count(marker) >= 20, text[:400]
    page.get_by_role("button", name="Back to live").click()
    expect(slider).to_be_hidden()


def test_quarantine_says_who_and_why(module_server: Server, visit: Open) -> None:
    phone = Phone(module_server, "lost-at-sea")
    phone.at(0, 0)
    phone.at(*GANGNAM, seconds_ago=-3600)
    page = visit(module_server).admin()
    section(page, "Quarantine").click()
    page.get_by_role("searchbox", name="Filter by rider ID").fill("lost-at-sea")
    rows = page.locator("li .head", has_text="lost-at-sea")
    expect(rows).to_have_count(2)
    page.get_by_role("button", name=re.compile("^Zero, zero")).first.click()
    expect(rows).to_have_count(1)
    rows.first.click()
    expect(page.locator("pre")).to_contain_text("lost-at-sea")


def test_a_fence_made_by_keyboard_reports_who_enters(module_server: Server, visit: Open) -> None:
    phone = Phone(module_server, "walker")
    phone.at(37.55, 127.10, seconds_ago=120)
    page = visit(module_server).admin()
    section(page, "Fences").click()
    page.get_by_role("button", name="Circle").click()
    page.get_by_label("Latitude").fill("37.5600")
    page.get_by_label("Latitude").press("Tab")
    page.get_by_label("Longitude").fill("127.1000")
    page.get_by_label("Longitude").press("Tab")
    page.get_by_label("Radius (m)").fill("300")
    page.get_by_label("Radius (m)").press("Tab")
    page.get_by_label("Name").fill("Bridge")
    page.get_by_role("button", name="Create fence").click()
    expect(page.locator("li", has_text="Bridge")).to_contain_text("Circle, 300 m")
    page.get_by_role("tab", name="Events").click()
    for step in range(8):
        phone.at(37.56, 127.10, seconds_ago=80 - step * 10)
    expect(page.locator("li", has_text="walker")).to_contain_text("Bridge · entered")
    page.get_by_role("tab", name="Fences").click()
    page.get_by_role("button", name="Delete: Bridge").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("No fences yet")).to_be_visible()


def test_a_circle_drawn_with_the_mouse(module_server: Server, visit: Open) -> None:
    page = visit(module_server).admin("#15/37.4979/127.0276")
    section(page, "Fences").click()
    page.get_by_role("button", name="Circle").click()
    box = page.locator("canvas.maplibregl-canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=4)
    page.mouse.move(x + 120, y, steps=4)
    page.mouse.up()
    radius = float(page.get_by_label("Radius (m)").input_value())
    assert 180 < radius < 320  # 120 pixels at zoom 15 and this latitude: 227 m
    assert abs(float(page.get_by_label("Latitude").input_value()) - 37.4979) < 0.0005
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_label("Radius (m)")).to_be_hidden()


def test_the_view_mends_itself_when_the_server_was_away(server: Server, visit: Open) -> None:
    """Killed and started again: without a reload the page is live, and shows what came meanwhile."""
    phone = Phone(server, "steady")
    phone.at(*GANGNAM, seconds_ago=30)
    server.wait_processed()
    window = visit(server)
    page = window.admin()
    find(page, "steady")
    expect(page.locator("button.place")).to_have_text("37.497900, 127.027600")
    server.kill()
    expect(page.locator(".pill")).to_contain_text("Connection lost")
    server.start()
    phone.at(37.499, 127.03)
    expect(page.locator(".pill")).to_have_text("Live")
    expect(page.locator("button.place")).to_have_text("37.499000, 127.030000")
    window.problems.clear()  # the browser reports each refused connection


def test_korean_on_a_phone(module_server: Server, visit: Open) -> None:
    Phone(module_server, "가람").at(*GANGNAM)
    window = visit(
        module_server, locale="ko-KR", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = window.admin()
    assert page.locator("html").get_attribute("lang") == "ko"
    expect(section(page, "격리함")).to_be_visible()
    expect(page.locator("ul.rows li", has_text="가람")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("ul.rows li", has_text="가람").tap()
    expect(page.get_by_role("heading", name="가람")).to_be_visible()
    window.screenshot("phone-korean")
    page.get_by_role("button", name="닫기").first.tap()
    page.get_by_role("button", name="EN").tap()
    expect(section(page, "Quarantine")).to_be_visible()


def test_a_viewer_sees_no_running_of_the_service(module_server: Server, visit: Open) -> None:
    account = module_server.add_user("looker", "viewer")
    page = visit(module_server).sign_in("looker", account["password"])
    expect(section(page, "Riders")).to_be_visible()
    expect(section(page, "Quarantine")).to_have_count(0)
    expect(section(page, "Health")).to_have_count(0)


def test_health_and_cells(module_server: Server, visit: Open) -> None:
    Phone(module_server, "counted").at(*GANGNAM)
    page = visit(module_server, color_scheme="dark").admin()
    section(page, "Health").click()
    expect(page.locator(".closes")).to_have_text("The sums close")
    page.get_by_role("button", name="Layers").click()
    with page.expect_response(lambda response: response.url.endswith("/v1/cells")) as cells:
        page.get_by_label("Cells and their load").check()
    assert cells.value.status == 200
    expect(page.get_by_label("Riders a cell")).to_be_visible()
