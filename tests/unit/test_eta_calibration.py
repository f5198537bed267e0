"""Are eight of ten arrivals inside? Synthetic cities with noise of their own, learned from, then measured."""

import math
import random
from collections import Counter, defaultdict

import pytest

from majung.clock import ManualClock
from majung.eta.errors import AIMED_INSIDE, Errors
from majung.eta.follow import compute, event_happened, learn_of_end, rider_seen
from majung.eta.learned import Learned
from majung.eta.model import PROMISED, SlimEvent, Stage, Tracked
from majung.positions.geodesy import destination, distance_m
from majung.routing.model import Place
from majung.routing.ways import Ways
from tests.eta_kit import STORE, Story


class Town:
    """Orders one after the other; everything takes as long as `rng` says, and nobody tells the service."""

    def __init__(self, seed: int, slow: float = 1.0, spread: float = 0.3) -> None:
        self.rng = random.Random(seed)
        self.slow, self.spread = slow, spread
        self.learned = Learned(Ways())
        self.clock = ManualClock()
        self.inside: dict[str, Counter[bool]] = defaultdict(Counter)
        self.errors_s: dict[str, list[float]] = defaultdict(list)
        self.number = 0

    def about(self, seconds: float) -> float:
        return seconds * self.slow * math.exp(self.rng.gauss(0, self.spread))

    def order(self) -> None:
        self.number += 1
        bearing = self.rng.uniform(0, 360)
        door = Place(*destination(*STORE, bearing, self.rng.uniform(400, 2_500)))
        story, clock = Story(self.clock, f"ord-{self.number}", door), self.clock
        tracked = self._take(None, story.placed())
        clock.advance(self.about(40))
        said = self.rng.choice((8, 10, 15, 20))
        self._take(tracked, story.accepted(said))
        accepted_s = clock.monotonic_s()
        cooked_s = accepted_s + self.about(said * 60 * 1.2)
        self._pass(tracked, self.about(60))
        self._take(tracked, story.assigned())
        start = Place(*destination(*STORE, self.rng.uniform(0, 360), self.rng.uniform(200, 1_500)))
        self._ride(tracked, start, STORE)
        self._pass(tracked, max(0.0, cooked_s - clock.monotonic_s()))
        self._take(tracked, story.ready())
        clock.advance(self.about(30))
        self._take(tracked, story.picked_up())
        self._ride(tracked, STORE, door)
        clock.advance(self.about(90))
        event = story.delivered()
        event_happened(tracked, event, self.learned)
        learn_of_end(tracked, self.learned)
        for name, sample in tracked.samples.items():
            self.inside[str(name)][sample.earliest_ms <= event.at_ms <= sample.latest_ms] += 1
            self.errors_s[str(name)].append((event.at_ms - sample.at_ms) / 1000)

    def _take(self, tracked: Tracked | None, event: SlimEvent) -> Tracked:
        tracked = event_happened(tracked, event, self.learned)
        compute(tracked, self.learned, self.clock.now_ms())
        return tracked

    def _pass(self, tracked: Tracked, seconds: float) -> None:
        while seconds > 0:
            step_s = min(seconds, 30.0)
            self.clock.advance(step_s)
            compute(tracked, self.learned, self.clock.now_ms())
            seconds -= step_s

    def _ride(self, tracked: Tracked, start: Place, end: Place) -> None:
        """Round corners: 1.3 times the line at about 6 m/s."""
        duration_s = self.about(distance_m(*start, *end) * 1.3 / 6)
        steps = max(2, round(duration_s / 15))
        for number in range(steps + 1):
            part = number / steps
            place = Place(*(a + part * (b - a) for a, b in zip(start, end, strict=True)))
            rider_seen(tracked, place, self.clock.now_ms(), self.learned)
            compute(tracked, self.learned, self.clock.now_ms())
            if number < steps:
                self.clock.advance(duration_s / steps)

    def live(self, orders: int) -> None:
        for _ in range(orders):
            self.order()

    def measure(self, orders: int) -> dict[str, float]:
        """The share inside, of each stage, over the next orders."""
        self.inside.clear()
        self.errors_s.clear()
        self.live(orders)
        return {name: counts[True] / counts.total() for name, counts in self.inside.items()}


@pytest.mark.parametrize(("seed", "spread"), [(1, 0.15), (2, 0.3), (3, 0.6)])
def test_eight_of_ten_arrivals_are_inside_however_much_things_vary(seed: int, spread: float) -> None:
    town = Town(seed, spread=spread)
    town.live(500)
    shares = town.measure(500)
    assert {PROMISED, "placed", "cooking", "assigned", "carrying", "near"} <= set(shares)
    for stage, share in shares.items():
        assert abs(share - AIMED_INSIDE) < 0.07, (stage, shares)
    for stage, errors_s in town.errors_s.items():  # half too early, half too late
        early = sum(error < 0 for error in errors_s) / len(errors_s)
        assert 0.4 < early < 0.6, (stage, early)


def test_before_anything_is_learned_intervals_are_wide_but_not_silly() -> None:
    town = Town(4)
    shares = town.measure(40)
    assert all(share > 0.4 for share in shares.values()), shares


def test_it_finds_back_when_the_whole_city_gets_slower() -> None:
    town = Town(5)
    town.live(400)
    town.slow = 2.0
    at_once = town.measure(30)
    town.live(900)
    later = town.measure(300)
    assert at_once[PROMISED] < 0.6
    assert abs(later[PROMISED] - AIMED_INSIDE) < 0.1, later


def test_nearer_the_door_it_is_more_certain() -> None:
    town = Town(6)
    town.live(300)
    town.measure(200)
    off_s = {name: sum(abs(e) for e in errors) / len(errors) for name, errors in town.errors_s.items()}
    assert off_s["near"] < off_s["carrying"] < off_s["assigned"] < off_s[PROMISED]


@pytest.mark.parametrize("shape", ["normal", "uniform", "skewed", "constant"])
def test_quantiles_are_those_of_the_errors_whatever_their_shape(shape: str) -> None:
    rng = random.Random(7)

    def draw() -> float:
        return {
            "normal": rng.gauss(0.1, 0.2),
            "uniform": rng.uniform(-0.5, 1.0),
            "skewed": rng.expovariate(2.0) - 0.3,
            "constant": 0.25,
        }[shape]

    errors = Errors()
    for _ in range(4_000):
        errors.add(draw())
    tried = [draw() for _ in range(4_000)]
    inside = sum(errors.low <= one <= errors.high for one in tried) / len(tried)
    if shape == "constant":
        assert errors.high - errors.low < 0.05 and inside == 1
    else:
        assert abs(inside - AIMED_INSIDE) < 0.03
    again = Errors(errors.stored()[1], errors.stored()[0])
    assert again.seen == 4_000 and again.high == pytest.approx(errors.high, abs=0.02)


def test_nonsense_does_not_get_in() -> None:
    errors, before = Errors(), Errors()
    for value in (math.nan, math.inf, -math.inf):
        errors.add(value)
    assert errors.seen == 0 and errors.high == before.high
    for _ in range(100):
        errors.add(1e12)
        errors.add(-1e12)
    assert -1 <= errors.low <= errors.middle <= errors.high <= 4
    for broken in ([], [math.nan] * 250, [-1.0] * 250):
        assert Errors(broken).high == before.high


def test_every_stage_has_errors_of_its_own() -> None:
    learned = Learned(Ways())
    for _ in range(200):
        learned.missed(Stage.CARRYING, 0.5)
    assert learned.errors[Stage.CARRYING].middle > 0.4
    assert learned.errors[Stage.COOKING].middle == Errors().middle
