"""What an event or a position changes in what is known of an order, and what it teaches. No I/O."""

import zlib

import msgspec

from majung.eta.learned import Learned
from majung.eta.model import PROMISED, Eta, Leg, Sample, SlimEvent, SlimOrder, Stage, Tracked
from majung.eta.predict import error_of, predict, way_ms
from majung.orders.model import OrderState
from majung.positions.geodesy import distance_m
from majung.routing.model import Place

AT_PLACE_M = 60.0
"""Nearer than this to the store or to the door a rider is there."""
_STREET_RATIOS = (0.2, 5.0)


def event_happened(tracked: Tracked | None, event: SlimEvent, learned: Learned) -> Tracked:
    """The order after it. The version is newer than that of `tracked`."""
    order = event.order
    if tracked is None:
        return Tracked(order)
    before = tracked.order
    tracked.order = order
    _learn_of_steps(tracked, before, learned)
    if order.rider_id != before.rider_id:
        tracked.place, tracked.place_ms = None, 0
        _new_leg(tracked)
        tracked.at_store_ms = 0
    elif order.carried and not before.carried:
        _new_leg(tracked)
        if tracked.place is not None:
            tracked.leg = Leg(tracked.place, order.picked_up_at_ms)
    return tracked


def _new_leg(tracked: Tracked) -> None:
    tracked.leg = tracked.computed_from = tracked.street_from = None
    tracked.street_leg, tracked.at_door_ms = 0.0, 0


def _learn_of_steps(tracked: Tracked, before: SlimOrder, learned: Learned) -> None:
    order = tracked.order
    if order.accepted_at_ms and not before.accepted_at_ms:
        learned.took("accept", (order.accepted_at_ms - order.placed_at_ms) / 1000)
        learned.said(order.store_id, order.cooking_minutes * 60)
    if order.rider_id and not before.rider_id and not order.carried:
        learned.took("match", (order.assigned_at_ms - order.accepted_at_ms) / 1000)
    if order.ready_at_ms and not before.ready_at_ms:
        needed_s = (order.ready_at_ms - order.accepted_at_ms) / 1000
        learned.cooked(order.store_id, order.cooking_minutes * 60, needed_s)
    if order.picked_up_at_ms and not before.picked_up_at_ms and tracked.at_store_ms:
        since_ms = max(order.ready_at_ms, tracked.at_store_ms)
        learned.took("pick_up", (order.picked_up_at_ms - since_ms) / 1000)
    if order.state is OrderState.DELIVERED and tracked.at_door_ms:
        learned.took("hand_over", (order.ended_at_ms - tracked.at_door_ms) / 1000)


def learn_of_end(tracked: Tracked, learned: Learned) -> None:
    """It was delivered: what was predicted in each stage against that."""
    for name, sample in tracked.samples.items():
        if name != PROMISED:
            learned.missed(Stage(name), error_of(sample, tracked.order.ended_at_ms))


def rider_seen(tracked: Tracked, place: Place, at_ms: int, learned: Learned) -> bool:
    """Its rider is there now; whether that is news. `at_ms` is when, not after now."""
    if at_ms <= tracked.place_ms or tracked.order.ended:
        return False
    if tracked.leg is None:
        begun_ms = max(at_ms, tracked.order.assigned_at_ms, tracked.order.picked_up_at_ms)
        tracked.leg = Leg(place, begun_ms)
    elif tracked.place is not None:
        tracked.leg.travelled_m += distance_m(*tracked.place, *place)
    tracked.place, tracked.place_ms = place, at_ms
    if distance_m(*place, *tracked.target) <= AT_PLACE_M:
        _arrived(tracked, at_ms, learned)
    return True


def _arrived(tracked: Tracked, at_ms: int, learned: Learned) -> None:
    order = tracked.order
    if order.carried:
        if tracked.at_door_ms:
            return
        tracked.at_door_ms = at_ms
    else:
        if tracked.at_store_ms:
            return
        tracked.at_store_ms = at_ms
        learned.took("approach", (at_ms - order.assigned_at_ms) / 1000)
    leg = tracked.leg
    if leg is None or at_ms <= leg.begun_ms:
        return
    straight_m, needed_s = distance_m(*leg.start, *tracked.target), (at_ms - leg.begun_ms) / 1000
    if learned.ways.learn(leg.start, at_ms, straight_m, leg.travelled_m, needed_s) and leg.street_s > 0:
        learned.took("streets", needed_s / leg.street_s)


def streets_found(
    tracked: Tracked, learned: Learned, asked_from: Place, leg_s: float, door_s: float, now_ms: int
) -> None:
    """How long ways along streets take: the rider's from `asked_from`, and from the store to the door (0: not asked)."""
    tracked.street_leg = _ratio(leg_s, way_ms(learned, asked_from, tracked.target, now_ms, 0.0))
    if tracked.leg is not None and not tracked.leg.street_s and tracked.leg.travelled_m < AT_PLACE_M:
        tracked.leg.street_s = leg_s
    if door_s:
        order = tracked.order
        tracked.street_door = _ratio(door_s, way_ms(learned, order.store, order.door, now_ms, 0.0))


def _ratio(street_s: float, straight_ms: float) -> float:
    if straight_ms <= 0 or street_s <= 0:
        return 0.0
    return min(max(street_s * 1000 / straight_ms, _STREET_RATIOS[0]), _STREET_RATIOS[1])


def compute(tracked: Tracked, learned: Learned, now_ms: int) -> Eta:
    """The arrival as of now: the promise, when it is the first; and perhaps a sample of its stage."""
    eta, raw_ms = predict(tracked, learned, now_ms)
    tracked.eta, tracked.computed_from = eta, tracked.place
    sample = Sample(1, now_ms, raw_ms, eta.at_ms, eta.earliest_ms, eta.latest_ms)
    if not tracked.promised_ms:
        tracked.promised_ms, tracked.promised_latest_ms = eta.at_ms, eta.latest_ms
        tracked.samples = {PROMISED: sample}
    kept = tracked.samples.get(eta.stage)
    count = 1 if kept is None else kept.count + 1
    chosen = sample if kept is None or _chosen(eta.order_id, count) else kept
    tracked.samples[eta.stage] = msgspec.structs.replace(chosen, count=count)
    return eta


def _chosen(order_id: str, count: int) -> bool:
    """Once in `count` times (reservoir sampling, Vitter 1985), and after a restart the same again."""
    return zlib.crc32(f"{order_id} {count}".encode()) % count == 0
