"""Notices are made once, told live, read by whom they are for, and forgotten in time."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from majung.dispatch.model import OfferStatus, OfferView
from majung.notify.model import Kind
from majung.notify.service import GROUP, MAX_WAITING
from majung.outbox.relay import ORDER_EVENTS_TOPIC
from majung.ports import PortError
from tests.notify_kit import Kit, opened
from tests.order_views_kit import story

CUSTOMER, SHOP, RIDER = "customer:ann", "store:s1", "rider:r1"
WHOLE = ["received", "cooking", "ready", "picked_up", "delivering", "delivered"]


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with opened(tmp_path) as made:
        yield made


def offer(kit: Kit, number: int = 1) -> OfferView:
    now_ms = kit.clock.now_ms()
    return OfferView(
        offer_id=f"off-{number}",
        order_id="ord-0001",
        status=OfferStatus.OPEN,
        offered_at_ms=now_ms,
        expires_at_ms=now_ms + 15_000,
        store_id="s1",
        store_name="마중 분식",
        store_latitude=37.5,
        store_longitude=127.03,
        store_distance_m=300.0,
        latitude=37.51,
        longitude=127.04,
        address="테헤란로 1",
        way_m=1_700.0,
        earning_krw=4_400,
    )


async def test_one_order_as_each_of_them_hears_of_it(kit: Kit) -> None:
    await kit.happen(*story(1))
    for recipient, kinds in (
        (CUSTOMER, WHOLE),
        (SHOP, ["new_order", "rider_assigned"]),
        (RIDER, ["assigned", "ready"]),  # the administrator assigned it here
    ):
        assert kit.kinds(recipient) == kinds
        assert await kit.stored(recipient) == kinds
    first = kit.told[0]
    assert first["type"] == "notice"
    assert first["title"] == "주문이 접수되었어요"
    assert first["params"] == {"store": "마중 분식"}
    assert [m["id"] for m in kit.told] == sorted(m["id"] for m in kit.told)


async def test_events_that_come_again_change_nothing(kit: Kit) -> None:
    events = [made for number in range(1, 6) for made in story(number)]
    rng = random.Random(3)
    at = 0
    while at < len(events):
        batch = events[max(0, at - rng.randrange(12)) : at + rng.randrange(1, 9)]
        at = events.index(batch[-1]) + 1
        await kit.happen(*batch)
        if rng.random() < 0.3:
            await kit.end_life()
            await kit.start()
    assert await kit.stored(CUSTOMER) == [kind for number in range(5) for kind in WHOLE]
    assert sorted(kit.kinds(CUSTOMER)) == sorted(WHOLE * 5)


async def test_the_consumer_goes_on_where_it_was(kit: Kit) -> None:
    encode = msgspec.json.encode
    await kit.log.append(ORDER_EVENTS_TOPIC, [("bad", b"{}")])
    for made in story(1):
        await kit.log.append(ORDER_EVENTS_TOPIC, [(made.order_id, encode(made))])
    for _ in range(2):
        task = asyncio.create_task(kit.notify.consume())
        while (await kit.log.lag(ORDER_EVENTS_TOPIC, GROUP)).records:
            assert not task.done()
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await kit.stored(CUSTOMER) == WHOLE
    assert kit.kinds(CUSTOMER) == WHOLE


async def test_an_offer_is_told_once_also_when_dispatch_says_it_again(kit: Kit) -> None:
    kit.notify.offer(offer(kit), "r1")
    kit.notify.offer(offer(kit), "r1")
    await kit.notify.flush()
    kit.notify.offer(offer(kit, 2), "r2")
    await kit.notify.flush()
    assert (kit.kinds(RIDER), kit.kinds("rider:r2")) == (["offer"], ["offer"])
    assert kit.told[0]["body"] == "마중 분식 · 2.0 km · 4,400원"


async def test_the_line_is_bounded_and_keeps_the_newest(kit: Kit) -> None:
    for number in range(MAX_WAITING + 5):
        kit.notify.offer(offer(kit, number), "r1")
    assert kit.notify.dropped == 5
    await kit.notify.flush()
    newest = await kit.notify.before(RIDER, None, 1)
    assert len(kit.kinds(RIDER)) == MAX_WAITING
    assert newest[0].kind is Kind.OFFER


async def test_what_the_storage_refuses_still_waits(kit: Kit) -> None:
    kit.notify.offer(offer(kit), "r1")
    await kit.database.close()
    with pytest.raises(PortError):
        await kit.notify.flush()
    await kit.database.open()
    await kit.notify.flush()
    assert kit.kinds(RIDER) == ["offer"]


async def test_pages_after_and_before_a_number(kit: Kit) -> None:
    for number in range(1, 4):
        await kit.happen(*story(number))
    whole = await kit.notify.after(CUSTOMER, 0, 200)
    forwards, at = [], 0
    while page := await kit.notify.after(CUSTOMER, at, 5):
        forwards += page
        at = page[-1].id
    backwards, end = [], None
    while page := await kit.notify.before(CUSTOMER, end, 5):
        backwards += page
        end = page[-1].id
    assert forwards == whole == backwards[::-1]
    assert len(whole) == 18


async def test_reading_is_of_the_reader_alone(kit: Kit) -> None:
    await kit.happen(*story(1), *story(2, customer="ben"))
    assert await kit.notify.unread(CUSTOMER) == 6
    second = (await kit.notify.after(CUSTOMER, 0, 2))[1]
    assert await kit.notify.mark_read(CUSTOMER, second.id) == 4
    assert await kit.notify.mark_read(CUSTOMER, second.id) == 4
    assert [notice.read for notice in await kit.notify.after(CUSTOMER, 0, 9)] == [True] * 2 + [False] * 4
    assert await kit.notify.mark_read(CUSTOMER, 2**62) == 0
    assert await kit.notify.unread("customer:ben") == 6


async def test_old_ones_are_forgotten(tmp_path: Path) -> None:
    async with opened(tmp_path, keep_for="1d", max_notices=100) as kit:
        now_ms = kit.clock.now_ms()
        old = [msgspec.structs.replace(made, at_ms=now_ms - 2 * 86_400_000) for made in story(1)]
        new = [msgspec.structs.replace(made, at_ms=now_ms) for made in story(2)]
        await kit.happen(*old, *new)
        await kit.notify.drop_old(now_ms)
        assert {notice.order_id for notice in await kit.notify.after(CUSTOMER, 0, 99)} == {"ord-0002"}
        assert await kit.database.read("SELECT order_id FROM notify_order") == [("ord-0002",)]
        for number in range(3, 33):
            await kit.happen(*(msgspec.structs.replace(made, at_ms=now_ms) for made in story(number)))
        await kit.notify.drop_old(now_ms)
        assert await kit.database.read("SELECT COUNT(*) FROM notice") == [(100,)]
        kept = await kit.notify.before(CUSTOMER, None, 1)
        assert kept[0].order_id == "ord-0032"


async def test_an_order_that_never_had_a_rider_keeps_no_row(kit: Kit) -> None:
    placed, accepted = story(1, 2)
    cancelled = msgspec.structs.replace(accepted, version=3, command="cancel")
    await kit.happen(placed, accepted, cancelled)
    assert kit.kinds(CUSTOMER) == ["received", "cooking", "cancelled"]
    assert await kit.database.read("SELECT COUNT(*) FROM notify_order") == [(0,)]
