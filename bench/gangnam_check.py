"""What a run left behind, read from the files when the server has stopped: was anything lost, doubled, late?"""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from bench.gangnam_load import percentiles
from majung.orders.model import FINAL, Actor, Command, OrderEvent
from majung.orders.table import decide

_decode = msgspec.json.Decoder(OrderEvent).decode
Times = npt.NDArray[np.int64]


class _Ridden(msgspec.Struct):
    """From being assigned to the end of it, on one rider."""

    from_ms: int
    to_ms: int


class History:
    """Every event of every order, read once."""

    def __init__(self, events: Iterable[OrderEvent], since_ms: int) -> None:
        self.orders: dict[str, list[OrderEvent]] = {}
        for event in events:
            self.orders.setdefault(event.order_id, []).append(event)
        self.orders = {
            order_id: trail for order_id, trail in self.orders.items() if trail[0].at_ms >= since_ms
        }

    def broken(self) -> int:
        """Orders whose events are no path of the table, or whose versions have a hole."""
        return sum(not _is_path(trail) for trail in self.orders.values())

    def doubly_ridden(self) -> int:
        """How often a rider had two orders at one moment."""
        ridden: dict[str, list[_Ridden]] = {}
        for trail in self.orders.values():
            for event in trail:
                if event.command == Command.ASSIGN:
                    ridden.setdefault(event.order.rider_id, []).append(_Ridden(event.at_ms, _end(trail)))
        twice = 0
        for rides in ridden.values():
            rides.sort(key=lambda ride: ride.from_ms)
            twice += sum(after.from_ms < before.to_ms for before, after in pairwise(rides))
        return twice


def _is_path(trail: list[OrderEvent]) -> bool:
    state = trail[0].order.state
    for number, event in enumerate(trail, 1):
        if event.version != number or event.order.version != number:
            return False
        if number > 1:
            state = decide(state, Command(event.command), Actor(event.actor))
        if event.order.state != state:
            return False
    return True


def _end(trail: list[OrderEvent]) -> int:
    return trail[-1].at_ms if trail[-1].order.state in FINAL else 2**62


def _matching(offers: list[tuple[str, int, int]], accepted_ms: dict[str, int], riders: int) -> dict[str, Any]:
    """From when an order could be matched to its first offer. `offers`: order, from, until (0: not ended)."""
    starts = np.sort(np.array([offer[1] for offer in offers]))
    ends = np.sort(np.array([offer[2] for offer in offers if offer[2]]))
    first: dict[str, int] = {}
    for order_id, at_ms, _ in offers:
        first[order_id] = min(at_ms, first.get(order_id, at_ms))
    waited, crowded = [], 0
    for order_id, at_ms in accepted_ms.items():
        if order_id not in first:
            continue
        could_ms = _free_from(at_ms, starts, ends, riders)
        crowded += could_ms > at_ms
        waited.append(max(0.0, float(first[order_id] - max(at_ms, min(could_ms, first[order_id])))))
    moments = np.concatenate((starts, ends))
    busy = np.searchsorted(starts, moments, "right") - np.searchsorted(ends, moments, "right")
    return {
        "ms from when it can be matched to its offer": percentiles(waited) if waited else {},
        "orders that found every rider busy": crowded,
        "most riders busy at once": min(riders, int(busy.max())) if len(busy) else 0,
        "never offered": sum(order_id not in first for order_id in accepted_ms),
    }


def _free_from(at_ms: int, starts: Times, ends: Times, riders: int) -> int:
    """The first moment, not before `at_ms`, at which a rider was free."""
    begun, ended = int(np.searchsorted(starts, at_ms)), int(np.searchsorted(ends, at_ms, "right"))
    if begun - ended < riders:
        return at_ms
    which = begun - riders  # when this many have ended, one is free
    return int(ends[which]) if which < len(ends) else 2**62


def check(data: Path, acknowledged: Path, since_ms: int, riders: int) -> dict[str, Any]:
    """Counts that must be 0, and how long matching took. The server must have stopped."""
    with closing(sqlite3.connect(data / "majung.db")) as database:
        rows = database.execute("SELECT payload FROM order_event ORDER BY order_id, version")
        history = History((_decode(row[0]) for row in rows), since_ms)
        waiting = database.execute("SELECT COUNT(*) FROM outbox WHERE status = 'pending'").fetchone()[0]
        offers = database.execute(
            "SELECT order_id, offered_at_ms, decided_at_ms, status FROM dispatch_offer"
            " WHERE offered_at_ms >= ? ORDER BY offered_at_ms",
            (since_ms,),
        ).fetchall()
    spans = [
        (order_id, from_ms, 0 if status in ("open", "accepted") else to_ms)
        for order_id, from_ms, to_ms, status in offers
    ]
    with closing(sqlite3.connect(data / "views.db")) as views:
        shown = dict(views.execute("SELECT order_id, body FROM order_view"))
    made: dict[str, int] = json.loads(acknowledged.read_bytes())
    last = {order_id: trail[-1] for order_id, trail in history.orders.items()}
    accepted_ms = {
        order_id: trail[-1].order.accepted_at_ms
        for order_id, trail in history.orders.items()
        if trail[-1].order.accepted_at_ms
    }
    return {
        "acknowledged and lost": sum(
            order_id not in last or last[order_id].version < version for order_id, version in made.items()
        ),
        "no path of the table": history.broken(),
        "two orders in one rider's hands": history.doubly_ridden(),
        "views that differ from the events": sum(
            shown.get(order_id) != msgspec.json.encode(event.order).decode()
            for order_id, event in last.items()
        ),
        "changes that were not published": waiting,
        "still open": sum(event.order.state not in FINAL for event in last.values()),
        "orders": len(last),
        "changes": sum(len(trail) for trail in history.orders.values()),
        **_matching(spans, accepted_ms, riders),
    }
