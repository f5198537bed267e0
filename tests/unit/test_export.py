"""Exports are read back by parsers that are not ours, names with teeth included."""

import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from xml.etree import ElementTree as ET

import pytest

from majung.positions.export import CONTENT_TYPES, export_track, rfc3339
from majung.positions.model import TrackPoint

AT_MS = 1_780_000_000_123
GPX = "{http://www.topografix.com/GPX/1/1}"
GARMIN = "{http://www.garmin.com/xmlschemas/TrackPointExtension/v2}"
POINTS = [
    TrackPoint(AT_MS, 37.4979123, 127.0276456, 4.25, 12.5, 359.99, "phone", 1, ""),
    TrackPoint(AT_MS + 5000, 37.4979124, 127.0276457, session_id="phone", seq=2, mark="jump"),
    TrackPoint(AT_MS + 5000 + 600_001, -0.0000001, -180.0, session_id='a,"b"\n<c>&', seq=2**63 - 1),
]
NAMES = [
    "rider-1",
    "김 라이더",
    "<&>\"'",
    "]]>",
    "a\ufffeb",
    "\N{PILE OF POO}",
    "=1+1",
    "@x",
    'say "hi", you',
]


async def pages(*sizes: int) -> AsyncIterator[Sequence[TrackPoint]]:
    start = 0
    for size in sizes:
        yield POINTS[start : start + size]
        start += size


async def export(format_: str, rider_id: str = "rider-1", sizes: Sequence[int] = (3,)) -> str:
    return b"".join([part async for part in export_track(format_, rider_id, pages(*sizes))]).decode()


@pytest.mark.parametrize("format_", CONTENT_TYPES)
@pytest.mark.parametrize("sizes", [(1, 1, 1), (0, 2, 0, 1), (1, 2, 0)])
async def test_pages_do_not_show(format_: str, sizes: Sequence[int]) -> None:
    assert await export(format_, sizes=sizes) == await export(format_)


@pytest.mark.parametrize("format_", CONTENT_TYPES)
async def test_parts_come_as_the_pages_do(format_: str) -> None:
    parts = [part async for part in export_track(format_, "r", pages(1, 1, 1))]
    assert len(parts) == 5


@pytest.mark.parametrize("name", NAMES)
async def test_json(name: str) -> None:
    found = json.loads(await export("json", name))
    assert found["rider_id"] == name
    assert found["points"][0] == {
        "device_time_ms": AT_MS,
        "latitude": 37.4979123,
        "longitude": 127.0276456,
        "accuracy_m": 4.25,
        "speed_mps": 12.5,
        "heading_deg": 359.99,
        "session_id": "phone",
        "seq": 1,
    }
    assert found["points"][1]["mark"] == "jump"
    assert found["points"][2]["session_id"] == POINTS[2].session_id
    assert found["points"][2]["seq"] == 2**63 - 1
    assert json.loads(await export("json", name, ())) == {"rider_id": name, "points": []}


@pytest.mark.parametrize("name", NAMES)
async def test_geojson(name: str) -> None:
    found = json.loads(await export("geojson", name))
    assert found["type"] == "FeatureCollection"
    assert [f["geometry"]["coordinates"] for f in found["features"]] == [
        [127.0276456, 37.4979123],
        [127.0276457, 37.4979124],
        [-180.0, -0.0000001],
    ]
    assert found["features"][0]["properties"] == {
        "rider_id": name,
        "time": "2026-05-28T20:26:40.123Z",
        "accuracy_m": 4.25,
        "speed_mps": 12.5,
        "heading_deg": 359.99,
        "session_id": "phone",
        "seq": 1,
    }
    assert found["features"][1]["properties"]["mark"] == "jump"
    assert json.loads(await export("geojson", name, ()))["features"] == []


@pytest.mark.parametrize("name", NAMES)
async def test_gpx(name: str) -> None:
    root = ET.fromstring(await export("gpx", name))
    assert root.tag == f"{GPX}gpx"
    assert root.get("version") == "1.1"
    assert root.findtext(f"{GPX}trk/{GPX}name") == name.replace("\ufffe", "\ufffd")
    segments = root.findall(f"{GPX}trk/{GPX}trkseg")
    assert [len(segment) for segment in segments] == [2, 1]  # the gap is longer than 10 minutes
    first, second = segments[0]
    assert first.attrib == {"lat": "37.4979123", "lon": "127.0276456"}
    assert first.findtext(f"{GPX}time") == "2026-05-28T20:26:40.123Z"
    extension = f"{GPX}extensions/{GARMIN}TrackPointExtension"
    assert first.findtext(f"{extension}/{GARMIN}speed") == "12.500"
    assert first.findtext(f"{extension}/{GARMIN}course") == "359.99"
    assert second.find(f"{GPX}extensions") is None
    assert segments[1][0].attrib == {"lat": "-0.0000001", "lon": "-180.0000000"}
    assert ET.fromstring(await export("gpx", name, ())).find(f"{GPX}trk/{GPX}trkseg") is None


@pytest.mark.parametrize("name", NAMES)
async def test_csv(name: str) -> None:
    rows = list(csv.DictReader(io.StringIO(await export("csv", name), newline="")))
    defused = f"'{name}" if name[0] in "=@" else name
    assert rows[0] == {
        "rider_id": defused,
        "time": "2026-05-28T20:26:40.123Z",
        "latitude": "37.4979123",
        "longitude": "127.0276456",
        "accuracy_m": "4.25",
        "speed_mps": "12.5",
        "heading_deg": "359.99",
        "session_id": "phone",
        "seq": "1",
        "mark": "",
    }
    assert rows[1]["speed_mps"] == ""
    assert rows[2]["session_id"] == POINTS[2].session_id
    assert len(rows) == 3


async def test_unknown_format_is_refused() -> None:
    with pytest.raises(KeyError):
        await export("kml")


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"), (AT_MS, "2026-05-28T20:26:40.123Z")],
)
def test_times_are_rfc_3339(time_ms: int, text: str) -> None:
    assert rfc3339(time_ms) == text
