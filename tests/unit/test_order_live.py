"""The live stream of orders: snapshot and changes are the views, no version left out, nobody else's seen."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from majung.auth.model import AuthError, Principal, Role
from majung.live.audience import SLOW_AFTER_S
from majung.live.viewer import ViewerClosed
from majung.orders.live_viewer import OrderViewer
from majung.orders.model import OrderEvent, OrderState
from majung.orders.view_policy import Part, Scope
from majung.orders.view_store import read_open
from majung.ports import Overloaded
from tests.order_views_kit import CODE, Kit, Page, event, opened, position, story, take

ANN = Scope(Part.CUSTOMER, "ann", True)
ALL = Scope(Part.ALL, sees_code=True)
SCOPES = [ALL, ANN, Scope(Part.STORE, "s1"), Scope(Part.RIDER, "r1"), Scope(Part.ORDER, "ord-0000", True)]


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with opened(tmp_path) as opened_kit:
        yield opened_kit


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


async def start(kit: Kit, scope: Scope = ANN) -> OrderViewer:
    viewer = kit.viewer(scope)
    assert kinds(await take(viewer))[0] == "snapshot"
    return viewer


class TestChanges:
    async def test_every_version_comes_in_order(self, kit: Kit) -> None:
        viewer = await start(kit)
        await kit.happen(story(1))
        await kit.happen(story(1))
        messages = await take(viewer)
        assert [m["order"]["version"] for m in messages] == [1, 2, 3, 4, 5, 6, 7]
        assert [m["command"] for m in messages][:2] == ["", "accept"]
        assert "actor_id" not in str(messages), "who it was by name is for the audit"

    async def test_nobody_elses(self, kit: Kit) -> None:
        viewers = {scope: await start(kit, scope) for scope in SCOPES}
        await kit.happen(story(0, 3, customer="bob", store_id="s2", rider_id="r2"))
        await kit.happen([event(7, 1, customer="eve", store_id="s3")])
        seen = {scope.part: viewer._changes for scope, viewer in viewers.items()}
        assert {part: len(changes) for part, changes in seen.items()} == {
            Part.ALL: 4, Part.CUSTOMER: 0, Part.STORE: 0, Part.RIDER: 0, Part.ORDER: 3,
        }  # fmt: skip

    async def test_the_code_is_for_customer_and_administrator(self, kit: Kit) -> None:
        viewers = [await start(kit, scope) for scope in SCOPES[:4]]
        await kit.happen(story(0, 4))
        for viewer in viewers:
            codes = {message["order"]["delivery_code"] for message in await take(viewer)}
            assert codes == ({CODE} if viewer.scope.sees_code else {""})

    async def test_the_rider_before_is_told_and_reads_nothing_of_it(self, kit: Kit) -> None:
        viewer = await start(kit, Scope(Part.RIDER, "r1"))
        await kit.happen(story(1, 3))
        assert kinds(await take(viewer)) == ["order"]
        await kit.happen([event(1, 4, rider_id="r2")])
        assert await take(viewer) == [
            {"type": "left", "offset": kit.live.offset, "order_id": "ord-0001", "version": 4}
        ]
        await kit.happen([event(1, 5, rider_id="r2")])
        assert viewer._changes == []

    async def test_a_body_is_shared(self, kit: Kit) -> None:
        viewers = [await start(kit) for _ in range(3)]
        await kit.happen([event(1, 1)])
        frames = [(await viewer.take())[0].body for viewer in viewers]
        assert frames[0] is frames[1] is frames[2]


class TestResume:
    async def test_exactly_what_was_missed(self, kit: Kit) -> None:
        viewer = await start(kit)
        await kit.happen(story(1, 2))
        offset = (await take(viewer))[-1]["offset"]
        kit.live.leave(viewer)
        await kit.happen([event(2, 1, customer="bob"), event(1, 3), event(1, 4)])
        back = await take(kit.viewer(ANN, kit.live.epoch, offset))
        assert kinds(back) == ["resumed", "order", "order"]
        assert [m["order"]["version"] for m in back[1:]] == [3, 4]

    @pytest.mark.parametrize("after", [10**9, 1])
    async def test_an_offset_that_is_not_held(self, tmp_path: Path, after: int) -> None:
        async with opened(tmp_path, resume_bytes=4096) as kit:
            await kit.happen([e for number in range(10) for e in story(number, 2)])
            back = await take(kit.viewer(ANN, kit.live.epoch, after))
            assert kinds(back) == ["resync", "snapshot"]
            assert len(back[1]["orders"]) == 10

    async def test_another_life(self, kit: Kit) -> None:
        await kit.happen(story(1, 2))
        epoch, offset = kit.live.epoch, kit.live.offset
        await kit.end_life()
        await kit.start()
        assert kinds(await take(kit.viewer(ANN, epoch, offset))) == ["resync", "snapshot"]

    async def test_a_slow_viewer_is_told_and_its_memory_is_bounded(self, tmp_path: Path) -> None:
        async with opened(tmp_path, viewer_buffer_bytes=4096) as kit:
            viewer = await start(kit)
            for number in range(30):
                await kit.happen(story(number, 2))
                assert viewer.bytes <= 4096
            page = Page()
            page.apply(await take(viewer))
            assert page.resyncs == 1 and len(page.orders) == 30

    async def test_a_rebuild_begins_again(self, kit: Kit) -> None:
        await kit.happen(story(1, 2))
        viewer = await start(kit)
        before = kit.live.epoch
        await kit.views.rebuild()
        page = Page()
        while page.epoch in ("", before) or not page.orders:
            page.apply(await take(viewer))
        assert page.orders["ord-0001"].version == 2


class TestRider:
    async def test_only_while_carrying_and_only_that_rider(self, kit: Kit) -> None:
        viewer = await start(kit)
        await kit.happen(story(1, 4))
        await take(viewer)
        kit.live.positions([position("r1"), position("r2")])
        assert viewer._riders == {}
        await kit.happen([event(1, 5)])
        kit.live.positions([position("r2"), position("r1", 37.6), position("r1", 37.7)])
        order, rider = await take(viewer)
        assert order["order"]["state"] == "PICKED_UP"
        assert rider["type"] == "rider" and rider["order_id"] == "ord-0001"
        assert (rider["position"]["rider_id"], rider["position"]["latitude"]) == ("r1", 37.7)
        kit.live.positions([position("r1", 37.8)])
        await kit.happen([event(1, 7)])
        assert kinds(await take(viewer)) == ["order"], "what waited when it ended is not sent"
        kit.live.positions([position("r1", 37.9)])
        assert viewer._riders == {} and kit.live._followers == {}

    async def test_a_handover_on_the_way_changes_who_is_seen(self, kit: Kit) -> None:
        viewer = await start(kit)
        await kit.happen(story(1, 5))
        kit.live.positions([position("r1")])
        await kit.happen([event(1, 6, rider_id="r2")])
        kit.live.positions([position("r1"), position("r2", 37.2)])
        riders = [m for m in await take(viewer) if m["type"] == "rider"]
        assert [m["position"]["rider_id"] for m in riders] == ["r2"]

    async def test_stores_and_riders_and_others_get_none(self, kit: Kit) -> None:
        viewers = [
            await start(kit, scope) for scope in (ALL, *SCOPES[2:4], Scope(Part.CUSTOMER, "bob", True))
        ]
        await kit.happen(story(1, 5))
        kit.live.positions([position("r1")])
        assert [viewer._riders for viewer in viewers] == [{}, {}, {}, {}]

    async def test_a_snapshot_begins_with_where_the_rider_is(self, kit: Kit) -> None:
        await kit.happen([*story(1, 5), *story(2, 5, rider_id="r2"), *story(3, 4, rider_id="r3")])
        before_the_pick_up = position("r2", at_ms=1_779_000_000_000)
        await kit.live_store.put([position("r1", 37.55), before_the_pick_up, position("r3")])
        messages = await take(kit.viewer(ANN))
        assert [m["order_id"] for m in messages if m["type"] == "rider"] == ["ord-0001"]

    async def test_where_a_new_rider_was_before_the_handover_is_not_shown(self, kit: Kit) -> None:
        handed_over = event(1, 6, rider_id="r2")
        order = msgspec.structs.replace(handed_over.order, assigned_at_ms=1_780_000_002_000)
        await kit.happen([*story(1, 5), msgspec.structs.replace(handed_over, order=order)])
        await kit.live_store.put([position("r2", at_ms=1_780_000_001_999)])
        assert kinds(await take(kit.viewer(ANN))) == ["snapshot"]
        await kit.live_store.put([position("r2", at_ms=1_780_000_002_000)])
        assert kinds(await take(kit.viewer(ANN))) == ["snapshot", "rider"]

    async def test_a_resumed_viewer_goes_on_seeing_the_rider(self, kit: Kit) -> None:
        await kit.happen(story(1, 5))
        viewer = kit.viewer(ANN, kit.live.epoch, kit.live.offset)
        assert kinds(await take(viewer)) == ["resumed"]
        kit.live.positions([position("r1")])
        assert kinds(await take(viewer)) == ["rider"]
        kit.live.leave(viewer)
        assert kit.live._followers == {} and kit.live._by_key == {}


class TestHousekeeping:
    async def test_rights_that_end_end_the_stream(self, kit: Kit) -> None:
        def refuse() -> Scope:
            raise AuthError("revoked")

        for now in (refuse, lambda: Scope(Part.STORE, "s9")):
            viewer = await start(kit)

            async def see(now: Any = now) -> Scope:
                return now()  # type: ignore[no-any-return]

            viewer.see = see
            await kit.live.sweep()
            with pytest.raises(ViewerClosed) as ended:
                await viewer.take()
            assert ended.value.code == 4401
            kit.live.leave(viewer)

    async def test_a_token_that_expires(self, kit: Kit) -> None:
        principal = Principal("user:ann", Role.CUSTOMER, expires_at_ms=kit.clock.now_ms() + 1000)
        viewer = kit.viewer(ANN, principal=principal)
        await take(viewer)
        kit.clock.advance(1)
        await kit.live.sweep()
        with pytest.raises(ViewerClosed):
            await viewer.take()

    async def test_who_does_not_read_is_cut_off(self, kit: Kit) -> None:
        viewer = await start(kit)
        aborted: list[bool] = []
        viewer.abort = lambda: aborted.append(True)
        kit.clock.advance(SLOW_AFTER_S + 1)
        await kit.live.sweep()
        assert aborted and kit.live.viewers == 0 and kit.live.closed_slow == 1

    async def test_a_sign_of_life(self, kit: Kit) -> None:
        viewer = await start(kit)
        viewer.keep_alive_s = 15
        waiting = asyncio.create_task(viewer.take())
        await asyncio.sleep(0)
        kit.clock.advance(16)
        await kit.live.sweep()
        assert [frame.body for frame in await waiting] == [b""]

    async def test_bounds_and_the_end(self, tmp_path: Path) -> None:
        async with opened(tmp_path, max_viewers=1) as kit:
            viewer = await start(kit)
            with pytest.raises(Overloaded):
                kit.viewer(ANN)
            kit.live.close()
            with pytest.raises(ViewerClosed) as ended:
                await viewer.take()
            assert ended.value.code == 1012

    async def test_messages_of_others_reach_who_watches_once(self, kit: Kit) -> None:
        viewer, other = await start(kit), await start(kit, Scope(Part.CUSTOMER, "bob"))
        kit.live.tell(["order:ord-0001", "customer:ann", "store:s1"], b'{"type":"eta"}')
        assert await take(viewer) == [{"type": "eta"}]
        assert other._extras == []


# ------------------------------------------------------------- snapshot + changes = what the views say


class Follower:
    """A page that connects, reads, drops and comes back as the plan says."""

    def __init__(self, kit: Kit, scope: Scope) -> None:
        self.kit, self.scope, self.page = kit, scope, Page()
        self.viewer: OrderViewer | None = None

    async def act(self, what: str) -> None:
        if what == "drop" and self.viewer is not None:
            self.kit.live.leave(self.viewer)
            self.viewer = None
        elif self.viewer is None:
            self.viewer = self.kit.viewer(self.scope, self.page.epoch, self.page.offset)
        else:
            await self.read()

    async def read(self) -> None:
        """Everything that is there by now."""
        assert self.viewer is not None
        while self.viewer._due.is_set():
            # Not `take`: what is due may have gone with the snapshot already, and it would wait for more.
            self.page.apply([json.loads(frame.body) for frame in await self.viewer._next()])


def _after(number: int, version: int, plan: int) -> OrderEvent:
    """The riders change hands and orders end early, as `plan` says."""
    rider = f"r{(plan + version // 3) % 3}"
    changes: dict[str, Any] = {"state": OrderState.FAILED} if plan % 4 == 3 and version == 6 else {}
    return event(number, version, f"{('ann', 'bob')[number % 2]}", f"s{number % 3}", rider, **changes)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_snapshot_and_changes_are_the_views(data: st.DataObject) -> None:
    """Any interleaving of events (repeated, late), connections, drops, slow reading and small memories."""
    plans = data.draw(st.lists(st.integers(0, 11), min_size=1, max_size=4))
    small = data.draw(st.booleans())
    limits = {"viewer_buffer_bytes": 4096, "resume_bytes": 8192} if small else {}
    left = {number: [_after(number, v, plan) for v in range(1, 7)] for number, plan in enumerate(plans)}
    sent: list[OrderEvent] = []

    async def run(folder: Path) -> None:
        async with opened(folder, **limits) as kit:
            followers = [Follower(kit, scope) for scope in SCOPES]
            for _ in range(data.draw(st.integers(5, 25))):
                batch = []
                for number in data.draw(st.lists(st.sampled_from(sorted(left)), max_size=5)):
                    if left[number]:
                        batch.append(left[number].pop(0))
                if sent:
                    batch += data.draw(st.lists(st.sampled_from(sent), max_size=2))
                sent.extend(batch)
                who = data.draw(st.sampled_from(followers))
                reading = asyncio.create_task(who.act(data.draw(st.sampled_from(["read", "read", "drop"]))))
                if batch:
                    await kit.happen(batch)
                await reading
            for follower in followers:
                if follower.viewer is None:
                    await follower.act("come back")
                await follower.read()
                found = await read_open(kit.database, follower.scope, 1000)
                expected = {order.order_id: follower.scope.show(order) for order in found}
                assert follower.page.orders == expected, follower.scope

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))
