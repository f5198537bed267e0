"""64 clients, 200 orders, ten deaths: every history is a path of the table, and every promise is kept."""

import asyncio
import os
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from majung.orders.model import FINAL, Actor, Command, OrderState
from tests.faults import own_consumer
from tests.faults.harness import wait_ready
from tests.faults.orders_crowd import LOST, SETS, Crowd
from tests.faults.orders_judge import Evidence, gather, judge, read_views
from tests.faults.test_orders_kill import read_topic
from tests.server import Server

SEED = int(
    os.environ.get("MAJUNG_FAULT_SEED", "7" if os.environ.get("CI") == "true" else str(int(time.time())))
)
EVERYTHING = {"", "offer", *Command} - {Command.FAIL, Command.UNASSIGN}  # those two are rare here
BEHIND = """
SELECT (SELECT COUNT(*) FROM outbox WHERE status = 'pending')
    + (SELECT COUNT(*) FROM orders o LEFT JOIN views.order_view v USING (order_id) WHERE v.version IS NOT o.version)
    + (SELECT COUNT(*) FROM orders o LEFT JOIN dispatch_order d USING (order_id)
        WHERE d.version IS NOT o.version AND json_extract(o.document, '$.accepted_at_ms') > 0)
    + (SELECT COUNT(*) FROM orders o LEFT JOIN own.newest n USING (order_id) WHERE n.version IS NOT o.version)
    + (SELECT COUNT(*) FROM dispatch_offer f JOIN orders o USING (order_id)
        WHERE f.status = 'accepted' AND o.busy_rider_id IS NOT f.rider_id)
"""


async def stampede(folder: Path, seed: int, orders: int, kills: int, life_s: tuple[float, float]) -> Evidence:
    """Everything that there is to know afterwards."""
    server = Server(folder / "data", SETS, entry=own_consumer.ENTRY)
    server.start(wait=False)
    try:
        await wait_ready(server)
        crowd = Crowd(server, random.Random(seed), orders)
        await crowd.settle_in()
        await hammer(crowd, kills, life_s)
        assert not crowd.strange, crowd.strange[:5]
        await settled(server.data)
        read = await everything_that_is_read(crowd)
        server.kill()
        published = [(event.order_id, event.version) for event in await read_topic(server.data)]
        evidence = gather(server.data, crowd.attempts, crowd.conflicts, published)
        for path in server.data.glob("views.db*"):
            path.unlink()
        server.start(wait=False)
        await wait_ready(server)
        assert await everything_that_is_read(crowd) == read
        server.kill()
        evidence.rebuilt = read_views(server.data)
        return evidence
    finally:
        server.kill()


async def hammer(crowd: Crowd, kills: int, life_s: tuple[float, float]) -> None:
    """Everybody at once, the server killed again and again, until everything has happened."""
    task = asyncio.create_task(crowd.run())
    try:
        for _ in range(kills):
            await asyncio.sleep(crowd.rng.uniform(*life_s))
            crowd.ready.clear()
            crowd.server.kill()
            before = time.monotonic()
            crowd.server.start(wait=False)
            await wait_ready(crowd.server)
            await crowd.report()
            crowd.ready.set()
            while crowd.last_ack_at < before:
                assert not task.done(), task.exception()
                await asyncio.sleep(0.01)
        async with asyncio.timeout(300):
            while crowd.placed < crowd.orders_open or not crowd.commands >= EVERYTHING:
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled(data: Path) -> None:
    """Every consumer has taken everything in."""
    with closing(sqlite3.connect(data / "majung.db")) as database:
        for name in ("views", "own"):
            database.execute(f"ATTACH DATABASE ? AS {name}", (str(data / f"{name}.db"),))
        async with asyncio.timeout(60):
            while database.execute(BEHIND).fetchone() != (0,):
                await asyncio.sleep(0.05)


async def everything_that_is_read(crowd: Crowd) -> dict[str, Any]:
    """What customers, stores, riders and the administrator are shown of orders."""
    found: dict[str, Any] = {}
    async with httpx.AsyncClient(base_url=crowd.server.url, timeout=60) as http:
        for person in [person for people in crowd.people.values() for person in people]:
            paths = ["/v1/orders?limit=200", "/v1/orders?limit=200&open=true"]
            paths += ["/v1/riders/me/job"] if person.kind is Actor.RIDER else []
            paths += [f"/v1/stores/{person.id}/board"] if person.kind is Actor.STORE else []
            for path in paths:
                answer = await http.get(path, headers=person.headers)
                assert answer.status_code == 200, answer.text
                found[f"{person.id} {path}"] = answer.json()
    return found


def summary(evidence: Evidence) -> str:
    acked = sum(one.acked for one in evidence.attempts)
    lost = sum(one.status in LOST for one in evidence.attempts)
    ended = sum(order.state in FINAL for order in evidence.orders.values())
    by = {actor: sum(event.actor is actor for event in evidence.history) for actor in Actor}
    return (
        f"{len(evidence.orders)} orders ({ended} ended), {len(evidence.attempts)} attempts: {acked} acknowledged,"
        f" {len(evidence.conflicts)} conflicts, {lost} without an answer; {len(evidence.history)} events,"
        f" {len(evidence.published)} published; by " + ", ".join(f"{k} {v}" for k, v in by.items())
    )


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_sixty_four_clients_two_hundred_orders_ten_deaths(tmp_path: Path) -> None:
    began = time.monotonic()
    evidence = await stampede(tmp_path, SEED, 200, 10, (1.0, 2.5))
    print(f"\nseed {SEED}, {time.monotonic() - began:.0f} s: {summary(evidence)}")
    verdict = judge(evidence)
    assert not verdict.broken, str(verdict)
    assert {event.actor for event in evidence.history} == set(Actor), "everybody took part"
    assert len(evidence.orders) >= 200
    assert evidence.conflicts


# ------------------------------------------------------------------------------------- judging the judge


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A small stampede that the judge has nothing against."""
    evidence = asyncio.run(stampede(tmp_path_factory.mktemp("small"), 1, 40, 1, (1.0, 2.0)))
    assert not judge(evidence).broken, str(judge(evidence))
    return evidence


def drop_an_event(evidence: Evidence) -> None:
    later = next(event for event in evidence.history if event.version == 3)
    evidence.history[:] = [e for e in evidence.history if (e.order_id, e.version) != (later.order_id, 2)]


def go_where_no_way_leads(evidence: Evidence) -> None:
    at = next(n for n, event in enumerate(evidence.history) if event.command == Command.ACCEPT)
    event = evidence.history[at]
    order = msgspec.structs.replace(event.order, state=OrderState.DELIVERED)
    evidence.history[at] = msgspec.structs.replace(event, order=order)


def act_as_somebody_who_may_not(evidence: Evidence) -> None:
    at = next(n for n, event in enumerate(evidence.history) if event.command == Command.ACCEPT)
    evidence.history[at] = msgspec.structs.replace(evidence.history[at], actor=Actor.RIDER)


def lose_what_was_acknowledged(evidence: Evidence) -> None:
    one = next(one for one in evidence.attempts if one.acked and one.command == Command.ACCEPT)
    evidence.attempts.append(replace(one, version=one.version + 50))


def acknowledge_one_change_to_two(evidence: Evidence) -> None:
    one = next(one for one in evidence.attempts if one.acked and one.command == Command.ACCEPT)
    evidence.attempts.append(replace(one))


def lose_an_accepted_offer(evidence: Evidence) -> None:
    one = next(one for one in evidence.attempts if one.acked and one.command == "offer")
    evidence.attempts += [replace(one, marker=f"off-{number}") for number in range(9)]


def make_two_orders_of_one_key(evidence: Evidence) -> None:
    one = next(one for one in evidence.attempts if one.acked and one.command == "")
    evidence.attempts.append(replace(one, order_id="o-another"))


def do_what_nobody_asked_for(evidence: Evidence) -> None:
    one = next(one for one in evidence.attempts if one.acked and one.command == Command.ACCEPT)
    evidence.attempts.remove(one)


def assign_without_an_acceptance(evidence: Evidence) -> None:
    event = next(event for event in evidence.history if event.actor is Actor.DISPATCH)
    evidence.attempts[:] = [
        one for one in evidence.attempts if one.command != "offer" or one.order_id != event.order_id
    ]


def give_a_rider_two(evidence: Evidence) -> None:
    at, first = next((n, e) for n, e in enumerate(evidence.history) if e.command == Command.ASSIGN)
    order = msgspec.structs.replace(first.order, order_id="o-second")
    second = msgspec.structs.replace(first, order_id="o-second", order=order)
    evidence.history.insert(at + 1, second)


def tell_a_conflict_with_an_old_state(evidence: Evidence) -> None:
    evidence.conflicts[0].floor = evidence.conflicts[0].version + 1


def tell_a_conflict_with_another_state(evidence: Evidence) -> None:
    evidence.conflicts[0].state = "PAINTED"


def leave_out_a_publication(evidence: Evidence) -> None:
    evidence.published[:] = [one for one in evidence.published if one != evidence.published[0]]


def do_an_effect_twice(evidence: Evidence) -> None:
    evidence.own.append(evidence.own[0])


def leave_out_an_effect(evidence: Evidence) -> None:
    evidence.own.pop()


def change_a_field_of_a_view(evidence: Evidence) -> None:
    rows = evidence.rebuilt["order_view"]
    rows[0] = (*rows[0][:-2], rows[0][-2] + " ", rows[0][-1])


def forget_a_line_of_the_audit(evidence: Evidence) -> None:
    for views in (evidence.views, evidence.rebuilt):
        views["order_trail"].pop()


def keep_an_old_order_in_the_views(evidence: Evidence) -> None:
    event = next(event for event in evidence.history if event.version == 1)
    if evidence.orders[event.order_id].version == 1:
        event = msgspec.structs.replace(event, order=msgspec.structs.replace(event.order, note="other"))
    for views in (evidence.views, evidence.rebuilt):
        at = next(n for n, row in enumerate(views["order_view"]) if row[0] == event.order_id)
        views["order_view"][at] = (
            *views["order_view"][at][:-1],
            msgspec.json.encode(event.order).decode(),
        )


def let_dispatch_miss_a_change(evidence: Evidence) -> None:
    order_id, (version, *rest) = next(iter(evidence.dispatch.items()))
    evidence.dispatch[order_id] = (version - 1, *rest)  # type: ignore[assignment]


def bind_a_rider_for_ever(evidence: Evidence) -> None:
    ended = next(order for order in evidence.orders.values() if order.state in FINAL)
    evidence.held.append(("accepted", ended.order_id, "rider-nobody"))


PLANTED: dict[Callable[[Evidence], None], str] = {
    drop_an_event: "versions have no holes",
    go_where_no_way_leads: "every history is a path of the table",
    act_as_somebody_who_may_not: "every history is a path of the table",
    lose_what_was_acknowledged: "what was acknowledged is there, once",
    acknowledge_one_change_to_two: "what was acknowledged is there, once",
    lose_an_accepted_offer: "what was acknowledged is there, once",
    make_two_orders_of_one_key: "one key, one order",
    do_what_nobody_asked_for: "nothing is there that nobody asked for",
    assign_without_an_acceptance: "nothing is there that nobody asked for",
    give_a_rider_two: "no rider ever had two orders",
    tell_a_conflict_with_an_old_state: "a conflict carries the current state",
    tell_a_conflict_with_another_state: "a conflict carries the current state",
    leave_out_a_publication: "every change is published, in order",
    do_an_effect_twice: "every event reached the test's consumer once",
    leave_out_an_effect: "every event reached the test's consumer once",
    change_a_field_of_a_view: "views equal a rebuild",
    forget_a_line_of_the_audit: "views are what the history says",
    keep_an_old_order_in_the_views: "views are what the history says",
    let_dispatch_miss_a_change: "dispatch knows every order as it is",
    bind_a_rider_for_ever: "dispatch knows every order as it is",
}


@pytest.mark.fault
@pytest.mark.timeout(600)
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_the_judge_finds_what_was_planted(good: Evidence, plant: Callable[[Evidence], None]) -> None:
    evidence = deepcopy(good)
    plant(evidence)
    assert PLANTED[plant] in judge(evidence).broken
