"""When an order arrives, from what is known of it and what was learned: pure functions.

    arrival = max(cooked, rider at the store) + pick-up + way to the door + handing over

Each part comes from what has happened, else from what is expected. What should have happened and has not is
expected half a minute from now, and the later it is, the later still (`still`): a prediction never lies in the
past, and it never falls because time passes.
"""

from majung.eta.errors import SCALE_S
from majung.eta.learned import Learned
from majung.eta.model import Eta, Sample, Stage, Tracked
from majung.orders.model import OrderState
from majung.positions.geodesy import distance_m
from majung.routing.model import Place

NEAR_MS = 120_000
SOON_MS = 30_000
_OVERDUE_PART = 0.25


def still(at_ms: float, now_ms: int) -> float:
    """When something that has not happened yet happens, that should at `at_ms`."""
    overdue_ms = max(0.0, now_ms - at_ms)
    return max(at_ms, now_ms + SOON_MS + overdue_ms * _OVERDUE_PART)


def way_ms(learned: Learned, start: Place, end: Place, at_ms: int, street: float) -> float:
    """How long from here to there; `street` (0: not known) is how much longer that is along streets."""
    duration_s = learned.ways.estimate(start, distance_m(*start, *end), at_ms).duration_s
    return duration_s * 1000 * (street * learned.delays["streets"].value if street else 1.0)


def arrival_ms(tracked: Tracked, learned: Learned, now_ms: int) -> float:
    """When it arrives, not earlier than now."""
    if tracked.order.carried:
        return _carried_ms(tracked, learned, now_ms)
    order = tracked.order
    ready_ms = max(_cooked_ms(tracked, learned, now_ms), _rider_ms(tracked, learned, now_ms))
    picked_up_ms = still(ready_ms + learned.delay_ms("pick_up"), now_ms)
    way = way_ms(learned, order.store, order.door, now_ms, tracked.street_door)
    return picked_up_ms + way + learned.delay_ms("hand_over")


def _accepted_ms(tracked: Tracked, learned: Learned, now_ms: int) -> float:
    order = tracked.order
    return order.accepted_at_ms or still(order.placed_at_ms + learned.delay_ms("accept"), now_ms)


def _cooked_ms(tracked: Tracked, learned: Learned, now_ms: int) -> float:
    order = tracked.order
    if order.ready_at_ms:
        return order.ready_at_ms
    kitchen = learned.cooking(order.store_id)
    said_s = order.cooking_minutes * 60 if order.accepted_at_ms else kitchen.said_s
    return still(_accepted_ms(tracked, learned, now_ms) + said_s * kitchen.ratio * 1000, now_ms)


def _rider_ms(tracked: Tracked, learned: Learned, now_ms: int) -> float:
    """When a rider is at the store."""
    order = tracked.order
    if tracked.at_store_ms:
        return tracked.at_store_ms
    if not order.rider_id:
        matched_ms = still(_accepted_ms(tracked, learned, now_ms) + learned.delay_ms("match"), now_ms)
        return matched_ms + learned.delay_ms("approach")
    if tracked.place is None:
        return still(order.assigned_at_ms + learned.delay_ms("approach"), now_ms)
    way = way_ms(learned, tracked.place, order.store, now_ms, tracked.street_leg)
    return max(tracked.place_ms + way, now_ms)


def _carried_ms(tracked: Tracked, learned: Learned, now_ms: int) -> float:
    order = tracked.order
    hand_over_ms = learned.delay_ms("hand_over")
    if tracked.at_door_ms:
        return still(tracked.at_door_ms + hand_over_ms, now_ms)
    if tracked.place is None or tracked.place_ms < order.picked_up_at_ms:
        street = tracked.street_leg or tracked.street_door
        way = way_ms(learned, order.store, order.door, now_ms, street)
        return still(order.picked_up_at_ms + way + hand_over_ms, now_ms)
    # From where and when the rider was last heard: a phone that is offline rides on all the same.
    way = way_ms(learned, tracked.place, order.door, now_ms, tracked.street_leg)
    return still(tracked.place_ms + way + hand_over_ms, now_ms)


def stage_of(tracked: Tracked, left_ms: float) -> Stage:
    """Which errors count."""
    order = tracked.order
    if order.carried:
        return Stage.NEAR if left_ms <= NEAR_MS else Stage.CARRYING
    if order.rider_id:
        return Stage.ASSIGNED
    if order.state is OrderState.RECEIVED:
        return Stage.PLACED
    return Stage.WAITING if order.state is OrderState.READY else Stage.COOKING


def predict(tracked: Tracked, learned: Learned, now_ms: int) -> tuple[Eta, int]:
    """The arrival as it is shown, and before the errors of others were added (`raw_ms`)."""
    raw_ms = arrival_ms(tracked, learned, now_ms)
    stage = stage_of(tracked, raw_ms - now_ms)
    errors = learned.errors[stage]
    scale_ms = raw_ms - now_ms + SCALE_S * 1000
    earliest_ms = max(now_ms, round(raw_ms + errors.low * scale_ms))
    at_ms = max(earliest_ms, round(raw_ms + errors.middle * scale_ms))
    latest_ms = max(at_ms, round(raw_ms + errors.high * scale_ms))
    promised_ms = tracked.promised_ms or at_ms
    promised_latest_ms = tracked.promised_latest_ms or latest_ms
    eta = Eta(
        order_id=tracked.order.order_id,
        version=tracked.order.version,
        stage=stage,
        at_ms=at_ms,
        earliest_ms=earliest_ms,
        latest_ms=latest_ms,
        late=at_ms > promised_latest_ms,
        promised_ms=promised_ms,
        promised_latest_ms=promised_latest_ms,
        computed_at_ms=now_ms,
    )
    return eta, round(raw_ms)


def error_of(sample: Sample, arrived_ms: int) -> float:
    """How wrong a prediction was, in the terms of `errors.py`."""
    return (arrived_ms - sample.raw_ms) / (sample.raw_ms - sample.predicted_ms + SCALE_S * 1000)
