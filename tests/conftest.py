"""Fixtures that many tests share. A test that needs something the machine lacks says so by name."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.clients import be_patient, share_authorities  # noqa: E402
from tests.server import Server, start_server  # noqa: E402

be_patient()
share_authorities()

SHARED_DATA = Path(os.environ.get("MAJUNG_SHARED_DATA", ROOT.parent / "shared" / "data"))
# No test is timed (a busy machine would fail it), and CI tries the same examples every time: a new one is
# found by whoever works on the code, not by whoever waits for a landing.
settings.register_profile(
    "majung",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("majung")
REQUIRE_ALL = os.environ.get("REQUIRE_ALL") == "1"


def leave_out(what: str) -> None:
    """Skip, saying what is missing; with REQUIRE_ALL=1 leaving out is failing."""
    if REQUIRE_ALL:
        pytest.fail(f"REQUIRE_ALL=1, and missing: {what}", pytrace=False)
    pytest.skip(f"left out, missing: {what}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests first, so that at the end no worker waits for the one that began last."""
    long = {
        item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("timeout")
    }
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded tracks (never part of the project)."""
    if not SHARED_DATA.is_dir():
        leave_out(f"recorded tracks (set MAJUNG_SHARED_DATA; looked in {SHARED_DATA.name})")
    return SHARED_DATA


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium that Playwright can drive."""
    for candidate in (os.environ.get("CHROMIUM_PATH", ""), "/usr/bin/chromium", "/usr/bin/chromium-browser"):
        if candidate and Path(candidate).exists():
            return candidate
    leave_out("Chromium (Debian: apt install chromium; or set CHROMIUM_PATH)")
    raise AssertionError


def program(name: str, package: str) -> str:
    """The path of a server program that Debian installs, also where only root has its folder on the path."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        leave_out(f"{name} (Debian: apt install {package})")
        raise AssertionError
    return found


@pytest.fixture(scope="session")
def redis_server() -> str:
    """The path of `redis-server`."""
    return program("redis-server", "redis-server")


@pytest.fixture(scope="session")
def mosquitto() -> str:
    """The path of the MQTT broker `mosquitto`."""
    return program("mosquitto", "mosquitto")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A real `majung serve` in a process of its own, on free ports, with an empty data folder."""
    with start_server(tmp_path / "data") as running:
        yield running


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same, shared by the tests of one module that do not disturb each other."""
    with start_server(tmp_path_factory.mktemp("majung") / "data") as running:
        yield running
