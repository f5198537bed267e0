"""The page as it is served: headers, caching, packed assets, and what is said when nothing is built."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.di import Provide
from litestar.testing import TestClient, create_test_client

from majung.serve.http import pages
from majung.serve.http.problems import respond
from majung.services import Services
from majung.settings import MapSettings, Settings


@pytest.fixture
def dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "assets").mkdir()
    monkeypatch.setattr(pages, "DIST", tmp_path)
    return tmp_path


@pytest.fixture
def client(dist: Path) -> Iterator[TestClient[Litestar]]:
    services = Services.__new__(Services)  # the page reads nothing but the settings
    services.settings = Settings(map=MapSettings(tile_url="https://tiles.example/{z}/{x}/{y}.png"))
    provide = Provide(lambda: services, sync_to_thread=False)
    with create_test_client(
        pages.HANDLERS, dependencies={"services": provide}, exception_handlers={Exception: respond}
    ) as made:
        yield made


def test_without_a_build_the_page_says_what_to_do(client: TestClient[Litestar]) -> None:
    answer = client.get("/")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "make web" in answer.text
    assert "빌드" in answer.text


def test_the_page_is_asked_for_again_and_guarded(client: TestClient[Litestar], dist: Path) -> None:
    (dist / "index.html").write_text("<!doctype html>hello")
    answer = client.get("/")
    assert answer.text == "<!doctype html>hello"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "connect-src 'self' https://tiles.example;" in policy
    assert "unsafe" not in policy
    again = client.get("/", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    (dist / "index.html").write_text("<!doctype html>changed")
    assert client.get("/", headers={"If-None-Match": answer.headers["etag"]}).status_code == 200


def test_assets_are_kept_for_ever_and_sent_packed(client: TestClient[Litestar], dist: Path) -> None:
    (dist / "assets" / "a-1.js").write_text("plain")
    (dist / "assets" / "a-1.js.gz").write_bytes(gzip.compress(b"packed"))
    packed = client.get("/assets/a-1.js", headers={"Accept-Encoding": "gzip"})
    assert (packed.text, packed.headers["content-encoding"]) == ("packed", "gzip")
    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["content-type"].startswith("text/javascript")
    plain = client.get("/assets/a-1.js", headers={"Accept-Encoding": "identity"})
    assert plain.text == "plain"
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    "name", ["missing.js", "..%2Findex.html", ".hidden.js", "a-1.py", "a" * 200 + ".js", "x"]
)
def test_nothing_else_is_given_out(client: TestClient[Litestar], dist: Path, name: str) -> None:
    (dist / "index.html").write_text("page")
    (dist / "assets" / "a-1.py").write_text("secret")
    (dist / "assets" / ".hidden.js").write_text("secret")
    answer = client.get(f"/assets/{name}")
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_the_map_starts_with_the_settings(client: TestClient[Litestar]) -> None:
    config = client.get("/v1/map/config.json").json()
    assert config["tile_url"] == "https://tiles.example/{z}/{x}/{y}.png"
    assert (config["latitude"], config["longitude"], config["zoom"]) == (37.4979, 127.0276, 13.0)


@pytest.mark.parametrize(
    ("tile_url", "origins"),
    [
        ("", []),
        ("https://t.example/{z}/{x}/{y}.png?key=1", ["https://t.example"]),
        ("http://10.0.0.5:9000/{z}/{x}/{y}.png", ["http://10.0.0.5:9000"]),
        ("/tiles/{z}/{x}/{y}.png", []),
        ("https://styles.example/dark.json", ["https://styles.example", "https:"]),
        ("https://t.example; script-src *; /{z}/{x}/{y}.png", []),
    ],
)
def test_only_the_tile_source_is_let_in(tile_url: str, origins: list[str]) -> None:
    assert pages.tile_origins(tile_url) == origins
