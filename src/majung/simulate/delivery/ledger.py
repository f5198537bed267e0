"""What became of every order, as those who took part saw it; the sums that a screen and a report show."""

import asyncio
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any

from majung.simulate.delivery.calibration import Calibration
from majung_sdk import Latencies

FINAL = frozenset({"DELIVERED", "REJECTED", "CANCELLED", "FAILED"})
_REACHED = {"RECEIVED": 0, "COOKING": 1, "READY": 2}
_MAX_NAMED = 100
_MAX_REMEMBERED = 10_000


@dataclass
class Tale:
    """One order that has not ended. Times are the server's, in Unix ms; 0: not yet."""

    order_id: str
    state: str = ""
    version: int = 0
    store_id: str = ""
    ours: bool = False  # placed here, and answered for at the end
    code: str = ""
    cooking_minutes: int = 0
    accepted_ms: int = 0
    offered: bool = False
    rider_id: str = ""
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)
    accepted: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    picked_up: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Ledger:
    """All orders of a simulation. `offer_ahead_s`: the server's `dispatch.offer_ahead`; None: at once."""

    def __init__(self, offer_ahead_s: float | None = None) -> None:
        self.open: dict[str, Tale] = {}
        # Streams of several people tell the same end, one after another.
        self._over: OrderedDict[str, Tale] = OrderedDict()
        self.states: Counter[str] = Counter()  # of those that are open
        self.ended: Counter[str] = Counter()  # by the state in which they ended
        self.placed = 0
        self.late = 0  # delivered after the latest time that was shown when they were placed
        self.refused: Counter[str] = Counter()  # by actor and `type` of the problem
        self.anomalies: list[str] = []  # what must never be; the first hundred
        self.place_ms = Latencies()
        self.match_ms = Latencies()  # from when it could be offered to its first offer
        self.carry_ms = Latencies()  # from placing to the door
        self.calibration = Calibration()
        self._offer_ahead_ms = None if offer_ahead_s is None else offer_ahead_s * 1000.0
        self._began_ms = time.time() * 1000.0
        self._cpu_s = time.process_time()

    def tale(self, order_id: str) -> Tale:
        """The order; a new one when it was not heard of."""
        found = self.open.get(order_id)
        if found is None:
            found = self.open[order_id] = Tale(order_id)
        return found

    def was_placed(self, order: dict[str, Any], took_ms: float) -> Tale:
        """A customer of ours was answered 201."""
        self.placed += 1
        self.place_ms.add(took_ms)
        tale = self.saw(order)
        tale.ours = True
        tale.code = order.get("delivery_code", "")
        return tale

    def saw(self, order: dict[str, Any]) -> Tale:
        """An order as an answer or a stream shows it; older versions than the known one change nothing."""
        if order["order_id"] in self._over:
            return self._over[order["order_id"]]
        tale = self.tale(order["order_id"])
        if order["version"] <= tale.version:
            return tale
        if tale.state:
            self._count(tale.state, -1)
        tale.version, tale.state, tale.store_id = order["version"], order["state"], order["store_id"]
        tale.cooking_minutes = order.get("cooking_minutes", 0)
        tale.accepted_ms = order.get("accepted_at_ms", 0)
        tale.rider_id = order.get("rider_id", "")
        if tale.state in FINAL:
            self._end(tale, order)
        else:
            self._count(tale.state, 1)
            _ring(tale)
        return tale

    def was_offered(self, order_id: str, offered_ms: int) -> None:
        """A rider of ours is asked to carry it."""
        tale = self.open.get(order_id)
        if tale is None or tale.offered or tale.accepted_ms < self._began_ms:
            return  # it may have been offered before this began
        tale.offered = True
        due_ms = float(tale.accepted_ms)
        if self._offer_ahead_ms is not None:
            due_ms += max(0.0, tale.cooking_minutes * 60_000 - self._offer_ahead_ms)
        self.match_ms.add(max(0.0, offered_ms - due_ms))

    def shown(self, order_id: str, stage: str, eta: dict[str, Any]) -> None:
        """The arrival time that the customer reads at a stage."""
        tale = self.open.get(order_id)
        if tale is not None and {"at_ms", "earliest_ms", "latest_ms"} <= eta.keys():
            tale.shown.setdefault(stage, eta)

    def refuse(self, who: str, why: str) -> None:
        """The server said no."""
        self.refused[f"{who}: {why}"] += 1

    def wrong(self, what: str) -> None:
        """Something was seen that must never be."""
        if len(self.anomalies) < _MAX_NAMED:
            self.anomalies.append(what)

    @property
    def unfinished(self) -> list[str]:
        """Orders of ours that are still open."""
        return [tale.order_id for tale in self.open.values() if tale.ours]

    def _count(self, state: str, by: int) -> None:
        self.states[state] += by

    def _end(self, tale: Tale, order: dict[str, Any]) -> None:
        del self.open[tale.order_id]
        self._over[tale.order_id] = tale
        if len(self._over) > _MAX_REMEMBERED:
            self._over.popitem(last=False)
        self.ended[tale.state] += 1
        tale.ended.set()
        _ring(tale)
        if tale.state != "DELIVERED":
            return
        ended_ms = order["ended_at_ms"]
        self.carry_ms.add(ended_ms - order["placed_at_ms"])
        for stage, shown in tale.shown.items():
            self.calibration.add(stage, shown, ended_ms)
        first = tale.shown.get("placed")
        self.late += bool(first and ended_ms > first["latest_ms"])

    def cpu_us_per_order(self) -> float:
        """What one order has cost this process so far, positions of its riders included."""
        return (time.process_time() - self._cpu_s) * 1e6 / max(self.placed, 1)

    def report(self) -> dict[str, Any]:
        """Everything, for `--report` and the demo's screen."""
        return {
            "placed": self.placed,
            "open": {state: count for state, count in sorted(self.states.items()) if count},
            "ended": dict(sorted(self.ended.items())),
            "unfinished": self.unfinished[:_MAX_NAMED],
            "late": self.late,
            "refused": dict(sorted(self.refused.items())),
            "anomalies": self.anomalies,
            "place_ms": _percentiles(self.place_ms),
            "match_ms": _percentiles(self.match_ms),
            "placed_to_delivered_ms": _percentiles(self.carry_ms),
            "eta": self.calibration.report(),
            "cpu_us_per_order": round(self.cpu_us_per_order()),
        }


def _ring(tale: Tale) -> None:
    """Wake who waits for a state that is reached, or never will be."""
    reached = _REACHED.get(tale.state, 3)
    for bell in (tale.accepted, tale.ready, tale.picked_up)[:reached]:
        bell.set()


def _percentiles(found: Latencies) -> dict[str, float]:
    return {
        "count": found.count,
        "p50": round(found.percentile(50), 1),
        "p99": round(found.percentile(99), 1),
    }
