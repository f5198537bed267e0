"""Two servers on one bus, one database and one live view: who watches on one sees who reports to the other."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung.clock import ManualClock
from majung.compose import open_services
from majung.friends.channels import mark_of
from majung.friends.consent import Mode, Sharing
from majung.friends.me import ProfileChange
from majung.observe.families import Level
from majung.settings import Settings
from tests.friends_stage import Stage, Told

EXACT = Sharing(Mode.EXACT)
Two = tuple[Stage, Stage]


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    """Anna, Ben and Cho are friends; Dan is nobody's. Positions come in at the first server."""
    clock, settings = ManualClock(), Settings.model_validate({"data": tmp_path})
    async with open_services(settings, clock) as services:
        servers = Stage(services, clock, settings), Stage(services, clock, settings)
        runs = [asyncio.create_task(server.nearby.run()) for server in servers]
        for server in servers:
            await server.changes.load()
        await servers[0].add("anna", "ben", "cho", "dan", sharing=EXACT)
        await servers[0].befriend("anna", "ben", "cho")
        await servers[0].befriend("ben", "cho")
        try:
            yield servers
        finally:
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)


def followed(stage: Stage) -> float:
    """How many people the server hears of."""
    figures = [one for one in stage.nearby.figures() if isinstance(one, Level)]
    return next(one.value for one in figures if one.name == "majung_friends_followed")


async def watch(stage: Stage, name: str) -> tuple[Told, list[str]]:
    told = await stage.watch(name)
    snapshot = await told.until(lambda message: message["type"] == "snapshot")
    return told, [near["place"]["person_id"] for near in snapshot["near"]]


async def test_a_friend_who_reports_elsewhere_comes_moves_and_leaves(two: Two) -> None:
    first, second = two
    await first.move("ben", 37.5, 127.0)
    told, near = await watch(second, "ben")
    assert near == []
    await first.move("anna", 37.501, 127.0)  # her first: the other servers are told that she came
    entered = await told.until(lambda message: message["type"] == "near")
    assert entered["entered"] and entered["friend"]["place"]["person_id"] == "person-anna"
    second.clock.advance(30)
    await first.move("anna", 37.502, 127.0)
    moved = await told.until(lambda m: m["type"] == "near" and m["friend"]["place"]["latitude"] == 37.502)
    assert not moved["entered"]
    await first.move("ben", 37.502, 127.0)
    await told.until(lambda m: m["type"] == "distances" and m["distances"].get("person-anna") == 0)
    second.clock.advance(30)
    await first.move("anna", 38.0, 127.0)
    left = await told.until(lambda message: message["type"] == "left")
    assert (left["person_id"], left["reason"]) == ("person-anna", "away")


async def test_a_friend_who_falls_silent_elsewhere_is_gone_here(two: Two) -> None:
    first, second = two
    await first.move("ben", 37.5, 127.0)
    await first.move("anna", 37.501, 127.0)
    told, near = await watch(second, "ben")
    assert near == ["person-anna"]
    first.nearby.gone(["person-anna"])
    left = await told.until(lambda message: message["type"] == "left")
    assert (left["person_id"], left["reason"]) == ("person-anna", "gone")


async def test_both_servers_have_friends_and_each_tells_its_own(two: Two) -> None:
    first, second = two
    for name in ("anna", "ben", "cho"):
        await first.move(name, 37.5, 127.0)
    ben, _ = await watch(first, "ben")
    cho, _ = await watch(second, "cho")
    first.clock.advance(30)
    await first.move("anna", 37.503, 127.0)
    for told in (ben, cho):
        await told.until(lambda m: m["type"] == "near" and m["friend"]["place"]["latitude"] == 37.503)


async def test_what_is_taken_back_on_one_server_ends_on_the_other(two: Two) -> None:
    first, second = two
    await first.move("ben", 37.5, 127.0)
    await first.move("anna", 37.501, 127.0)
    told, near = await watch(second, "ben")
    assert near == ["person-anna"]
    anna = await first.people.person("person-anna")
    assert anna is not None
    await first.me.change(anna, ProfileChange(ghost=True))
    await second.changes.look()
    left = await told.until(lambda message: message["type"] == "left")
    assert (left["person_id"], left["reason"]) == ("person-anna", "gone")
    second.clock.advance(30)
    await first.move("anna", 37.502, 127.0)
    await first.move("ben", 37.5005, 127.0)
    last = await told.until(lambda message: message["type"] == "distances")
    assert last["distances"] == {}
    assert not any(m["type"] == "near" and m["friend"]["place"]["latitude"] == 37.502 for m in told.messages)


async def test_a_server_follows_only_those_whom_somebody_here_sees(two: Two) -> None:
    first, second = two
    for name in ("anna", "ben", "cho", "dan"):
        await first.move(name, 37.5, 127.0)
    await second.settle()
    assert followed(second) == 0, "nobody watches here"
    told, near = await watch(second, "ben")
    assert sorted(near) == ["person-anna", "person-cho"]
    assert followed(second) == 3, "Ben himself and his friends, not Dan"
    told.close()
    await second.nearby.tend()
    assert followed(second) == 0, "nobody pays for those whom nobody here sees"


async def test_of_two_with_the_same_mark_one_goes_and_the_other_still_hears_who_comes(two: Two) -> None:
    first, second = two
    alike = ("gnyijstj", "etislvlf")
    assert len({mark_of(f"person-{name}") for name in alike}) == 1
    await first.add(*alike, sharing=EXACT)
    await first.befriend("anna", *alike)
    for name in alike:
        await first.move(name, 37.5, 127.0)
    goes, _ = await watch(second, alike[0])
    stays, near = await watch(second, alike[1])
    assert near == []
    goes.close()
    await first.move("anna", 37.501, 127.0)
    assert (await stays.until(lambda message: message["type"] == "near"))["entered"]
    stays.close()
    assert not second.nearby.links.marks
