"""Friends in the answers that the OwnTracks app gets over HTTP."""

import base64
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.friends_kit import WITHIN_S, Person, people
from tests.mosquitto_kit import fix
from tests.server import Server, start_server

PASSWORD = "a long password"
GANGNAM = (37.4979, 127.0276)
NEAR_BY = (37.5012, 127.0396)
BUSAN = (35.1796, 129.0756)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    sets = ("delivery.open_sign_up=person", "delivery.sign_up_per_minute=1000")
    with start_server(tmp_path_factory.mktemp("owntracks") / "data", *sets) as running:
        yield running


@pytest.fixture(scope="module")
def made(server: Server) -> Iterator[Person]:
    """People whom nobody knows yet; each test takes as many as it needs."""
    return iter(people(server, 12, "p-"))


def tag(person: Person) -> str:
    return person.id.removeprefix("person-")


class Post:
    """An app in HTTP mode."""

    def __init__(self, server: Server, user: str, password: str, device: str = "phone") -> None:
        self.url, self.auth = f"{server.url}/owntracks", httpx.BasicAuth(user, password)
        self.headers = {"X-Limit-D": device}

    def __call__(self, message: Any) -> list[dict[str, Any]]:
        answer = httpx.post(self.url, json=message, auth=self.auth, headers=self.headers, timeout=WITHIN_S)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert isinstance(found, list)
        return found

    @staticmethod
    def of(person: Person, device: str = "phone") -> "Post":
        """With a token that the person made for a phone."""
        token = person("POST", "/v1/friends/devices", {"name": device})["token"]
        return Post(person.server, person.id, token, device)


def test_a_friend_near_by_is_a_card_and_a_place(server: Server, made: Iterator[Person]) -> None:
    anna, ben = next(made), next(made)
    anna.befriend(ben)
    ben.share("exact")
    at_s = int(time.time()) - 5
    assert Post.of(ben)(fix(*NEAR_BY, at_s, vel=40, batt=50, cog=90)) == []  # anna shows ben nothing
    server.wait_processed()
    post = Post.of(anna)
    card, place = post(fix(*GANGNAM))
    assert place == {
        "_type": "location",
        "tid": tag(ben),
        "topic": f"owntracks/http/{tag(ben)}",
        "lat": NEAR_BY[0],
        "lon": NEAR_BY[1],
        "tst": at_s,
        "acc": 12,
    }
    assert {name: card[name] for name in ("_type", "tid", "topic", "name")} == {
        "_type": "card",
        "tid": place["tid"],
        "topic": place["topic"],
        "name": ben("GET", "/v1/friends/me")["display_name"],
    }
    assert base64.b64decode(card["face"]).startswith(b"\x89PNG")
    assert [one["_type"] for one in post(fix(*GANGNAM))] == ["location"]  # the card is known
    assert [one["_type"] for one in Post.of(anna, "tablet")(fix(*GANGNAM))] == ["card", "location"]


def test_what_is_told_is_what_the_list_says(server: Server, made: Iterator[Person]) -> None:
    anna, blurred, far, ghost, hidden = (next(made) for _ in range(5))
    anna.befriend(blurred, far, ghost, hidden)
    blurred.share("blurred", precision=6)
    far.share("exact")
    ghost.share("exact")
    hidden.share("off")
    for person, place in ((blurred, NEAR_BY), (far, BUSAN), (ghost, NEAR_BY), (hidden, NEAR_BY)):
        person.report(*place)
    ghost("PATCH", "/v1/friends/me", {"ghost": True})
    server.wait_processed()
    told = Post.of(anna)(fix(*GANGNAM))
    server.wait_processed()
    (listed,) = anna("GET", "/v1/friends/nearby")["near"]
    assert [one["_type"] for one in told] == ["card", "location"]
    cell = listed["place"]
    assert cell["person_id"] == blurred.id
    assert told[1] == {
        "_type": "location",
        "tid": tag(blurred),
        "topic": f"owntracks/http/{tag(blurred)}",
        "lat": round(cell["latitude"], 7),
        "lon": round(cell["longitude"], 7),
        "tst": cell["device_time_ms"] // 1000,
        "acc": told[1]["acc"],
    }
    assert 560 < told[1]["acc"] < 590  # half the diagonal of a cell of 1.0 × 0.6 km
    assert (told[1]["lat"], told[1]["lon"]) != NEAR_BY

    blurred("PATCH", "/v1/friends/me", {"sharing": {"mode": "off"}})
    assert Post.of(anna)(fix(*GANGNAM)) == []


def test_only_where_a_phone_is_now_is_answered_with_friends(server: Server, made: Iterator[Person]) -> None:
    anna, ben = next(made), next(made)
    anna.befriend(ben)
    ben.share("exact")
    ben.report(*NEAR_BY)
    server.wait_processed()
    post = Post.of(anna)
    assert post(fix(*GANGNAM, int(time.time()) - 3_600)) == []  # out of a backlog
    assert post({"_type": "lwt", "tst": 1}) == []
    assert post({"_type": "waypoint", "desc": "home", "lat": 1.0, "lon": 2.0, "tst": 1}) == []
    assert post(fix(0.0, 0.0)) == []  # set aside
    assert post(fix(*BUSAN)) == []
    backlog = [fix(*BUSAN, int(time.time()) - 3_600), fix(*GANGNAM, int(time.time()) + 1)]
    assert [one["_type"] for one in post(backlog)] == ["card", "location"]


def test_with_ones_own_name_and_password(server: Server, made: Iterator[Person]) -> None:
    ben = next(made)
    signed = httpx.post(
        f"{server.url}/v1/sign-up",
        json={"name": "지우", "password": PASSWORD, "role": "person"},
        timeout=WITHIN_S,
    )
    assert signed.status_code == 201, signed.text
    headers = {"Authorization": f"Bearer {signed.json()['access_token']}"}
    token = ben("POST", "/v1/friends/invitations")["token"]
    accepted = httpx.post(
        f"{server.url}/v1/friends/invitations/accept", headers=headers, json={"token": token}
    )
    assert accepted.is_success, accepted.text
    ben.share("exact")
    ben.report(*NEAR_BY)
    server.wait_processed()
    post = Post(server, "지우", PASSWORD)
    assert [one["_type"] for one in post(fix(*GANGNAM))] == ["card", "location"]


def test_riders_are_told_nothing_as_ever(server: Server) -> None:
    device = server.add_device("rider-1")
    assert Post(server, "rider-1", device["token"])(fix(*GANGNAM)) == []
