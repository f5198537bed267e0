"""Reads over HTTP against a real server: latest, nearest, tracks in every format."""

import contextlib
import csv
import io
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from tests.paths.reads_kit import CROWD, GANGNAM, NOW_MS, Sender, by_hand, get, refused, same_hits, utc
from tests.server import Server, start_server

GPX = "{http://www.topografix.com/GPX/1/1}"
MANY = 12_345
BOUNDARY = 5_000  # of the pages in which the server reads a track


def many_points() -> list[tuple[int, int]]:
    """(seq, device_time_ms): most a second apart, but hundreds of one moment round the ends of pages."""
    points: list[tuple[int, int]] = []
    at_ms = NOW_MS - 40_000_000
    for seq in range(1, MANY + 1):
        at_page_end = any(abs(seq - end) < 150 for end in (BOUNDARY, 2 * BOUNDARY))
        at_ms += 0 if at_page_end else 1000
        points.append((seq, at_ms))
    return points


MANY_POINTS = many_points()


@pytest.fixture(scope="module")
def reads(module_server: Server) -> Server:
    """A server with the crowd and four riders with tracks."""
    send = Sender(module_server)
    send.send_crowd()
    send(
        [
            {
                "rider_id": "long",
                "seq": seq,
                "device_time_ms": at_ms,
                "latitude": 33.4 + seq * 1e-6,
                "longitude": 127.0,
                "accuracy_m": 4.0,
                "speed_mps": 3.5,
                "heading_deg": 180.0,
            }
            for seq, at_ms in MANY_POINTS
        ]
    )
    send([walk(seq) for seq in range(1, 61)])
    send(doubtful())
    module_server.wait_processed()
    return module_server


def walk(seq: int) -> dict[str, Any]:
    """A minute along a street: straight east, then straight north, a metre a second, off by decimetres."""
    wobble = (seq % 3 - 1) * 1e-6
    east, north = min(seq, 30), max(0, seq - 30)
    return {
        "rider_id": 'walker, "걷는" =사람',
        "session_id": "=1+1",
        "seq": seq,
        "device_time_ms": NOW_MS - 100_000 + seq * 1000,
        "latitude": 35.1 + north * 9e-6 + (wobble if north == 0 else 0),
        "longitude": 129.0 + east * 1.13e-5 + (wobble if north else 0),
    }


WALKER = str(walk(1)["rider_id"])


def doubtful() -> list[dict[str, Any]]:
    """Ten good fixes; after the fifth a jump of 100 km and an inaccurate one."""
    fixes = [
        {"rider_id": "doubtful", "seq": seq, "latitude": 34.8, "device_time_ms": NOW_MS - 60_000 + seq * 1000}
        for seq in range(1, 13)
    ]
    fixes[5] |= {"latitude": 35.9}
    fixes[6] |= {"accuracy_m": 900.0}
    return fixes


# ------------------------------------------------------------------------------------------- latest


def test_latest_of_one(reads: Server) -> None:
    rider_id, latitude, longitude = CROWD["쌍둥이 라이더"]
    found = get(reads, f"/v1/riders/{rider_id}/position").json()
    assert found["rider_id"] == rider_id
    assert (found["latitude"], found["longitude"]) == pytest.approx((latitude, longitude), abs=1e-9)
    assert found["accuracy_m"] == 5.0
    assert NOW_MS <= found["received_at_ms"] <= time.time_ns() // 1_000_000
    assert "speed_mps" not in found, "what is not known is left out"
    refused(get(reads, "/v1/riders/nobody/position"), 404, "nobody")
    refused(get(reads, f"/v1/riders/{'x' * 129}/position"), 400, "rider_id")


def test_latest_of_many(reads: Server) -> None:
    asked = ["crowd-007", "nobody", "쌍둥이 라이더", "crowd-001", "crowd-007", ""]
    answer = httpx.post(
        f"{reads.url}/v1/positions/batch-get", headers=reads.admin, json={"rider_ids": asked}
    ).json()
    assert [p["rider_id"] for p in answer["positions"]] == [
        "crowd-007",
        "쌍둥이 라이더",
        "crowd-001",
        "crowd-007",
    ]
    assert answer["missing"] == ["nobody", ""]
    everybody = httpx.post(
        f"{reads.url}/v1/positions/batch-get", headers=reads.admin, json={"rider_ids": list(CROWD)}
    ).json()
    assert everybody["missing"] == []
    assert {
        p["rider_id"]: (p["rider_id"], p["latitude"], p["longitude"]) for p in everybody["positions"]
    } == CROWD


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"", "missing"),
    (b"{", "JSON"),
    (b"[]", "object"),
    (b'{"rider_ids": ["a"]} x', "JSON"),
    (b'{"rider_ids": "a"}', "array"),
    (b'{"rider_ids": [1]}', "str"),
    (b'{"rider_ids": null}', "array"),
    (b'{"riders": ["a"]}', "rider"),
    (b'{"rider_ids": [], "more": 1}', "more"),
    (b'{"rider_ids": ["\xff\xfe"]}', "UTF-8"),
    (b'{"rider_ids": ["\\ud800"]}', "JSON"),
    (b"[" * 100_000, "deep"),
    (json.dumps({"rider_ids": ["x"] * 10_001}).encode(), "length"),
]


@pytest.mark.parametrize(("body", "word"), BAD_BODIES, ids=[str(body[:24]) for body, _ in BAD_BODIES])
def test_bodies_that_are_none(reads: Server, body: bytes, word: str) -> None:
    url = f"{reads.url}/v1/positions/batch-get"
    answer = httpx.post(url, headers={**reads.admin, "Content-Type": "application/json"}, content=body)
    refused(answer, 400)
    assert word.lower() in answer.json()["detail"].lower()


def test_a_body_past_the_bound(reads: Server) -> None:
    url = f"{reads.url}/v1/positions/batch-get"
    body = json.dumps({"rider_ids": ["x" * 1000] * 5000})
    refused(httpx.post(url, headers=reads.admin, content=body), 413)

    def endless() -> Iterator[bytes]:
        for _ in range(5 * 1024):
            yield b" " * 1024

    # Closed while the client is still talking, its answer may be lost; so is the load.
    with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        refused(httpx.post(url, headers=reads.admin, content=endless()), 413)
    assert get(reads, "/healthz").text == "ok"


def test_wrong_methods_and_paths(reads: Server) -> None:
    for method, path in (
        ("DELETE", "/v1/riders/nearest"),
        ("GET", "/v1/positions/batch-get"),
        ("POST", "/healthz"),
    ):
        answer = httpx.request(method, reads.url + path, headers=reads.admin)
        refused(answer, 405)
        assert method not in answer.headers["allow"].split(", ")
    for path in (
        "/v1/nothing",
        "/v1/riders",
        "/v1/riders/a/b/position",
        "/v2/me",
        "/%00",
        "/v1/riders/%ff/nothing",
    ):
        refused(get(reads, path), 404)


# ------------------------------------------------------------------------------------------ nearest


@pytest.mark.parametrize(("radius_m", "limit"), [(1000, 20), (300, 1000), (100_000, 7), (0.5, 5), (2500, 1)])
def test_nearest_is_what_measuring_everybody_gives(reads: Server, radius_m: float, limit: int) -> None:
    chance = random.Random(radius_m)
    centres = [GANGNAM, (37.5, 127.03)]
    centres += [(GANGNAM[0] + chance.gauss(0, 0.02), GANGNAM[1] + chance.gauss(0, 0.02)) for _ in range(5)]
    for lat, lon in centres:
        answer = get(reads, "/v1/riders/nearest", lat=lat, lon=lon, radius_m=radius_m, limit=limit)
        same_hits(answer, by_hand(lat, lon, radius_m, limit))


def test_nearest_without_radius_and_limit(reads: Server) -> None:
    lat, lon = GANGNAM
    same_hits(get(reads, "/v1/riders/nearest", lat=lat, lon=lon), by_hand(lat, lon, 1000, 20))


BAD_NEAREST: list[tuple[dict[str, Any], str]] = [
    ({}, "l"),
    ({"lat": 37.5}, "lon"),
    ({"lat": 91, "lon": 127}, "lat"),
    ({"lat": 127.03, "lon": 37.5}, "lat"),
    ({"lat": 37.5, "lon": -181}, "lon"),
    ({"lat": "nan", "lon": 127}, ""),
    ({"lat": 37.5, "lon": "inf"}, "lon"),
    ({"lat": "here", "lon": 127}, "lat"),
    ({"lat": 37.5, "lon": 127, "radius_m": 0}, "radius_m"),
    ({"lat": 37.5, "lon": 127, "radius_m": -5}, "radius_m"),
    ({"lat": 37.5, "lon": 127, "radius_m": "nan"}, "radius_m"),
    ({"lat": 37.5, "lon": 127, "radius_m": 1e6}, "radius_m"),
    ({"lat": 37.5, "lon": 127, "limit": 0}, "limit"),
    ({"lat": 37.5, "lon": 127, "limit": 1001}, "limit"),
    ({"lat": 37.5, "lon": 127, "limit": 1.5}, "limit"),
    ({"lat": 37.5, "lon": 127, "limit": 10**30}, "limit"),
]


@pytest.mark.parametrize(("params", "word"), BAD_NEAREST, ids=[str(params) for params, _ in BAD_NEAREST])
def test_nearest_says_what_is_wrong(reads: Server, params: dict[str, Any], word: str) -> None:
    refused(get(reads, "/v1/riders/nearest", **params), 400, word)


# ------------------------------------------------------------------------------------------- tracks


def points_of(server: Server, rider_id: str, **params: Any) -> list[dict[str, Any]]:
    answer = get(server, f"/v1/riders/{rider_id}/track", **params)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text[
        :300
    ]
    assert answer.json()["rider_id"] == rider_id
    return list(answer.json()["points"])


def test_a_track_over_many_pages_has_every_point_once_and_in_order(reads: Server) -> None:
    """Hundreds of points of one moment lie across the ends of the pages in which it is read."""
    found = points_of(reads, "long", **{"from": utc(MANY_POINTS[0][1])})
    assert [(point["seq"], point["device_time_ms"]) for point in found] == MANY_POINTS
    assert found[0] == {
        "device_time_ms": MANY_POINTS[0][1],
        "latitude": pytest.approx(33.400001),
        "longitude": pytest.approx(127.0),
        "accuracy_m": 4.0,
        "speed_mps": 3.5,
        "heading_deg": 180.0,
        "session_id": "test",
        "seq": 1,
    }


def test_time_bounds(reads: Server) -> None:
    """`from` is in, `to` is not, to the millisecond, in whatever way the offset is written."""
    first, last = MANY_POINTS[100][1], MANY_POINTS[110][1]
    expected = list(range(101, 111))
    seoul = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(first // 1000 + 9 * 3600)) + f".{first % 1000:03}"
    for text in (
        utc(first),
        utc(first).lower(),
        f"{seoul}+09:00",
        f"{seoul}+0900",
        f"{seoul} 09:00",  # what becomes of a `+` that nobody encoded
        utc(first).replace("T", " "),
        utc(first).removesuffix("Z"),
    ):
        found = points_of(reads, "long", **{"from": text, "to": utc(last)})
        assert [point["seq"] for point in found] == expected, text
    raw = httpx.get(
        f"{reads.url}/v1/riders/long/track?from={seoul}+09:00&to={utc(last)}", headers=reads.admin
    ).json()
    assert [point["seq"] for point in raw["points"]] == expected
    assert points_of(reads, "long", **{"from": utc(first), "to": utc(first)}) == []
    assert points_of(reads, "nobody") == []
    assert len(points_of(reads, WALKER)) == 60, "without bounds: the last hour"
    assert len(points_of(reads, "long")) < MANY, "without bounds: the last hour alone"


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-13-01T00:00:00Z"}, "to"),
        ({"from": "2026-01-01T25:00:00Z"}, "RFC 3339"),
        ({"to": "12"}, "to"),
        ({"from": "x" * 65}, "from"),
        ({"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "after"),
        ({"format": "kml"}, "format"),
        ({"simplify_m": -1}, "simplify_m"),
        ({"simplify_m": "nan"}, "simplify_m"),
        ({"simplify_m": "very"}, "simplify_m"),
        ({"plausible": "perhaps"}, "plausible"),
    ],
)
def test_a_track_says_what_is_wrong(reads: Server, params: dict[str, Any], word: str) -> None:
    refused(get(reads, "/v1/riders/long/track", **params), 400, word)


def test_times_at_the_ends_of_the_calendar(reads: Server) -> None:
    for start, end in (
        ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"),
        ("1970-01-01", "2100-01-01"),
    ):
        assert len(points_of(reads, "long", **{"from": start, "to": end})) == MANY


def test_simplify_keeps_what_matters(reads: Server) -> None:
    whole, few = points_of(reads, WALKER), points_of(reads, WALKER, simplify_m=2)
    assert len(whole) == 60
    assert [point["seq"] for point in few] == [1, 30, 60]
    assert all(point in whole for point in few)
    long = points_of(reads, "long", simplify_m=1, **{"from": utc(MANY_POINTS[0][1])})
    assert long[0]["seq"] == 1
    assert long[-1]["seq"] == MANY
    assert len(long) <= 10, "a straight line: the ends of its pages"


def test_plausible_leaves_marked_points_out(reads: Server) -> None:
    every = points_of(reads, "doubtful")
    assert [point.get("mark", "") for point in every] == [*[""] * 5, "jump", "inaccurate", *[""] * 5]
    plausible = points_of(reads, "doubtful", plausible=True)
    assert [point["seq"] for point in plausible] == [1, 2, 3, 4, 5, 8, 9, 10, 11, 12]
    assert get(reads, "/v1/riders/doubtful/position").json()["latitude"] == 34.8


# -------------------------------------------------------------------------------------------- files


def in_file(server: Server, rider_id: str, format_: str, **params: Any) -> httpx.Response:
    answer = get(server, f"/v1/riders/{rider_id}/track", format=format_, **params)
    assert answer.status_code == 200, answer.text
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; filename=")
    assert f'.{format_}"' in disposition
    assert "filename*=UTF-8''" in disposition
    return answer


def expected_places(rider_id: str) -> list[tuple[float, float]]:
    return [(fix["latitude"], fix["longitude"]) for fix in map(walk, range(1, 61))]


def test_geojson(reads: Server) -> None:
    answer = in_file(reads, WALKER, "geojson")
    assert answer.headers["content-type"].startswith("application/geo+json")
    document = answer.json()
    assert document["type"] == "FeatureCollection"
    places = [feature["geometry"]["coordinates"][::-1] for feature in document["features"]]
    for place, expected in zip(places, expected_places(WALKER), strict=True):
        assert place == pytest.approx(expected, abs=1e-6)
    properties = document["features"][0]["properties"]
    assert properties["rider_id"] == WALKER
    assert properties["time"] == utc(walk(1)["device_time_ms"])


def test_gpx(reads: Server) -> None:
    answer = in_file(reads, "long", "gpx", **{"from": utc(MANY_POINTS[0][1])})
    assert answer.headers["content-type"].startswith("application/gpx+xml")
    root = ElementTree.fromstring(answer.content)
    assert (root.tag, root.get("version")) == (f"{GPX}gpx", "1.1")
    assert root.findtext(f"{GPX}trk/{GPX}name") == "long"
    points = root.findall(f"{GPX}trk/{GPX}trkseg/{GPX}trkpt")
    assert len(points) == MANY
    times = [point.findtext(f"{GPX}time") for point in points]
    assert times == [utc(at_ms) for _, at_ms in MANY_POINTS]
    assert float(str(points[9].get("lat"))) == pytest.approx(33.40001, abs=1e-6)
    walker = ElementTree.fromstring(in_file(reads, WALKER, "gpx").content)
    assert walker.findtext(f"{GPX}trk/{GPX}name") == WALKER, "quotes and angles are escaped"


def test_csv(reads: Server) -> None:
    answer = in_file(reads, WALKER, "csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 60
    assert rows[0]["rider_id"] == WALKER
    assert rows[0]["session_id"] == "'=1+1", "no formula for a spreadsheet"
    assert [(int(row["seq"]), row["time"]) for row in rows[:2]] == [
        (1, utc(walk(1)["device_time_ms"])),
        (2, utc(walk(2)["device_time_ms"])),
    ]
    assert get(reads, "/v1/riders/nobody/track", format="csv").text.count("\n") == 1, "the header alone"


def test_files_leave_the_same_points_out(reads: Server) -> None:
    rows = list(csv.DictReader(io.StringIO(in_file(reads, "doubtful", "csv", plausible=True).text)))
    assert [int(row["seq"]) for row in rows] == [1, 2, 3, 4, 5, 8, 9, 10, 11, 12]
    assert len(in_file(reads, WALKER, "geojson", simplify_m=2).json()["features"]) == 3


# ------------------------------------------------------------------------------------------- damage


def test_reads_after_a_restart(tmp_path: Path) -> None:
    """What was read before is read after: live positions and tracks alike."""
    with start_server(tmp_path / "data") as server:
        send = Sender(server)
        send([{"rider_id": "again", "seq": seq, "device_time_ms": NOW_MS + seq} for seq in range(1, 50)])
        server.wait_processed()
        before = get(server, "/v1/riders/again/position").json(), points_of(server, "again")
        server.kill()
        server.start()
        server.wait_processed()
        assert (get(server, "/v1/riders/again/position").json(), points_of(server, "again")) == before
        assert len(before[1]) == 49
