"""The hub by examples: what each viewer is told, in which words, and what it never costs."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from majung.auth.model import AuthError, Forbidden, Principal, Role
from majung.live import messages
from majung.live.audience import SLOW_AFTER_S
from majung.live.hub import MAX_RIDERS, MAX_SUBSCRIPTIONS
from majung.live.messages import Subscribe, Viewport
from majung.live.viewer import MAX_NOTICES, ViewerClosed, Visible
from majung.ports import Overloaded
from tests.live_kit import GANGNAM, OPERATOR, Stage, event, position

INSIDE, EDGE, OUTSIDE = (37.5, 127.03), (37.51, 127.04), (37.6, 127.03)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = await Stage.make(tmp_path)
    yield stage
    await stage.store.close()


async def test_a_snapshot_comes_first_and_then_what_changes(stage: Stage) -> None:
    await stage.show(position("a", *INSIDE, 1))
    screen = await stage.watch("a", "b")
    await stage.show(position("b", *OUTSIDE, 2))
    await screen.update()
    snapshot, changes = screen.messages
    assert (snapshot["type"], snapshot["id"]) == ("snapshot", "s")
    assert [p["rider_id"] for p in snapshot["positions"]] == ["a"]
    assert (changes["type"], [p["rider_id"] for p in changes["positions"]]) == ("positions", ["b"])
    assert snapshot["epoch"] == changes["epoch"] == stage.hub.epoch
    assert changes["offset"] == snapshot["offset"] + 1


async def test_positions_have_the_fields_of_the_reads(stage: Stage) -> None:
    moving = msgspec.structs.replace(position("라이더 1", *INSIDE, 5), speed_mps=3.5, heading_deg=90.0)
    await stage.show(moving)
    screen = await stage.watch("라이더 1")
    assert screen.messages[0]["positions"] == [msgspec.to_builtins(moving)]


async def test_the_newest_wins_for_a_viewer_who_was_not_ready(stage: Stage) -> None:
    screen = await stage.watch("a")
    for number in range(1, 101):
        await stage.show(position("a", *INSIDE, number))
    await screen.update()
    assert [p["device_time_ms"] for p in screen.messages[-1]["positions"]] == [100]
    assert len(screen.messages) == 2
    assert stage.hub.coalesced == 99


async def test_a_viewer_is_sent_at_most_one_batch_each_pause(stage: Stage) -> None:
    screen = await stage.watch("a")
    stage.clock.advance(1)
    await stage.show(position("a", *INSIDE, 1))
    first = await screen.take()  # it had heard nothing for long: at once
    await stage.show(position("a", *INSIDE, 2))
    waiting = asyncio.ensure_future(screen.viewer.take())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(first) == 1 and not waiting.done()
    stage.hub.flush()
    assert json.loads(next(iter(await waiting)).body)["positions"][0]["device_time_ms"] == 2


async def test_an_area_is_told_who_enters_who_leaves_and_who_goes_offline(stage: Stage) -> None:
    await stage.show(
        position("leaves", *INSIDE, 1), position("offline", *INSIDE, 1), position("never", *OUTSIDE, 1)
    )
    screen = await stage.watch(area=GANGNAM)
    assert set(screen.shown) == {"leaves", "offline"}
    await stage.show(
        position("leaves", *OUTSIDE, 2), position("enters", *EDGE, 2), position("never", *OUTSIDE, 2)
    )
    await stage.hide("offline", "unknown")
    new = await screen.update()
    assert set(screen.shown) == {"enters"}
    gone = {m["reason"]: m["rider_ids"] for m in new if m["type"] == "gone"}
    assert gone == {"left": ["leaves"], "offline": ["offline"]}


async def test_a_rider_that_jumps_far_out_of_view_is_told_as_left(stage: Stage) -> None:
    screen = await stage.watch(area=GANGNAM)
    await stage.show(position("a", *INSIDE, 1))
    await screen.update()
    await stage.show(position("a", -33.0, -70.0, 2))
    assert [m["reason"] for m in await screen.update()] == ["left"]


@pytest.mark.parametrize("longitude", [179.5, 180.0, -180.0, -179.5])
async def test_an_area_may_cross_the_antimeridian(stage: Stage, longitude: float) -> None:
    await stage.show(position("early", -17.0, longitude, 1))
    screen = await stage.watch(area=Viewport(south=-20, west=178, north=-15, east=-178))
    await stage.show(position("late", -17.0, longitude, 1), position("other side", -17.0, 0.0, 1))
    await screen.update()
    assert set(screen.shown) == {"early", "late"}


async def test_a_rider_in_two_areas_of_one_viewer_leaves_only_when_it_left_both(stage: Stage) -> None:
    screen = await stage.open()
    screen.subscribe(Subscribe("west", area=Viewport(south=37, west=127.0, north=38, east=127.03)))
    screen.subscribe(Subscribe("east", area=Viewport(south=37, west=127.02, north=38, east=127.06)))
    for number, longitude in enumerate((127.01, 127.025, 127.05), 1):
        await stage.show(position("a", 37.5, longitude, number))
        await screen.update()
        assert screen.places() == {"a": (37.5, longitude)}
    assert "gone" not in screen.types()
    await stage.show(position("a", 37.5, 127.2, 9))
    await screen.update()
    assert screen.places() == {} and screen.types()[-1] == "gone"


async def test_events_reach_who_watches_the_rider_the_fence_or_the_place(stage: Stage) -> None:
    by_rider = await stage.watch("a")
    by_area = await stage.watch(area=GANGNAM)
    by_fence = await stage.open()
    by_fence.subscribe(Subscribe("s", fence="f"), Viewport(south=0, west=0, north=1, east=1))
    await by_fence.update()
    nobody = await stage.watch("other")
    stage.hub.events(
        [event("a", 1, *OUTSIDE, fence_id="g"), event("b", 2, *INSIDE, fence_id="g"), event("c", 3)]
    )
    for screen in (by_rider, by_area, by_fence, nobody):
        await screen.update()
    heard = [screen.events for screen in (by_rider, by_area, by_fence, nobody)]
    assert heard == [["event-1"], ["event-2"], ["event-3"], []]
    assert by_rider.messages[-1]["event"] == msgspec.to_builtins(event("a", 1, *OUTSIDE, fence_id="g"))


async def test_one_event_is_told_once_to_a_viewer_with_three_reasons_to_hear_it(stage: Stage) -> None:
    screen = await stage.watch("a", area=None)
    screen.subscribe(Subscribe("area", area=GANGNAM))
    screen.subscribe(Subscribe("fence", fence="f"), GANGNAM)
    await screen.update()
    stage.hub.events([event("a", 1, *INSIDE)])
    assert [m["type"] for m in await screen.update()] == ["event"]


# --------------------------------------------------------------------------------- resume, resync


async def test_who_comes_back_gets_exactly_what_it_missed(stage: Stage) -> None:
    await stage.show(*(position(rider_id, *INSIDE, 1) for rider_id in ("same", "moves", "leaves", "offline")))
    screen = await stage.watch(area=GANGNAM)
    stage.hub.leave(screen.viewer)
    for number in (2, 3):
        await stage.show(position("moves", *INSIDE, number), position("passes", *INSIDE, number))
    await stage.show(
        position("leaves", *OUTSIDE, 4), position("passes", *OUTSIDE, 4), position("new", *EDGE, 4)
    )
    await stage.hide("offline")
    stage.hub.events([event("moves", 1, *INSIDE)])
    await screen.reconnect()
    resumed, positions, left, offline, happened = await screen.update()
    assert resumed["type"] == "resumed"
    assert {p["rider_id"]: p["device_time_ms"] for p in positions["positions"]} == {"moves": 3, "new": 4}
    assert (left["rider_ids"], offline["rider_ids"]) == (["leaves"], ["offline"])
    assert happened["event"]["event_id"] == "event-1"
    assert set(screen.shown) == {"same", "moves", "new"}


async def test_who_left_in_steps_while_one_was_away_has_left(stage: Stage) -> None:
    await stage.show(position("a", *INSIDE, 1))
    screen = await stage.watch(area=GANGNAM)
    for number, latitude in enumerate((37.5001, 37.5101, 37.5102, 37.5103), 2):
        await stage.show(position("a", latitude, 127.03, number))
    await screen.reconnect()
    assert [m["type"] for m in await screen.update()] == ["resumed", "gone"]
    assert screen.shown == {}


async def test_who_left_one_area_and_is_in_the_snapshot_of_another_is_not_gone(stage: Stage) -> None:
    await stage.show(position("a", *INSIDE, 1))
    screen = await stage.watch(area=GANGNAM)
    await stage.show(position("a", *OUTSIDE, 2))
    screen.subscribe(Subscribe("other", area=Viewport(south=37.55, west=127, north=37.7, east=128)))
    assert "gone" not in [m["type"] for m in await screen.update()]
    assert screen.places() == {"a": OUTSIDE}


async def test_who_missed_nothing_is_told_so(stage: Stage) -> None:
    screen = await stage.watch("a")
    await screen.reconnect()
    assert [m["type"] for m in await screen.update()] == ["resumed"]


@pytest.mark.parametrize(
    ("epoch", "offset"),
    [("another-life", 5), ("", 5), ("mine", 0), ("mine", -1), ("mine", 10**30), ("mine", 99)],
)
async def test_what_cannot_be_resumed_gets_resync_and_a_snapshot(
    stage: Stage, epoch: str, offset: int
) -> None:
    await stage.show(position("a", *INSIDE, 1))
    screen = await stage.open()
    screen.subscribe(
        Subscribe("s", riders=["a"], epoch=epoch.replace("mine", stage.hub.epoch), offset=offset)
    )
    await screen.update()
    assert screen.types() == (["resync", "snapshot"] if epoch else ["snapshot"])


async def test_a_ring_that_has_forgotten_says_resync(tmp_path: Path) -> None:
    stage = await Stage.make(tmp_path, resume_for="5s")
    screen = await stage.watch("a")
    await stage.show(position("b", *INSIDE, 1))
    stage.clock.advance(6)
    await stage.hub.sweep()
    await screen.reconnect()
    assert [m["type"] for m in await screen.update()] == ["resync", "snapshot"]
    await stage.store.close()


async def test_the_ring_keeps_to_its_bytes(tmp_path: Path) -> None:
    stage = await Stage.make(tmp_path, resume_bytes=100_000)
    for number in range(1, 1000):
        await stage.show(position(f"r{number % 7}", *INSIDE, number))
    assert 90_000 < stage.hub.recent.held_bytes <= 100_000
    await stage.store.close()


async def test_a_mailbox_past_its_bound_is_thrown_away_and_nothing_is_lost(tmp_path: Path) -> None:
    stage = await Stage.make(tmp_path, viewer_buffer_bytes=4096)
    screen = await stage.watch(area=GANGNAM)
    for number in range(1, 201):
        await stage.show(position(f"r{number}", *INSIDE, number))
        stage.hub.events([event(f"r{number}", number, *INSIDE)])
        assert stage.hub.bytes_pending <= 4096
    await screen.update()
    assert len(screen.shown) == len(screen.events) == 200
    assert "resync" not in screen.types() and stage.hub.bytes_pending == 0
    await stage.store.close()


async def test_a_mailbox_past_its_bound_whose_ring_has_forgotten_says_resync(tmp_path: Path) -> None:
    stage = await Stage.make(tmp_path, viewer_buffer_bytes=4096, resume_bytes=4096)
    screen = await stage.watch(area=GANGNAM)
    for number in range(1, 201):
        await stage.show(position(f"r{number}", *INSIDE, number))
    assert [m["type"] for m in await screen.update()][:2] == ["resync", "snapshot"]
    assert len(screen.shown) == 200
    await stage.store.close()


async def test_a_big_snapshot_comes_in_frames_and_only_the_last_can_be_resumed_from(stage: Stage) -> None:
    await stage.show(*(position(f"rider-{number:05}", *INSIDE, 1) for number in range(2000)))
    screen = await stage.open()
    screen.subscribe(Subscribe("s", area=GANGNAM))
    frames = await screen.take()
    assert len(frames) > 2 and max(len(frame.body) for frame in frames) < 80_000
    assert [frame.offset for frame in frames] == [0] * (len(frames) - 1) + [stage.hub.recent.offset]
    for frame in frames:
        screen.apply(frame)
    assert len(screen.shown) == 2000


async def test_a_position_is_encoded_once_for_everybody(stage: Stage) -> None:
    screens = [await stage.watch("a") for _ in range(3)] + [await stage.watch(area=GANGNAM)]
    await stage.show(position("a", *INSIDE, 1))
    stage.clock.advance(1)
    waiting = [screen.viewer._box["a"] for screen in screens]
    assert waiting[0] is not None and all(change is waiting[0] for change in waiting)


# ------------------------------------------------------------------------------------------ rights


async def test_a_viewer_gets_only_whom_it_may_see(stage: Stage) -> None:
    stage.visible = frozenset({"mine"})
    await stage.show(position("mine", *INSIDE, 1), position("theirs", *INSIDE, 1))
    screen = await stage.watch(area=GANGNAM)
    await stage.show(
        position("mine", *INSIDE, 2), position("theirs", *INSIDE, 2), position("their", *INSIDE, 2)
    )
    stage.hub.events([event("theirs", 1, *INSIDE), event("mine", 2, *INSIDE)])
    await stage.hide("theirs")
    await screen.update()
    await screen.reconnect()
    await screen.update()
    assert set(screen.shown) == {"mine"} and screen.events == ["event-2"]
    assert "their" not in json.dumps(screen.messages)


async def test_naming_a_rider_that_one_may_not_see_is_refused(stage: Stage) -> None:
    stage.visible = frozenset({"mine"})
    screen = await stage.open()
    with pytest.raises(Forbidden, match="theirs"):
        screen.subscribe(Subscribe("s", riders=["mine", "theirs"]))
    assert screen.viewer.subscriptions == {}


async def test_a_right_that_was_taken_away_is_gone_with_the_next_look(stage: Stage) -> None:
    await stage.show(position("a", *INSIDE, 1), position("b", *INSIDE, 1))
    screen = await stage.watch("a", "b")
    await stage.show(position("b", *INSIDE, 2))
    stage.visible = frozenset({"a"})
    await stage.hub.sweep()
    await stage.show(position("b", *INSIDE, 3), position("a", *INSIDE, 3))
    new = await screen.update()
    assert [m["type"] for m in new][:2] == ["resync", "snapshot"]
    assert set(screen.shown) == {"a"} and "b" not in json.dumps(new).replace('"b"', "b").split()
    stage.visible = None
    await stage.hub.sweep()
    await screen.update()
    assert set(screen.shown) == {"a", "b"}


async def test_rights_that_changed_while_away_are_noticed_on_return(stage: Stage) -> None:
    await stage.show(position("a", *INSIDE, 1), position("b", *INSIDE, 1))
    screen = await stage.watch(area=GANGNAM)
    stage.visible = frozenset({"a"})
    await screen.reconnect()
    await screen.update()
    assert set(screen.shown) == {"a"}


async def test_an_expired_token_ends_the_stream(stage: Stage) -> None:
    soon = Principal("user:v", Role.VIEWER, expires_at_ms=stage.clock.now_ms() + 1500)
    screen = await stage.open(soon)
    stage.clock.advance(1)
    await stage.hub.sweep()
    assert not screen.viewer.closed
    stage.clock.advance(1)
    await stage.hub.sweep()
    with pytest.raises(ViewerClosed, match="expired") as closed:
        await screen.take()
    assert closed.value.code == 4401


async def test_a_revoked_credential_ends_the_stream(stage: Stage) -> None:
    async def see() -> Visible:
        if revoked:
            raise AuthError("this account was revoked")
        return None

    revoked = False
    viewer = await stage.hub.open(OPERATOR, see)
    revoked = True
    await stage.hub.sweep()
    with pytest.raises(ViewerClosed, match="revoked"):
        await viewer.take()


# ------------------------------------------------------------------------------------------ limits


async def test_past_max_viewers_the_next_is_refused_until_one_leaves(tmp_path: Path) -> None:
    stage = await Stage.make(tmp_path, max_viewers=2)
    first, _ = await stage.open(), await stage.open()
    with pytest.raises(Overloaded):
        await stage.open()
    stage.hub.leave(first.viewer)
    stage.hub.leave(first.viewer)
    await stage.open()
    assert stage.hub.viewers == 2
    await stage.store.close()


async def test_a_viewer_has_bounded_subscriptions_and_riders(stage: Stage) -> None:
    screen = await stage.open()
    for number in range(MAX_SUBSCRIPTIONS):
        screen.subscribe(Subscribe(f"s{number}", area=GANGNAM))
    with pytest.raises(ValueError, match="at most 32"):
        screen.subscribe(Subscribe("one more", area=GANGNAM))
    screen.subscribe(Subscribe("s0", riders=["a"]))  # replacing one is fine
    with pytest.raises(ValueError, match="at most 1000"):
        screen.subscribe(Subscribe("s0", riders=[f"r{number}" for number in range(MAX_RIDERS + 1)]))


async def test_leaving_and_unsubscribing_forget_everything(stage: Stage) -> None:
    screen = await stage.watch("a")
    screen.subscribe(Subscribe("area", area=GANGNAM))
    screen.subscribe(Subscribe("fence", fence="f"), GANGNAM)
    stage.hub.unsubscribe(screen.viewer, "s")
    stage.hub.unsubscribe(screen.viewer, "s")
    await stage.show(position("a", *INSIDE, 1))
    stage.hub.leave(screen.viewer)
    watch = stage.hub._watch
    assert (len(watch.areas), watch.riders, watch.fences) == (0, {}, {})
    assert stage.hub.bytes_pending == 0 and stage.hub.viewers == 0


async def test_who_does_not_read_is_closed(stage: Stage) -> None:
    screen = await stage.watch("a")
    await stage.show(position("a", *INSIDE, 1))
    stage.clock.advance(1)
    aborted = []
    screen.viewer.abort = lambda: aborted.append(True)
    frames = await screen.viewer.take()
    assert frames
    stage.clock.advance(SLOW_AFTER_S + 1)
    await stage.hub.sweep()
    assert aborted == [True] and stage.hub.closed_slow == 1 and stage.hub.viewers == 0


async def test_who_only_waits_is_not_slow_and_hears_a_sign_of_life(stage: Stage) -> None:
    screen = await stage.watch("a")
    screen.viewer.keep_alive_s = 15
    waiting = asyncio.ensure_future(screen.viewer.take())
    await asyncio.sleep(0)
    stage.clock.advance(SLOW_AFTER_S + 1)
    await stage.hub.sweep()
    frames = list(await waiting)
    assert [frame.body for frame in frames] == [b""] and stage.hub.closed_slow == 0


async def test_unread_errors_are_bounded(stage: Stage) -> None:
    screen = await stage.open()
    for _ in range(MAX_NOTICES + 1):
        screen.viewer.notice(messages.error(400, "Bad request", "no"))
    with pytest.raises(ViewerClosed):
        await screen.take()


async def test_a_stopping_hub_sends_everybody_away_and_takes_nobody(stage: Stage) -> None:
    screen = await stage.watch("a")
    stage.hub.close()
    with pytest.raises(ViewerClosed) as closed:
        await screen.take()
    assert closed.value.code == 1012
    with pytest.raises(Overloaded):
        await stage.open()


# ------------------------------------------------------------------------------------------ fences


async def test_a_fence_that_changes_brings_a_snapshot_and_one_that_goes_an_error(stage: Stage) -> None:
    await stage.show(position("in", *INSIDE, 1), position("out", *OUTSIDE, 1))
    screen = await stage.open()
    screen.subscribe(Subscribe("s", fence="f"), GANGNAM)
    await screen.update()
    assert set(screen.shown) == {"in"}
    wider = Viewport(south=37.4, west=127.0, north=37.7, east=127.1)
    stage.hub.fence_changed("f", wider)
    assert [m["type"] for m in await screen.update()] == ["resync", "snapshot"]
    assert set(screen.shown) == {"in", "out"}
    stage.hub.fence_changed("f", None)
    (told,) = await screen.update()
    assert (told["type"], told["id"], told["error"]["status"]) == ("error", "s", 404)


# -------------------------------------------------------------------------------------- many servers


async def test_two_servers_show_the_same_and_a_lost_message_means_resync(tmp_path: Path) -> None:
    here, there = await Stage.make(tmp_path / "a"), await Stage.make(tmp_path / "b")
    fanout = here.fanout
    there.hub._relay._fanout = fanout
    tasks = [asyncio.ensure_future(stage.hub.run()) for stage in (here, there)]
    await asyncio.sleep(0)
    try:
        screen = await there.watch(area=GANGNAM)
        await there.store.put([position("a", *INSIDE, 1)])
        await here.show(position("a", *INSIDE, 1))
        here.hub.events([event("a", 1, *INSIDE)])
        await _until(lambda: bool(screen.viewer._events))
        await screen.update()
        assert set(screen.shown) == {"a"} and screen.events == ["event-1"]
        here.hub._relay._number += 1  # a message is lost on its way
        await there.store.remove(["a"])
        here.hub.gone(["a"])
        await _until(lambda: there.hub.resyncs > 0)
        assert "resync" in [m["type"] for m in await screen.update()]
        assert screen.shown == {}
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await here.store.close()
        await there.store.close()


async def _until(condition) -> None:  # type: ignore[no-untyped-def]
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come")
