"""Signing in, devices and grants against a real server: over HTTP, and from the console beside it."""

import base64
import json
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from majung.auth.model import Role
from tests.server import Server, majung, start_server

NOTICED_WITHIN_S = 60.0
OPEN_PATHS = {
    "/v1/oauth/token",
    "/v1/oauth/jwks.json",
    "/v1/sign-up",
    "/v1/map/config.json",  # what the map page looks like before anybody has signed in
    "/v1/track/{token}",  # the token of a share link is the credential
    "/v1/track/{token}/events",
    "/healthz",
    "/readyz",
    "/metrics",
}
PHONE_PATHS = {"/owntracks", "/owntracks/pub", "/pub", "/osmand", "/overland"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def ask_token(server: Server, headers: Mapping[str, str] | None = None, **form: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/oauth/token", data=form, headers=headers)


def me(server: Server, headers: dict[str, str]) -> httpx.Response:
    return httpx.get(f"{server.url}/v1/me", headers=headers)


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + NOTICED_WITHIN_S
    while not true():
        assert time.monotonic() < deadline, f"not within {NOTICED_WITHIN_S} s: {what}"
        time.sleep(0.05)


# ------------------------------------------------------------------------------------ first start


def test_a_server_without_default_secrets(server: Server) -> None:
    assert re.fullmatch(r"[a-z2-9]{5}(-[a-z2-9]{5}){3}", server.admin_password)
    assert me(server, server.admin).json()["role"] == "admin"
    for guess in ("admin", "majung", "password", ""):
        assert ask_token(server, grant_type="password", username="admin", password=guess).status_code == 400
    password = server.admin_password
    server.stop()
    server.start()
    assert server.log.read_text().count(password) == 1, "the password is shown at the first start alone"
    assert server.sign_in("admin", password)


def test_only_the_owner_reads_the_data_folder(server: Server) -> None:
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.data / "majung.db").stat().st_mode) == 0o600


def test_credentials_before_the_first_start(tmp_path: Path) -> None:
    data = tmp_path / "not" / "there yet"
    device = json.loads(majung("device", "add", "라이더 7", "--data", str(data)))
    fleet = json.loads(majung("user", "add", "fleet", "--role", "gateway", "--data", str(data)))
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    with start_server(data) as server:
        assert me(server, bearer(device["token"])).json()["rider_id"] == "라이더 7"
        assert me(server, bearer(fleet["token"])).json()["subject"] == "gateway:fleet"
        assert server.admin_password


# -------------------------------------------------------------------------------- the token endpoint


def test_the_three_grants(module_server: Server) -> None:
    server = module_server
    mina = server.add_user("mina", "operator")
    answer = ask_token(server, grant_type="password", username="mina", password=mina["password"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    granted = answer.json()
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 3600)
    assert me(server, bearer(granted["access_token"])).json()["subject"] == "operator:mina"

    refreshed = ask_token(server, grant_type="refresh_token", refresh_token=granted["refresh_token"]).json()
    assert me(server, bearer(refreshed["access_token"])).status_code == 200
    again = ask_token(server, grant_type="refresh_token", refresh_token=granted["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    family = ask_token(server, grant_type="refresh_token", refresh_token=refreshed["refresh_token"])
    assert family.json()["error"] == "invalid_grant"

    device = server.add_device("rider-1")
    in_form = ask_token(
        server,
        grant_type="client_credentials",
        client_id=device["client_id"],
        client_secret=device["client_secret"],
    )
    in_header = ask_token(
        server, basic(device["client_id"], device["client_secret"]), grant_type="client_credentials"
    )
    for answer in (in_form, in_header):
        assert me(server, bearer(answer.json()["access_token"])).json() | {"expires_at_ms": 0} == {
            "subject": f"device:{device['device_id']}",
            "role": "device",
            "rider_id": "rider-1",
            "expires_at_ms": 0,
            "riders": ["rider-1"],
        }


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "invalid_request"),
        ({"grant_type": "password", "username": "admin"}, 400, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "x"}, 400, "unsupported_grant_type"),
        ({"grant_type": "implicit"}, 400, "unsupported_grant_type"),
        ({"grant_type": "password", "username": "nobody", "password": "wrong one"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant"),
        ({"grant_type": "client_credentials"}, 400, "invalid_request"),
        ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, 401, "invalid_client"),
    ],
    ids=str,
)
def test_refusals_as_the_rfc_names_them(
    module_server: Server, form: dict[str, str], status: int, error: str
) -> None:
    answer = ask_token(module_server, None, **form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["error_description"]
    assert answer.headers["cache-control"] == "no-store"


def test_forms_that_are_none(module_server: Server) -> None:
    url = f"{module_server.url}/v1/oauth/token"
    form = "application/x-www-form-urlencoded"
    bad: list[tuple[bytes, str]] = [
        (b'{"grant_type": "password"}', "application/json"),
        (b"grant_type=password&grant_type=password&username=a&password=b", form),
        (b"grant_type=password&username=%ff&password=%fe", form),
        (b"\xff\xfe\x00", form),
        (b"a=b&" * 1000, form),
        (b"grant_type=password&username=" + b"x" * 1_000_000, form),
    ]
    for body, content_type in bad:
        answer = httpx.post(url, content=body, headers={"Content-Type": content_type})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), body[:60]
    twice = ask_token(
        module_server, basic("a", "b"), grant_type="client_credentials", client_id="a", client_secret="b"
    )
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")
    wrong = ask_token(module_server, basic("a", "b"), grant_type="client_credentials")
    assert wrong.status_code == 401
    assert wrong.headers["www-authenticate"].startswith("Basic")


def test_guessing_is_stopped(server: Server) -> None:
    answers = [
        ask_token(server, grant_type="password", username="admin", password=f"guess {n}") for n in range(12)
    ]
    assert [a.status_code for a in answers[:10]] == [400] * 10
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_the_published_keys_hold_no_secret(module_server: Server) -> None:
    keys = httpx.get(f"{module_server.url}/v1/oauth/jwks.json").json()["keys"]
    assert keys
    assert all(key["alg"] == "ES256" and "d" not in key for key in keys)


# ------------------------------------------------------------------------------ who is let in where


def test_every_door_asks(module_server: Server) -> None:
    """No path of the API answers somebody without a credential, but the few that are open on purpose."""
    asked = 0
    spec = httpx.get(f"{module_server.url}/openapi.json").json()
    for path, methods in spec["paths"].items():
        if path in OPEN_PATHS or not path.startswith(("/v1/", *PHONE_PATHS)):
            continue
        url = module_server.url + re.sub(r"\{[^}]*\}", "rider-1", path)
        for method in methods.keys() & {"get", "post", "put", "patch", "delete"}:
            for headers in ({}, bearer("x.y.z"), bearer("mjd_a_b"), basic(f"nobody-{asked}", "wrong one")):
                answer = httpx.request(method, url, headers=headers, timeout=60)
                assert answer.status_code == 401, f"{method} {path} {headers}: {answer.status_code}"
                asked += 1
    assert asked >= 40


ADMIN_CALLS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/v1/accounts/users", None),
    ("POST", "/v1/accounts/users", {"name": "evil", "role": "admin"}),
    ("DELETE", "/v1/accounts/users/admin", None),
    ("POST", "/v1/accounts/users/admin/password", {}),
    ("GET", "/v1/accounts/devices", None),
    ("POST", "/v1/accounts/devices", {"rider_id": "rider-1"}),
    ("DELETE", "/v1/accounts/devices/x", None),
    ("GET", "/v1/accounts/users/admin/grants", None),
    ("PUT", "/v1/accounts/users/admin/grants/rider-1", {}),
    ("DELETE", "/v1/accounts/users/admin/grants/rider-1", None),
]


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMIN, Role.SHARE}))  # nobody signs in as a link
def test_only_administrators_administer(module_server: Server, role: Role) -> None:
    if role is Role.DEVICE:
        headers = bearer(module_server.add_device("rider-1")["token"])
    else:
        user = module_server.add_user(f"not-admin-{role}", role)
        headers = basic(user["name"], user["password"])
    for method, path, body in ADMIN_CALLS:
        answer = httpx.request(method, module_server.url + path, json=body, headers=headers)
        assert answer.status_code == 403, f"{role} {method} {path}: {answer.status_code} {answer.text}"
    names = {user["name"] for user in module_server.get("/v1/accounts/users")["users"]}
    assert "evil" not in names


# --------------------------------------------------------------------------- the administrator's API


def test_a_user_from_beginning_to_end(module_server: Server) -> None:
    server = module_server
    url = f"{server.url}/v1/accounts/users"
    made = httpx.post(url, json={"name": "김 하나", "role": "viewer"}, headers=server.admin)
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    assert (
        httpx.post(url, json={"name": "김 하나", "role": "viewer"}, headers=server.admin).status_code == 409
    )
    token = server.sign_in("김 하나", made.json()["password"])
    assert me(server, bearer(token)).json()["riders"] == []

    granted = httpx.put(f"{url}/김 하나/grants/라이더 1", json={}, headers=server.admin)
    assert granted.json() == {"account": "김 하나", "rider_id": "라이더 1"}
    assert me(server, bearer(token)).json()["riders"] == ["라이더 1"]
    soon = {"until": "2999-01-01T00:00:00+09:00"}
    assert httpx.put(f"{url}/김 하나/grants/rider-2", json=soon, headers=server.admin).status_code == 200
    grants = server.get("/v1/accounts/users/김 하나/grants")["grants"]
    assert {grant["rider_id"] for grant in grants} == {"라이더 1", "rider-2"}
    for bad in (
        {"until": "2001-01-01T00:00:00Z"},
        {"until": "2999-01-01T00:00:00"},
        {"until": "soon"},
        {"x": 1},
    ):
        assert httpx.put(f"{url}/김 하나/grants/rider-3", json=bad, headers=server.admin).status_code == 400

    def sees() -> list[str]:
        return list(me(server, bearer(token)).json()["riders"])

    assert httpx.delete(f"{url}/김 하나/grants/라이더 1", headers=server.admin).status_code == 204
    until(lambda: sees() == ["rider-2"], "a removed grant is noticed")

    changed = httpx.post(
        f"{url}/김 하나/password", json={"password": "새비밀번호여덟자"}, headers=server.admin
    )
    assert changed.status_code == 200
    until(lambda: me(server, bearer(token)).status_code == 401, "tokens of the old password end")
    token = server.sign_in("김 하나", "새비밀번호여덟자")
    assert httpx.delete(f"{url}/김 하나", headers=server.admin).status_code == 204
    until(lambda: me(server, bearer(token)).status_code == 401, "a revoked user is out")
    assert httpx.delete(f"{url}/김 하나", headers=server.admin).status_code == 404
    assert httpx.delete(f"{url}/admin", headers=server.admin).status_code == 409
    for bad_user in (
        {},
        {"name": "x", "role": "god"},
        {"name": "a/b", "role": "viewer"},
        {"name": "y", "role": "device"},
    ):
        assert httpx.post(url, json=bad_user, headers=server.admin).status_code == 400, bad_user


def test_a_device_from_beginning_to_end(module_server: Server) -> None:
    server = module_server
    url = f"{server.url}/v1/accounts/devices"
    made = httpx.post(url, json={"rider_id": "rider-9", "name": "blue"}, headers=server.admin)
    assert made.status_code == 201
    device = made.json()
    assert device["apps"]["overland"]["Access Token"] == device["token"]
    for headers in (bearer(device["token"]), basic("rider-9", device["token"])):
        assert me(server, headers).json()["rider_id"] == "rider-9"
    assert httpx.get(f"{server.url}/v1/me", params={"access_token": device["token"]}).status_code == 200
    (listed,) = server.get("/v1/accounts/devices", rider_id="rider-9")["devices"]
    assert (listed["name"], "revoked_at_ms" in listed) == ("blue", False)
    assert device["client_secret"] not in json.dumps(listed)
    assert httpx.delete(f"{url}/{device['device_id']}", headers=server.admin).status_code == 204
    until(lambda: me(server, bearer(device["token"])).status_code == 401, "a revoked device is out")
    assert httpx.delete(f"{url}/{device['device_id']}", headers=server.admin).status_code == 404


# -------------------------------------------------------------------------------------- the console


def test_the_console_beside_a_running_server(module_server: Server) -> None:
    server, data = module_server, ("--data", str(module_server.data))
    device = server.add_device("rider-5")
    assert set(device) == {"device_id", "rider_id", "token", "client_id", "client_secret", "apps"}
    assert me(server, bearer(device["token"])).status_code == 200
    listed = [json.loads(line) for line in majung("device", "list", "--rider", "rider-5", *data).splitlines()]
    assert [row["device_id"] for row in listed] == [device["device_id"]]
    majung("device", "revoke", device["device_id"], *data)
    until(lambda: me(server, bearer(device["token"])).status_code == 401, "a revoked device is out")

    operator = server.add_user("lee", "operator")
    assert me(server, bearer(operator["token"])).json()["subject"] == "operator:lee"
    changed = json.loads(majung("user", "password", "lee", *data))
    assert server.sign_in("lee", changed["password"])
    assert "lee" in {json.loads(line)["name"] for line in majung("user", "list", *data).splitlines()}
    majung("user", "revoke", "lee", *data)
    until(lambda: me(server, bearer(operator["token"])).status_code == 401, "a revoked user is out")


def test_a_password_from_standard_input(module_server: Server) -> None:
    command = [
        "user",
        "add",
        "park",
        "--role",
        "viewer",
        "--password-stdin",
        "--data",
        str(module_server.data),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "majung", *command],
        input="여기비밀번호있다\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert json.loads(done.stdout)["password"] == "여기비밀번호있다"
    assert module_server.sign_in("park", "여기비밀번호있다")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("user", "add", "x", "--role", "god"), "gateway"),
        (("user", "add", "a/b", "--role", "viewer"), "without /"),
        (("user", "add", "admin", "--role", "viewer"), "already"),
        (("user", "revoke", "nobody"), "no user"),
        (("device", "add", ""), "rider_id"),
        (("device", "revoke", "nobody"), "no device"),
    ],
    ids=str,
)
def test_mistakes_are_said_in_one_line(module_server: Server, arguments: tuple[str, ...], says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "majung", *arguments, "--data", str(module_server.data)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "command", [("user",), ("device",), ("user", "add"), ("device", "add"), ("user", "revoke")]
)
def test_help_says_how(command: tuple[str, ...]) -> None:
    said = majung(*command, "--help", check=False)
    assert "Usage" in said
    if len(command) == 2:
        assert "Example" in said
