"""Prometheus metrics. The names are the names of the path: majung_<step>_<unit>.

Nothing is counted twice for this: a collector reads the ledger and the counters that the parts keep
anyway, when somebody asks.
"""

import time
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from majung.observe.families import Figure, metrics_of
from majung.observe.stats import Snapshot

_CONSUMER = (
    "processed",
    "skipped",
    "deduplicated",
    "undecodable",
    "stored",
    "shown",
    "late",
    "marked",
    "erased",
)


class _Collector:
    """Turns a snapshot into metric families."""

    def __init__(self, snapshot: Snapshot, figures: Sequence[Figure]) -> None:
        self._snapshot = snapshot
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Counters, then gauges."""
        s = self._snapshot
        for name, text, label, counts in (
            (
                "majung_door_positions",
                "Fixes at the doors, by outcome.",
                "outcome",
                {
                    outcome: getattr(s, outcome)
                    for outcome in ("received", "accepted", "quarantined", "refused")
                },
            ),
            (
                "majung_consumer_positions",
                "Acknowledged positions, by what became of them.",
                "outcome",
                {outcome: getattr(s, outcome) for outcome in _CONSUMER},
            ),
            ("majung_step_seconds", "Time in each step of the pipeline.", "step", s.step_seconds),
            ("majung_viewer_messages", "What viewers were sent.", "outcome", s.hub),
            ("majung_eta_arrivals", "Predictions against arrivals, by outcome.", "outcome", s.eta_outcomes),
            ("majung_routes", "Ways that were asked for, by who found them.", "source", s.routes),
            ("majung_task_deaths", "Background tasks that died.", "task", s.task_deaths),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for value, count in counts.items():
                family.add_metric([value], count)
            yield family
        yield SummaryMetricFamily(
            "majung_ack_seconds",
            "From the first append of a commit to durable.",
            count_value=s.ack_count,
            sum_value=s.ack_ms_sum / 1000,
        )
        for gauge, text, now in _gauges(s):
            yield GaugeMetricFamily(gauge, text, now)
        yield from metrics_of(self._figures)


def _gauges(s: Snapshot) -> Iterator[tuple[str, str, float]]:
    """Name, meaning and value of what goes up and down."""
    yield "majung_lag_records", "Acknowledged positions not processed yet.", s.lag_records
    yield "majung_lag_seconds", "Age of the oldest of them.", s.lag_s
    yield (
        "majung_ack_p99_milliseconds",
        "majung_ack_seconds, 99th percentile of the last commits.",
        s.ack_p99_ms,
    )
    yield "majung_pending", "Fixes between a door and the disk.", s.pending
    yield "majung_riders", "Riders that are live.", s.riders
    yield "majung_viewers", "Open viewer streams.", s.viewers
    yield "majung_device_streams", "Open gRPC calls of devices.", s.device_streams
    yield "majung_ledger_errors", "Sums of the ledger that do not close; must be 0.", len(s.ledger_errors)
    yield (
        "majung_outbox_records",
        "Changes of orders that are committed and not published yet.",
        s.outbox_records,
    )
    yield "majung_outbox_seconds", "Age of the oldest of them.", s.outbox_s
    yield "majung_eta_open_orders", "Orders that are expected.", s.eta_open
    yield "majung_eta_late_orders", "Of them, those after what was promised.", s.eta_late
    yield "majung_rebuild_seconds", "How long the live view took to rebuild at start.", s.rebuild_s
    yield "majung_damage_found", "Damaged files found since start.", len(s.damage)
    yield "majung_tasks_down", "Background tasks that died and wait to be started again.", len(s.tasks_down)
    yield (
        "majung_waiting_for_storage",
        "1 while the consumer waits for room on the disk.",
        bool(s.waiting_for_storage),
    )


def render(snapshot: Snapshot, figures: Sequence[Figure] = ()) -> bytes:
    """The text exposition format, process metrics and what the domains say of themselves included."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(_Collector(snapshot, figures))
    return generate_latest(registry)


class Rates:
    """Per-second rates between two looks at a counter, at least a second apart."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float]] = {}
        self._rates: dict[str, float] = {}

    def update(self, counters: dict[str, float]) -> dict[str, float]:
        """The current rate of each counter, per second."""
        now_s = time.monotonic()
        for name, value in counters.items():
            at_s, before = self._seen.get(name, (now_s, value))
            if name not in self._seen:
                self._seen[name] = (now_s, value)
            elif now_s - at_s >= 1.0:
                self._rates[name] = (value - before) / (now_s - at_s)
                self._seen[name] = (now_s, value)
        return {name: round(self._rates.get(name, 0.0), 2) for name in counters}
