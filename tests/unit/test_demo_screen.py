"""What the demo's terminal says of the city."""

from majung.demo.screen import Arrivals


def found(seen: int, hits: int, off_s: float) -> dict[str, float]:
    return {
        "seen": seen,
        "hits": hits,
        "hit_rate": hits / max(seen, 1),
        "mean_error_s": -off_s,
        "mean_absolute_error_s": off_s,
        "mean_width_s": 120.0,
    }


def test_arrival_times_are_those_of_the_last_minutes() -> None:
    arrivals = Arrivals()
    assert "0 so far" in arrivals.add(1_000.0, found(0, 0, 0.0))
    assert "20 so far" in arrivals.add(1_100.0, found(20, 0, 900.0))
    assert arrivals.add(1_200.0, found(100, 0, 900.0)).startswith("0 % of 100 within")
    # 100 more, of which 80 were within and which were off by a minute; the first hundred is no longer looked at.
    line = arrivals.add(1_501.0, found(200, 80, 480.0))
    assert line.startswith("80 % of 100 within the interval (2.0 min wide), off by 1.0 min, -1.0"), line
