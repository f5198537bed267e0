"""A person reports through every door, and whoever asks, by whatever door, gets neither its id nor its place.

The walk asks every reading operation of the API's own description, so that one which is added is walked too.
The same walk must find a rider who reported in the same way: else it would find nothing of anybody.
"""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.paths.grpc_client import position, stream_positions
from tests.paths.people_kit import WITHIN_S, Town, description, socket_of
from tests.paths.reads_kit import utc
from tests.server import majung, start_server

WORLD = {"south": -90, "west": -180, "north": 90, "east": 180}
EAGER = ("server.rate_per_s=100000", "server.rate_burst=100000", "delivery.sign_up_per_minute=1000")


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
            with connect(socket_of(town.server, "live"), additional_headers=headers) as socket:
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
    with connect(socket_of(town.server, "live"), additional_headers=headers, max_size=None) as socket:
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
