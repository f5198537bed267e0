"""Chromium on the real page of a real server. Every page must be free of errors and of foreign addresses."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from majung.webui import DIST
from tests.clients import WAIT_S
from tests.conftest import ROOT, leave_out
from tests.server import Server

SCREENSHOTS = ROOT / "tests" / "_out"
# Software rendering, and nothing that talks to the outside.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NOISE = ("GPU stall due to ReadPixels", "Automatic fallback to software WebGL")
expect.set_options(timeout=1_000 * WAIT_S)


@dataclass
class Visit:
    """One browser window, and what went wrong in it."""

    page: Page
    server: Server
    expected: tuple[str, ...] = ()  # what the browser says of answers that the test is about
    problems: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def sign_in(self, name: str, password: str, place: str = "") -> Page:
        """Through the form, as a person does it; returns when the map has its first snapshot."""
        self.page.goto(f"{self.server.url}/{place}")
        self.page.locator("input[name=username]").fill(name)
        self.page.locator("input[name=password]").fill(password)
        self.page.locator("button.submit").click()
        expect(self.page.locator("canvas.maplibregl-canvas")).to_be_visible()
        expect(self.page.locator(".pill")).to_have_class(pattern_of("live"))
        return self.page

    def admin(self, place: str = "") -> Page:
        """Signed in as the first administrator."""
        return self.sign_in("admin", self.server.admin_password, place)

    def screenshot(self, name: str) -> Path:
        """Kept under tests/_out for whoever looks at the run."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        file = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=file)
        return file


def pattern_of(word: str) -> Any:
    import re

    return re.compile(rf"\b{word}\b")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    if not (DIST / "index.html").is_file():
        leave_out("the built pages (make web)")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield launched
        launched.close()


Open = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """`visit(server, locale="ko-KR", viewport=…)` opens a window; checked and closed at the end."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def open_window(server: Server, expected: tuple[str, ...] = (), **options: Any) -> Visit:
        settings = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options}
        context = browser.new_context(**settings)
        context.set_default_timeout(1_000 * WAIT_S)
        contexts.append(context)
        made = Visit(context.new_page(), server, expected)
        visits.append(made)
        made.page.on("pageerror", lambda error: made.problems.append(str(error)))
        made.page.on("console", lambda message: _note(made, message))
        made.page.on("request", lambda request: _look(made, request.url))
        return made

    yield open_window
    for context in contexts:
        context.close()
    for made in visits:
        assert made.problems == []
        assert made.foreign == []


def _note(visit: Visit, message: ConsoleMessage) -> None:
    if message.type == "error" and not any(text in message.text for text in NOISE + visit.expected):
        visit.problems.append(message.text)


def _look(visit: Visit, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws", "wss") and f"http://{parts.netloc}" != visit.server.url:
        visit.foreign.append(url)
