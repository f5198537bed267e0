"""What the tests of HTTP reads share: a crowd of riders, reading, and measuring by hand."""

import random
import time
from typing import Any

import httpx
import pytest

from majung.positions.geodesy import distance_m
from tests.paths.grpc_client import position, stream_positions
from tests.server import Server

NOW_MS = time.time_ns() // 1_000_000
GANGNAM = (37.4979, 127.0276)
PROBLEM = "application/problem+json"
Fix = tuple[str, float, float]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def utc(time_ms: int) -> str:
    seconds, millis = divmod(time_ms, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{millis:03}Z"


def crowd() -> dict[str, Fix]:
    """Riders round Gangnam, some on the same spot, one with a Hangul name."""
    chance = random.Random(11)
    found: dict[str, Fix] = {}
    for number in range(300):
        latitude = GANGNAM[0] + chance.gauss(0, 0.01)
        longitude = GANGNAM[1] + chance.gauss(0, 0.01)
        found[f"crowd-{number:03}"] = (f"crowd-{number:03}", latitude, longitude)
    for twin in ("twin-b", "twin-a", "쌍둥이 라이더"):
        found[twin] = (twin, 37.5, 127.03)
    return found


CROWD = crowd()


class Sender:
    """Sends positions as a gateway."""

    def __init__(self, server: Server) -> None:
        self.address = server.grpc
        self.token = str(server.add_user("reads-fleet", "gateway")["token"])

    def __call__(self, positions: list[dict[str, Any]]) -> None:
        stream_positions(self.address, self.token, [position(**fields) for fields in positions])

    def send_crowd(self) -> None:
        self([{"rider_id": i, "seq": 1, "latitude": a, "longitude": o} for i, a, o in CROWD.values()])


def get(server: Server, path: str, headers: dict[str, str] | None = None, **params: Any) -> httpx.Response:
    return httpx.get(
        f"{server.url}{path}", headers=server.admin if headers is None else headers, params=params, timeout=60
    )


def refused(answer: httpx.Response, status: int, word: str = "") -> None:
    """Problem details with this status, whose detail names what is wrong."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert word in problem.get("detail", ""), problem
    assert "Traceback" not in answer.text


def by_hand(
    latitude: float, longitude: float, radius_m: float, limit: int, among: Any = CROWD
) -> list[tuple[str, float]]:
    """Every rider measured, by another formula than the server's."""
    hits = [(i, distance_m(latitude, longitude, CROWD[i][1], CROWD[i][2])) for i in among]
    return sorted((hit for hit in hits if hit[1] <= radius_m), key=lambda hit: (round(hit[1], 6), hit[0]))[
        :limit
    ]


def same_hits(answer: httpx.Response, expected: list[tuple[str, float]]) -> None:
    assert answer.status_code == 200, answer.text
    found = [(hit["rider_id"], hit["distance_m"]) for hit in answer.json()["riders"]]
    assert [rider_id for rider_id, _ in found] == [rider_id for rider_id, _ in expected]
    assert [metres for _, metres in found] == pytest.approx([metres for _, metres in expected], abs=1e-6)
    for hit in answer.json()["riders"]:
        assert hit["position"]["rider_id"] == hit["rider_id"]
