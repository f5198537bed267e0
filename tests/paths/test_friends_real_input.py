"""Two recorded people as friends, side by side through the real doors: what they are told, point for point.

The two of GeoLife really met: in the evening of 29 October 2008 (UTC 11:05 to 11:36), in Haidian, Beijing, they
came within 118 m of each other and parted. Nothing is shifted against the other: their own times, 908 fixes in all.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.friends_kit import Person, Watch, people
from tests.independent.friends_reference import Fix, Told, follow, geodesic_m, read
from tests.server import Server, start_server

BEGIN, END = "2008-10-29T11:05:00", "2008-10-29T11:36:00"
RADIUS_M = {"001": 200.0, "005": 600.0}
EXACTLY_M = 0.0011
"""A millimetre, and what is lost when distances are told in whole millimetres."""
KEEP_OLD = ("positions.max_age=40y", "history.detail_for=40y", "history.minutes_for=40y")
AT_ONCE = ("live.flush_every=1ms", "positions.batch_linger=0ms")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with start_server(tmp_path / "data", *KEEP_OLD, *AT_ONCE) as running:
        yield running


@pytest.fixture
def fixes(shared_data: Path) -> list[Fix]:
    found = read(shared_data / "geolife" / "geolife_sample.txt.gz", list(RADIUS_M), BEGIN, END)
    assert len(found) == 908
    return found


class Friends:
    """The two of them, each with a stream; what each was told is taken off it as it is expected."""

    def __init__(self, server: Server) -> None:
        self.server = server
        made = people(server, len(RADIUS_M), "geolife-")
        self.person: dict[str, Person] = dict(zip(RADIUS_M, made, strict=True))
        made[0].befriend(made[1])
        for uid, person in self.person.items():
            person.share("exact")
            person("PATCH", "/v1/friends/me", {"radius_m": RADIUS_M[uid]})
        self.streams = {uid: Watch(person).__enter__() for uid, person in self.person.items()}
        self.read = dict.fromkeys(RADIUS_M, 0)

    def report(self, fix: Fix) -> None:
        self.person[fix.uid].report(fix.latitude, fix.longitude, fix.time_ms)

    def heard(self, viewer: str, fix: Fix) -> list[Told]:
        """What a viewer was told because of this fix: up to the message that must come in any case."""
        stream, other = self.streams[viewer], next(uid for uid in RADIUS_M if uid != viewer)
        told: list[Told] = []
        number = self.read[viewer]
        while True:
            at, message = stream.wait(
                lambda message: message.get("type") in ("near", "left", "distances"), number
            )
            number = self.read[viewer] = at + 1
            told += said(viewer, self.person[other].id, fix, message, told)
            if fix.uid != viewer or message["type"] == "distances":
                return told

    def close(self) -> None:
        for uid, stream in self.streams.items():
            stream.close()
            self.person[uid].close()


def said(viewer: str, other: str, fix: Fix, message: dict[str, Any], before: list[Told]) -> list[Told]:
    """A message in the words of the reference."""

    def one(what: str, distance_m: float) -> list[Told]:
        return [Told(viewer, fix.uid, fix.time_ms, what, distance_m)]

    match message["type"]:
        case "near":
            place = message["friend"]["place"]
            assert place["person_id"] == other
            if fix.uid != viewer:
                assert (place["latitude"], place["longitude"]) == (fix.latitude, fix.longitude)
                assert place["device_time_ms"] == fix.time_ms
            return one("enter" if message["entered"] else "in", message["friend"]["distance_m"])
        case "left":
            assert (message["person_id"], message["reason"]) == (other, "away")
            return one("left", float("nan"))
        case _:
            assert message["here"]["device_time_ms"] == fix.time_ms
            # Who has come near with this very fix was told with `near` already.
            return (
                [] if before or other not in message["distances"] else one("in", message["distances"][other])
            )


def same(found: list[Told], wanted: list[Told]) -> bool:
    """Equal, the distances within a millimetre; who leaves is told no distance."""
    return len(found) == len(wanted) and all(
        (mine.viewer, mine.moved, mine.time_ms, mine.what)
        == (theirs.viewer, theirs.moved, theirs.time_ms, theirs.what)
        and (mine.what == "left" or abs(mine.distance_m - theirs.distance_m) <= EXACTLY_M)
        for mine, theirs in zip(found, wanted, strict=True)
    )


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_two_friends_are_told_equals_the_files(server: Server, fixes: list[Fix]) -> None:
    friends = Friends(server)
    everything: list[list[Told]] = []
    for fix, wanted in zip(fixes, follow(fixes, RADIUS_M), strict=True):
        friends.report(fix)
        found: list[Told] = []
        for viewer in RADIUS_M:
            expected = [one for one in wanted if one.viewer == viewer]
            # The mover hears of its own move in any case; the other one only when there is something to hear.
            if fix.uid == viewer or expected:
                found += friends.heard(viewer, fix)
        everything.append(found)
        assert same(found, wanted), (fix, found, wanted)
    server.wait_processed()
    for uid, stream in friends.streams.items():
        rest = [
            text for text in stream.raw[friends.read[uid] :] if json.loads(text)["type"] != "friends_changed"
        ]
        assert rest == []
    friends.close()
    print(f"\n{len(fixes)} fixes, {summary(everything)}")
    assert {one.what for told in everything for one in told} == {"enter", "in", "left"}
    for planted in (sphere_m, flat_m):
        assert differs(everything, list(follow(fixes, RADIUS_M, planted))), planted.__name__
    assert differs(everything, list(follow(fixes, RADIUS_M, hysteresis=0.0)))


def summary(everything: list[list[Told]]) -> str:
    told = [one for some in everything for one in some]
    return ", ".join(f"{what} {sum(one.what == what for one in told)}" for what in ("enter", "in", "left"))


def differs(everything: list[list[Told]], other: list[list[Told]]) -> bool:
    """Whether what was told is not what a server with this fault would have told."""
    return not all(same(mine, theirs) for mine, theirs in zip(everything, other, strict=True))


def sphere_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """A fault: the great circle on a sphere. 0.1 to 0.5 % off."""
    from math import asin, cos, radians, sin, sqrt

    north, east = radians(lat2 - lat1) / 2, radians(lon2 - lon1) / 2
    squared = sin(north) ** 2 + cos(radians(lat1)) * cos(radians(lat2)) * sin(east) ** 2
    return 2 * 6_371_008.8 * asin(sqrt(squared))


def flat_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """A fault: places rounded to six digits before they are compared, 0.1 m."""
    return geodesic_m(round(lat1, 6), round(lon1, 6), round(lat2 + 5e-7, 6), round(lon2, 6))
