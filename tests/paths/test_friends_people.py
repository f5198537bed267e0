"""People and friendships against a real server: who may, becoming friends, phones, export, and being erased."""

import csv
import io
import json
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from majung.serve.http.app import api_description
from tests.friends_kit import WITHIN_S, Person, Watch, people
from tests.server import Server, majung, start_server

PASSWORD = "correct horse"
EVERYTHING = sorted(
    (method.upper(), path)
    for path, operations in msgspec.json.decode(api_description())["paths"].items()
    if path.startswith("/v1/friends")
    for method in operations
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    sets = ("delivery.open_sign_up=person,customer", "delivery.sign_up_per_minute=1000")
    with start_server(tmp_path_factory.mktemp("people") / "data", *sets) as found:
        yield found


def signed_up(server: Server, name: str) -> Person:
    body = {"name": name, "password": PASSWORD, "role": "person"}
    answer = httpx.post(f"{server.url}/v1/sign-up", json=body, timeout=WITHIN_S)
    assert answer.status_code == 201, answer.text
    token = answer.json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    me = httpx.get(f"{server.url}/v1/friends/me", headers=headers, timeout=WITHIN_S).json()
    return Person(server, {"rider_id": me["person_id"], "name": name, "token": token})


# ------------------------------------------------------------------------------------------ who may


def test_everything_of_friends_asks_who_is_there(server: Server) -> None:
    assert len(EVERYTHING) > 30
    with httpx.Client(base_url=server.url, timeout=WITHIN_S) as stranger:
        for method, path in EVERYTHING:
            assert stranger.request(method, path, json={}).status_code == 401, (method, path)


@pytest.mark.parametrize("role", ["admin", "operator", "viewer", "gateway", "rider", "customer", "store"])
def test_nobody_but_people_gets_in(server: Server, role: str) -> None:
    if role == "admin":
        headers = server.admin
    else:
        made = server.add_user(f"some-{role}", role)
        token = made.get("token") or server.sign_in(f"some-{role}", made["password"])
        headers = {"Authorization": f"Bearer {token}"}
    refused_everywhere(server, headers)


def test_a_phone_reports_and_does_nothing_else(server: Server) -> None:
    (mina,) = people(server, 1, "phone")
    token = mina("POST", "/v1/friends/devices", {"name": "pixel"})["token"]
    refused_everywhere(server, {"Authorization": f"Bearer {token}"})
    rider = server.add_device("rider-7")["token"]
    refused_everywhere(server, {"Authorization": f"Bearer {rider}"})


def refused_everywhere(server: Server, headers: dict[str, str]) -> None:
    bodies = {  # one that would be taken: what comes back is about who asks
        "/v1/friends/invitations/accept": {"token": "x"},
        "/v1/friends/requests": {"name": "mina"},
        "/v1/friends/groups": {"name": "family"},
        "/v1/friends/{person_id}/sharing": {"mode": "exact"},
        "/v1/friends/me": {"password": "x"},
    }
    with httpx.Client(base_url=server.url, headers=headers, timeout=WITHIN_S) as caller:
        for method, path in EVERYTHING:
            body = {} if (method, path) == ("PATCH", "/v1/friends/me") else bodies.get(path, {})
            answer = caller.request(method, path.format(**dict.fromkeys(IDS, "x")), json=body)
            assert answer.status_code == 403, (method, path, answer.text)


IDS = ("person_id", "group_id", "invitation_id", "request_id", "device_id", "token")


# ---------------------------------------------------------------------------------- becoming friends


def test_whoever_signs_up_is_a_person_with_nothing_shared(server: Server) -> None:
    mina = signed_up(server, "mina-new")
    me = mina("GET", "/v1/friends/me")
    assert mina.id.startswith("person-")
    assert (me["display_name"], me["sharing"]["mode"], me["radius_m"]) == ("mina-new", "off", 8046.72)
    assert mina("GET", "/v1/friends") == {"friends": []}


def test_by_a_link(server: Server) -> None:
    mina, joon, eve = people(server, 3, "link")
    made = mina("POST", "/v1/friends/invitations")
    assert made["url"] == f"{server.url}{made['path']}"
    token = made["path"].removeprefix("/friends#/invite/")
    assert joon("GET", f"/v1/friends/invitations/by-token/{token}")["name"] == mina.name
    for _ in range(2):
        assert joon("POST", "/v1/friends/invitations/accept", {"token": token}) == {"person_id": mina.id}
    over = eve.ask("POST", "/v1/friends/invitations/accept", {"token": token})
    assert (over.status_code, over.json()["type"]) == (410, "invitation-over")
    own = mina("POST", "/v1/friends/invitations")["token"]
    assert mina.ask("POST", "/v1/friends/invitations/accept", {"token": own}).status_code == 400
    assert eve.ask("POST", "/v1/friends/invitations/accept", {"token": "x" * 43}).status_code == 404
    assert [friend["person_id"] for friend in mina("GET", "/v1/friends")["friends"]] == [joon.id]


def test_the_answer_to_asking_says_nothing_of_whom(server: Server) -> None:
    mina, joon, eve = people(server, 3, "ask")
    eve("POST", f"/v1/friends/{mina.id}/block")
    answers = [mina.ask("POST", "/v1/friends/requests", {"name": n}) for n in (joon.name, eve.name, "none")]
    assert {(answer.status_code, answer.content) for answer in answers} == {(204, b"")}
    assert len(mina("GET", "/v1/friends/requests")["outgoing"]) == 3
    assert eve("GET", "/v1/friends/requests")["incoming"] == []
    (asked,) = joon("GET", "/v1/friends/requests")["incoming"]
    joon("POST", f"/v1/friends/requests/{asked['person_id']}/accept")
    assert [friend["name"] for friend in joon("GET", "/v1/friends")["friends"]] == [mina.name]


def test_sharing_by_friend_and_group_and_ghost_mode(server: Server) -> None:
    mina, joon = people(server, 2, "share")
    mina.befriend(joon)

    def gets() -> str:
        (friend,) = joon("GET", "/v1/friends")["friends"]
        return str(friend["gets"]["mode"])

    assert gets() == "off"
    mina.share("exact")
    assert gets() == "exact"
    group = mina("POST", "/v1/friends/groups", {"name": "가족", "sharing": {"mode": "blurred"}})["group_id"]
    for _ in range(2):
        mina("PUT", f"/v1/friends/groups/{group}/members/{joon.id}")
    assert gets() == "blurred"
    mina.share("exact", to=joon, **{"for": "1h"})
    assert gets() == "exact"
    assert mina("PATCH", "/v1/friends/me", {"ghost": True})["ghost"] is True
    assert gets() == "off"
    mina("PATCH", "/v1/friends/me", {"ghost": False})
    for _ in range(2):
        mina("DELETE", f"/v1/friends/{joon.id}/sharing")
    assert gets() == "blurred"
    mina("PATCH", f"/v1/friends/groups/{group}", {"no_sharing": True})
    assert gets() == "exact"
    mina("DELETE", f"/v1/friends/{joon.id}")
    assert joon("GET", "/v1/friends") == {"friends": []}
    stranger = mina.ask("PUT", f"/v1/friends/{joon.id}/sharing", {"mode": "exact"})
    nobody = mina.ask("PUT", "/v1/friends/person-nobody/sharing", {"mode": "exact"})
    assert (stranger.status_code, stranger.content) == (404, nobody.content)


@pytest.mark.parametrize(
    "body",
    [
        {"display_name": "\u202egod"},
        {"display_name": ""},
        {"radius_m": 0},
        {"radius_m": 1e9},
        {"ghost_for": "1 fortnight"},
        {"ghost": False, "ghost_for": "1h"},
        {"sharing": {"mode": "public"}},
        {"sharing": {"mode": "blurred", "precision": 12}},
        {"sharing": {"mode": "exact", "until_ms": 1}},
        {"friends": []},
    ],
)
def test_what_makes_no_sense_is_refused(server: Server, body: dict[str, Any]) -> None:
    (mina,) = people(server, 1, f"bad{abs(hash(str(body))) % 10**9}")
    before = mina("GET", "/v1/friends/me")
    assert mina.ask("PATCH", "/v1/friends/me", body).status_code == 400
    assert mina("GET", "/v1/friends/me") == before


# --------------------------------------------------------------------------------------------- phones


def test_own_phones(server: Server) -> None:
    mina, eve = people(server, 2, "own")
    added = mina("POST", "/v1/friends/devices", {"name": "pixel"})
    assert added["otrc"]["url"].endswith("/owntracks")
    assert (added["otrc"]["username"], added["otrc"]["password"]) == (mina.id, added["token"])
    assert added["apps"]["osmand"]["Device identifier"] == added["token"]
    (listed,) = mina("GET", "/v1/friends/devices")["devices"]
    assert (listed["device_id"], listed["name"]) == (added["device_id"], "pixel")
    report = {"_type": "location", "tid": "01", "lat": 37.4979, "lon": 127.0276, "tst": int(time.time())}
    sent = httpx.post(
        f"{server.url}/owntracks", auth=(mina.id, added["token"]), json=report, timeout=WITHIN_S
    )
    assert sent.status_code == 200
    assert eve.ask("DELETE", f"/v1/friends/devices/{added['device_id']}").status_code == 404
    mina("DELETE", f"/v1/friends/devices/{added['device_id']}")
    assert mina("GET", "/v1/friends/devices") == {"devices": []}
    sent = httpx.post(
        f"{server.url}/owntracks", auth=(mina.id, added["token"]), json=report, timeout=WITHIN_S
    )
    assert sent.status_code == 401


def test_phones_are_bounded(server: Server) -> None:
    (mina,) = people(server, 1, "many")
    codes = [mina.ask("POST", "/v1/friends/devices", {}).status_code for _ in range(12)]
    assert codes[:10] == [201] * 10
    assert 429 in codes


# -------------------------------------------------------------------------------------------- my data


def files_of(person: Person) -> dict[str, str]:
    answer = person.ask("GET", "/v1/friends/me/export")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_the_export_is_everything_of_oneself_and_nothing_of_others(server: Server) -> None:
    mina, joon = people(server, 2, "export")
    joon.befriend(mina)
    joon.share("exact", to=mina, history=True)
    mina.share("blurred", to=joon, precision=6)
    mina("POST", "/v1/friends/groups", {"name": "가족"})
    phone = mina("POST", "/v1/friends/devices", {"name": "pixel"})
    link = mina("POST", "/v1/friends/invitations")
    mine = [mina.report(37.5 + n * 1e-4, 127.0) for n in range(3)]
    joon.report(35.1234567, 129.0)
    server.wait_processed()
    files = files_of(mina)
    rows = list(csv.DictReader(io.StringIO(files["positions.csv"])))
    assert [row["latitude"] for row in rows] == ["37.5000000", "37.5001000", "37.5002000"]
    assert files["positions.gpx"].count("<trkpt ") == len(mine) == len(rows)
    (friend,) = json.loads(files["friends.json"])
    assert (friend["sharing"]["mode"], friend["gives"]["mode"]) == ("blurred", "blurred")
    assert friend["gets"]["mode"] == "exact"
    assert json.loads(files["me.json"])["person_id"] == mina.id
    assert [group["name"] for group in json.loads(files["groups.json"])] == ["가족"]
    assert [device["name"] for device in json.loads(files["devices.json"])] == ["pixel"]
    assert mina.name in files["README.txt"]
    whole = "".join(files.values())
    for secret in (phone["token"], link["token"], mina.token, "35.1234567"):
        assert secret not in whole


def test_where_one_was_is_erased_and_one_goes_on(server: Server) -> None:
    mina, joon = people(server, 2, "was")
    mina.befriend(joon)
    mina.share("exact", to=joon, history=True)
    mina.report(37.5, 127.0)
    server.wait_processed()
    mina("DELETE", "/v1/friends/me/history")
    assert "37.5" not in files_of(mina)["positions.csv"]
    mina.report(37.6, 127.0)
    server.wait_processed()
    assert files_of(mina)["positions.csv"].count("\n") == 2
    assert len(joon("GET", "/v1/friends")["friends"]) == 1


def test_an_administrator_erases_whoever_cannot_sign_in(server: Server) -> None:
    mina, joon = people(server, 2, "console")
    mina.befriend(joon)
    with Watch(joon) as his:
        majung("user", "erase", mina.name, "--yes", "--data", str(server.data))
        his.wait(lambda message: message.get("type") == "friends_changed")
    assert joon("GET", "/v1/friends") == {"friends": []}
    deadline = time.monotonic() + WITHIN_S
    while mina.ask("GET", "/v1/friends/me").status_code != 401:
        assert time.monotonic() < deadline
    with pytest.raises(AssertionError, match="not given again"):
        majung("user", "add", mina.name, "--role", "person", "--data", str(server.data))


def test_erased_is_gone_for_everybody_for_good(tmp_path_factory: pytest.TempPathFactory) -> None:
    data = tmp_path_factory.mktemp("erased") / "data"
    sets = ("delivery.open_sign_up=person", "delivery.sign_up_per_minute=1000")
    with start_server(data, *sets) as server:
        mina, joon = signed_up(server, "mina"), signed_up(server, "joon")
        mina("PATCH", "/v1/friends/me", {"display_name": "미나리"})
        mina.befriend(joon)
        for one, other in ((mina, joon), (joon, mina)):
            one.share("exact", to=other, history=True)
        group = joon("POST", "/v1/friends/groups", {"name": "club"})["group_id"]
        joon("PUT", f"/v1/friends/groups/{group}/members/{mina.id}")
        link = mina("POST", "/v1/friends/invitations")["token"]
        phone = mina("POST", "/v1/friends/devices", {"name": "pixel"})["token"]
        joon.report(37.5, 127.0)
        mina.report(37.5012345, 127.0)
        server.wait_processed()
        address = f"{server.url.replace('http', 'ws', 1)}/v1/friends/live"
        with Watch(joon) as his, connect(address, additional_headers=mina.headers) as hers:
            his.wait(lambda message: "37.5012345" in json.dumps(message))
            wrong = mina.ask("DELETE", "/v1/friends/me", {"password": "wrong horse"})
            assert wrong.status_code == 403
            mina("DELETE", "/v1/friends/me", {"password": PASSWORD})
            his.wait(lambda message: message["type"] == "left" and message["person_id"] == mina.id)
            with pytest.raises(ConnectionClosed):
                while True:
                    hers.recv(WITHIN_S)
            assert his.sees(mina) is None
        assert mina.ask("GET", "/v1/friends/me").status_code == 401
        again = {"name": "mina", "password": PASSWORD, "role": "person"}
        assert httpx.post(f"{server.url}/v1/sign-up", json=again, timeout=WITHIN_S).status_code == 409
        sent = httpx.post(f"{server.url}/owntracks", auth=(mina.id, phone), json={}, timeout=WITHIN_S)
        assert sent.status_code == 401
        nothing_is_left(server, joon, mina, link)
        for thrown_away in (False, True):
            assert server.stop() == 0
            if thrown_away:
                for view in ("live.db", "live.db-wal", "live.db-shm"):
                    (data / view).unlink(missing_ok=True)
            server.start()
            server.wait_processed()
            joon.close()
            token = server.sign_in("joon", PASSWORD)
            joon = Person(server, {"rider_id": joon.id, "name": "joon", "token": token})
            nothing_is_left(server, joon, mina, link)


def nothing_is_left(server: Server, joon: Person, mina: Person, link: str) -> None:
    """Whatever can be read, by a friend of old or by an administrator, names her no more."""
    assert joon.ask("GET", f"/v1/friends/invitations/by-token/{link}").status_code == 404
    for path in ("position", "track?from_ms=0&to_ms=9000000000000"):
        assert joon.ask("GET", f"/v1/friends/{mina.id}/{path}").status_code == 404
    reads = [
        path for method, path in EVERYTHING if method == "GET" and "{" not in path and "live" not in path
    ]
    said = [joon.ask("GET", path).text for path in reads if not path.endswith("export")]
    said += [str(files_of(joon))]
    admin = httpx.Client(base_url=server.url, headers=server.admin, timeout=WITHIN_S)
    for path in ("users", "devices", "quarantine", "events", "stats", "cells"):
        answer = admin.get(f"/v1/{path}")
        said.append(answer.text)
    for path in (f"riders/{mina.id}", f"riders/{mina.id}/track", f"devices?rider_id={mina.id}"):
        said.append(admin.get(f"/v1/{path}").text)
    whole = "\n".join(said)
    for trace in ("미나리", "37.5012345", "pixel"):
        assert trace not in whole
    assert joon("GET", "/v1/friends") == {"friends": []}
    assert admin.get(f"/v1/riders/{mina.id}").status_code in (403, 404)
