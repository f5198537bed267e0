"""Arrivals, order by order: what moves them, who is told, what stays after a restart."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from majung.eta.model import PROMISED, Eta, SlimEvent, Stage
from majung.outbox.relay import ORDER_EVENTS_TOPIC
from majung.ports import PortError
from majung.positions.geodesy import destination
from majung.routing.model import Place
from tests.eta_kit import DOOR, STORE, City, Story, open_city

AWAY = Place(*destination(*STORE, 200, 2_000))


@pytest.fixture
async def city(tmp_path: Path) -> AsyncIterator[City]:
    async with open_city(tmp_path) as opened:
        yield opened


def sane(eta: Eta) -> bool:
    return eta.computed_at_ms <= eta.earliest_ms <= eta.at_ms <= eta.latest_ms


async def test_from_placing_to_the_door(city: City) -> None:
    story = Story(city.clock)
    await city.happens(story.placed())
    first = await city.now()
    assert first.stage is Stage.PLACED and sane(first) and not first.late
    assert (first.promised_ms, first.promised_latest_ms) == (first.at_ms, first.latest_ms)
    city.goes(30)
    await city.happens(story.accepted(10))
    assert (await city.now()).stage is Stage.COOKING
    await city.at(AWAY)
    city.goes(30)
    await city.happens(story.assigned())
    assert (await city.now()).stage is Stage.ASSIGNED
    await city.ride(AWAY, STORE, 300)
    city.goes(240)
    await city.happens(story.ready())
    city.goes(20)
    await city.happens(story.picked_up())
    carrying = await city.now()
    assert carrying.stage is Stage.CARRYING and sane(carrying)
    lefts = []
    for part in (0.25, 0.5, 0.75, 0.97):
        place = Place(*(a + part * (b - a) for a, b in zip(STORE, DOOR, strict=True)))
        city.goes(75)
        await city.at(place)
        city.goes(1)
        eta = await city.now()
        assert sane(eta)
        lefts.append(eta.at_ms - city.clock.now_ms())
    assert lefts == sorted(lefts, reverse=True) and lefts[-1] < 150_000
    assert (await city.now()).stage is Stage.NEAR
    city.goes(30)
    await city.happens(story.delivered())
    with pytest.raises(LookupError):
        await city.now()
    await city.eta.save()
    stages = {one.stage: one for one in (await city.eta.calibration(1)).stages}
    assert set(stages) == {PROMISED, *Stage} - {"waiting"}
    assert all(one.n == 1 and one.inside + one.early + one.later == 1 for one in stages.values())
    assert (await city.eta.calibration(1)).aimed_inside == 0.8


async def test_who_is_told(city: City) -> None:
    story = Story(city.clock)
    await city.happens(story.placed())
    await city.happens(story.accepted(), story.assigned())
    keys, eta = city.told[-1]
    assert set(keys) == {"order:ord-1", "customer:customer:mina", "store:st-1", "rider:r1", "all:"}
    assert eta.version == 3 and len(city.told) == 2  # one for each batch: the newest


async def test_a_longer_cooking_time_is_a_later_arrival(city: City) -> None:
    story = Story(city.clock)
    await city.happens(story.placed(), story.accepted(10))
    arrivals = []
    for minutes in (5, 10, 20, 40):
        await city.happens(story.minutes(minutes))
        arrivals.append((await city.now()).at_ms)
    assert arrivals == sorted(arrivals) and arrivals[-1] - arrivals[0] > 30 * 60_000
    assert (await city.now()).late
    assert [eta.order_id for eta in city.eta.late().orders] == ["ord-1"] and city.eta.late_orders == 1
    await city.happens(story.minutes(5))
    assert not (await city.now()).late and city.eta.late().late == 0


async def test_time_that_passes_makes_it_later_never_earlier_and_late_in_the_end(city: City) -> None:
    story = Story(city.clock)
    await city.happens(story.placed(), story.accepted(5))
    before = await city.now()
    for _ in range(200):
        city.goes(30)
        after = await city.now()
        assert sane(after) and after.at_ms >= before.at_ms - 1_000
        before = after
    assert before.late
    assert city.told[-1][1].late  # those who follow were told without any event


async def test_events_that_come_again_and_late_change_nothing(city: City) -> None:
    story = Story(city.clock)
    events = [story.placed(), story.accepted(), story.assigned()]
    await city.happens(*events)
    told = len(city.told)
    await city.happens(*events)
    await city.happens(events[0])
    assert len(city.told) == told
    ended = [story.cancelled()]
    await city.happens(*ended)
    await city.happens(*events, *ended)
    assert city.eta.open_orders == 0 and not (await city.eta.calibration(1)).stages


async def test_a_rider_who_is_heard_often_is_computed_seldom(city: City) -> None:
    story = Story(city.clock)
    await city.at(AWAY)
    await city.happens(story.placed(), story.accepted(1), story.assigned())
    told = len(city.told)
    for number in range(50):
        city.clock.advance(0.2)
        await city.at(Place(AWAY.latitude + number * 0.0003, AWAY.longitude))
        city.eta.step()
    assert 1 <= len(city.told) - told <= 3
    for _ in range(20):
        city.clock.advance(0.5)
        await city.at(Place(AWAY.latitude + 0.0147, AWAY.longitude))
        city.eta.step()
    assert len(city.told) - told <= 4  # standing still says nothing new


async def test_only_the_rider_who_carries_it_counts(city: City) -> None:
    story = Story(city.clock)
    await city.at(AWAY, "r1")
    await city.happens(story.placed(), story.accepted(1), story.ready(), story.assigned("r1"))
    near = await city.now()
    city.goes(10)
    far = Place(*destination(*STORE, 90, 5_000))
    await city.at(far, "r2")
    city.goes(1)
    assert (await city.now()).at_ms <= near.at_ms + 1_000
    await city.happens(story.assigned("r2"))
    handed_over = await city.now()
    assert handed_over.at_ms > near.at_ms + 120_000
    await city.at(STORE, "r1")
    city.goes(31)
    assert (await city.now()).at_ms >= handed_over.at_ms - 1_000


async def test_after_a_restart_it_goes_on_and_knows_what_it_learned(city: City) -> None:
    for number in range(30):
        story = Story(city.clock, f"ord-{number}")
        await city.at(STORE, f"r{number}")
        await city.happens(story.placed(), story.accepted(10), story.assigned(f"r{number}"))
        city.goes(1_200)
        await city.happens(story.ready())
        city.goes(30)
        await city.happens(story.picked_up())
        await city.ride(STORE, DOOR, 500, f"r{number}", every_s=100)
        city.goes(120)
        await city.happens(story.delivered())
    open_story = Story(city.clock, "ord-open")
    await city.happens(open_story.placed(), open_story.accepted(10))
    eta = await city.now("ord-open")
    assert eta.at_ms - city.clock.now_ms() > 1_200_000, "this kitchen needs twice what it says"
    learned = city.eta.learned
    await city.eta.save()
    await city.restart()
    again = city.eta.learned
    assert again is not learned
    assert again.delays == learned.delays and again.cooking("st-1") == learned.cooking("st-1")
    for stage in Stage:
        assert again.errors[stage].high == pytest.approx(learned.errors[stage].high, abs=1e-4)
        assert again.errors[stage].seen == learned.errors[stage].seen
    assert again.ways.estimate(STORE, 1_000, city.clock.now_ms()) == learned.ways.estimate(
        STORE, 1_000, city.clock.now_ms()
    )
    restored = await city.now("ord-open")
    assert abs(restored.at_ms - eta.at_ms) < 1_000
    assert (restored.promised_ms, restored.promised_latest_ms) == (eta.promised_ms, eta.promised_latest_ms)
    await city.happens(Story(city.clock, "ord-7").placed())  # a version of an ended order comes again
    assert city.eta.open_orders == 1


async def test_it_reads_the_log_where_it_had_saved(city: City) -> None:
    async def until(order_id: str, version: int) -> Eta:
        return await city.eta.of(order_id, version, wait_s=20)

    def publish(*events: SlimEvent) -> "asyncio.Future[None]":
        return city.log.append(ORDER_EVENTS_TOPIC, [(e.order_id, msgspec.json.encode(e)) for e in events])

    story = Story(city.clock)
    await city.eta.load()
    task = asyncio.create_task(city.eta.run())
    await publish(story.placed())
    first = await until("ord-1", 1)
    city.clock.advance(10)
    await publish(story.accepted())
    await until("ord-1", 2)
    while (await city.log.lag(ORDER_EVENTS_TOPIC, "eta")).records:  # saved and committed
        await asyncio.sleep(0.01)
    await publish(story.assigned())
    await until("ord-1", 3)  # and this one was not saved
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await city.restart()
    assert (await city.now()).version == 2
    task = asyncio.create_task(city.eta.run())
    again = await until("ord-1", 3)
    assert again.promised_ms == first.promised_ms
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_kept_is_forgotten_in_time(city: City) -> None:
    stale, story = Story(city.clock, "ord-stale"), Story(city.clock)
    await city.happens(stale.placed(), story.placed(), story.accepted(), story.assigned(), story.ready())
    await city.happens(story.picked_up(), story.delivered())
    await city.eta.save()
    assert (await city.eta.calibration(1)).stages
    city.clock.advance(86_400 + 3_700)
    await city.eta.drop_old(city.clock.now_ms())
    assert city.eta.open_orders == 0
    await city.eta.save()
    city.clock.advance(90 * 86_400)
    await city.eta.drop_old(city.clock.now_ms())
    for table in ("eta_order", "eta_record", "eta_learned"):
        assert await city.database.read(f"SELECT COUNT(*) FROM {table}") == [(0,)], table


async def test_a_database_that_refuses_loses_nothing(city: City) -> None:
    story = Story(city.clock)
    await city.happens(story.placed(), story.accepted(), story.assigned(), story.ready(), story.picked_up())
    await city.happens(story.delivered())
    await city.database.write(lambda tx: tx.execute("ALTER TABLE eta_record RENAME TO elsewhere"))
    with pytest.raises(PortError):
        await city.eta.save()
    await city.database.write(lambda tx: tx.execute("ALTER TABLE elsewhere RENAME TO eta_record"))
    await city.eta.save()
    assert {one.stage for one in (await city.eta.calibration(1)).stages} >= {PROMISED, "carrying"}
    await city.restart()
    assert city.eta.learned.errors[Stage.CARRYING].seen == 1
    await city.happens(Story(city.clock).placed())
    assert city.eta.open_orders == 0


async def test_rows_that_cannot_be_read_do_not_keep_the_server_down(city: City) -> None:
    story = Story(city.clock)
    await city.happens(story.placed(), story.accepted())
    await city.eta.save()
    for table in ("eta_order", "eta_learned"):
        await city.database.write(lambda tx, table=table: tx.execute(f"UPDATE {table} SET document = '{{'"))  # type: ignore[misc]
    await city.restart()
    assert city.eta.open_orders == 0
    await city.happens(story.minutes(20))
    assert (await city.now()).version == 3


async def test_an_event_that_the_clock_overtook_is_not_older_than_what_was_shown(city: City) -> None:
    story = Story(city.clock)
    await city.happens(story.placed())
    accepted = story.accepted(20)
    city.goes(31)
    shown = await city.now()
    await city.happens(accepted)
    now = await city.now()
    assert now.stage is Stage.COOKING and now.computed_at_ms >= shown.computed_at_ms


async def test_many_orders_are_looked_at_in_portions_and_none_is_left_out(city: City) -> None:
    stories = [Story(city.clock, f"ord-{number}") for number in range(600)]
    await city.happens(*(story.placed() for story in stories))
    city.clock.advance(300)
    portions = 1
    while city.eta.step():
        portions += 1
    assert portions == 3
    for story in stories:
        assert (await city.now(story.order.order_id)).computed_at_ms == city.clock.now_ms()


async def test_the_promise_is_the_same_however_events_are_bundled(city: City) -> None:
    one_by_one, at_once = Story(city.clock, "ord-a"), Story(city.clock, "ord-b")
    await city.happens(one_by_one.placed())
    late = [at_once.placed()]
    city.goes(20)
    await city.happens(*late, at_once.accepted(45))
    await city.happens(one_by_one.accepted(45))
    a, b = await city.now("ord-a"), await city.now("ord-b")
    assert (a.promised_ms, a.promised_latest_ms) == (b.promised_ms, b.promised_latest_ms)
    assert a.late and b.late
