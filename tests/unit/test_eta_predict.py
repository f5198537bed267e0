"""Properties of a prediction: in order, never in the past, never less for more work; bounds of what is kept."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from majung.clock import ManualClock
from majung.eta.book import Book
from majung.eta.follow import compute, event_happened, rider_seen
from majung.eta.learned import DELAYS, MAX_KITCHENS, Learned
from majung.eta.model import SlimOrder, Spot, Stage, Tracked
from majung.eta.predict import arrival_ms, predict, still
from majung.orders.model import OrderState
from majung.positions.geodesy import destination, distance_m
from majung.routing.model import Place
from majung.routing.ways import Ways
from tests.eta_kit import DOOR, STORE, Story

NOW_MS = 1_780_000_000_000
OPEN = [
    OrderState.RECEIVED,
    OrderState.COOKING,
    OrderState.READY,
    OrderState.PICKED_UP,
    OrderState.DELIVERING,
]
ago_ms = st.integers(0, 7_200_000)
places = st.builds(Place, st.floats(-89, 89), st.floats(-180, 180))


@st.composite
def tracked_orders(draw: Any) -> Tracked:
    """An open order in any state, its times in their order, its rider anywhere on Earth or not heard."""
    state = draw(st.sampled_from(OPEN))
    step = OPEN.index(state)
    times = sorted(NOW_MS - draw(ago_ms) for _ in range(5))
    rider = draw(st.booleans()) or step >= 3
    order = SlimOrder(
        order_id="ord-1",
        version=1 + step,
        state=state,
        customer="c",
        store_id="s",
        store_latitude=STORE.latitude,
        store_longitude=STORE.longitude,
        address=Spot(*draw(places)),
        placed_at_ms=times[0],
        changed_at_ms=times[4],
        rider_id="r1" if rider and step >= 1 else "",
        cooking_minutes=draw(st.integers(1, 240)) if step >= 1 else 0,
        accepted_at_ms=times[1] if step >= 1 else 0,
        assigned_at_ms=times[2] if rider and step >= 1 else 0,
        ready_at_ms=times[3] if step >= 2 else 0,
        picked_up_at_ms=times[4] if step >= 3 else 0,
    )
    tracked = Tracked(order)
    if order.rider_id and draw(st.booleans()):
        rider_seen(tracked, draw(places), NOW_MS - draw(st.integers(0, 600_000)), Learned(Ways()))
    return tracked


@given(tracked_orders(), st.integers(0, 3_600_000))
def test_a_prediction_is_in_order_and_not_in_the_past(tracked: Tracked, later_ms: int) -> None:
    learned = Learned(Ways())
    for now_ms in (NOW_MS, NOW_MS + later_ms):
        eta, raw_ms = predict(tracked, learned, now_ms)
        assert now_ms <= eta.earliest_ms <= eta.at_ms <= eta.latest_ms and raw_ms >= now_ms
    assert arrival_ms(tracked, learned, NOW_MS + later_ms) >= now_ms


@given(tracked_orders(), st.integers(1, 60))
def test_more_minutes_to_cook_are_not_an_earlier_arrival(tracked: Tracked, more: int) -> None:
    learned, order = Learned(Ways()), tracked.order
    before = arrival_ms(tracked, learned, NOW_MS)
    tracked.order = msgspec.structs.replace(order, cooking_minutes=order.cooking_minutes + more)
    assert arrival_ms(tracked, learned, NOW_MS) >= before


@given(tracked_orders(), st.floats(1.0, 3.0), st.floats(0, 360))
def test_a_rider_who_is_further_away_is_not_earlier(tracked: Tracked, more: float, bearing: float) -> None:
    learned = Learned(Ways())
    arrivals = []
    for metres in (800.0, 800.0 * more):
        tracked.place = Place(*destination(*tracked.target, bearing, metres))
        tracked.place_ms, tracked.at_store_ms, tracked.at_door_ms = NOW_MS, 0, 0
        arrivals.append(arrival_ms(tracked, learned, NOW_MS))
    assert arrivals[1] >= arrivals[0] - 1


@given(st.integers(NOW_MS - 10**7, NOW_MS + 10**7), ago_ms, ago_ms)
def test_what_is_overdue_moves_on_and_never_back(at_ms: int, one_ms: int, other_ms: int) -> None:
    sooner, later = sorted((one_ms, other_ms))
    assert NOW_MS + sooner <= still(at_ms, NOW_MS + sooner) <= still(at_ms, NOW_MS + later)
    assert still(at_ms, NOW_MS) >= at_ms


@given(st.lists(st.tuples(st.sampled_from(sorted(DELAYS)), st.floats(allow_nan=True)), max_size=50))
def test_delays_stay_within_their_bounds(told: list[tuple[str, float]]) -> None:
    learned = Learned(Ways())
    for name, value in told:
        learned.took(name, value)
    for name, (_, most) in DELAYS.items():
        assert 0 <= learned.delays[name].value <= most and math.isfinite(learned.delay_ms(name))


@given(st.lists(st.tuples(st.floats(allow_nan=True), st.floats(allow_nan=True)), max_size=30))
def test_a_kitchen_stays_within_its_bounds(told: list[tuple[float, float]]) -> None:
    learned = Learned(Ways())
    for said_s, needed_s in told:
        learned.said("s", said_s)
        learned.cooked("s", said_s, needed_s)
    assert 0.199 <= learned.cooking("s").ratio <= 5.001 and math.isfinite(learned.cooking("s").said_s)


def test_a_kitchen_is_believed_when_it_has_cooked_a_few_and_lately() -> None:
    learned = Learned(Ways())
    for number in range(400):
        learned.cooked(f"other-{number % 40}", 600, 600)
    learned.cooked("slow", 600, 1_200)
    assert 1.0 < learned.cooking("slow").ratio < 1.4
    for _ in range(60):
        learned.cooked("slow", 600, 1_200)
    assert learned.cooking("slow").ratio > 1.75
    assert learned.cooking("never seen").ratio < 1.4
    for _ in range(60):
        learned.cooked("slow", 600, 600)
    assert learned.cooking("slow").ratio < 1.2


def test_how_long_kitchens_say_is_known_when_they_accept() -> None:
    learned = Learned(Ways())
    assert learned.cooking("s").said_s == 900
    for number in range(30):
        learned.said(f"other-{number % 10}", 300)
    assert 300 <= learned.cooking("new").said_s < 370
    for _ in range(20):
        learned.said("s", 1_200)
    assert learned.cooking("s").said_s > 900
    assert learned.cooking("s").ratio == 1.0


def test_the_number_of_kitchens_is_bounded() -> None:
    learned = Learned(Ways())
    for number in range(MAX_KITCHENS + 50):
        learned.cooked(f"s{number}", 600, 900)
    stored = learned.take_changed()
    assert len(stored) == MAX_KITCHENS + 1  # and that of everywhere
    assert learned.take_changed() == []


def test_the_book_is_bounded_and_the_oldest_goes() -> None:
    book, clock = Book(max_open=100), ManualClock()
    for number in range(150):
        story = Story(clock, f"ord-{number:03d}")
        clock.advance(1)
        book.put(event_happened(None, story.placed(), Learned(Ways())))
    assert len(book.open) == 100 and "ord-149" in book.open and "ord-000" not in book.open
    assert book.is_old("ord-000", 99)


def test_a_way_that_was_ridden_is_learned() -> None:
    clock, learned = ManualClock(), Learned(Ways())
    corner = Place(STORE.latitude, DOOR.longitude)
    for number in range(200):
        story = Story(clock, f"ord-{number}")
        tracked = event_happened(None, story.placed(), learned)
        for event in (story.accepted(), story.assigned(), story.ready(), story.picked_up()):
            event_happened(tracked, event, learned)
        for place in (STORE, corner, DOOR):
            rider_seen(tracked, place, clock.now_ms(), learned)
            clock.advance(300)
    line_m = distance_m(*STORE, *DOOR)
    way = learned.ways.estimate(STORE, line_m, clock.now_ms())
    ridden_m = distance_m(*STORE, *corner) + distance_m(*corner, *DOOR)
    assert way.distance_m == pytest.approx(ridden_m, rel=0.1)
    assert way.duration_s == pytest.approx(600, rel=0.1)


def test_a_phone_that_is_offline_rides_on_and_old_news_is_none() -> None:
    clock, learned = ManualClock(), Learned(Ways())
    story = Story(clock)
    tracked = event_happened(None, story.placed(), learned)
    for event in (story.accepted(), story.assigned(), story.ready(), story.picked_up()):
        event_happened(tracked, event, learned)
    rider_seen(tracked, STORE, clock.now_ms() + 1, learned)
    before = arrival_ms(tracked, learned, clock.now_ms())
    clock.advance(120)
    assert arrival_ms(tracked, learned, clock.now_ms()) == pytest.approx(before, abs=2_000)
    assert not rider_seen(tracked, DOOR, clock.now_ms() - 180_000, learned)
    assert not tracked.at_door_ms
    clock.advance(3_600)
    assert arrival_ms(tracked, learned, clock.now_ms()) > clock.now_ms() + 30_000 - 1


def test_one_estimate_of_each_stage_is_kept_each_with_the_same_chance() -> None:
    kept = []
    for number in range(300):
        clock, learned = ManualClock(), Learned(Ways())
        story = Story(clock, f"ord-{number}")
        tracked = event_happened(None, story.placed(), learned)
        for _ in range(10):
            compute(tracked, learned, clock.now_ms())
            clock.advance(1)
        sample = tracked.samples[Stage.PLACED]
        assert sample.count == 10
        kept.append((sample.predicted_ms - NOW_MS) // 1000)
    assert all(12 <= kept.count(second) <= 55 for second in range(10)), kept
