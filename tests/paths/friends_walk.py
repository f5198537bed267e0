"""Every way to ask for a position, walked by somebody: the bytes that came back, by the name of the path."""

import io
import itertools
import json
import struct
import time
import zipfile
from collections.abc import Iterator

import httpx
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.friends_kit import Person
from tests.server import Server

Place = tuple[float, float]
FORMATS = ("json", "geojson", "gpx", "csv")
WORLD = {"south": -90, "west": -180, "north": 90, "east": 180}


def traces(place: Place) -> Iterator[bytes]:
    """How a latitude or a longitude may stand in an answer: as digits, or in binary."""
    for degrees in place:
        digits = f"{degrees:.7f}"[:-2]
        yield digits.encode()
        yield digits.replace(".", "").encode()
        yield struct.pack("<d", degrees)[-6:]
        yield struct.pack(">d", degrees)[:6]


def shows(raw: bytes, place: Place) -> bool:
    return any(trace in raw for trace in traces(place))


def friend_paths(viewer: Person, owner: str) -> dict[str, bytes]:
    """What a friend may be shown by, asked once."""
    found = {"list": viewer.ask("GET", "/v1/friends").content}
    found["nearby"] = viewer.ask("GET", "/v1/friends/nearby").content
    found["nearby, another radius"] = viewer.ask("GET", "/v1/friends/nearby", radius_m=400_000).content
    found["position"] = viewer.ask("GET", f"/v1/friends/{owner}/position").content
    for format_ in FORMATS:
        answer = viewer.ask("GET", f"/v1/friends/{owner}/track", format=format_)
        found[f"track {format_}"] = answer.content if answer.is_success else b""
    return found


def own_phone(viewer: Person, here: Place) -> bytes:
    """What OwnTracks is told on the viewer's phone when it reports."""
    fix = {"_type": "location", "lat": here[0], "lon": here[1], "tst": int(time.time()), "tid": "me"}
    answer = httpx.post(f"{viewer.server.url}/owntracks", headers=viewer.headers, json=fix, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.content


def own_export(viewer: Person) -> bytes:
    """The viewer's own data, unpacked."""
    with zipfile.ZipFile(io.BytesIO(viewer.ask("GET", "/v1/friends/me/export").content)) as packed:
        return b"\n".join(name.encode() + b"\n" + packed.read(name) for name in packed.namelist())


def rider_paths(server: Server, headers: dict[str, str], owner: str, place: Place) -> dict[str, bytes]:
    """Where riders are shown: nobody who is no rider, to nobody."""
    http = httpx.Client(base_url=server.url, headers=headers, timeout=60)
    near: dict[str, str | float] = {"lat": place[0], "lon": place[1], "radius_m": 1_000}
    asks: dict[str, dict[str, str | float]] = {
        f"/v1/riders/{owner}/position": {},
        f"/v1/riders/{owner}/track": {"from": "2000-01-01T00:00:00Z"},
        f"/v1/riders/{owner}/track?gpx": {"from": "2000-01-01T00:00:00Z", "format": "gpx"},
        "/v1/riders/nearest": near,
        "/v1/events": {"limit": 1000},
        "/v1/quarantine": {},
        "/v1/cells": {},
        "/v1/stats": {},
        "/metrics": {},
    }
    found = {path: http.get(path, params=params).content for path, params in asks.items()}
    asked = http.post("/v1/positions/batch-get", json={"rider_ids": [owner]})
    found["batch-get"] = b"" if asked.json().get("missing") == [owner] else asked.content
    found["live"] = live_snapshots(server, headers, owner)
    found["live events"] = first_event(http, "/v1/live/events", {"rider": owner})
    http.close()
    return found


def live_snapshots(server: Server, headers: dict[str, str], owner: str) -> bytes:
    """What the operators' stream says first, by name and by area."""
    url = f"ws://127.0.0.1:{server.http_port}/v1/live"
    try:
        with connect(url, additional_headers=headers, max_size=None, compression=None) as socket:
            socket.send(json.dumps({"subscribe": {"id": "one", "riders": [owner]}}))
            socket.send(json.dumps({"subscribe": {"id": "all", "area": WORLD}}))
            said = [str(socket.recv(60)) for _ in range(2)]
            return "\n".join(said).encode()
    except InvalidStatus as refused:
        return bytes(refused.response.body or b"")


def first_event(http: httpx.Client, path: str, params: dict[str, str]) -> bytes:
    """The first message of a stream of server-sent events, or the refusal."""
    with http.stream("GET", path, params=params) as answer:
        if answer.status_code != 200:
            return b"".join(answer.iter_bytes())
        lines = itertools.takewhile(bool, (line for line in answer.iter_lines() if not line.startswith(":")))
        return "\n".join(lines).encode()
