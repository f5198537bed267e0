"""Every state of sharing on every path that reads: what must be seen is seen, and nothing else is anywhere."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.friends_kit import WITHIN_S, Events, Person, Stream, Watch, people
from tests.paths.friends_walk import (
    FORMATS,
    Place,
    friend_paths,
    own_export,
    own_phone,
    rider_paths,
    shows,
    traces,
)
from tests.server import Server, start_server

EXACT = 0
HISTORY = {"history": True}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(tmp_path_factory.mktemp("friends") / "data") as running:
        yield running


@dataclass
class Pair:
    """One who shares, and one who looks; where the first was before its decision (`then`) and after it (`now`)."""

    owner: Person
    viewer: Person
    then: Place
    places: tuple[Place, Place]
    here: Place

    def befriend(self) -> None:
        self.owner.befriend(self.viewer)

    def report(self, place: Place) -> None:
        self.owner.report(*place)
        self.owner.server.wait_processed()

    def group(self, mode: str, **more: object) -> None:
        """Put the viewer into a new group for which this is decided."""
        wish = {"name": f"group {next(_numbers)}", "sharing": {"mode": mode, **more}}
        group_id = self.owner("POST", "/v1/friends/groups", wish)["group_id"]
        self.owner("PUT", f"/v1/friends/groups/{group_id}/members/{self.viewer.id}")

    def wait_for(self, mode: str) -> None:
        """Until the viewer gets this: a decision has ended by itself."""
        deadline = time.monotonic() + WITHIN_S
        while self.viewer("GET", "/v1/friends")["friends"][0]["gets"]["mode"] != mode:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def pair_of(server: Server) -> Pair:
    number = next(_numbers)
    owner, viewer = people(server, 2, f"p{number}-")
    north = 37.5 + number * 0.013
    places = (round(north + 0.0037281, 7), 127.0347193), (round(north + 0.0038473, 7), 127.0351937)
    then = (round(north + 0.0035719, 7), 127.0343771)
    return Pair(owner, viewer, then, places, (round(north + 0.0012, 7), 127.0321))


# --------------------------------------------------------------------------------------- the states


def befriended(**default: object) -> Callable[[Pair], None]:
    def apply(pair: Pair) -> None:
        pair.befriend()
        if default:
            pair.owner("PATCH", "/v1/friends/me", {"sharing": default})

    return apply


def alone(mode: str, default: str = "off", **more: object) -> Callable[[Pair], None]:
    """Decided for this friend, over what all see."""

    def apply(pair: Pair) -> None:
        befriended(mode=default, history=True)(pair)
        pair.owner.share(mode, pair.viewer, **more)

    return apply


def grouped(*groups: dict[str, object], default: str = "off") -> Callable[[Pair], None]:
    def apply(pair: Pair) -> None:
        befriended(mode=default, history=True)(pair)
        for group in groups:
            pair.group(**group)  # type: ignore[arg-type]

    return apply


def ghost(**more: object) -> Callable[[Pair], None]:
    def apply(pair: Pair) -> None:
        befriended(mode="exact", history=True)(pair)
        pair.report(pair.then)
        pair.owner("PATCH", "/v1/friends/me", {"ghost": True, **more})

    return apply


def after_an_end(first: Callable[[Pair], None], mode: str) -> Callable[[Pair], None]:
    def apply(pair: Pair) -> None:
        first(pair)
        pair.wait_for(mode)

    return apply


def seen_and_then(change: Callable[[Pair], object]) -> Callable[[Pair], None]:
    """Everything was to be seen; then something was decided."""

    def apply(pair: Pair) -> None:
        befriended(mode="exact", history=True)(pair)
        pair.report(pair.then)
        assert shows(friend_paths(pair.viewer, pair.owner.id)["track json"], pair.then)
        change(pair)

    return apply


def grouped_until(pair: Pair) -> None:
    befriended(mode="off")(pair)
    pair.group("exact", **{"for": "1s"})


def remove(one: str) -> Callable[[Pair], object]:
    def change(pair: Pair) -> None:
        who, whom = (pair.owner, pair.viewer) if one == "owner" else (pair.viewer, pair.owner)
        who("DELETE", f"/v1/friends/{whom.id}")

    return change


def again(pair: Pair) -> None:
    remove("viewer")(pair)
    pair.befriend()


def block(one: str) -> Callable[[Pair], object]:
    def change(pair: Pair) -> None:
        who, whom = (pair.owner, pair.viewer) if one == "owner" else (pair.viewer, pair.owner)
        who("POST", f"/v1/friends/{whom.id}/block")

    return change


def ghost_over_a_decision(pair: Pair) -> None:
    pair.owner.share("exact", pair.viewer)
    pair.owner("PATCH", "/v1/friends/me", {"ghost": True})


def only_the_viewer(pair: Pair) -> None:
    pair.befriend()
    pair.viewer.share("exact", history=True)


def viewer_is_a_ghost(pair: Pair) -> None:
    befriended(mode="exact", history=True)(pair)
    pair.viewer("PATCH", "/v1/friends/me", {"ghost": True})


@dataclass
class State:
    """What is done; what the viewer sees (0: exactly, 3 to 7: the cell, None: nothing); the track; friends still."""

    apply: Callable[[Pair], object]
    sight: int | None
    track: bool = False
    friends: bool = True


SECOND = {"for": "1s"}
HOUR = {"for": "1h"}
STATES: dict[str, State] = {
    "strangers": State(lambda pair: pair.owner.share("exact", history=True), None, friends=False),
    "nothing decided": State(befriended(), None),
    "all: off": State(befriended(mode="off"), None),
    "all: exact": State(befriended(mode="exact"), EXACT),
    "all: exact with history": State(befriended(mode="exact", history=True), EXACT, True),
    "all: cell": State(befriended(mode="blurred", precision=5), 5),
    "all: small cell with history": State(befriended(mode="blurred", precision=6, history=True), 6, True),
    "all: until later": State(befriended(mode="exact", **HOUR), EXACT),
    "all: ended": State(after_an_end(befriended(mode="exact", history=True, **SECOND), "off"), None),
    "alone: exact": State(alone("exact"), EXACT),
    "alone: off": State(alone("off", "exact"), None),
    "alone: cell": State(alone("blurred", "exact", precision=4), 4),
    "alone: until later, with history": State(alone("exact", history=True, **HOUR), EXACT, True),
    "alone: ended, all off": State(after_an_end(alone("exact", history=True, **SECOND), "off"), None),
    "alone: ended, all exact": State(after_an_end(alone("off", "exact", **SECOND), "exact"), EXACT, True),
    "group: exact": State(grouped({"mode": "exact"}), EXACT),
    "group: off": State(grouped({"mode": "off"}, default="exact"), None),
    "group: cell with history": State(grouped({"mode": "blurred", "precision": 7, **HISTORY}), 7, True),
    "group: ended": State(after_an_end(grouped_until, "off"), None),
    "two groups: off": State(grouped({"mode": "exact"}, {"mode": "off"}, default="exact"), None),
    "two groups: larger cell": State(
        grouped({"mode": "blurred", "precision": 6}, {"mode": "blurred", "precision": 4}), 4
    ),
    "ghost": State(ghost(), None),
    "ghost until later": State(ghost(ghost_for="1h"), None),
    "ghost, ended": State(after_an_end(ghost(ghost_for="1s"), "exact"), EXACT, True),
    "then ghost over a decision": State(seen_and_then(ghost_over_a_decision), None),
    "then live alone": State(seen_and_then(lambda pair: pair.owner.share("exact")), EXACT),
    "then a cell": State(seen_and_then(lambda pair: pair.owner.share("blurred", precision=5)), 5),
    "then off": State(seen_and_then(lambda pair: pair.owner.share("off", pair.viewer)), None),
    "then removed": State(seen_and_then(remove("owner")), None, friends=False),
    "then removed by the viewer": State(seen_and_then(remove("viewer")), None, friends=False),
    "then removed and friends again": State(seen_and_then(again), EXACT, True),
    "then blocked": State(seen_and_then(block("owner")), None, friends=False),
    "then blocked by the viewer": State(seen_and_then(block("viewer")), None, friends=False),
    "only the viewer shares": State(only_the_viewer, None),
    "the viewer is a ghost": State(viewer_is_a_ghost, EXACT, True),
}


# ------------------------------------------------------------------------------------------ the walk


def walk(pair: Pair) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The owner reports twice while the viewer watches; then the viewer asks everywhere, then administrators.

    What friends may be shown by, and what nobody may be shown by; path → bytes.
    """
    owner, viewer = pair.owner, pair.viewer
    viewer.report(*pair.here)
    owner.server.wait_processed()
    streams: dict[str, Stream] = {"stream": Watch(viewer), "events": Events(viewer)}
    for stream in streams.values():
        stream.wait(lambda message: message["type"] == "snapshot")
    for place in pair.places:
        pair.report(place)
    viewer.report(pair.here[0] + 0.0001, pair.here[1])  # what the streams say of that comes after the rest
    found = {}
    for name, stream in streams.items():
        stream.wait(lambda message: message["type"] == "distances")
        found[name] = "\n".join(stream.raw).encode()
        stream.close()
    for name, again in (("stream's snapshot", Watch(viewer)), ("events' snapshot", Events(viewer))):
        again.wait(lambda message: message["type"] == "snapshot")
        found[name] = again.raw[0].encode()
        again.close()
    found |= friend_paths(viewer, owner.id)
    found["owntracks"] = own_phone(viewer, pair.here)
    place = pair.places[1]
    never = {f"person {k}": v for k, v in rider_paths(owner.server, viewer.headers, owner.id, place).items()}
    never |= {
        f"admin {k}": v for k, v in rider_paths(owner.server, owner.server.admin, owner.id, place).items()
    }
    never["export of the viewer"] = own_export(viewer)
    return found, never


def live_paths(found: dict[str, bytes]) -> set[str]:
    return {path for path in found if not path.startswith("track") and path != "list"}


def centre(cell: str) -> Place:
    """The middle of a geohash cell, reckoned here."""
    south, north, west, east = -90.0, 90.0, -180.0, 180.0
    bits = (f"{'0123456789bcdefghjkmnpqrstuvwxyz'.index(letter):05b}" for letter in cell)
    for number, bit in enumerate("".join(bits)):
        if number % 2 == 0:
            middle = (west + east) / 2
            west, east = (middle, east) if bit == "1" else (west, middle)
        else:
            middle = (south + north) / 2
            south, north = (middle, north) if bit == "1" else (south, middle)
    assert south < north
    assert west < east
    return (south + north) / 2, (west + east) / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", STATES)
def test_every_state_on_every_path(server: Server, name: str) -> None:
    state, pair = STATES[name], pair_of(server)
    state.apply(pair)
    found, never = walk(pair)
    truth = (pair.then, *pair.places)
    for path, raw in never.items():
        assert not any(shows(raw, place) for place in truth), path
    tracks = {path for path in found if path.startswith("track ")}
    assert len(tracks) == len(FORMATS)
    assert (pair.owner.id.encode() in found["list"]) == state.friends
    hidden = {"list"} | (live_paths(found) if state.sight is None else set())
    hidden |= set() if state.track else tracks
    for path in hidden:
        assert not any(shows(found[path], place) for place in truth), path
        if path != "list" and path != "position":
            assert pair.owner.id.encode() not in found[path], path
    if state.sight is None:
        stranger = pair.viewer.ask("GET", "/v1/friends/person-nobody/position")
        assert (stranger.status_code, stranger.content) == (404, found["position"])
        return
    shown = [pair.places[1]]
    if state.sight != EXACT:
        cell = pair.viewer("GET", f"/v1/friends/{pair.owner.id}/position")["cell"]
        assert len(cell) == state.sight
        shown = [centre(cell)]
        for path, raw in found.items():
            assert not any(trace in raw for place in truth for trace in traces(place)), path
    for path in live_paths(found) | (tracks if state.track else set()):
        assert any(shows(found[path], place) for place in shown), path
    for path in set(found) - {"stream", "events"}:  # those began while that was still the newest
        assert not shows(found[path], pair.then), f"{path}: from before the decision"


def test_the_walk_finds_riders_where_it_finds_no_friends(server: Server) -> None:
    rider, place = server.add_device("rider-of-the-walk"), (37.2137193, 127.1137719)
    phone = Person(server, {**rider, "name": "rider-of-the-walk"})
    phone.report(*place)
    server.wait_processed()
    found = rider_paths(server, server.admin, "rider-of-the-walk", place)
    blind = {path for path, raw in found.items() if not shows(raw, place)}
    assert blind == {"/v1/events", "/v1/quarantine", "/v1/cells", "/v1/stats", "/metrics"}


def test_the_server_writes_no_place_into_its_log(server: Server) -> None:
    pair = pair_of(server)
    befriended(mode="exact", history=True)(pair)
    walk(pair)
    written = server.log.read_bytes()
    assert b"127.03" not in written
    assert not any(shows(written, place) for place in (*pair.places, pair.here))
