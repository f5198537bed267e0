"""Dispatch when it dies, when there are two of it, and when everything happens at once."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from majung.dispatch.model import OfferOver
from majung.orders.model import Actor, ActorRef, Command, CommandArgs, Order, OrderState
from majung.orders.service import OrderConflict, RiderTaken
from majung.ports import Transaction
from tests.dispatch_kit import HOLDS, City, open_city
from tests.orders_kit import ADMIN, STORE

C = Command


@pytest.fixture
async def city(tmp_path: Path) -> AsyncIterator[City]:
    async with open_city(tmp_path) as opened:
        yield opened


async def test_after_a_restart_offers_end_by_the_clock(city: City) -> None:
    await city.rider("a", 100)
    await city.rider("b", 200)
    await city.order()
    await city.turn()
    offer = city.offered("a")
    city.clock.advance(5)
    await city.restart()
    assert city.offer("a") == offer and city.dispatch.standing("a").on
    await city.turn()
    assert city.offer("b") is None
    city.clock.advance(10)
    await city.restart()
    await city.turn()
    assert city.offer("a") is None and city.offer("b") is not None
    await city.restart()  # who has refused is known
    await city.dispatch.decline(city.offered("b").offer_id, "b")
    await city.turn()
    assert city.offer("a") is None


def accepted_and_no_more(tx: Transaction, offer_id: str) -> None:
    tx.execute("UPDATE dispatch_offer SET status = 'accepted' WHERE offer_id = ?", (offer_id,))


async def test_a_crash_between_acceptance_and_assignment_loses_neither(city: City) -> None:
    await city.rider("r", 100)
    for assigned in (False, True):
        order = await city.order()
        await city.turn()
        offer = city.offered("r")
        await city.database.write(partial(accepted_and_no_more, offer_id=offer.offer_id))
        if assigned:
            dispatch = ActorRef(Actor.DISPATCH, "dispatch")
            await city.orders.command(order.order_id, C.ASSIGN, dispatch, CommandArgs(rider_id="r"))
        await city.restart()
        await city.dispatch.step()
        city.clock.advance(5)
        await city.dispatch.step()
        assert (await city.now(order)).rider_id == "r"
        await city.pump(again=True)
        assert city.dispatch.standing("r").order_id == order.order_id
        await city.finish(order, "r")
        await city.turn()


async def test_events_that_come_again_change_nothing(city: City) -> None:
    await city.rider("r", 100)
    order = await city.order()
    await city.turn()
    await city.dispatch.accept(city.offered("r").offer_id, "r")
    await city.turn()
    await city.pump(again=True)
    await city.restart()
    await city.pump(again=True)
    assert city.dispatch.standing("r").order_id == order.order_id
    assert await city.database.read(HOLDS) == [("r", order.order_id)]


async def test_two_servers_that_know_nothing_of_each_other_give_nobody_two(city: City) -> None:
    for number in range(6):
        await city.rider(f"r{number}", 100.0 + number)
    orders = [await city.order() for _ in range(6)]
    await city.pump()
    await city.restart()
    other = city.new_dispatch()
    await other.load()
    await asyncio.gather(city.dispatch.step(), other.step())
    for _ in range(4):
        city.clock.advance(1)
        await asyncio.gather(city.dispatch.step(), other.step())
    holds = await city.database.read(HOLDS)
    assert len(holds) == len({rider for rider, _ in holds}) == len({order for _, order in holds}) == 6
    assert {order for _, order in holds} == {order.order_id for order in orders}


# ------------------------------------------------------------------------------------------- all at once

KINDS = "order order accept accept accept decline wait cancel finish off on crash reassign together unassign"
MOVES = st.lists(st.tuples(st.sampled_from(KINDS.split()), st.integers(0, 7)), max_size=30)


async def check_invariants(city: City, orders: list[Order], told: bool) -> None:
    holds = await city.database.read(HOLDS)
    assert len({rider for rider, _ in holds}) == len(holds) == len({order for _, order in holds})
    now = [await city.now(order) for order in orders]
    carried = [order.rider_id for order in now if order.rider_id and not order.ended_at_ms]
    assert len(set(carried)) == len(carried)
    if not told:  # dispatch has not heard of everything yet
        return
    seen = city.dispatch.overview(1_000).orders
    needing = {o.order_id for o in now if not o.rider_id and o.accepted_at_ms and not o.ended_at_ms}
    pending = {order for _, order in holds} - {entry.order_id for entry in seen}
    assert needing <= {entry.order_id for entry in seen} | pending  # none forgotten


async def do(city: City, move: str, number: int, orders: list[Order], riders: list[str]) -> None:
    rider = riders[number % len(riders)]
    order = orders[number % len(orders)] if orders else None
    offer = city.offer(rider)
    try:
        if move == "order":
            orders.append(await city.order())
        elif move == "accept" and offer:
            await city.dispatch.accept(offer.offer_id, rider)
        elif move == "decline" and offer:
            await city.dispatch.decline(offer.offer_id, rider)
        elif move == "wait":
            city.clock.advance(4.0 * number)
        elif move in ("on", "off"):
            await city.dispatch.set_duty(rider, move == "on")
        elif move == "crash":
            await city.restart()
        elif move == "together":
            held = [(name, city.offer(name)) for name in riders]
            accepts = [city.dispatch.accept(o.offer_id, name) for name, o in held if o]
            jobs = [city.dispatch.step(), city.pump(again=True), *accepts]
            await asyncio.gather(*jobs, return_exceptions=True)
        elif order is not None:
            await command(city, move, order, rider)
    except (OfferOver, OrderConflict, RiderTaken):
        pass


async def command(city: City, move: str, order: Order, rider: str) -> None:
    now = await city.now(order)
    if move == "cancel" and now.state in (OrderState.COOKING, OrderState.READY):
        await city.orders.command(order.order_id, C.CANCEL, STORE, CommandArgs(reason="no"))
    elif move == "reassign" and not now.ended_at_ms:
        await city.orders.command(order.order_id, C.ASSIGN, ADMIN, CommandArgs(rider_id=rider))
    elif move == "unassign" and now.rider_id:
        await city.orders.command(order.order_id, C.UNASSIGN, ADMIN)
    elif move == "finish" and now.rider_id and not now.ended_at_ms:
        await city.finish(now, now.rider_id)


@given(moves=MOVES)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
async def test_whatever_happens_no_rider_has_two_and_no_order_is_forgotten(
    moves: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with open_city(tmp_path_factory.mktemp("city")) as city:
        riders, orders = ["a", "b", "c"], [await city.order()]
        for number, name in enumerate(riders):
            await city.rider(name, 200.0 * (number + 1))
        for move, number in moves:
            await do(city, move, number, orders, riders)
            if number % 2:
                await city.turn()
            await check_invariants(city, orders, told=bool(number % 2))
        await finish_all(city, orders)


async def finish_all(city: City, orders: list[Order]) -> None:
    """Enough riders who say yes: every order ends assigned, and none of them has a second one."""
    for number in range(len(orders)):
        await city.rider(f"yes-{number}", 300.0 + number)
    for _ in range(20):
        city.clock.advance(16)
        await city.turn()
        for name in [f"yes-{number}" for number in range(len(orders))]:
            if offer := city.offer(name):
                await city.dispatch.accept(offer.offer_id, name)
        await city.turn()
        if not city.dispatch.overview().unassigned:
            break
    await check_invariants(city, orders, told=True)
    now = [await city.now(order) for order in orders]
    assert all(order.rider_id or order.ended_at_ms for order in now)
