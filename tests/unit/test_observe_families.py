"""Figures that domains keep become what Prometheus reads."""

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from majung.observe.families import Counted, Figure, Level, Spread, metrics_of


def read(*figures: Figure) -> dict[tuple[str, str], float]:
    class All:
        def collect(self) -> object:
            return metrics_of(figures)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(All())  # type: ignore[arg-type]
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(s.name, ",".join(s.labels.values())): s.value for family in families for s in family.samples}


def test_counters_and_levels() -> None:
    found = read(Counted("a", "A.", "outcome", {"done": 3, "conflict": 1}), Level("b", "B.", 2.5))
    assert found[("a_total", "conflict")] == 1
    assert found[("a_total", "done")] == 3
    assert found[("b", "")] == 2.5


def test_a_spread_is_cumulative_and_a_bound_belongs_to_its_bucket() -> None:
    spread = Spread("s", "S.", (0.5, 1.0))
    for value in (0.1, 0.5, 0.7, 9.0):
        spread.add(value)
    found = read(spread)
    assert [found[("s_bucket", bound)] for bound in ("0.5", "1.0", "+Inf")] == [2, 3, 4]
    assert found[("s_count", "")] == 4
    assert abs(found[("s_sum", "")] - 10.3) < 1e-9
