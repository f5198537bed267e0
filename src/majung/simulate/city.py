"""Riders who carry food through a city: to a shop, wait, to a customer, ring, and wait for the next order.

All riders move in one step, as NumPy columns. The same seed and start give the same drive. Nobody orders
here: this is a city that only drives. The one that orders is `simulate.delivery`.
"""

from enum import IntEnum

import numpy as np

from majung.simulate.streets import CITIES, Bools, Ints, Places, Streets
from majung.simulate.traffic import Drive, Traffic


class Doing(IntEnum):
    """What a rider does now."""

    IDLE = 0
    TO_SHOP = 1
    AT_SHOP = 2
    TO_CUSTOMER = 3
    AT_CUSTOMER = 4


def demand(hour: float) -> float:
    """Orders for a rider and minute by the local hour (0–24): lunch, dinner, and a little at night."""
    lunch = np.exp(-(((hour - 12.3) / 1.0) ** 2))
    dinner = np.exp(-(((hour - 18.8) / 1.6) ** 2))
    late = 0.35 * np.exp(-(((hour % 24 - 22.5) / 2.0) ** 2))
    return float(0.12 + 0.7 * lunch + 0.9 * dinner + late)


def flow(hour: float) -> float:
    """How much of an empty street's speed the traffic leaves at the local hour."""
    return 1.0 / (1.0 + 0.35 * demand(hour))


def streets_of(name: str, rng: np.random.Generator) -> Streets:
    """The streets of a city. Raises ValueError for one that is not in `CITIES`."""
    if name not in CITIES:
        raise ValueError(f"there is no city {name!r}; there are {', '.join(sorted(CITIES))}")
    return Streets(CITIES[name], rng)


class City:
    """`step(seconds, hour)` moves everybody and says where they are."""

    def __init__(self, name: str, riders: int, seed: int, shops: int = 6_000) -> None:
        """Raises ValueError for a city that is not in `CITIES`."""
        self._rng = np.random.default_rng([seed, 1])
        self.streets = streets_of(name, self._rng)
        self.shops = self._scatter(shops, spread_m=800.0)
        self._count = riders
        self._traffic = Traffic(self.streets, self._scatter(riders, spread_m=1_000.0), self._rng)
        self._doing = self._rng.choice(np.arange(5), riders, p=[0.15, 0.2, 0.15, 0.4, 0.1])
        self._traffic.wait_s = np.where(self._standing, self._rng.uniform(0, 120, riders), 0.0)
        everyone = np.arange(riders)
        self._send_to_shops(everyone[self._doing == Doing.TO_SHOP])
        self._send_to_customers(everyone[self._doing == Doing.TO_CUSTOMER])

    @property
    def doing(self) -> Ints:
        """What each rider does (`Doing`)."""
        return self._doing

    @property
    def _standing(self) -> Bools:
        standing: Bools = (self._doing == Doing.AT_SHOP) | (self._doing == Doing.AT_CUSTOMER)
        return standing

    def step(self, seconds: float, hour: float) -> Drive:
        """Let `seconds` pass at the local `hour`."""
        before = self._traffic.at.copy()
        self._finish_waiting(seconds, demand(hour))
        self._arrive(self._traffic.move(seconds, flow(hour)))
        return self._traffic.drive(before, seconds, self._standing)

    def _finish_waiting(self, seconds: float, orders_a_minute: float) -> None:
        ordered = self._rng.random(self._count) < 1.0 - np.exp(-orders_a_minute * seconds / 60.0)
        done = self._traffic.wait_s <= seconds
        leaves_shop = np.flatnonzero(done & (self._doing == Doing.AT_SHOP))
        leaves_customer = done & (self._doing == Doing.AT_CUSTOMER)
        called = np.flatnonzero(ordered & (self._doing == Doing.IDLE))
        self._doing[leaves_customer] = Doing.IDLE
        self._send_to_customers(leaves_shop)
        self._send_to_shops(called)

    def _arrive(self, rows: Ints) -> None:
        at_shop = self._doing[rows] == Doing.TO_SHOP
        draws = self._rng.random(len(rows))
        self._doing[rows] = np.where(at_shop, Doing.AT_SHOP, Doing.AT_CUSTOMER)
        self._traffic.wait_s[rows] = np.where(at_shop, 60.0 + 300.0 * draws, 30.0 + 90.0 * draws)

    def _send_to_shops(self, rows: Ints) -> None:
        """To the nearest of four shops that have an order."""
        offered = self._rng.integers(0, len(self.shops.at), (len(rows), 4))
        far_m = np.abs(self.shops.at[offered] - self._traffic.at[rows, None, :]).sum(axis=2)
        chosen = offered[np.arange(len(rows)), far_m.argmin(axis=1)] if len(rows) else offered[:, 0]
        self._send(rows, self.shops.take(chosen), Doing.TO_SHOP)

    def _send_to_customers(self, rows: Ints) -> None:
        away_m = self._rng.normal(0.0, 700.0, (len(rows), 2))
        self._send(rows, self.streets.snap(self._traffic.at[rows] + away_m, self._rng), Doing.TO_CUSTOMER)

    def _send(self, rows: Ints, goal: Places, doing: Doing) -> None:
        self._traffic.send(rows, goal)
        self._doing[rows] = doing

    def _scatter(self, count: int, spread_m: float) -> Places:
        """Places around the centre and along the avenues through it, thinning out."""
        return self.streets.snap(self._rng.normal(0.0, spread_m, (count, 2)), self._rng)
