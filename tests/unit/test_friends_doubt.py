"""Between a decision and its reading nothing is said of a friend, however slow the database is."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung.friends.consent import Mode, Sharing
from majung.friends.links import Links
from majung.friends.me import ProfileChange
from majung.friends.parties import Link
from majung.friends.sharing import SharingWish
from tests.friends_stage import Stage, Told, open_stage

EXACT = Sharing(Mode.EXACT)
OFF = SharingWish(Mode.OFF)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Anna and Ben are friends, 100 m apart."""
    async with open_stage(tmp_path) as running:
        await running.add("anna", "ben", sharing=EXACT)
        await running.befriend("anna", "ben")
        await running.move("ben", 37.5, 127.0)
        await running.move("anna", 37.501, 127.0)
        yield running


async def watch(stage: Stage) -> Told:
    told = await stage.watch("ben")
    snapshot = await told.until(lambda message: message["type"] == "snapshot")
    assert [near["place"]["person_id"] for near in snapshot["near"]] == ["person-anna"]
    return told


def places(told: Told) -> list[float]:
    return [message["friend"]["place"]["latitude"] for message in told.messages if message["type"] == "near"]


async def hide_while_nothing_can_be_read(stage: Stage, told: Told) -> None:
    """Anna turns ghost, and moves on before anybody can read it."""
    caller = await stage.people.person("person-anna")
    assert caller is not None
    stage.database.gate.clear()
    await stage.me.change(caller, ProfileChange(ghost=True))
    await stage.move("anna", 37.502, 127.0)
    await stage.move("ben", 37.5001, 127.0)
    await told.until(lambda message: message["type"] == "distances")


async def test_nothing_is_said_until_it_is_read(stage: Stage) -> None:
    told = await watch(stage)
    await hide_while_nothing_can_be_read(stage, told)
    distances = [message for message in told.messages if message["type"] == "distances"]
    assert distances[-1]["distances"] == {}
    again = await stage.watch("ben")
    first = await again.until(lambda message: message["type"] == "snapshot")
    assert first["near"] == []
    stage.database.gate.set()
    await told.until(lambda message: message["type"] == "left" and message["reason"] == "gone")
    assert places(told) == []
    told.close()
    again.close()


async def test_without_it_she_would_be_seen(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Links, "doubt", lambda *_: None)
    told = await watch(stage)
    await hide_while_nothing_can_be_read(stage, told)
    assert 37.502 in places(told)
    stage.database.gate.set()
    told.close()


async def test_what_was_held_back_is_said_when_it_may_be(stage: Stage) -> None:
    told = await watch(stage)
    caller = await stage.people.person("person-anna")
    assert caller is not None
    stage.database.gate.clear()
    await stage.me.change(caller, ProfileChange(radius_m=500.0))
    await stage.move("anna", 37.502, 127.0)
    await stage.settle()
    assert places(told) == []
    stage.database.gate.set()
    await told.until(lambda message: message["type"] == "near")
    assert places(told) == [37.502]
    told.close()


async def share_for_a_minute(stage: Stage) -> Told:
    """Ben watches, the minute is over, and nobody can read what counts now."""
    await stage.share("anna", OFF)
    await stage.share("anna", SharingWish(Mode.EXACT, until_ms=stage.clock.now_ms() + 60_000), "ben")
    told = await watch(stage)
    stage.database.gate.clear()
    stage.clock.advance(60)
    await stage.move("anna", 37.502, 127.0)
    stage.nearby.flush()
    await stage.settle()
    return told


async def test_an_end_counts_at_its_millisecond(stage: Stage) -> None:
    told = await share_for_a_minute(stage)
    assert places(told) == []
    stage.database.gate.set()
    await told.until(lambda message: message["type"] == "left" and message["reason"] == "gone")
    assert places(told) == []
    told.close()


async def test_without_it_an_end_would_be_late(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Link, "in_doubt", lambda self, _: self.doubted)
    told = await share_for_a_minute(stage)
    assert places(told) == [37.502]
    stage.database.gate.set()
    told.close()
