"""Prometheus metrics. The names are the names of the path: majung_<step>_<unit>.

Nothing is counted twice for this: a collector reads the ledger and the counters that the parts keep
anyway, when somebody asks.
"""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from majung.observe.stats import Snapshot


class _Collector:
    """Turns a snapshot into metric families."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """One family for each line of the snapshot."""
        s = self._snapshot
        door = CounterMetricFamily(
            "majung_door_positions", "Fixes at the doors, by outcome.", labels=["outcome"]
        )
        for outcome in ("received", "accepted", "quarantined", "refused"):
            door.add_metric([outcome], getattr(s, outcome))
        yield door
        consumer = CounterMetricFamily(
            "majung_consumer_positions", "Acknowledged positions, by what became of them.", labels=["outcome"]
        )
        for outcome in ("processed", "deduplicated", "stored", "shown", "late", "marked", "undecodable"):
            consumer.add_metric([outcome], getattr(s, outcome))
        yield consumer
        steps = CounterMetricFamily(
            "majung_step_seconds", "Time in each step of the pipeline.", labels=["step"]
        )
        for step, seconds in s.step_seconds.items():
            steps.add_metric([step], seconds)
        yield steps
        viewers = CounterMetricFamily("majung_viewer_messages", "What viewers were sent.", labels=["outcome"])
        for outcome, count in s.hub.items():
            viewers.add_metric([outcome], count)
        yield viewers
        deaths = CounterMetricFamily("majung_task_deaths", "Background tasks that died.", labels=["task"])
        for task, count in s.task_deaths.items():
            deaths.add_metric([task], count)
        yield deaths
        for name, text, value in (
            ("majung_lag_records", "Acknowledged positions not processed yet.", s.lag_records),
            ("majung_lag_seconds", "Age of the oldest of them.", s.lag_s),
            (
                "majung_ack_p99_milliseconds",
                "From the first append of a commit to durable, 99th percentile.",
                s.ack_p99_ms,
            ),
            ("majung_riders", "Riders that are live.", s.riders),
            ("majung_viewers", "Open viewer streams.", s.viewers),
            ("majung_device_streams", "Open gRPC calls of devices.", s.device_streams),
            (
                "majung_ledger_errors",
                "Sums of the loss ledger that do not close; must be 0.",
                len(s.ledger_errors),
            ),
            ("majung_rebuild_seconds", "How long the live view took to rebuild at start.", s.rebuild_s),
            ("majung_damage_found", "Damaged files found since start.", len(s.damage)),
        ):
            yield GaugeMetricFamily(name, text, value)


def render(snapshot: Snapshot) -> bytes:
    """The text exposition format, process metrics included."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(_Collector(snapshot))
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
