"""Figures that a domain keeps of itself, in the shape in which `/metrics` gives them out."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric


class Counted(NamedTuple):
    """Only goes up, from the start of the process; by the values of one label."""

    name: str
    text: str
    label: str
    values: Mapping[str, float]


class Level(NamedTuple):
    """Goes up and down."""

    name: str
    text: str
    value: float


class Spread:
    """How values are spread: how many were at most each bound. Belongs to one event loop."""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...]) -> None:
        self.name = name
        self.text = text
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """One more."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def metric(self) -> Metric:
        """Cumulative, as Prometheus wants it."""
        total, buckets = 0, []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
        return HistogramMetricFamily(self.name, self.text, buckets=buckets, sum_value=self._sum)


Figure = Counted | Level | Spread


def metrics_of(figures: Iterable[Figure]) -> Iterator[Metric]:
    """Each as a metric family."""
    for figure in figures:
        if isinstance(figure, Counted):
            family = CounterMetricFamily(figure.name, figure.text, labels=[figure.label])
            for value, count in figure.values.items():
                family.add_metric([value], count)
            yield family
        elif isinstance(figure, Level):
            yield GaugeMetricFamily(figure.name, figure.text, figure.value)
        else:
            yield figure.metric()
