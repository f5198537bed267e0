"""Dispatch, order by order: who is asked, who answers, who is told."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from majung.dispatch.assign import require_scipy
from majung.dispatch.model import Offer, OfferOver, OfferStatus, OfferView, RiderStanding
from majung.orders.model import Actor, ActorRef, Command, CommandArgs
from majung.outbox.relay import Relay
from majung.serve.http.dispatch import changes
from majung.settings import DispatchSettings
from tests.conftest import leave_out
from tests.dispatch_kit import HOLDS, City, open_city
from tests.orders_kit import ADMIN, STORE

C = Command


@pytest.fixture
async def city(tmp_path: Path) -> AsyncIterator[City]:
    async with open_city(tmp_path) as opened:
        yield opened


async def test_the_nearest_free_rider_is_asked_and_accepting_makes_the_order_theirs(city: City) -> None:
    await city.rider("far", 900)
    await city.rider("near", 300)
    await city.rider("nearest-but-off", 10, on=False)
    order = await city.order()
    await city.turn()
    offer = city.offered("near")
    assert city.offer("far") is None and city.offer("nearest-but-off") is None
    assert offer.store_distance_m == pytest.approx(300, abs=1)
    assert offer.expires_at_ms - offer.offered_at_ms == 15_000
    view = city.dispatch.standing("near").offer
    assert view is not None and view.store_name == order.store_name and view.address == order.address.text
    assert offer.earning_krw == pytest.approx(3_000 + 0.8 * offer.way_m, abs=5)

    await city.dispatch.accept(offer.offer_id, "near")
    assert (await city.now(order)).rider_id == "near"
    assert city.dispatch.standing("near").order_id == order.order_id
    await city.turn()
    assert city.dispatch.overview().unassigned == 0


async def test_accepting_twice_and_at_once_is_accepting_once(city: City) -> None:
    await city.rider("r", 100)
    order = await city.order()
    await city.turn()
    offer_id = city.offered("r").offer_id
    await asyncio.gather(*(city.dispatch.accept(offer_id, "r") for _ in range(5)))
    await city.turn()
    assert (await city.dispatch.accept(offer_id, "r")).status is OfferStatus.ACCEPTED
    events = await city.orders.history(order.order_id)
    assert [event.command for event in events].count(C.ASSIGN) == 1


async def test_after_fifteen_seconds_it_is_too_late_and_the_next_is_asked(city: City) -> None:
    await city.rider("a", 100)
    await city.rider("b", 200)
    order = await city.order()
    await city.turn()
    offer = city.offered("a")
    city.clock.advance(14.999)
    await city.turn()
    assert city.offer("a") == offer
    city.clock.advance(0.001)
    with pytest.raises(OfferOver, match="over"):  # before anybody has looked at the clock
        await city.dispatch.accept(offer.offer_id, "a")
    assert city.dispatch.standing("a").offer is None
    await city.turn()
    assert city.offer("a") is None
    with pytest.raises(OfferOver):
        await city.dispatch.accept(offer.offer_id, "a")
    await city.dispatch.accept(city.offered("b").offer_id, "b")
    assert (await city.now(order)).rider_id == "b"


async def test_two_declines_then_the_third_accepts_and_nobody_is_asked_twice(city: City) -> None:
    for name, away_m in (("a", 100), ("b", 200), ("c", 300)):
        await city.rider(name, away_m)
    order = await city.order()
    await city.turn()
    for name in ("a", "b"):
        offer_id = city.offered(name).offer_id
        await city.dispatch.decline(offer_id, name)
        await city.dispatch.decline(offer_id, name)
        with pytest.raises(OfferOver, match="declined"):
            await city.dispatch.accept(offer_id, name)
        await city.turn()
        assert city.offer(name) is None
    await city.dispatch.accept(city.offered("c").offer_id, "c")
    with pytest.raises(OfferOver, match="accepted"):
        await city.dispatch.decline(city.dispatch._board.by_rider["c"].offer_id, "c")
    assert (await city.now(order)).rider_id == "c"


async def test_another_riders_offer_cannot_be_answered(city: City) -> None:
    await city.rider("a", 100)
    await city.order()
    await city.turn()
    offer_id = city.offered("a").offer_id
    for answer in (city.dispatch.accept, city.dispatch.decline):
        with pytest.raises(LookupError):
            await answer(offer_id, "b")
        with pytest.raises(LookupError):
            await answer("off-0", "a")


async def test_without_a_rider_it_is_retried_wider_and_seen_and_taken_when_one_comes(city: City) -> None:
    order = await city.order()
    await city.turn()
    seen = city.dispatch.overview()
    assert seen.unassigned == 1 and seen.orders[0].order_id == order.order_id
    assert seen.orders[0].since_ms == order.accepted_at_ms
    radii = set()
    for _ in range(8):
        city.clock.advance(2)
        await city.turn()
        radii.add(city.dispatch.overview().orders[0].radius_m)
    assert max(radii) == 6_000
    await city.rider("outside", 6_500)
    city.clock.advance(2)
    await city.turn()
    assert city.offer("outside") is None
    await city.rider("r", 5_500)
    await city.turn()  # at once, not after the pause
    assert city.dispatch.overview().orders[0].offered_to == "r"
    await city.dispatch.accept(city.offered("r").offer_id, "r")
    assert city.dispatch.overview().unassigned == 0


async def test_many_busy_riders_nearby_do_not_hide_the_free_one(city: City) -> None:
    for number in range(60):
        await city.rider(f"off-{number}", 10 + number, on=False)
    for number in range(40):
        await city.rider(f"far-{number}", 5_000 + number)
    await city.rider("free", 800)
    await city.order()
    await city.turn()
    assert city.offer("free") is not None


async def test_off_duty_declines_the_offer_and_brings_no_more(city: City) -> None:
    await city.rider("a", 100)
    await city.rider("b", 200)
    await city.order()
    await city.turn()
    await city.dispatch.set_duty("a", False)
    await city.turn()
    assert city.offer("a") is None and city.offer("b") is not None
    assert not city.dispatch.standing("a").on


async def test_a_cancelled_order_withdraws_its_offer_and_frees_its_rider(city: City) -> None:
    await city.rider("r", 100)
    first = await city.order()
    await city.turn()
    offer = city.offered("r")
    await city.orders.command(first.order_id, C.CANCEL, STORE, CommandArgs(reason="sold out"))
    # Accepting between the commit and its event: told, and free again.
    with pytest.raises(OfferOver):
        await city.dispatch.accept(offer.offer_id, "r")
    await city.turn()
    assert city.dispatch.standing("r").offer is None
    second = await city.order()
    await city.turn()
    await city.dispatch.accept(city.offered("r").offer_id, "r")
    await city.turn()
    await city.orders.command(second.order_id, C.CANCEL, STORE, CommandArgs(reason="fire"))
    await city.turn()
    assert city.dispatch.standing("r").order_id == ""
    await city.order()
    await city.turn()
    assert city.offer("r") is not None


async def test_a_delivered_order_frees_its_rider_for_the_one_that_waits(city: City) -> None:
    await city.rider("r", 100)
    first = await city.order()
    await city.turn()
    await city.dispatch.accept(city.offered("r").offer_id, "r")
    second = await city.order()
    await city.turn()
    assert city.offer("r") is None
    await city.finish(first, "r")
    await city.turn()
    assert city.offered("r").order_id == second.order_id


async def test_an_administrator_gives_the_order_to_another_and_it_has_exactly_one(city: City) -> None:
    for name, away_m in (("a", 100), ("b", 200)):
        await city.rider(name, away_m)
    order = await city.order()
    await city.turn()
    await city.dispatch.accept(city.offered("a").offer_id, "a")
    other = await city.order()
    await city.turn()
    offer = city.offered("b")
    await city.orders.command(order.order_id, C.ASSIGN, ADMIN, CommandArgs(rider_id="b"))
    with pytest.raises(OfferOver):  # before dispatch has heard of it
        await city.dispatch.accept(offer.offer_id, "b")
    await city.turn()
    assert city.dispatch.standing("b").order_id == order.order_id
    assert city.dispatch.standing("a").order_id == ""
    assert city.offered("a").order_id == other.order_id
    with pytest.raises(Exception, match="not one of this rider"):
        await city.orders.command(order.order_id, C.UNASSIGN, ActorRef(Actor.RIDER, "a"))


async def test_a_rider_who_gives_the_order_back_is_not_asked_again(city: City) -> None:
    for name, away_m in (("a", 100), ("b", 200)):
        await city.rider(name, away_m)
    order = await city.order()
    await city.turn()
    await city.dispatch.accept(city.offered("a").offer_id, "a")
    await city.turn()
    city.clock.advance(60)
    await city.orders.command(order.order_id, C.UNASSIGN, ActorRef(Actor.RIDER, "a"))
    await city.turn()
    assert city.offer("a") is None
    assert city.offered("b").order_id == order.order_id
    assert city.dispatch.overview().orders[0].since_ms == (await city.now(order)).changed_at_ms


async def test_offered_ahead_of_ready_only_then(city: City) -> None:
    city.settings = DispatchSettings(offer_ahead=timedelta(minutes=5))
    city.dispatch = city.new_dispatch()
    await city.rider("r", 100)
    order = await city.order(minutes=20)
    await city.turn()
    assert city.offer("r") is None and city.dispatch.overview().unassigned == 0
    city.clock.advance(14 * 60)
    await city.turn()
    assert city.offer("r") is None
    await city.orders.command(order.order_id, C.READY, STORE)
    await city.rider("r", 100)
    await city.turn()
    assert city.offer("r") is not None


async def test_who_does_not_answer_is_asked_again_later(city: City) -> None:
    await city.rider("r", 100)
    await city.order()
    await city.turn()
    city.clock.advance(15)
    await city.turn()
    assert city.offer("r") is None
    city.clock.advance(59)
    await city.turn()
    assert city.offer("r") is None
    city.clock.advance(3)
    await city.turn()
    assert city.offer("r") is not None


@pytest.mark.parametrize("others", [0, 40])
@pytest.mark.parametrize("batch", [False, True])
async def test_a_phone_that_is_not_heard_any_more_is_not_asked(city: City, others: int, batch: bool) -> None:
    if batch:
        need_scipy()
    city.settings = DispatchSettings(batch=batch)
    city.dispatch = city.new_dispatch()
    await city.rider("dead", 100)
    city.clock.advance(121)
    for number in range(others):  # few are measured, many are looked up by their cells
        await city.rider(f"far-{number}", 900.0 + number)
    await city.rider("alive", 800)
    await city.order()
    await city.turn()
    assert city.offer("dead") is None and city.offer("alive") is not None
    await city.order()
    await city.rider("dead", 100, on=False)  # back; on duty it has been all the while
    await city.turn()
    assert city.offer("dead") is not None


async def lets_it_run_out(city: City, rider_id: str) -> Offer:
    await city.rider(rider_id, 100, on=False)
    await city.order()
    await city.turn()
    offer = city.offered(rider_id)
    city.clock.advance(15)
    await city.turn()
    return offer


async def test_who_lets_three_offers_run_out_goes_off_duty_and_is_told(city: City) -> None:
    await city.rider("r", 100)
    offer = [await lets_it_run_out(city, "r") for _ in range(2)][-1]
    with pytest.raises(OfferOver):  # an answer that comes too late is an answer
        await city.dispatch.accept(offer.offer_id, "r")
    for _ in range(2):
        await lets_it_run_out(city, "r")
        assert city.dispatch.standing("r").on
    bell, leave = city.dispatch.listen("r")
    await lets_it_run_out(city, "r")
    assert bell.is_set()
    leave()
    told = city.dispatch.standing("r")
    assert (told.on, told.offer, told.off_because) == (False, None, "missed_offers")
    await city.restart()
    await city.turn()
    assert not city.dispatch.standing("r").on and city.offer("r") is None
    assert (await city.dispatch.set_duty("r", True)).off_because == ""
    await city.turn()
    assert city.offer("r") is not None
    assert (await city.dispatch.set_duty("r", False)).off_because == ""


async def test_nobody_is_taken_off_duty_where_that_is_not_wanted(city: City) -> None:
    city.settings = DispatchSettings(off_duty_after_missed=0)
    city.dispatch = city.new_dispatch()
    await city.rider("r", 100)
    for _ in range(5):
        await lets_it_run_out(city, "r")
    assert city.dispatch.standing("r").on


async def test_old_rows_go(city: City) -> None:
    await city.rider("r", 100)
    order = await city.order()
    await city.turn()
    await city.dispatch.accept(city.offered("r").offer_id, "r")
    await city.finish(order, "r")
    open_one = await city.order()
    await city.turn()
    await city.dispatch.drop_old(city.clock.now_ms() + 25 * 3_600_000)
    assert await city.database.read("SELECT order_id FROM dispatch_order") == [(open_one.order_id,)]
    assert await city.database.read("SELECT order_id FROM dispatch_offer") == [(open_one.order_id,)]


async def test_from_the_log_in_the_background(city: City) -> None:
    await city.rider("r", 100)
    relay = Relay(city.database, city.log, city.clock)
    city.orders.listeners.append(relay.wake)
    work = [asyncio.create_task(job()) for job in (relay.run, city.dispatch.consume, city.dispatch.run)]
    bell, leave = city.dispatch.listen("r")
    order = await city.order()
    while city.offer("r") is None:
        await asyncio.wait_for(bell.wait(), 60)
        bell.clear()
    await city.dispatch.accept(city.offered("r").offer_id, "r")
    await city.finish(order, "r")
    while city.dispatch.standing("r").order_id:
        await asyncio.wait_for(bell.wait(), 60)
        bell.clear()
    leave()
    for task in work:
        task.cancel()
    ended = await asyncio.gather(*work, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended)


def need_scipy() -> None:
    try:
        require_scipy()
    except ValueError as problem:
        leave_out(str(problem))


async def test_in_batches_all_that_wait_get_riders_together(city: City) -> None:
    need_scipy()
    city.settings = DispatchSettings(batch=True)
    city.dispatch = city.new_dispatch()
    for number in range(4):
        await city.rider(f"r{number}", 100.0 + number)
    orders = [await city.order() for _ in range(5)]
    await city.turn()
    holds = await city.database.read(HOLDS)
    assert len(holds) == 4 == len({order for _, order in holds})
    assert city.dispatch.overview().unassigned == len(orders)


def test_what_a_phone_is_told_follows_from_what_changed() -> None:
    offer = OfferView("f1", "o1", OfferStatus.OPEN, 0, 9, "s", "", 0, 0, 0, 0, 0, "", 0, 0)
    other = msgspec.structs.replace(offer, offer_id="f2", order_id="o2")
    off, on = RiderStanding("r", False, None, ""), RiderStanding("r", True, None, "")
    asked, carrying = RiderStanding("r", True, offer, ""), RiderStanding("r", True, None, "o1")

    def told(last: RiderStanding | None, now: RiderStanding) -> list[str]:
        return [message["type"] for message in changes(last, now)]

    assert told(None, asked) == ["standing"] and told(on, on) == []
    assert told(off, asked) == ["duty", "offer"]
    assert told(asked, on) == ["withdrawn"] and told(asked, carrying) == ["assigned"]
    assert told(asked, RiderStanding("r", True, other, "")) == ["withdrawn", "offer"]
    assert told(carrying, on) == ["released"]
    assert told(carrying, RiderStanding("r", True, None, "o2")) == ["released", "assigned"]
