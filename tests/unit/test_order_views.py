"""Views of orders: built from events, each in effect once, lost and made again, read by who may."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from majung.auth.model import Forbidden, Principal, Role
from majung.orders.model import Order, OrderEvent, OrderState
from majung.orders.view_policy import Part, Scope, narrowed, scope_of
from majung.orders.views import TOPIC, Search
from tests.order_views_kit import CODE, Kit, event, opened, story


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with opened(tmp_path) as opened_kit:
        yield opened_kit


async def everything(kit: Kit) -> dict[str, tuple[Order, list[OrderEvent]]]:
    found = await kit.views.search(Search(), 200)
    return {order.order_id: (order, await kit.views.audit(order.order_id)) for order in found}


class TestReads:
    async def test_each_view_shows_its_part(self, kit: Kit) -> None:
        mine = story(1, 3, customer="ann", store_id="s1", rider_id="r1")
        theirs = story(2, 4, customer="bob", store_id="s2", rider_id="r2")
        ended = story(3, 7, customer="ann", store_id="s1", rider_id="r1")
        await kit.happen([*mine, *theirs, *ended])
        assert [o.order_id for o in await kit.views.customer_orders("ann")] == ["ord-0003", "ord-0001"]
        assert [o.order_id for o in await kit.views.store_board("s1")] == ["ord-0001"]
        job = await kit.views.rider_job("r2")
        assert job == theirs[-1].order
        assert await kit.views.rider_job("nobody") is None
        assert await kit.views.audit("ord-0001") == mine
        with pytest.raises(LookupError):
            await kit.views.audit("ord-9999")

    async def test_search_by_every_filter_and_by_pages(self, kit: Kit) -> None:
        for number in range(10):
            await kit.happen(story(number, number % 7 + 1, customer=f"c{number % 2}", rider_id=f"r{number}"))
        await kit.happen([event(50, 1, note="문 앞 100%")])

        async def ids(wish: Search) -> list[str]:
            return [order.order_id for order in await kit.views.search(wish)]

        assert await ids(Search(state=OrderState.READY)) == ["ord-0003"]
        assert await ids(Search(open=False)) == ["ord-0006"]
        assert await ids(Search(rider_id="r5")) == ["ord-0005"]
        assert await ids(Search(customer="c1", store_id="s1", before="ord-0005")) == ["ord-0003", "ord-0001"]
        assert await ids(Search(text="앞 100%")) == ["ord-0050"]
        assert await ids(Search(text="100_")) == []
        assert len(await ids(Search(text="떡볶이"))) == 11
        kit.clock.advance(600)
        await kit.happen([event(60, 1, changed_at_ms=kit.clock.now_ms())])
        assert "ord-0060" in await ids(Search(open=True))
        stuck = await ids(Search(stuck_minutes=5))
        assert "ord-0060" not in stuck and "ord-0006" not in stuck and len(stuck) == 10
        paged: list[str] = []
        while page := await kit.views.search(Search(before=paged[-1] if paged else None), 4):
            paged += [order.order_id for order in page]
        assert paged == await ids(Search())

    async def test_a_page_never_leaves_the_scope(self, kit: Kit) -> None:
        await kit.happen([event(1, 3, customer="ann"), event(2, 3, customer="bob")])
        ann = Scope(Part.CUSTOMER, "ann", True)
        assert [o.customer for o in await kit.views.page(ann, Search(), 50)] == ["ann"]
        assert await kit.views.page(ann, Search(customer="bob"), 50) == []
        by_rider = await kit.views.page(Scope(Part.RIDER, "r1"), Search(), 50)
        assert {o.delivery_code for o in by_rider} == {""}


class TestReadYourOwnWrite:
    async def test_waits_for_the_version(self, kit: Kit) -> None:
        asked = asyncio.create_task(kit.views.order("ord-0001", 2, wait_s=10))
        await kit.happen(story(1, 1))
        assert not asked.done()
        await kit.happen([event(1, 2)])
        assert (await asked).version == 2
        assert (await kit.views.order("ord-0001", 2)).version == 2

    async def test_gives_what_there_is_when_the_wait_is_over(self, kit: Kit) -> None:
        await kit.happen(story(1, 1))
        assert (await kit.views.order("ord-0001", 9, wait_s=0.01)).version == 1
        with pytest.raises(LookupError):
            await kit.views.order("ord-0002", 1, wait_s=0.01)
        assert kit.views._waiting == {} and kit.views._waiters == 0


class TestLostAndMadeAgain:
    async def test_a_file_that_is_gone_comes_back_from_the_kept_events(self, kit: Kit) -> None:
        events = [e for number in range(5) for e in story(number, number + 1)]
        kept = sorted(events, key=lambda e: (e.order_id, e.version))
        pages = []

        async def source(after: str, version: int, limit: int) -> Sequence[OrderEvent]:
            found = [e for e in kept if (e.order_id, e.version) > (after, version)][:4]
            pages.append(len(found))
            return found

        await kit.happen(events[:7])
        kit.source = source
        await kit.end_life()
        kit.lose_views()
        await kit.start()
        await kit.caught_up()
        assert {o: e for o, (_, e) in (await everything(kit)).items()} == {
            f"ord-{number:04d}": story(number, number + 1) for number in range(5)
        }
        assert sum(pages) == len(kept)

    async def test_rebuild_on_a_running_server_equals_what_was(self, kit: Kit) -> None:
        await kit.happen([e for number in range(5) for e in story(number, number + 1)])
        before = await everything(kit)
        await asyncio.wait_for(kit.views.rebuild(), 60)
        await kit.happen(story(9, 2))
        after = await everything(kit)
        assert after.pop("ord-0009")[0].version == 2
        assert after == before

    async def test_a_file_of_another_shape_is_made_again(self, kit: Kit) -> None:
        await kit.happen(story(1, 3))
        await kit.database.write(
            lambda tx: tx.execute("UPDATE view_meta SET value = '0' WHERE name = 'schema'")
        )
        await kit.database.write(lambda tx: tx.execute("DELETE FROM order_view"))
        await kit.end_life()
        await kit.start()
        await kit.happen(story(2, 1))
        assert set(await everything(kit)) == {"ord-0001", "ord-0002"}

    async def test_offsets_that_the_log_does_not_have_are_not_believed(self, kit: Kit) -> None:
        await kit.happen(story(1, 3))
        await kit.database.write(lambda tx: tx.execute("UPDATE view_offset SET next_offset = 1000000"))
        await kit.end_life()
        await kit.start()
        await kit.happen(story(2, 1))
        assert set(await everything(kit)) == {"ord-0001", "ord-0002"}

    async def test_a_record_that_cannot_be_read_is_stepped_over(self, kit: Kit) -> None:
        await kit.log.append(TOPIC, [("ord-0001", b"\xff not json")])
        await kit.happen(story(1, 2))
        assert (await kit.views.order("ord-0001")).version == 2


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_order_and_number_of_deliveries_gives_the_same_views(data: st.DataObject) -> None:
    """Shuffled across orders, repeated, out of order, with crashes between: the newest counts, the trail is whole."""
    lengths = data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    events = [e for number, last in enumerate(lengths) for e in story(number, last)]
    again = data.draw(st.lists(st.sampled_from(events), max_size=10))
    sent = [*events, *again]
    random.Random(data.draw(st.integers(0, 2**32))).shuffle(sent)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sent)), max_size=3)))

    async def run(folder: Path) -> None:
        async with opened(folder) as kit:
            for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
                await kit.happen(sent[start:end])
                if data.draw(st.booleans()):
                    await kit.end_life()
                    await kit.start()
            expected = {
                f"ord-{number:04d}": (event(number, last).order, story(number, last))
                for number, last in enumerate(lengths)
            }
            assert await everything(kit) == expected
            await kit.views.rebuild()
            await kit.happen([event(99, 1)])  # behind everything that the rebuild reads again
            rebuilt = await everything(kit)
            del rebuilt["ord-0099"]
            assert rebuilt == expected

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


class TestPolicy:
    def test_table(self) -> None:
        def part(role: Role, **parts: str) -> tuple[str, str, bool] | None:
            try:
                scope = scope_of(Principal(f"user:{role}", role, **parts))  # type: ignore[arg-type]
            except Forbidden:
                return None
            return scope.part.value, scope.id, scope.sees_code

        assert {role: part(role, rider_id="r1", store_id="s1") for role in Role} == {
            Role.ADMIN: ("all", "", True),
            Role.OPERATOR: ("all", "", True),
            Role.VIEWER: None,
            Role.GATEWAY: None,
            Role.DEVICE: None,
            Role.SHARE: None,
            Role.PERSON: None,
            Role.CUSTOMER: ("customer", "user:customer", True),
            Role.RIDER: ("rider", "r1", False),
            Role.STORE: ("store", "s1", False),
        }
        assert part(Role.STORE) is None and part(Role.RIDER) is None

    @pytest.mark.parametrize(
        ("scope", "covers"),
        [
            (Scope(Part.ALL), True),
            (Scope(Part.CUSTOMER, "ann"), True),
            (Scope(Part.CUSTOMER, "bob"), False),
            (Scope(Part.STORE, "s1"), True),
            (Scope(Part.STORE, "ann"), False),
            (Scope(Part.RIDER, "r1"), True),
            (Scope(Part.RIDER, "r2"), False),
            (Scope(Part.ORDER, "ord-0001"), True),
            (Scope(Part.ORDER, "ord-0002"), False),
        ],
    )
    def test_covers(self, scope: Scope, covers: bool) -> None:
        assert scope.covers(event(1, 4).order) is covers

    def test_an_order_without_a_rider_is_nobodys_job(self) -> None:
        assert not Scope(Part.RIDER, "").covers(event(1, 1).order)

    def test_the_code_is_between_customer_and_door(self) -> None:
        order = event(1, 4).order
        assert Scope(Part.CUSTOMER, "ann", True).show(order).delivery_code == CODE
        assert Scope(Part.RIDER, "r1").show(order).delivery_code == ""

    def test_narrowed(self) -> None:
        everything = Scope(Part.ALL, sees_code=True)
        assert narrowed(everything, order_id="o") == Scope(Part.ORDER, "o", True)
        assert narrowed(everything, store_id="s") == Scope(Part.STORE, "s", True)
        mine = Scope(Part.STORE, "s1")
        assert narrowed(mine, order_id="o", store_id="s1") == mine
        with pytest.raises(Forbidden):
            narrowed(mine, store_id="s2")
