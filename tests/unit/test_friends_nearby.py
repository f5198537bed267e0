"""The live side of friends: links, streams, several servers."""

import asyncio
from pathlib import Path

import msgspec

from majung.friends.consent import Mode
from majung.friends.ends import Ends
from tests.nearby_kit import HOME, KM, Screen, a_stage

FAR_KM, NEAR_KM = 9.0, 5.0  # the radius is 8.05 km


async def test_a_friend_comes_near_moves_and_leaves_by_hysteresis(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        _, ben = await stage.meet("anna", "ben")
        await stage.report("anna", 0)
        screen = await stage.watch("anna")
        assert [message["type"] for message in await screen.update()] == ["snapshot"]
        for north_km, kind in (
            (FAR_KM, None),
            (8.0, "near"),
            (8.1, "near"),
            (8.3, "left"),
            (8.1, None),
            (7, "near"),
        ):
            await stage.report("ben", north_km)
            said = await screen.update()
            assert [message["type"] for message in said] == ([kind] if kind else []), north_km
        assert set(screen.near) == {ben.person_id}
        await stage.silence("ben")
        assert [message.get("reason") for message in await screen.update()] == ["gone"]


async def test_each_server_sends_to_its_own_people_and_follows_nobody_who_is_away(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        anna, ben, _, dora = await stage.meet("anna", "ben", "carl", "dora")
        for name in ("anna", "ben"):
            await stage.report(name, 0, at=stage.there)
        await stage.settle()
        assert stage.bus[0].followed == stage.bus[1].followed == 0, "nobody watches"
        screens = [await stage.watch("anna"), await stage.watch("ben", at=stage.there)]
        for screen in screens:
            await screen.update()
        assert stage.bus[0].followed == 2 and stage.bus[1].followed == 2, "carl and dora are away"
        assert set(screens[0].near) == {ben.person_id} and set(screens[1].near) == {anna.person_id}
        await stage.report("dora", 1, at=stage.there)
        await stage.report("carl", FAR_KM, at=stage.there)
        for screen in screens:
            assert [message["type"] for message in await screen.update()] == ["near"]
            assert dora.person_id in screen.near
        await stage.report("dora", 2)
        for screen in screens:
            await screen.update()
            assert screen.near[dora.person_id]["place"]["latitude"] == HOME[0] + 2 * KM
        screens[0].leave()
        await stage.here.tend()
        assert stage.bus[0].followed == 0 and not stage.here.links.subjects and stage.here.links.count == 0
        await stage.silence("dora", at=stage.there)
        assert [message.get("reason") for message in await screens[1].update()] == ["gone"]


async def test_a_server_that_begins_finds_who_is_live(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        _, ben = await stage.meet("anna", "ben")
        await stage.report("anna", 0)
        await stage.report("ben", 1)
        await stage.there.load()
        screen = await stage.watch("anna", at=stage.there)
        await screen.update()
        assert set(screen.near) == {ben.person_id}
        await stage.report("ben", 2)
        assert [message["type"] for message in await screen.update()] == ["near"]


async def test_what_is_reported_while_links_are_made_is_not_missed(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        _, ben = await stage.meet("anna", "ben")
        await stage.report("anna", 0)
        await stage.report("ben", 1)
        stage.live.gate.clear()
        screen = Screen(stage, stage.there, stage.people["anna"].person_id)
        opening = asyncio.create_task(screen.open())
        for north_km in (2, 3):
            await asyncio.sleep(0.05)
            stage.clock.advance(1)
            await stage.report("ben", north_km)
        stage.live.gate.set()
        await opening
        await screen.update()
        assert screen.near[ben.person_id]["place"]["latitude"] == HOME[0] + 3 * KM


async def test_what_is_taken_back_while_links_are_made_is_not_shown(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        await stage.meet("anna", "ben")
        await stage.report("anna", 0)
        await stage.report("ben", 1)
        stage.live.gate.clear()
        screen = Screen(stage, stage.here, stage.people["anna"].person_id)
        opening = asyncio.create_task(screen.open())
        await asyncio.sleep(0.05)
        await stage.ghost("ben", True)
        stage.live.gate.set()
        await opening
        await screen.update()
        assert not any(message.get("near") for message in screen.messages) and "near" not in screen.kinds()
        await stage.ghost("ben", False)
        await screen.update()
        assert "near" in screen.kinds()


async def test_slow_viewers_get_the_newest_alone(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        _, ben = await stage.meet("anna", "ben")
        await stage.report("anna", 0)
        screen = await stage.watch("anna")
        await screen.update()
        for north_km in (1, 2, 3, 4):
            stage.clock.advance(30)
            await stage.report("ben", north_km)
        said = await screen.update()
        assert [message["type"] for message in said] == ["near"] and said[0]["entered"] is True
        assert screen.near[ben.person_id]["place"]["latitude"] == HOME[0] + 4 * KM
        for distance_km in (FAR_KM, 1.0):
            stage.clock.advance(30)
            await stage.report("ben", distance_km)
        assert [message["entered"] for message in await screen.update()] == [False], "as if it had never left"


async def test_an_older_position_never_comes_after_a_newer_one(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        _, ben = await stage.meet("anna", "ben")
        await stage.report("anna", 0)
        await stage.report("ben", 1)
        screen = await stage.watch("anna")
        await screen.update()
        subject = stage.here.links.subjects[ben.person_id]
        assert subject.position is not None
        older = msgspec.structs.replace(subject.position, device_time_ms=1, latitude=0.0)
        stage.here.positions([older])
        assert await screen.update() == []


async def test_the_viewer_moves_and_is_told_the_distances(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        _, ben = await stage.meet("anna", "ben")
        await stage.report("anna", 0)
        await stage.report("ben", NEAR_KM)
        screen = await stage.watch("anna")
        await screen.update()
        stage.clock.advance(30)
        await stage.report("anna", 1)
        (said,) = await screen.update()
        assert said["type"] == "distances" and said["here"]["latitude"] == HOME[0] + KM
        assert abs(said["distances"][ben.person_id] - 4_000) < 20
        stage.clock.advance(30)
        await stage.report("anna", -NEAR_KM)
        assert [message["type"] for message in await screen.update()] == ["left", "distances"]
        await stage.silence("anna")
        (said,) = await screen.update()
        assert said["type"] == "snapshot" and said["here"] is None and said["near"] == []


async def test_an_end_that_passes_is_noticed_by_itself(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        await stage.meet("anna", "ben")
        await stage.decide("ben", Mode.EXACT, for_="1m")
        await stage.report("anna", 0)
        await stage.report("ben", 1)
        screen = await stage.watch("anna")
        await screen.update()
        assert len(screen.near) == 1
        stage.clock.advance(61)
        stage.here.flush()
        assert [message["type"] for message in await screen.update()] == ["left", "friends_changed"]


async def test_a_token_that_expires_ends_its_stream_alone(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        await stage.meet("anna", "ben")
        await stage.report("anna", 0)
        short, other = Screen(stage, stage.here, stage.people["anna"].person_id), await stage.watch("anna")
        await short.open(stage.clock.now_ms() + 10_000)
        for screen in (short, other):
            await screen.update()
        stage.clock.advance(11)
        await stage.here.sweep()
        await short.update()
        assert short.closed is not None and short.closed.code == 4401
        short.leave()
        await stage.report("ben", 1)
        await other.update()
        assert other.closed is None and len(other.near) == 1
        other.viewer.sending_since_s = stage.clock.monotonic_s()
        stage.clock.advance(31)
        await stage.here.sweep()
        assert stage.here.viewers == 0 and not stage.here.links.watchers


async def test_a_door_that_fails_takes_nobody_with_it(tmp_path: Path) -> None:
    async with a_stage(tmp_path) as stage:
        await stage.meet("anna", "ben")
        await stage.report("anna", 0)
        aborted: list[str] = []

        def fail() -> None:
            raise ValueError("a slip of ours")

        broken, well = await stage.watch("anna"), await stage.watch("anna")
        for screen in (broken, well):
            await screen.update()
        broken.viewer.abort = lambda: aborted.append("broken")
        broken.viewer.serve(fail)
        well.viewer.serve(well.take)
        await stage.report("ben", 1)
        await stage.settle()
        assert aborted == ["broken"] and "near" in well.kinds()


def test_ends_are_asked_once_each_and_forgotten_ones_cost_nothing() -> None:
    ends = Ends()
    for number in range(5_000):
        ends.set("anna", "ben", 10_000 + number)
    ends.set("anna", "carl", 5_000)
    ends.set("anna", "dora", 6_000)
    ends.set("anna", "dora", None)
    assert len(ends) == 2 and len(ends._heap) < 2_000
    assert ends.due(4_999) == [] and ends.due(9_000) == [("anna", "carl")]
    assert ends.due(20_000) == [("anna", "ben")] and ends.due(20_000) == []
