"""Signing up and who one is then: over HTTP against a real server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server import Server, majung, start_server

PASSWORD = "a long password"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    sets = ("delivery.open_sign_up=customer,rider,store", "delivery.sign_up_per_minute=1000")
    with start_server(tmp_path_factory.mktemp("sign-up") / "data", *sets) as running:
        yield running


def sign_up(server: Server, name: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/sign-up", json={"name": name, "password": password, **more}, timeout=30
    )


def me(server: Server, token: str) -> dict[str, Any]:
    answer = httpx.get(f"{server.url}/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_customer_is_signed_in_at_once_and_can_come_back(server: Server) -> None:
    answer = sign_up(server, "지우")
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    tokens = answer.json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["refresh_token"]
    who = me(server, tokens["access_token"])
    assert (who["subject"], who["role"]) == ("customer:지우", "customer")
    assert "rider_id" not in who
    assert me(server, server.sign_in("지우", PASSWORD))["subject"] == "customer:지우"


def test_a_rider_is_one_that_nobody_has_seen_before(server: Server) -> None:
    server.add_device("rider-7")
    who = me(server, sign_up(server, "rider-7", role="rider").json()["access_token"])
    assert who["rider_id"].startswith("rider-")
    assert who["rider_id"] != "rider-7"
    assert who["riders"] == [who["rider_id"]]


def test_a_rider_reports_for_itself_and_sees_itself_alone(server: Server) -> None:
    token = sign_up(server, "minsu", role="rider").json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    rider_id = me(server, token)["rider_id"]
    sent = httpx.post(
        f"{server.url}/osmand",
        params={"lat": "37.5", "lon": "127.0", "speed_mps": "5"},
        headers=headers,
    )
    assert sent.status_code == 200, sent.text
    server.wait_processed()
    seen = httpx.get(f"{server.url}/v1/riders/{rider_id}/position", headers=headers)
    assert seen.status_code == 200, seen.text
    other = httpx.get(f"{server.url}/v1/riders/rider-7/position", headers=headers)
    assert other.status_code == 403


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [
        ("kim", "short", "10 to"),
        ("kim", "x" * 2000, "10 to"),
        ("kimkimkimkim", "KimKimKimKim", "is the name"),
        ("kim", "aaaaaaaaaaaa", "different characters"),
        ("a/b", PASSWORD, "user name"),
        ("", PASSWORD, "user name"),
    ],
)
def test_what_is_refused_says_why(server: Server, name: str, password: str, says: str) -> None:
    answer = sign_up(server, name, password)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.json()["detail"]


@pytest.mark.parametrize("role", ["admin", "operator", "viewer", "gateway", "device"])
def test_nobody_makes_himself_staff(server: Server, role: str) -> None:
    answer = sign_up(server, f"would-be-{role}", role=role)
    assert answer.status_code == 403, answer.text


def test_a_name_is_given_once_even_when_it_was_revoked(server: Server) -> None:
    assert sign_up(server, "lee").status_code == 201
    again = sign_up(server, "lee", "another long one")
    assert again.status_code == 409
    assert "already" in again.json()["detail"]
    majung("user", "revoke", "lee", "--data", str(server.data))
    assert sign_up(server, "lee", "another long one").status_code == 409


def test_the_page_can_ask_who_may_sign_up(server: Server) -> None:
    answer = httpx.get(f"{server.url}/v1/sign-up")
    assert answer.json() == {"roles": ["customer", "rider", "store"]}


def test_by_default_customers_alone_and_not_too_many(tmp_path: Path) -> None:
    with start_server(tmp_path / "data", "delivery.sign_up_per_minute=2") as server:
        assert sign_up(server, "min-ji", role="rider").status_code == 403
        assert [sign_up(server, f"kim-{n}").status_code for n in range(3)] == [201, 201, 429]


def test_accounts_from_the_console_have_their_rider_and_store(server: Server) -> None:
    data = str(server.data)
    majung("user", "add", "old-hand", "--role", "rider", "--rider-id", "rider-0042", "--data", data)
    assert '"rider_id": "han"' in majung("user", "add", "han", "--role", "rider", "--data", data)
    added = majung("user", "add", "kitchen", "--role", "store", "--store-id", "store-1", "--data", data)
    assert '"store_id": "store-1"' in added
    refused = majung("user", "add", "no", "--role", "viewer", "--rider-id", "r", "--data", data, check=False)
    assert refused == ""
    listed = majung("user", "list", "--data", data)
    assert '"rider_id":"rider-0042"' in listed
    assert '"name":"no"' not in listed
