"""A server with a person and a rider who report alike, callers of every role, and a walk past every door."""

import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from websockets.sync.client import connect

from majung.serve.http.app import api_description
from tests.paths.grpc_client import position, stream_positions
from tests.paths.reads_kit import bearer, utc
from tests.paths.test_phones import feature, owntracks
from tests.server import Server

PASSWORD = "a long password"
WITHIN_S = 60.0
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
        answer = httpx.post(f"{self.server.url}/v1/sign-up", json=body, timeout=60)
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
        with connect(socket_of(self.server, "positions/stream"), additional_headers=header) as socket:
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


def socket_of(server: Server, path: str) -> str:
    return f"ws://127.0.0.1:{server.http_port}/v1/{path}"
