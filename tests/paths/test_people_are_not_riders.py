"""A person reports through every door, and whoever asks, by whatever door, gets neither its id nor its place.

The walk asks every reading operation of the API's own description, so that one which is added is walked too.
The same walk must find a rider who reported in the same way: else it would find nothing of anybody.
"""

import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from majung.serve.http.app import api_description
from tests.paths.grpc_client import position, stream_positions
from tests.paths.reads_kit import bearer, utc
from tests.paths.test_phones import feature, owntracks
from tests.server import Server, majung, start_server

PASSWORD = "a long password"
WITHIN_S = 60.0
WORLD = {"south": -90, "west": -180, "north": 90, "east": 180}
EAGER = ("server.rate_per_s=100000", "server.rate_burst=100000", "delivery.sign_up_per_minute=1000")
description: dict[str, Any] = msgspec.json.decode(api_description())


class Moving(NamedTuple):
    """Somebody who reports: id, a place that nobody else has, and the digits by which it is known again."""

    id: str
    latitude: float
    longitude: float

    @property
    def digits(self) -> tuple[str, str]:
        return f"{self.latitude:.5f}", f"{self.longitude:.5f}"


class Town:
    """A server with a person and a rider who have reported, and callers of every role."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.mina = self.sign_up("mina", "person")
        me = httpx.get(f"{server.url}/v1/me", headers=self.mina).json()
        self.person = Moving(me["rider_id"], 35.1787612, 129.0756123)
        self.rider = Moving("rider-7", 37.4123412, 127.1234523)
        device = server.add_device(self.rider.id)
        added = httpx.post(f"{server.url}/v1/friends/devices", headers=self.mina, json={"name": "old phone"})
        added.raise_for_status()
        self.phone = bearer(added.json()["token"])
        self.device = bearer(device["token"])
        self.nobodys = self.callers()

    def sign_up(self, name: str, role: str) -> dict[str, str]:
        body = {"name": name, "password": PASSWORD, "role": role}
        answer = httpx.post(f"{self.server.url}/v1/sign-up", json=body, timeout=30)
        assert answer.status_code == 201, answer.text
        return bearer(answer.json()["access_token"])

    def callers(self) -> dict[str, dict[str, str]]:
        """Everybody but the person itself and its phone."""
        viewer = self.server.add_user("viewer", "viewer")
        grant = f"{self.server.url}/v1/accounts/users/viewer/grants/"
        httpx.put(grant + self.rider.id, headers=self.server.admin, json={}).raise_for_status()
        assert httpx.put(grant + self.person.id, headers=self.server.admin, json={}).status_code == 400
        other = self.sign_up("joon", "person")
        phone = httpx.post(f"{self.server.url}/v1/friends/devices", headers=other, json={}).json()
        return {
            "nobody": {},
            "admin": self.server.admin,
            "operator": bearer(self.server.add_user("desk", "operator")["token"]),
            "viewer": bearer(self.server.sign_in("viewer", viewer["password"])),
            "gateway": bearer(self.server.add_user("fleet", "gateway")["token"]),
            "device": self.device,
            "customer": self.sign_up("jiu", "customer"),
            "rider": self.sign_up("minsu", "rider"),
            "store": self.sign_up("kitchen", "store"),
            "person": other,
            "person's phone": bearer(phone["token"]),
        }

    # ------------------------------------------------------------------------------------ reporting

    def report(self, who: Moving, token: str) -> None:
        """A good fix by each door, and one by each that is set aside: bounds, nonsense, somebody else's."""
        url, now = self.server.url, int(time.time()) - 20
        header = bearer(token)
        place = {"latitude": who.latitude, "longitude": who.longitude}
        basic = base64.b64encode(f"{who.id}:{token}".encode()).decode()
        lonely = {"lat": who.latitude, "lon": who.longitude}
        for body in (owntracks(now, **lonely), owntracks(now + 1, **lonely, acc=-3), {**lonely, "tst": "x"}):
            whole = {"_type": "location", **body}
            httpx.post(f"{url}/owntracks", json=whole, headers={"Authorization": f"Basic {basic}"})
        for accuracy in (5, -7):
            params = {"id": token, **lonely, "timestamp": now + 2, "accuracy": accuracy}
            httpx.get(f"{url}/osmand", params=params)
        line = feature(now + 3)
        line["geometry"] = {"type": "Point", "coordinates": [who.longitude, who.latitude]}
        swapped = {**line, "geometry": {"type": "Point", "coordinates": [who.latitude, who.longitude]}}
        body = {"locations": [line, swapped, {"type": "Feature", "geometry": {"at": [*place.values()]}}]}
        httpx.post(f"{url}/overland", json=body, headers=header).raise_for_status()
        fixes = [position(1, **place), position(2, **place, speed_mps=-1.0)]
        assert stream_positions(self.server.grpc, token, fixes) == 2
        with connect(_socket(self.server, "positions/stream"), additional_headers=header) as socket:
            socket.send(
                json.dumps({"session_id": "s", "seq": 1, "device_time_ms": now * 1000 + 4000, **place})
            )
            assert "last_acked_seq" in socket.recv(timeout=WITHIN_S)
        stolen = position(9, rider_id="rider-8", **place)
        with pytest.raises(Exception, match="PERMISSION_DENIED"):
            stream_positions(self.server.grpc, token, [stolen])
        self.server.wait_processed()

    # --------------------------------------------------------------------------------------- asking

    def walk(self, who: Moving) -> set[tuple[str, str]]:
        """(role, operation) of every answer that gives `who` away."""
        found = set()
        with httpx.Client(base_url=self.server.url, timeout=WITHIN_S) as client:
            for role, headers in self.nobodys.items():
                for operation, text, told in self.answers(client, headers, who):
                    needles = who.digits if told else (*who.digits, who.id)
                    if any(needle in text for needle in needles):
                        found.add((role, operation))
        return found

    def answers(
        self, client: httpx.Client, headers: dict[str, str], who: Moving
    ) -> Iterator[tuple[str, str, bool]]:
        """Operation, answer, and whether the id was in the question (then an answer may repeat it)."""
        now_ms = int(time.time() * 1000)
        wide: dict[str, str | float] = {
            "lat": who.latitude + 0.001,
            "lon": who.longitude - 0.001,
            "radius_m": 50_000,
            "from": utc(now_ms - 3_600_000),
            "to": utc(now_ms + 60_000),
            "from_ms": now_ms - 3_600_000,
            "to_ms": now_ms + 60_000,
        }
        for path, methods in description["paths"].items():
            operation = methods.get("get")
            if operation is None or path == "/osmand" or (path.endswith("/events") and path != "/v1/events"):
                continue
            names = {parameter["name"] for parameter in operation.get("parameters", [])}
            formats = ("json", "geojson", "gpx", "csv") if "format" in names else ("",)
            place = re.sub(r"\{\w+\}", who.id, path)
            for format_ in formats:
                params = {name: value for name, value in wide.items() if name in names}
                params |= {"format": format_} if format_ else {}
                ids = {name: who.id for name in ("rider_id", "customer") if name in names and place == path}
                answer = client.get(place, headers=headers, params={**params, **ids})
                yield path, answer.text, bool(ids) or place != path
                if ids:
                    yield path, client.get(place, headers=headers, params=params).text, False
        body = {"rider_ids": [who.id]}
        batch = client.post("/v1/positions/batch-get", headers=headers, json=body)
        yield "batch-get", batch.text, True


def _socket(server: Server, path: str) -> str:
    return f"ws://127.0.0.1:{server.http_port}/v1/{path}"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    data = tmp_path_factory.mktemp("people") / "data"
    with start_server(data, "delivery.open_sign_up=customer,rider,store,person", *EAGER) as server:
        town = Town(server)
        fence: dict[str, Any] = {
            "name": "everywhere",
            "circle": {"latitude": 36.3, "longitude": 128.1, "radius_m": 400_000},
        }
        fence |= {"confirm_fixes": 1, "confirm_s": 0}
        httpx.post(f"{server.url}/v1/fences", headers=server.admin, json=fence).raise_for_status()
        for who, headers in ((town.rider, town.device), (town.person, town.phone)):
            town.report(who, headers["Authorization"].removeprefix("Bearer "))
        yield town


def test_the_walk_finds_a_rider(town: Town) -> None:
    found = town.walk(town.rider)
    by_admin = {operation for role, operation in found if role == "admin"}
    assert by_admin >= {
        "/v1/riders/nearest",
        "/v1/riders/{rider_id}/position",
        "/v1/riders/{rider_id}/track",
        "/v1/quarantine",
        "/v1/events",
        "/v1/accounts/devices",
        "batch-get",
    }
    assert {role for role, _ in found} >= {"admin", "operator", "viewer", "device"}


def test_the_walk_finds_no_person(town: Town) -> None:
    assert town.walk(town.person) == set()


def test_the_person_did_report_and_reads_its_own(town: Town) -> None:
    """Else nothing would have been there to find. Its phone sees it too, and nobody else's."""
    url, now_ms = town.server.url, int(time.time() * 1000)
    for headers in (town.mina, town.phone):
        where = httpx.get(f"{url}/v1/riders/{town.person.id}/position", headers=headers)
        assert where.status_code == 200, where.text
        assert where.json()["latitude"] == town.person.latitude
        track = f"{url}/v1/riders/{town.person.id}/track"
        points = httpx.get(track, headers=headers, params={"from": utc(now_ms - 3_600_000)}).json()["points"]
        sessions = {point["session_id"] for point in points}
        assert len(sessions) == 5, sessions  # OwnTracks, OsmAnd, Overland, gRPC, WebSocket
        assert httpx.get(f"{url}/v1/riders/{town.rider.id}/position", headers=headers).status_code == 403


def test_what_is_set_aside_of_a_person_says_neither_who_nor_where(town: Town) -> None:
    deadline = time.monotonic() + WITHIN_S
    aside: list[dict[str, Any]] = []
    while len(aside) < 4 and time.monotonic() < deadline:
        items = town.server.get("/v1/quarantine", limit=1000)["items"]
        aside = [item for item in items if item["principal"] == "person"]
    assert {(item["rider_id"], item["payload"]) for item in aside} == {("", "")}
    assert {item["reason"] for item in aside} >= {"malformed", "bad_motion", "out_of_range", "not_yours"}
    assert len({item["door"] for item in aside}) >= 3


def test_counts_and_cells_know_riders_alone(town: Town) -> None:
    assert town.server.stats()["riders"] == 1
    assert [cell["members"] for cell in town.server.get("/v1/cells")] == [1]


def test_a_live_viewer_of_everything_hears_of_riders_alone(town: Town) -> None:
    for role in ("admin", "operator", "viewer", "device"):
        heard = _heard_live(town, town.nobodys[role])
        assert town.rider.digits[0] in heard, role
        assert town.person.id not in heard
        assert not any(digits in heard for digits in town.person.digits), role


def test_nobody_subscribes_to_a_person(town: Town) -> None:
    wish = json.dumps({"subscribe": {"id": "one", "riders": [town.person.id]}})
    for role, headers in town.nobodys.items():
        try:
            with connect(_socket(town.server, "live"), additional_headers=headers) as socket:
                socket.send(wish)
                answer = _until_answered(socket)
        except InvalidStatus as refused:
            assert refused.response.status_code in (401, 403), role
        else:
            assert not any(digits in answer for digits in town.person.digits), role
        events = f"{town.server.url}/v1/friends/live/events"
        if not role.startswith("person"):
            assert httpx.get(events, headers=headers).status_code in (401, 403), role


def _until_answered(socket: ClientConnection) -> str:
    """The first two messages, or what there is when the server has closed."""
    try:
        return str(socket.recv(timeout=WITHIN_S))
    except ConnectionClosed as closed:
        return str(closed)


def _heard_live(town: Town, headers: dict[str, str]) -> str:
    """All that a viewer of the world hears, from the snapshot to a rider's move that comes after a person's."""
    with connect(_socket(town.server, "live"), additional_headers=headers, max_size=None) as socket:
        socket.send(json.dumps({"subscribe": {"id": "all", "area": WORLD}}))
        heard = str(socket.recv(timeout=WITHIN_S))
        for who, by in ((town.person, town.phone), (town.rider, town.device)):
            fix = position(time.time_ns() // 1_000_000, latitude=who.latitude, longitude=who.longitude)
            stream_positions(town.server.grpc, by["Authorization"].removeprefix("Bearer "), [fix])
            town.server.wait_processed()
        moved = ""
        while town.rider.digits[0] not in moved:
            moved = str(socket.recv(timeout=WITHIN_S))
            heard += moved
    return heard


def operations_of_friends() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1/friends")
    ]


def example_of(operation: dict[str, Any]) -> Any:
    """A body that the description gives as an example; None when there is no body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    reference = str(content.get("schema", {}).get("$ref", ""))
    schema = description["components"]["schemas"].get(reference.rpartition("/")[2], {})
    return next(iter(schema.get("examples", [])), None)


@pytest.mark.parametrize(("method", "path", "operation"), operations_of_friends())
def test_friends_are_for_people_alone(town: Town, method: str, path: str, operation: dict[str, Any]) -> None:
    """Each operation refuses every other role, a person's own phone included, whatever it is asked."""
    example = example_of(operation)
    place = f"{town.server.url}{re.sub(r'{[a-z_]+}', town.person.id, path)}"
    everybody_else = {role: by for role, by in town.nobodys.items() if role != "person"} | {
        "phone": town.phone
    }
    for role, headers in everybody_else.items():
        content = {} if example is None else {"json": example}
        answer = httpx.request(method.upper(), place, headers=headers, timeout=WITHIN_S, **content)
        assert answer.status_code == (401 if role == "nobody" else 403), (role, answer.text)


def test_the_log_of_the_server_names_no_person(town: Town) -> None:
    said = town.server.log.read_text()
    assert town.person.id not in said
    assert not any(digits in said for digits in town.person.digits)


def test_nobody_but_the_person_gets_a_credential_for_it(town: Town) -> None:
    url, admin = town.server.url, town.server.admin
    body = {"rider_id": town.person.id}
    refused = httpx.post(f"{url}/v1/accounts/devices", headers=admin, json=body)
    assert refused.status_code == 400
    assert "people" in refused.json()["detail"]
    for role, rider_id in (("rider", town.person.id), ("person", town.person.id)):
        body = {"name": "thief", "role": role, "rider_id": rider_id}
        assert httpx.post(f"{url}/v1/accounts/users", headers=admin, json=body).status_code == 400
    named = {"name": town.person.id, "role": "rider"}
    assert httpx.post(f"{url}/v1/accounts/users", headers=admin, json=named).status_code == 400
    data = str(town.server.data)
    assert "mjd_" not in majung("device", "add", town.person.id, "--data", data, check=False)
    many = ("user", "add-many", "--role", "rider", "--count", "1", "--prefix", "person-", "--data", data)
    assert "token" not in majung(*many, check=False)


def test_a_fleet_that_reports_for_a_person_is_set_aside_and_not_stopped(town: Town) -> None:
    token = town.nobodys["gateway"]["Authorization"].removeprefix("Bearer ")
    fixes = [
        position(1, session_id="fleet", rider_id=town.person.id, latitude=36.0),
        position(2, session_id="fleet", rider_id="rider-9", latitude=36.0, longitude=128.0),
    ]
    assert stream_positions(town.server.grpc, token, fixes) == 2
    town.server.wait_processed()
    assert town.server.get("/v1/riders/rider-9/position")["latitude"] == 36.0
    where = httpx.get(f"{town.server.url}/v1/riders/{town.person.id}/position", headers=town.mina)
    assert where.json()["latitude"] == town.person.latitude
