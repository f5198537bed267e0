"""What a user installs: the wheel has the pages and the SDK, and nothing that is only for building."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_built_pages_travel_in_the_wheel(names: list[str]) -> None:
    assert "majung/webui/dist/index.html" in names, "build the pages first: make web"
    assert any(name.startswith("majung/webui/dist/assets/") and name.endswith(".js") for name in names)
    assert any(name.startswith("majung/webui/dist/assets/dong-") for name in names), "district outlines"


def test_code_sdk_and_migrations_travel_too(names: list[str]) -> None:
    assert {"majung/cli.py", "majung_sdk/location_pb2.py", "majung/migrations/env.py"} <= set(names)
    assert any(name.startswith("majung/migrations/versions/0001") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_sources_of_the_pages_and_tests_stay_at_home(names: list[str]) -> None:
    assert not [name for name in names if "/frontend/" in name or name.startswith(("tests/", "bench/"))]
