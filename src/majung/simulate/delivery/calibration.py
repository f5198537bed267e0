"""How right the arrival times were that people were shown: of each stage, how often and how far off."""

from typing import Any

STAGES = ("placed", "accepted", "picked_up")


class Calibration:
    """Sums only, whatever the number of orders."""

    def __init__(self) -> None:
        self._stages = {stage: _Stage() for stage in STAGES}

    def add(self, stage: str, shown: dict[str, Any], delivered_ms: int) -> None:
        """What was shown at a stage (`at_ms`, `earliest_ms`, `latest_ms`) of an order that was delivered then."""
        self._stages[stage].add(
            (delivered_ms - shown["at_ms"]) / 1000.0,
            bool(shown["earliest_ms"] <= delivered_ms <= shown["latest_ms"]),
            (shown["latest_ms"] - shown["earliest_ms"]) / 1000.0,
        )

    def hit_rate(self, stage: str = "placed") -> float | None:
        """How often the delivery fell into the interval; None: never seen."""
        found = self._stages[stage]
        return found.hits / found.seen if found.seen else None

    def report(self) -> dict[str, dict[str, float | int | None]]:
        """By stage: how many, how often right, errors in seconds (positive: later than shown), width."""
        return {stage: found.report() for stage, found in self._stages.items()}


class _Stage:
    def __init__(self) -> None:
        self.seen = 0
        self.hits = 0
        self._error_s = 0.0
        self._off_s = 0.0
        self._width_s = 0.0

    def add(self, error_s: float, hit: bool, width_s: float) -> None:
        self.seen += 1
        self.hits += hit
        self._error_s += error_s
        self._off_s += abs(error_s)
        self._width_s += width_s

    def report(self) -> dict[str, float | int | None]:
        if not self.seen:
            return {"seen": 0, "hits": 0, "hit_rate": None}
        return {
            "seen": self.seen,
            "hits": self.hits,
            "hit_rate": round(self.hits / self.seen, 4),
            "mean_error_s": round(self._error_s / self.seen, 1),
            "mean_absolute_error_s": round(self._off_s / self.seen, 1),
            "mean_width_s": round(self._width_s / self.seen, 1),
        }
