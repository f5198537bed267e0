"""Tokens that were used, revoked, signed by others or by nobody: at the doors of orders, and nothing is done."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.paths.test_orders import PASSWORD, Four, problem
from tests.server import majung, start_server

SETS = ("delivery.open_sign_up=customer,rider,store", "delivery.sign_up_per_minute=1000")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Four]:
    with start_server(tmp_path_factory.mktemp("tokens") / "data", *SETS) as server:
        yield Four(server)


def sign_in(four: Four, name: str) -> dict[str, Any]:
    data = {"grant_type": "password", "username": name, "password": PASSWORD}
    return dict(httpx.post(f"{four.server.url}/v1/oauth/token", data=data, timeout=60).json())


def refresh(four: Four, token: str) -> httpx.Response:
    data = {"grant_type": "refresh_token", "refresh_token": token}
    return httpx.post(f"{four.server.url}/v1/oauth/token", data=data, timeout=60)


def place(four: Four, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{four.server.url}/v1/orders", json=four.wish(), headers=headers, timeout=60)


def refused(four: Four, token: str) -> None:
    """Nowhere: placing, reading, commanding, streaming."""
    before = four.admin("GET", "/v1/orders").json()
    told = problem(place(four, token), 401, "unauthenticated")
    assert token not in json.dumps(told), "the token is not sent back"
    headers = {"Authorization": f"Bearer {token}"}
    for path in ("/v1/orders", "/v1/orders/o-1", "/v1/me", f"/v1/orders/events?access_token={token}"):
        found = {} if "?" in path else headers
        answer = httpx.get(f"{four.server.url}{path}", headers=found, timeout=60)
        assert answer.status_code == 401, f"{path}: {answer.text}"
        assert 'Bearer realm="majung"' in answer.headers["www-authenticate"]
    address = f"ws://127.0.0.1:{four.server.http_port}/v1/orders/live?access_token={token}"
    with pytest.raises(InvalidStatus) as closed, connect(address):
        pass
    assert closed.value.response.status_code == 401
    assert four.admin("GET", "/v1/orders").json() == before


def test_a_refresh_token_used_twice_ends_all_that_came_of_it(four: Four) -> None:
    first = sign_in(four, "mina")
    second = refresh(four, first["refresh_token"]).json()
    stolen = refresh(four, first["refresh_token"])
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
    assert refresh(four, second["refresh_token"]).status_code == 400
    assert sign_in(four, "mina")["access_token"]  # the person may sign in again


def test_a_refresh_token_opens_no_door_of_orders(four: Four) -> None:
    refused(four, sign_in(four, "mina")["refresh_token"])


def test_an_account_that_was_revoked(four: Four) -> None:
    four._sign_up("gone", "customer")
    token = sign_in(four, "gone")
    assert place(four, token["access_token"]).status_code == 201
    majung("user", "revoke", "gone", "--data", str(four.server.data))
    while place(four, token["access_token"]).status_code == 201:
        time.sleep(0.05)  # within a second; the limit of the test is the bound
    refused(four, token["access_token"])
    assert refresh(four, token["refresh_token"]).status_code == 400


def test_the_token_of_another_server(four: Four, tmp_path: Path) -> None:
    with start_server(tmp_path / "data", *SETS) as other:
        refused(four, Four(other).customer._headers["Authorization"].removeprefix("Bearer "))


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unpack(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    head, body, signature = token.split(".")
    pad = "=" * 3
    return (
        json.loads(base64.urlsafe_b64decode(head + pad)),
        json.loads(base64.urlsafe_b64decode(body + pad)),
        signature,
    )


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", ""])
def test_a_token_that_nobody_signed(four: Four, algorithm: str) -> None:
    header, claims, signature = unpack(sign_in(four, "mina")["access_token"])
    for end in ("", signature):
        refused(four, f"{part({**header, 'alg': algorithm})}.{part(claims)}.{end}")


def test_a_token_that_somebody_else_signed_or_that_was_changed(four: Four) -> None:
    token = sign_in(four, "mina")["access_token"]
    header, claims, signature = unpack(token)
    stranger = ECKey.generate_key("P-256")
    refused(four, jwt.encode(header, claims, stranger, algorithms=["ES256"]))
    refused(four, f"{part(header)}.{part({**claims, 'role': 'admin'})}.{signature}")
    refused(four, f"{part(header)}.{part({**claims, 'exp': claims['exp'] + 86_400})}.{signature}")
    refused(four, token[:-2])
    refused(four, token + "x" * 5_000)


def test_an_expired_token(tmp_path: Path) -> None:
    with start_server(tmp_path / "data", *SETS, "auth.token_for=1s") as server:
        body = {"name": "mina", "password": PASSWORD, "role": "customer"}
        signed_up = httpx.post(f"{server.url}/v1/sign-up", json=body, timeout=60).json()
        headers = {"Authorization": f"Bearer {signed_up['access_token']}"}
        while (answer := httpx.get(f"{server.url}/v1/orders", headers=headers)).status_code == 200:
            time.sleep(0.05)
        assert problem(answer, 401, "unauthenticated")["detail"]
        again = {"grant_type": "refresh_token", "refresh_token": signed_up["refresh_token"]}
        fresh = httpx.post(f"{server.url}/v1/oauth/token", data=again).json()["access_token"]
        assert (
            httpx.get(f"{server.url}/v1/orders", headers={"Authorization": f"Bearer {fresh}"}).status_code
            == 200
        )
