"""A rider within 100 m: once, by whom it concerns, and by nothing that only looks like it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from majung.orders.model import Address, OrderEvent, OrderState, Precision
from tests.notify_kit import HOME, STORE, Kit, at, north_of, opened
from tests.order_views_kit import event, story

CUSTOMER = "customer:ann"
FAR = north_of(HOME, 5_000)


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with opened(tmp_path) as made:
        yield made


def arrivals(kit: Kit) -> int:
    return kit.kinds(CUSTOMER).count("arriving")


async def on_the_way(kit: Kit, number: int = 1, last: int = 6, **parts: Any) -> None:
    """An order up to DELIVERING; picked up now."""
    now_ms = kit.clock.now_ms()
    events = [msgspec.structs.replace(made, at_ms=now_ms) for made in story(number, last, **parts)]
    await kit.happen(*events)
    kit.clock.advance(1)


def reassigned(kit: Kit, rider_id: str, version: int = 7) -> OrderEvent:
    made = event(1, 6, rider_id=rider_id)
    return msgspec.structs.replace(made, version=version, command="assign", at_ms=kit.clock.now_ms())


@pytest.mark.parametrize(("metres", "times"), [(0, 1), (99, 1), (101, 0), (5000, 0)])
async def test_the_circle_is_a_hundred_metres(kit: Kit, metres: float, times: int) -> None:
    await on_the_way(kit)
    await kit.move("r1", north_of(HOME, metres))
    assert arrivals(kit) == times
    assert (await kit.stored(CUSTOMER)).count("arriving") == times


async def test_the_circle_is_a_setting(tmp_path: Path) -> None:
    async with opened(tmp_path, near_m=300) as kit:
        await on_the_way(kit)
        await kit.move("r1", north_of(HOME, 299))
        assert arrivals(kit) == 1
        assert kit.told[-1]["params"]["within_m"] == 300


async def test_once_however_often_the_rider_comes_back(kit: Kit) -> None:
    await on_the_way(kit)
    for place in (north_of(HOME, 50), FAR, north_of(HOME, 60), FAR, HOME):
        kit.clock.advance(60)
        await kit.move("r1", place)
    assert arrivals(kit) == 1


async def test_from_the_pick_up_on_and_not_after_the_end(kit: Kit) -> None:
    await on_the_way(kit, last=4)
    await kit.move("r1", HOME)
    assert arrivals(kit) == 0
    await kit.happen(msgspec.structs.replace(event(1, 5), at_ms=kit.clock.now_ms()))
    await kit.happen(event(1, 7))
    kit.clock.advance(1)
    await kit.move("r1", HOME)
    assert arrivals(kit) == 0


async def test_picked_up_is_enough(kit: Kit) -> None:
    await on_the_way(kit, last=5)
    await kit.move("r1", HOME)
    assert arrivals(kit) == 1


async def test_another_rider_does_not_count(kit: Kit) -> None:
    await on_the_way(kit)
    await kit.move("r2", HOME)
    assert arrivals(kit) == 0


async def test_other_kinds_of_things_do_not_count(kit: Kit) -> None:
    await on_the_way(kit)
    await kit.move("r1", HOME, kind="shop")
    assert arrivals(kit) == 0


async def test_a_position_from_before_the_pick_up_does_not_count(kit: Kit) -> None:
    """A backlog that arrives late: the rider was near the door an hour ago, with another order."""
    before_ms = kit.clock.now_ms() - 1_000
    await on_the_way(kit)
    await kit.move("r1", HOME, device_time_ms=before_ms)
    assert arrivals(kit) == 0


async def test_an_old_position_does_not_count(kit: Kit) -> None:
    await on_the_way(kit)
    then_ms = kit.clock.now_ms()
    kit.clock.advance(61)
    await kit.move("r1", HOME, device_time_ms=then_ms)
    assert arrivals(kit) == 0
    await kit.move("r1", HOME)
    assert arrivals(kit) == 1


async def test_an_inaccurate_position_does_not_count(kit: Kit) -> None:
    await on_the_way(kit)
    await kit.move("r1", HOME, accuracy_m=101.0)
    assert arrivals(kit) == 0
    await kit.move("r1", HOME, accuracy_m=None)
    assert arrivals(kit) == 1


async def test_where_only_the_neighbourhood_is_known_nobody_is_near(kit: Kit) -> None:
    await on_the_way(kit, address=Address(*HOME, "역삼동", precision=Precision.DONG, precision_m=900))
    await kit.move("r1", HOME)
    assert arrivals(kit) == 0


async def test_another_rider_takes_over(kit: Kit) -> None:
    await on_the_way(kit)
    await kit.happen(reassigned(kit, "r2"))
    kit.clock.advance(1)
    await kit.move("r1", HOME)
    assert arrivals(kit) == 0
    await kit.move("r2", HOME)
    assert arrivals(kit) == 1


async def test_once_an_order_even_when_it_goes_to_another_rider(kit: Kit) -> None:
    await on_the_way(kit)
    await kit.move("r1", HOME)
    await kit.happen(reassigned(kit, "r2"))
    kit.clock.advance(1)
    await kit.move("r2", HOME)
    assert arrivals(kit) == 1


async def test_a_reassignment_that_the_index_has_not_seen_is_seen_by_the_row(kit: Kit) -> None:
    """Between the position and the write the order went to somebody else."""
    await on_the_way(kit)
    near = list(kit.notify._near.look([at(kit.clock, "r1", HOME)], kit.clock.now_ms()))
    await kit.happen(reassigned(kit, "r2"))
    await kit.notify._write(near)
    assert arrivals(kit) == 0


async def test_each_order_of_a_rider_by_itself(kit: Kit) -> None:
    """An administrator may have given two to one rider, one after the other."""
    await on_the_way(kit, 1)
    await on_the_way(kit, 2, customer="ben", address=Address(*FAR, "멀리"))
    await kit.move("r1", HOME)
    assert (arrivals(kit), kit.kinds("customer:ben").count("arriving")) == (1, 0)
    await kit.move("r1", FAR)
    assert (arrivals(kit), kit.kinds("customer:ben").count("arriving")) == (1, 1)


async def test_a_restart_forgets_nothing(kit: Kit) -> None:
    await on_the_way(kit, 1)
    await on_the_way(kit, 2, customer="ben", rider_id="r2")
    await kit.move("r1", HOME)
    await kit.end_life()
    await kit.start()
    await kit.move("r1", HOME)
    await kit.move("r2", HOME)
    assert (arrivals(kit), kit.kinds("customer:ben").count("arriving")) == (1, 1)


async def test_events_that_come_again_after_a_crash_do_not_arm_it_again(kit: Kit) -> None:
    await on_the_way(kit)
    await kit.move("r1", HOME)
    await kit.happen(event(1, 7))
    await kit.end_life()
    await kit.start()
    await kit.happen(*story(1, 6))
    await kit.move("r1", HOME)
    assert arrivals(kit) == 1
    assert len(kit.notify._near) == 0


async def test_a_position_that_was_there_before_the_event(kit: Kit) -> None:
    """The rider's last position came while the event of the pick-up was still on its way."""
    await on_the_way(kit, last=4)
    picked_up = msgspec.structs.replace(event(1, 5), at_ms=kit.clock.now_ms())
    kit.clock.advance(0.1)
    await kit.live.put([at(kit.clock, "r1", HOME)])
    await kit.happen(picked_up)
    await kit.move("r2", FAR)
    assert arrivals(kit) == 1


async def test_the_store_hears_when_its_rider_is_there(kit: Kit) -> None:
    await on_the_way(kit, last=3)
    await kit.move("r1", north_of(STORE, 40))
    await kit.move("r1", STORE)
    assert kit.kinds("store:s1").count("rider_at_store") == 1
    given_back = msgspec.structs.replace(
        event(1, 3, rider_id="", state=OrderState.COOKING),
        version=4,
        command="unassign",
        at_ms=kit.clock.now_ms(),
    )
    next_rider = msgspec.structs.replace(
        event(1, 3, rider_id="r2"), version=5, command="assign", at_ms=kit.clock.now_ms()
    )
    await kit.happen(given_back, next_rider)
    kit.clock.advance(1)
    await kit.move("r1", STORE)
    assert kit.kinds("store:s1").count("rider_at_store") == 1
    await kit.move("r2", STORE)
    assert kit.kinds("store:s1").count("rider_at_store") == 2
