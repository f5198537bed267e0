"""Phones of today against a real server: their requests, their credentials, the answers they expect."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.server import Server, start_server

WITHIN_S = 60.0

OVERLAND_OK = {"result": "ok"}


class Phone:
    """A rider with a phone, and what the server knows of them."""

    def __init__(self, server: Server, rider_id: str) -> None:
        self.server = server
        self.rider_id = rider_id
        made = server.add_device(rider_id)
        self.token = str(made["token"])
        self.device_id = str(made["device_id"])

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def basic(self, username: str) -> dict[str, str]:
        return {
            "Authorization": "Basic " + base64.b64encode(f"{username}:{self.token}".encode()).decode(),
        }

    def post(self, path: str, body: object, **options: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        return httpx.post(self.server.url + path, content=content, headers=headers, timeout=60, **options)

    def track(self) -> list[dict[str, Any]]:
        """Everything in history, when all that was acknowledged is processed."""
        self.server.wait_processed()
        answer = self.server.get(f"/v1/riders/{quote(self.rider_id)}/track")
        return list(answer["points"] if isinstance(answer, dict) else answer)

    def quarantined(self, count: int) -> list[dict[str, Any]]:
        """What was set aside for the rider, when at least `count` are filed."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            items = self.server.get("/v1/quarantine", rider_id=self.rider_id)["items"]
            if len(items) >= count:
                return list(items)
            time.sleep(0.02)
        raise AssertionError(f"fewer than {count} were set aside for {self.rider_id}")


@pytest.fixture
def new_phone(module_server: Server) -> Iterator[Callable[[str], Phone]]:
    def make(rider_id: str) -> Phone:
        return Phone(module_server, rider_id)

    yield make


def now_s() -> int:
    return int(time.time())


def owntracks(seconds: int, latitude: float = 37.4979, **more: object) -> dict[str, object]:
    return {
        "_type": "location",
        "acc": 12,
        "alt": 38,
        "batt": 93,
        "bs": 1,
        "cog": 270,
        "conn": "m",
        "created_at": seconds + 1,
        "lat": latitude,
        "lon": 127.0276,
        "m": 1,
        "t": "t",
        "tid": "5",
        "topic": "owntracks/jane/phone",
        "tst": seconds,
        "vac": 3,
        "vel": 36,
        **more,
    }


def feature(seconds: float, latitude: float = 37.4979, **more: object) -> dict[str, object]:
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [127.0276, latitude]},
        "properties": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
            "altitude": 38,
            "speed": 10,
            "course": 270,
            "horizontal_accuracy": -1,
            "vertical_accuracy": -1,
            "motion": ["driving"],
            "battery_state": "unplugged",
            "battery_level": 0.89,
            "device_id": "iphone",
            "wifi": "",
            **more,
        },
    }


def traccar_9(seconds: float, device_id: str) -> dict[str, object]:
    return {
        "location": {
            "event": "motionchange",
            "is_moving": True,
            "uuid": "0e9a2473-a9a7-4c00-997b-fb97d2154e75",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.500Z", time.gmtime(seconds)),
            "odometer": 0,
            "coords": {
                "latitude": 37.4979,
                "longitude": 127.0276,
                "accuracy": 3.8,
                "speed": 10,
                "speed_accuracy": 0.26,
                "heading": 270,
                "altitude": 35.7,
            },
            "activity": {"type": "in_vehicle", "confidence": 100},
            "battery": {"is_charging": False, "level": 0.79},
            "extras": {},
        },
        "device_id": device_id,
    }


def traccar_8(seconds: float, device_id: str) -> dict[str, str]:
    return {
        "id": device_id,
        "timestamp": str(int(seconds)),
        "lat": "37.4979",
        "lon": "127.0276",
        "speed": "19.4384",
        "bearing": "270.0",
        "altitude": "35.7",
        "accuracy": "3.8",
        "batt": "87.0",
    }


# --------------------------------------------------------------------------------------- OwnTracks


def test_owntracks_posts_a_location_and_the_rider_is_on_the_map(new_phone: Callable[[str], Phone]) -> None:
    phone = new_phone("김 라이더")
    at_s = now_s()
    headers = {**phone.basic(phone.device_id), "X-Limit-U": "jane", "X-Limit-D": "phone"}
    answer = phone.post("/owntracks", owntracks(at_s), headers=headers)
    assert answer.status_code == 200
    assert answer.json() == []
    assert answer.headers["content-type"].startswith("application/json")
    phone.server.wait_processed()
    live = phone.server.get(f"/v1/riders/{quote(phone.rider_id)}/position")
    assert (live["latitude"], live["longitude"]) == (37.4979, 127.0276)
    assert live["device_time_ms"] == at_s * 1000
    assert live["speed_mps"] == pytest.approx(10.0)
    assert live["heading_deg"] == 270


def test_owntracks_carries_its_credential_in_any_way(new_phone: Callable[[str], Phone]) -> None:
    phone = new_phone("owntracks-credentials")
    at_s = now_s() - 100
    ways: list[dict[str, Any]] = [
        {"headers": phone.basic(phone.rider_id)},
        {"headers": phone.basic(phone.device_id)},
        {"headers": phone.bearer},
        {"params": {"token": phone.token, "u": "jane", "d": "phone"}},
    ]
    for step, way in enumerate(ways):
        assert phone.post("/pub", owntracks(at_s + step), **way).json() == []
    assert len(phone.track()) == len(ways)


def test_what_owntracks_says_beside_positions_is_accepted(new_phone: Callable[[str], Phone]) -> None:
    phone = new_phone("owntracks-talk")
    said: list[object] = [
        {"_type": "lwt", "tst": 1616985985},
        {"_type": "transition", "event": "enter", "lat": 1.5, "lon": 2, "tst": now_s(), "wtst": 1, "acc": 5},
        {"_type": "waypoint", "desc": "Home", "tst": 1},
        {"_type": "card", "name": "Jane"},
        b"",
    ]
    for message in said:
        answer = phone.post("/owntracks", message, headers=phone.bearer)
        assert (answer.status_code, answer.json()) == (200, [])
    encrypted = phone.post("/owntracks", {"_type": "encrypted", "data": "c3Nk"}, headers=phone.bearer)
    assert (encrypted.status_code, encrypted.json()) == (200, [])
    (item,) = phone.quarantined(1)
    assert item["reason"] == "no_position"
    assert "encryption" in item["detail"]
    assert phone.track() == []


# ------------------------------------------------------------------------------ OsmAnd and Traccar


def test_traccar_client_in_all_its_versions(new_phone: Callable[[str], Phone]) -> None:
    phone = new_phone("traccar")
    url, at_s = phone.server.url + "/osmand", now_s() - 100
    answers = [
        httpx.get(url, params=traccar_8(at_s, phone.token)),
        httpx.post(url, params=traccar_8(at_s + 1, phone.token)),
        httpx.post(url, data=traccar_8(at_s + 2, phone.token)),
        httpx.post(url, json=traccar_9(at_s + 3, phone.token)),
        httpx.get(url + "/", params={**traccar_8(at_s + 4, "123456"), "token": phone.token}),
        httpx.post(url, json=traccar_9(at_s + 5, "123456"), headers=phone.bearer),
        httpx.post(url, params={"token": phone.token}, json=traccar_9(at_s + 6, "123456")),
        httpx.get(url, params=traccar_8(at_s + 7, "123456"), headers=phone.basic(phone.device_id)),
    ]
    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"")] * len(answers)
    points = phone.track()
    assert [point["device_time_ms"] // 1000 for point in points] == [at_s + step for step in range(8)]
    for point in points:
        assert point["speed_mps"] == pytest.approx(10.0, abs=1e-3)  # from knots, and from metres a second
        assert point["latitude"] == 37.4979


def test_a_token_in_the_request_is_kept_nowhere(new_phone: Callable[[str], Phone]) -> None:
    phone = new_phone("secretive")
    url = phone.server.url + "/osmand"
    secret = phone.token.rpartition("_")[2]
    httpx.get(url, params={**traccar_8(now_s(), phone.token), "lat": "north"})
    httpx.get(url, params={**traccar_8(now_s(), phone.token), "lat": "95"})
    httpx.get(url, params={"token": phone.token, "valid": "false", "lat": "1", "lon": "2"})
    httpx.post(url, json={"location": {"coords": {}}, "device_id": phone.token})
    httpx.post(url, content=json.dumps({"device_id": phone.token}).encode()[:-1], headers=phone.bearer)
    items = phone.quarantined(5)
    assert secret not in json.dumps(items)
    httpx.get(url, params=traccar_8(now_s(), phone.token))
    assert secret not in json.dumps(phone.track())
    assert secret not in phone.server.log.read_text()


# ---------------------------------------------------------------------------------------- Overland


def test_overland_sends_a_batch_with_a_bad_one_in_it(new_phone: Callable[[str], Phone]) -> None:
    phone = new_phone("overland")
    at_s = now_s() - 100
    nowhere = {"type": "Feature", "geometry": None, "properties": {"timestamp": "2026-01-01T00:00:00Z"}}
    batch = {
        "locations": [feature(at_s), nowhere, feature(at_s + 5, latitude=95.0), feature(at_s + 10)],
        "current": feature(at_s + 20),
        "trip": {"distance": 100, "mode": "driving", "current_location": feature(at_s + 20)},
    }
    for way in ({"headers": phone.bearer}, {"params": {"token": phone.token}}):
        answer = phone.post("/overland", batch, **way)
        assert (answer.status_code, answer.json()) == (200, OVERLAND_OK)
    later = phone.post("/overland", {"locations": [feature(at_s + 20)]}, headers=phone.bearer)
    assert later.json() == OVERLAND_OK
    points = phone.track()
    assert [point["device_time_ms"] // 1000 for point in points] == [at_s, at_s + 10, at_s + 20]
    assert "accuracy_m" not in points[0]  # -1 is unknown
    assert {item["reason"] for item in phone.quarantined(4)} == {"malformed", "out_of_range"}


def test_overland_sends_a_whole_backlog(new_phone: Callable[[str], Phone]) -> None:
    phone = new_phone("overland-backlog")
    at_s = now_s() - 3100
    batch = {"locations": [feature(at_s + 3 * step, 37.4979 + step / 1e5) for step in range(1000)]}
    assert phone.post("/overland", batch, headers=phone.bearer).json() == OVERLAND_OK
    times = [point["device_time_ms"] // 1000 for point in phone.track()]
    assert times == [at_s + 3 * step for step in range(1000)]


# --------------------------------------------------------------------------------------- all doors

DOORS = ["/owntracks", "/pub", "/osmand", "/overland"]
SHAPES = {"/owntracks": b"[]", "/pub": b"[]", "/osmand": b"", "/overland": b'{"result":"ok"}'}


@pytest.mark.parametrize("door", DOORS)
def test_without_a_good_credential_nothing_is_taken(module_server: Server, door: str) -> None:
    url = module_server.url + door
    forged = "mjd_" + "a" * 12 + "_" + "b" * 32
    before = module_server.stats()["received"]
    for options in (
        {},
        {"headers": {"Authorization": f"Bearer {forged}"}},
        {"headers": {"Authorization": "Basic !!!"}},
        {"headers": {"Authorization": "Basic " + base64.b64encode(f"jane:{forged}".encode()).decode()}},
        {"headers": {"Authorization": "Basic " + base64.b64encode(b"nobody").decode()}},
        {"params": {"token": forged}},
        {"params": {"token": "x" * 10_000}},
        {"params": {"token": "열려라 참깨"}},
        {"params": {"id": forged}},
    ):
        for body in (b"{}", b"id=" + b"x" * 1_000_000):
            answer = httpx.post(url, content=body, **options)  # type: ignore[arg-type]
            assert answer.status_code == 401, answer.text
    assert module_server.stats()["received"] == before


@pytest.mark.parametrize("door", DOORS)
def test_a_bad_fix_never_blocks_a_phone(new_phone: Callable[[str], Phone], door: str) -> None:
    phone = new_phone(f"garbage {door[1:]}")
    bodies = [
        b"\x00\xff\xfe garbage",
        b'{"_type":"location"',
        b"[" * 100_000,
        b'{"_type":"location","lat":NaN,"lon":1,"tst":1,"locations":7,"location":{"coords":{"latitude":1}}}',
        '{"_type":7,"locations":["한글"],"location":"한글"}'.encode(),
    ]
    for body in bodies:
        answer = phone.post(door, body, headers=phone.bearer)
        assert (answer.status_code, answer.content) == (200, SHAPES[door])
    assert len(phone.quarantined(len(bodies))) == len(bodies)


@pytest.mark.parametrize("door", DOORS)
def test_a_body_that_is_too_large_is_refused(new_phone: Callable[[str], Phone], door: str) -> None:
    phone = new_phone(f"large {door[1:]}")
    answer = phone.post(door, b"x" * 4_194_305, headers=phone.bearer)
    assert answer.status_code == 413


def test_an_account_that_reports_nothing_is_told_so(module_server: Server) -> None:
    operator = module_server.add_user("lookout", "operator")
    headers = {
        "Authorization": "Basic " + base64.b64encode(f"lookout:{operator['password']}".encode()).decode()
    }
    for door in DOORS:
        answer = httpx.post(module_server.url + door, json=owntracks(now_s()), headers=headers)
        assert answer.status_code == 403, answer.text


def test_a_gateway_names_its_riders(module_server: Server) -> None:
    gateway = module_server.add_user("fleet", "gateway")
    headers = {"Authorization": f"Bearer {gateway['token']}"}
    at_s, url = now_s(), module_server.url
    said = [
        httpx.post(f"{url}/owntracks", json=owntracks(at_s, topic="owntracks/민수/전화"), headers=headers),
        httpx.post(
            f"{url}/owntracks", json=owntracks(at_s, topic=None), headers={**headers, "X-Limit-U": "gw-2"}
        ),
        httpx.get(f"{url}/osmand", params=traccar_8(at_s, "gw-3"), headers=headers),
        httpx.post(f"{url}/osmand", json=traccar_9(at_s, "gw-4"), headers=headers),
        httpx.post(f"{url}/overland", json={"locations": [feature(at_s, device_id="gw-5")]}, headers=headers),
    ]
    assert [answer.status_code for answer in said] == [200] * 5
    module_server.wait_processed()
    for rider_id in ("민수", "gw-2", "gw-3", "gw-4", "gw-5"):
        live = module_server.get(f"/v1/riders/{quote(rider_id)}/position")
        assert live["latitude"] == 37.4979


def test_what_was_acknowledged_survives_a_kill(server: Server) -> None:
    phone = Phone(server, "survivor")
    at_s = now_s() - 100
    assert phone.post("/owntracks", owntracks(at_s), headers=phone.bearer).json() == []
    assert httpx.get(f"{server.url}/osmand", params=traccar_8(at_s + 1, phone.token)).status_code == 200
    batch = {"locations": [feature(at_s + 2)]}
    assert phone.post("/overland", batch, headers=phone.bearer).json() == OVERLAND_OK
    server.kill()
    server.start()
    assert [point["device_time_ms"] // 1000 for point in phone.track()] == [at_s, at_s + 1, at_s + 2]


def test_a_phone_that_sends_too_much_is_held_back_and_keeps_its_fixes(tmp_path: Path) -> None:
    with start_server(tmp_path / "data", "server.rate_per_s=0.01", "server.rate_burst=2") as server:
        phone = Phone(server, "eager")
        for _ in range(2):
            assert phone.post("/overland", {"locations": []}, headers=phone.bearer).status_code == 200
        for door, status in {"/overland": 429, "/osmand": 429, "/owntracks": 503}.items():
            answer = phone.post(door, {}, headers=phone.bearer)
            assert answer.status_code == status, f"{door}: {answer.text}"
            assert int(answer.headers["Retry-After"]) >= 1
        other = Phone(server, "neighbour")
        assert other.post("/overland", {"locations": []}, headers=other.bearer).json() == OVERLAND_OK
