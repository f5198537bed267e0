"""Friends near by against a real server: what a stream says, what asking says, and what it costs to be silent."""

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from majung.positions.geodesy import destination
from tests.friends_kit import WITHIN_S, Person, Watch, people
from tests.server import Server

HOME = (37.4979, 127.0276)
NOBODY = "person-nobody"
_clocks: dict[str, Iterator[int]] = {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("friends-live")
    sets = ("friends.gone_after=15s", "friends.blur_every=1s")
    server = Server(folder / "data", sets=sets).start()
    yield server
    server.stop()


@pytest.fixture
def pair(server: Server) -> Iterator[tuple[Person, Person]]:
    anna, ben = people(server, 2, f"p{time.time_ns()}")
    anna.befriend(ben)
    yield anna, ben
    anna.close()
    ben.close()


def away(metres: float, bearing: float = 90.0) -> tuple[float, float]:
    latitude, longitude = destination(*HOME, bearing, metres)
    return round(latitude, 7), round(longitude, 7)  # as history keeps them


def go(person: Person, place: tuple[float, float]) -> int:
    """Report a place; five minutes after the one before by the phone's clock, so that the way can be believed."""
    clock = _clocks.setdefault(person.id, itertools.count(time.time_ns() // 1_000_000 - 3_600_000, 300_000))
    return person.report(*place, at_ms=next(clock))


def of_type(kind: str, **more: Any) -> Any:
    return lambda message: message.get("type") == kind and all(message.get(k) == v for k, v in more.items())


def test_a_friend_comes_near_moves_and_leaves(pair: tuple[Person, Person]) -> None:
    anna, ben = pair
    ben.share("exact")
    go(anna, HOME)
    with Watch(anna) as watch:
        number, snapshot = watch.wait(of_type("snapshot"))
        assert snapshot["near"] == [] and snapshot["radius_m"] == pytest.approx(8_046.72)
        go(ben, away(5_000))
        number, near = watch.wait(of_type("near"), number)
        assert near["entered"] is True
        friend = near["friend"]
        assert friend["display_name"] == ben.name and friend["distance_m"] == pytest.approx(5_000, rel=0.005)
        assert friend["place"]["person_id"] == ben.id
        go(ben, away(4_000))
        number, near = watch.wait(of_type("near"), number + 1)
        assert near["entered"] is False and near["friend"]["distance_m"] == pytest.approx(4_000, rel=0.005)
        go(ben, away(20_000))
        number, left = watch.wait(of_type("left"), number)
        assert (left["person_id"], left["reason"]) == (ben.id, "away")
        go(anna, away(19_000))
        watch.wait(of_type("near", entered=True), number)


def test_what_is_asked_for_is_what_the_stream_says(pair: tuple[Person, Person]) -> None:
    anna, ben = pair
    ben.share("exact", history=True)
    go(anna, HOME)
    ben.report(*away(1_000))
    with Watch(anna) as watch:
        _, message = watch.wait(lambda m: m.get("near") or m.get("type") == "near")
        seen = message["near"][0] if message["type"] == "snapshot" else message["friend"]
        now = anna("GET", "/v1/friends/nearby")
        assert now["near"] == [seen] and now["here"]["latitude"] == HOME[0]
    later = anna("GET", "/v1/friends/nearby")
    assert later["near"] == [seen]
    assert anna("GET", "/v1/friends/nearby", radius_m=500)["near"] == []
    assert anna("GET", f"/v1/friends/{ben.id}/position") == seen["place"]
    track = anna("GET", f"/v1/friends/{ben.id}/track")
    assert [(p["latitude"], p["longitude"]) for p in track["points"]] == [away(1_000)]
    assert "session_id" not in track["points"][0]
    gpx = anna.ask("GET", f"/v1/friends/{ben.id}/track", format="gpx")
    assert gpx.headers["content-type"].startswith("application/gpx+xml") and "<trkpt" in gpx.text


def test_a_phone_reports_on_the_stream_itself(server: Server, pair: tuple[Person, Person]) -> None:
    anna, _ = pair
    address = f"{server.url.replace('http', 'ws', 1)}/v1/friends/live?access_token={anna.token}"
    with connect(address, compression=None) as socket:
        assert json.loads(socket.recv(WITHIN_S))["here"] is None
        fix = {"latitude": HOME[0], "longitude": HOME[1], "device_time_ms": time.time_ns() // 1_000_000}
        socket.send(json.dumps({"session_id": "phone", "seq": 1, **fix}))
        said = [json.loads(socket.recv(WITHIN_S)) for _ in range(2)]
        assert {"last_acked_seq": 1} in said
        moved = next(one for one in said if one.get("type") == "distances")
        assert moved["here"] == fix and moved["distances"] == {}
        socket.send("nonsense")
        assert json.loads(socket.recv(WITHIN_S))["error"]["status"] == 400


@pytest.mark.parametrize(
    "hide",
    [
        lambda anna, ben: ben.share("off"),
        lambda anna, ben: ben.share("off", anna),
        lambda anna, ben: ben("PATCH", "/v1/friends/me", {"ghost": True}),
        lambda anna, ben: ben("DELETE", f"/v1/friends/{anna.id}"),
        lambda anna, ben: anna("DELETE", f"/v1/friends/{ben.id}"),
        lambda anna, ben: ben("POST", f"/v1/friends/{anna.id}/block"),
    ],
    ids=["off", "off for one", "ghost", "removed", "removes", "blocked"],
)
def test_whoever_hides_is_gone_and_looks_like_a_stranger(pair: tuple[Person, Person], hide: Any) -> None:
    anna, ben = pair
    ben.share("exact", history=True)
    go(anna, HOME)
    go(ben, away(1_000))
    with Watch(anna) as watch:
        number, _ = watch.wait(lambda m: m.get("near") or m.get("type") == "near")
        hide(anna, ben)
        number, left = watch.wait(of_type("left"), number)
        assert (left["person_id"], left["reason"]) == (ben.id, "gone")
    for path in ("position", "track"):
        answers = [anna.ask("GET", f"/v1/friends/{id_}/{path}") for id_ in (ben.id, NOBODY)]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
    assert anna("GET", "/v1/friends/nearby")["near"] == []


def test_a_decision_for_a_time_ends_by_itself(pair: tuple[Person, Person]) -> None:
    anna, ben = pair
    go(anna, HOME)
    go(ben, away(1_000))
    with Watch(anna) as watch:
        ben.share("exact", anna, **{"for": "2s"})
        number, _ = watch.wait(of_type("near", entered=True))
        watch.wait(of_type("left", reason="gone"), number)


def test_a_silent_friend_goes_and_so_does_the_list_of_a_silent_viewer(pair: tuple[Person, Person]) -> None:
    anna, ben = pair
    ben.share("exact")
    go(anna, HOME)
    go(ben, away(1_000))
    with Watch(anna) as watch:
        number, _ = watch.wait(lambda m: m.get("near") or m.get("type") == "near")
        number, _ = watch.wait(lambda m: m.get("type") == "left" or m.get("here", 1) is None, number)
        assert anna("GET", "/v1/friends/nearby")["near"] == []
        assert anna.ask("GET", f"/v1/friends/{ben.id}/position").status_code == 404


def test_a_blurred_friend_is_a_cell(pair: tuple[Person, Person]) -> None:
    anna, ben = pair
    ben.share("blurred", precision=5, history=True)
    go(anna, HOME)
    ben.report(*away(1_000), accuracy_m=5.0)
    with Watch(anna) as watch:
        _, message = watch.wait(lambda m: m.get("near") or m.get("type") == "near")
        place = (message["near"][0] if message["type"] == "snapshot" else message["friend"])["place"]
    assert set(place) == {"person_id", "latitude", "longitude", "device_time_ms", "cell", "bounds"}
    assert len(place["cell"]) == 5 and place["device_time_ms"] % 1_000 == 0
    assert anna("GET", f"/v1/friends/{ben.id}/position") == place
    points = anna("GET", f"/v1/friends/{ben.id}/track")["points"]
    assert [(p["latitude"], p["longitude"]) for p in points] == [(place["latitude"], place["longitude"])]


def test_a_phone_and_a_laptop_see_the_same(pair: tuple[Person, Person]) -> None:
    anna, ben = pair
    ben.share("exact")
    go(anna, HOME)
    with Watch(anna) as phone:
        go(ben, away(1_000))
        phone.wait(of_type("near"))
        with Watch(anna) as laptop:
            assert [one["place"]["person_id"] for one in laptop.messages[0]["near"]] == [ben.id]
            go(ben, away(900))
            laptop.wait(of_type("near", entered=False))
            phone.wait(of_type("near", entered=False))
        go(ben, away(800))
        phone.wait(lambda m: m.get("type") == "near" and m["friend"]["distance_m"] < 850)


def test_an_account_that_is_gone_is_not_sent_anything_more(
    server: Server, pair: tuple[Person, Person]
) -> None:
    anna, _ = pair
    address = f"{server.url.replace('http', 'ws', 1)}/v1/friends/live?access_token={anna.token}"
    with connect(address, compression=None) as socket:
        assert json.loads(socket.recv(WITHIN_S))["type"] == "snapshot"
        httpx.delete(f"{server.url}/v1/accounts/users/{anna.name}", headers=server.admin).raise_for_status()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(WITHIN_S)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401


def test_server_sent_events_say_the_same(server: Server, pair: tuple[Person, Person]) -> None:
    anna, ben = pair
    ben.share("exact")
    go(anna, HOME)
    go(ben, away(1_000))
    with httpx.stream(
        "GET", f"{server.url}/v1/friends/live/events", params={"access_token": anna.token}, timeout=WITHIN_S
    ) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: ") and ben.id in line:
                break


def test_only_people_have_friends(server: Server) -> None:
    for path in ("nearby", f"{NOBODY}/position", f"{NOBODY}/track", "live/events"):
        assert httpx.get(f"{server.url}/v1/friends/{path}", headers=server.admin).status_code == 403
