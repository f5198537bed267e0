"""What the server kept of a stampede, and whether it may be so.

`gather` reads the files of a server that is not running; `judge` is pure, and is itself judged: the tests
damage good evidence in every way and look whether it is found.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from majung.orders.model import FINAL, Actor, Command, Order, OrderEvent, OrderState
from majung.orders.store import decode_event, decode_order
from majung.orders.table import TABLE
from majung.outbox.versions import SeenVersions
from tests.faults import own_consumer
from tests.faults.orders_crowd import LOST, Attempt

Change = tuple[str, int]  # order_id, version
VIEWS = ("order_view", "order_trail")


@dataclass
class Evidence:
    """`history` is in the order of the commits; `published` and `own` in the order of the log."""

    attempts: list[Attempt]
    conflicts: list[Attempt]
    history: list[OrderEvent]
    orders: dict[str, Order]
    keys: list[tuple[str, str, str]]  # customer, Idempotency-Key, order_id
    published: list[Change]
    own: list[Change]
    views: dict[str, list[tuple[Any, ...]]]
    rebuilt: dict[str, list[tuple[Any, ...]]]
    dispatch: dict[str, tuple[int, str, str]]  # order_id → version, state, rider
    held: list[tuple[str, str, str]]  # status, order_id, rider_id of what binds a rider


@dataclass
class Verdict:
    """By name of the promise, what breaks it."""

    broken: dict[str, list[str]] = field(default_factory=dict)

    def add(self, promise: str, found: Iterable[object]) -> None:
        if texts := [str(one) for one in found]:
            self.broken.setdefault(promise, []).extend(texts)

    def __str__(self) -> str:
        return "\n".join(f"{name}: {len(all_)}, as {all_[:3]}" for name, all_ in self.broken.items())


def read_views(data: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the views, every field."""
    with closing(sqlite3.connect(data / "views.db")) as views:
        return {name: views.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall() for name in VIEWS}


def gather(
    data: Path, attempts: list[Attempt], conflicts: list[Attempt], published: list[Change]
) -> Evidence:
    """Everything but `rebuilt`, which is empty."""
    with closing(sqlite3.connect(data / "majung.db")) as database:
        history = database.execute("SELECT payload FROM order_event ORDER BY rowid").fetchall()
        orders = database.execute("SELECT order_id, document FROM orders").fetchall()
        keys = database.execute("SELECT customer, request_key, order_id FROM orders").fetchall()
        dispatch = database.execute(
            "SELECT order_id, version, state, rider_id FROM dispatch_order"
        ).fetchall()
        held = database.execute(
            "SELECT status, order_id, rider_id FROM dispatch_offer WHERE status IN ('open', 'accepted')"
        ).fetchall()
    return Evidence(
        attempts,
        conflicts,
        [decode_event(row[0]) for row in history],
        {order_id: decode_order(document) for order_id, document in orders},
        keys,
        published,
        own_consumer.effects(data),
        read_views(data),
        {},
        {order_id: (version, state, rider) for order_id, version, state, rider in dispatch},
        held,
    )


def judge(evidence: Evidence) -> Verdict:
    """Every promise."""
    verdict = Verdict()
    trails: dict[str, list[OrderEvent]] = defaultdict(list)
    for event in evidence.history:
        trails[event.order_id].append(event)
    verdict.add("versions have no holes", _holes(trails))
    verdict.add("every history is a path of the table", _illegal_steps(trails))
    verdict.add("the order is what its history says", _unlike_history(evidence, trails))
    verdict.add("no rider ever had two orders", _two_at_once(evidence.history))
    verdict.add("what was acknowledged is there, once", _lost_or_doubled(evidence))
    verdict.add("one key, one order", _keys(evidence))
    verdict.add("nothing is there that nobody asked for", _unexplained(evidence))
    verdict.add("a conflict carries the current state", _wrong_conflicts(evidence))
    changes = {(event.order_id, event.version) for event in evidence.history}
    seen = SeenVersions()
    first = [change for change in evidence.published if seen.take(*change)]
    verdict.add("every change is published, in order", _effects(first, changes))
    verdict.add("every event reached the test's consumer once", _effects(evidence.own, changes))
    verdict.add("views are what the history says", _unlike_views(evidence, trails))
    verdict.add("views equal a rebuild", _differences(evidence.views, evidence.rebuilt))
    verdict.add("dispatch knows every order as it is", _unlike_dispatch(evidence))
    return verdict


def _holes(trails: dict[str, list[OrderEvent]]) -> Iterator[str]:
    for order_id, events in trails.items():
        versions = [event.version for event in events]
        if versions != list(range(1, len(events) + 1)):
            yield f"{order_id}: {versions}"


def _illegal_steps(trails: dict[str, list[OrderEvent]]) -> Iterator[str]:
    for events in trails.values():
        if events[0].order.state is not OrderState.RECEIVED or events[0].command:
            yield f"{events[0].event_id} is not a beginning"
        for before, after in pairwise(events):
            way = TABLE.get((before.order.state, Command(after.command)))
            if way is None or way[0] is not after.order.state or after.actor not in way[1]:
                yield f"{after.event_id}: {before.order.state} –{after.command} by {after.actor}→ {after.order.state}"


def _unlike_history(evidence: Evidence, trails: dict[str, list[OrderEvent]]) -> Iterator[str]:
    yield from evidence.orders.keys() ^ trails.keys()
    for order_id, events in trails.items():
        if evidence.orders.get(order_id) != events[-1].order:
            yield order_id


def _two_at_once(history: list[OrderEvent]) -> Iterator[str]:
    carried: dict[str, str] = {}  # rider → order
    carries: dict[str, str] = {}  # order → rider
    for event in history:
        before = carries.pop(event.order_id, "")
        carried.pop(before, "")
        rider = event.order.rider_id
        if rider and event.order.state not in FINAL:
            if rider in carried:
                yield f"{rider} has {carried[rider]} and is given {event.event_id}"
            carried[rider], carries[event.order_id] = event.order_id, rider


def _matches(attempt: Attempt, event: OrderEvent) -> bool:
    """Whether this event is what that attempt would have made."""
    order = event.order
    carried = {
        Command.ACCEPT: str(order.cooking_minutes),
        Command.SET_COOKING_TIME: str(order.cooking_minutes),
        Command.ASSIGN: order.rider_id,
        Command.REJECT: order.reason,
        Command.FAIL: order.reason,
        Command.CANCEL: order.reason,
    }
    asked = (attempt.order_id, attempt.command, attempt.actor, attempt.actor_id)
    if asked != (event.order_id, event.command, event.actor, event.actor_id):
        return False
    return event.command not in carried or carried[Command(event.command)] == attempt.marker


def _commands(evidence: Evidence) -> list[Attempt]:
    return [one for one in evidence.attempts if one.command not in ("", "offer")]


def _lost_or_doubled(evidence: Evidence) -> Iterator[str]:
    events = {(event.order_id, event.version): event for event in evidence.history}
    if len(events) != len(evidence.history):
        yield "the history holds a version twice"
    claims = Counter((one.order_id, one.version) for one in _commands(evidence) if one.acked)
    yield from (f"{change} was acknowledged {count} times" for change, count in claims.items() if count > 1)
    for one in _commands(evidence):
        event = events.get((one.order_id, one.version))
        if one.acked and (event is None or event.order.state != one.state or not _matches(one, event)):
            yield f"{one}, and there is {event}"
    assigned = Counter(
        (event.order_id, event.order.rider_id)
        for event in evidence.history
        if event.command == Command.ASSIGN
    )
    yield from (
        f"{pair} was accepted {count} times and assigned {assigned[pair]} times"
        for pair, count in _accepted(evidence, lost=False).items()
        if count > assigned[pair]
    )


def _accepted(evidence: Evidence, lost: bool) -> Counter[tuple[str, str]]:
    """How many offers of an order a rider has accepted; with those whose answer was lost, or without."""
    offers = {
        (one.order_id, one.actor_id, one.marker)
        for one in evidence.attempts
        if one.command == "offer" and (one.acked or (lost and one.status in LOST))
    }
    return Counter((order_id, rider_id) for order_id, rider_id, _ in offers)


def _keys(evidence: Evidence) -> Iterator[str]:
    kept = {(customer, key): order_id for customer, key, order_id in evidence.keys}
    if len(kept) != len(evidence.keys):
        yield "a key has two orders"
    placings = [one for one in evidence.attempts if one.command == ""]
    wanted = {(one.actor_id, one.marker) for one in placings}
    yield from (f"{key} was never sent" for key in kept.keys() - wanted)
    events = {(event.order_id, event.version): event.order.state for event in evidence.history}
    for one in placings:
        if one.acked and kept.get((one.actor_id, one.marker)) != one.order_id:
            yield f"{one}, and kept is {kept.get((one.actor_id, one.marker))}"
        if one.acked and events.get((one.order_id, one.version)) != one.state:
            yield f"{one} is not in the history"


def _unexplained(evidence: Evidence) -> Iterator[str]:
    commands = _commands(evidence)
    acked = {(one.order_id, one.version) for one in commands if one.acked}
    lost: dict[str, list[Attempt]] = defaultdict(list)
    for one in commands:
        if one.status in LOST:
            lost[one.order_id].append(one)
    offers = _accepted(evidence, lost=True)
    for event in evidence.history:
        if not event.command or (event.order_id, event.version) in acked:
            continue
        if event.actor is Actor.DISPATCH:
            pair = (event.order_id, event.order.rider_id)
            offers[pair] -= 1
            if offers[pair] < 0:
                yield f"{event.event_id}: {event.order.rider_id} accepted no offer"
            continue
        asked = next((one for one in lost[event.order_id] if _matches(one, event)), None)
        if asked is None:
            yield f"{event.event_id}: {event.command} by {event.actor_id}"
        else:
            lost[event.order_id].remove(asked)


def _wrong_conflicts(evidence: Evidence) -> Iterator[str]:
    states = {(event.order_id, event.version): event.order.state for event in evidence.history}
    for one in evidence.conflicts:
        if states.get((one.order_id, one.version)) != one.state or one.version < one.floor:
            yield str(one)


def _effects(effects: list[Change], changes: set[Change]) -> Iterator[str]:
    counted = Counter(effects)
    yield from (f"{change} never" for change in changes - counted.keys())
    yield from (f"{change} without being there" for change in counted.keys() - changes)
    yield from (f"{change} {count} times" for change, count in counted.items() if count > 1)
    newest: dict[str, int] = {}
    for order_id, version in effects:
        if version < newest.get(order_id, 0):
            yield f"{order_id}: {version} after {newest[order_id]}"
        newest[order_id] = max(version, newest.get(order_id, 0))


def _unlike_views(evidence: Evidence, trails: dict[str, list[OrderEvent]]) -> Iterator[str]:
    shown = {row[0]: decode_order(row[-1]) for row in evidence.views["order_view"]}
    yield from shown.keys() ^ trails.keys()
    yield from (o for o, events in trails.items() if shown.get(o) != events[-1].order)
    trail = [decode_event(row[-1]) for row in evidence.views["order_trail"]]
    kept = sorted(evidence.history, key=lambda event: (event.order_id, event.version))
    if trail != kept:
        yield f"the audit has {len(trail)} events, the history {len(kept)}"


def _differences(views: dict[str, list[Any]], rebuilt: dict[str, list[Any]]) -> Iterator[str]:
    for name, rows in views.items():
        again = rebuilt.get(name, [])
        if len(rows) != len(again):
            yield f"{name}: {len(rows)} rows, {len(again)} after the rebuild"
        yield from (f"{name}: {a} and {b}" for a, b in zip(rows, again, strict=False) if a != b)


def _unlike_dispatch(evidence: Evidence) -> Iterator[str]:
    for order_id, order in evidence.orders.items():
        expected = (order.version, order.state.value, order.rider_id)
        known = evidence.dispatch.get(order_id)
        if known != expected and (order.accepted_at_ms or known is not None):
            yield f"{order_id} is {expected}, dispatch has {known}"
    for place in (1, 2):
        yield from (
            f"{one} is held twice" for one, n in Counter(row[place] for row in evidence.held).items() if n > 1
        )
    for status, order_id, rider_id in evidence.held:
        order = evidence.orders[order_id]
        wanted = rider_id if status == "accepted" else ""
        if order.rider_id != wanted or order.state in FINAL:
            yield f"{rider_id} is bound by {status} {order_id}, which is {order.state} with {order.rider_id!r}"
