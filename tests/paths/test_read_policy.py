"""Who may see whom: the same answer on every path that reads positions."""

import json
import time

import httpx
import pytest
from websockets.sync.client import connect

from tests.paths.reads_kit import CROWD, GANGNAM, Sender, bearer, by_hand, get, refused, same_hits
from tests.server import Server


@pytest.fixture(scope="module")
def reads(module_server: Server) -> Server:
    """A server with the crowd."""
    Sender(module_server).send_crowd()
    module_server.wait_processed()
    return module_server


@pytest.fixture(scope="module")
def people(reads: Server) -> dict[str, dict[str, str]]:
    """Headers of a viewer with two grants, a viewer with none, a device, a gateway, an operator."""
    made = {
        name: reads.add_user(name, role) for name, role in (("granted", "viewer"), ("stranger", "viewer"))
    }
    for rider_id in ("twin-a", "crowd-005"):
        url = f"{reads.url}/v1/accounts/users/granted/grants/{rider_id}"
        httpx.put(url, headers=reads.admin, json={}).raise_for_status()
    headers = {name: bearer(reads.sign_in(name, user["password"])) for name, user in made.items()}
    headers["device"] = bearer(reads.add_device("twin-b")["token"])
    headers["gateway"] = bearer(reads.add_user("nosy-fleet", "gateway")["token"])
    headers["operator"] = bearer(reads.add_user("desk", "operator")["token"])
    return headers


SEES: dict[str, set[str]] = {
    "granted": {"twin-a", "crowd-005"},
    "stranger": set(),
    "device": {"twin-b"},
    "operator": set(CROWD),
}


@pytest.mark.parametrize("who", SEES)
def test_everybody_sees_exactly_what_is_granted(
    reads: Server, people: dict[str, dict[str, str]], who: str
) -> None:
    headers, sees = people[who], SEES[who]
    for rider_id in ("twin-a", "twin-b", "crowd-005", "crowd-006", "nobody"):
        for path in ("position", "track"):
            answer = get(reads, f"/v1/riders/{rider_id}/{path}", headers)
            if rider_id in sees:
                assert answer.status_code == 200, (rider_id, path)
            elif who == "operator":
                assert answer.status_code == (404 if path == "position" else 200)
            else:
                refused(answer, 403, rider_id)
    batch = httpx.post(
        f"{reads.url}/v1/positions/batch-get", headers=headers, json={"rider_ids": list(CROWD)}
    ).json()
    assert {found["rider_id"] for found in batch["positions"]} == sees
    assert set(batch["missing"]) == set(CROWD) - sees
    lat, lon = GANGNAM
    nearest = get(reads, "/v1/riders/nearest", headers, lat=lat, lon=lon, radius_m=100_000, limit=1000)
    same_hits(nearest, by_hand(lat, lon, 100_000, 1000, sees))
    closest = get(reads, "/v1/riders/nearest", headers, lat=lat, lon=lon, radius_m=100_000, limit=1)
    same_hits(closest, by_hand(lat, lon, 100_000, 1, sees))
    assert snapshot_of(reads, headers) & set(CROWD) == sees


def snapshot_of(server: Server, headers: dict[str, str]) -> set[str]:
    """Whom a viewer of the whole world is shown first."""
    world = {"south": -90, "west": -180, "north": 90, "east": 180}
    url = f"ws://127.0.0.1:{server.http_port}/v1/live"
    with connect(url, additional_headers=headers, max_size=None, compression=None) as socket:
        socket.send(json.dumps({"subscribe": {"id": "all", "area": world}}))
        message = json.loads(socket.recv(timeout=60))
        assert message["type"] == "snapshot", message
        return {found["rider_id"] for found in message["positions"]}


def test_a_gateway_reports_and_reads_nothing(reads: Server, people: dict[str, dict[str, str]]) -> None:
    headers = people["gateway"]
    lat, lon = GANGNAM
    refused(get(reads, "/v1/riders/twin-a/position", headers), 403)
    refused(get(reads, "/v1/riders/twin-a/track", headers), 403)
    refused(get(reads, "/v1/riders/nearest", headers, lat=lat, lon=lon), 403, "gateway")
    body = {"rider_ids": ["twin-a"]}
    refused(httpx.post(f"{reads.url}/v1/positions/batch-get", headers=headers, json=body), 403, "gateway")
    refused(get(reads, "/v1/live/events", headers, rider="twin-a"), 403, "gateway")


def test_only_operators_read_what_is_for_operators(reads: Server, people: dict[str, dict[str, str]]) -> None:
    for path in ("/v1/quarantine", "/v1/cells", "/v1/stats", "/v1/fences"):
        for who in ("granted", "device", "gateway"):
            refused(get(reads, path, people[who]), 403, "may not")
        assert get(reads, path, people["operator"]).status_code == 200
        refused(get(reads, path, {}), 401)


def test_a_grant_that_is_taken_away_ends_every_read(reads: Server) -> None:
    reads.add_user("brief", "viewer")
    token = httpx.post(f"{reads.url}/v1/accounts/users/brief/password", headers=reads.admin, json={}).json()
    headers = bearer(reads.sign_in("brief", token["password"]))
    grant = f"{reads.url}/v1/accounts/users/brief/grants/twin-a"
    httpx.put(grant, headers=reads.admin, json={}).raise_for_status()
    lat, lon = GANGNAM

    def seen() -> list[int]:
        body = {"rider_ids": ["twin-a"]}
        batch = httpx.post(f"{reads.url}/v1/positions/batch-get", headers=headers, json=body).json()
        nearest = get(reads, "/v1/riders/nearest", headers, lat=lat, lon=lon, radius_m=100_000).json()
        one = [get(reads, f"/v1/riders/twin-a/{path}", headers).status_code for path in ("position", "track")]
        return [*one, len(batch["positions"]), len(nearest["riders"])]

    deadline = time.monotonic() + 60
    while seen() != [200, 200, 1, 1]:
        assert time.monotonic() < deadline, seen()
    httpx.delete(grant, headers=reads.admin).raise_for_status()
    while seen() != [403, 403, 0, 0]:
        assert time.monotonic() < deadline, seen()


def test_a_token_in_the_query(reads: Server) -> None:
    token = reads.admin["Authorization"].removeprefix("Bearer ")
    assert get(reads, "/v1/riders/twin-a/position", {}, access_token=token).status_code == 200
    refused(get(reads, "/v1/riders/twin-a/position", {}, access_token=token + "x"), 401)
