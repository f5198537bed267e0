"""Streets from the command line to the answer: built beside a data folder, used at the next start."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import leave_out
from tests.routing_kit import LIBERDADE, SE, SEA
from tests.server import majung, start_server


def between(start: tuple[float, float], end: tuple[float, float]) -> dict[str, str]:
    return {"from": f"{start[0]},{start[1]}", "to": f"{end[0]},{end[1]}"}


def test_built_then_served_with_turns_in_the_callers_language(shared_data: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("valhalla") is None:
        leave_out("the extra [routing]")
    data = tmp_path / "data"
    source = shared_data / "osm" / "sao_paulo.osm.pbf"
    said = majung("routing", "build", str(source), "--data", str(data), "--threads", "1")
    assert "reading streets" in said and "tiles.tar" in said
    assert "along streets" in " ".join(majung("doctor", "--data", str(data), check=False).split())
    with start_server(data) as server:
        url, headers = f"{server.url}/v1/routes", server.admin

        def route(end: tuple[float, float], languages: str) -> httpx.Response:
            accept = {**headers, "Accept-Language": languages}
            return httpx.get(url, params=between(SE, end), headers=accept, timeout=60)

        korean = route(LIBERDADE, "ko-KR,ko;q=0.9,en;q=0.8").json()
        english = route(LIBERDADE, "fr, en;q=0.5, ko;q=0.1").json()
        neither = route(LIBERDADE, "*;q=nan, de").json()
        assert korean["source"] == english["source"] == "valhalla"
        assert korean["points"] == english["points"] and len(korean["points"]) > 20
        longitude, latitude = korean["points"][0]
        assert abs(latitude - SE[0]) < 0.002 and abs(longitude - SE[1]) < 0.002
        assert "목적지" in korean["steps"][-1]["text"]
        assert "destination" in english["steps"][-1]["text"] == neither["steps"][-1]["text"]
        assert route(SEA, "ko").json()["source"] == "straight"
        text = httpx.get(f"{server.url}/metrics").text
        assert 'majung_routes_total{source="valhalla"} 3.0' in text
        assert 'majung_routes_total{source="straight"} 1.0' in text


@pytest.mark.parametrize(
    ("name", "words"), [("none.osm.pbf", "No such file"), ("text.pbf", "not an .osm.pbf")]
)
def test_a_wrong_file_is_one_line_that_says_so(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "text.pbf").write_text("hello")
    command = [sys.executable, "-m", "majung", "routing", "build", str(tmp_path / name)]
    done = subprocess.run(
        [*command, "--data", str(tmp_path / "d")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and words in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "d" / "routing").exists()


def test_the_help_has_examples() -> None:
    said = majung("routing", "build", "--help")
    assert "Examples" in said and "south-korea-latest.osm.pbf" in said
