"""Riders who carry food through a city: to a shop, wait, to a customer, ring, and wait for the next order.

All riders move in one step, as NumPy columns. The same seed and start give the same drive.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from majung.simulate.streets import CITIES, Bools, Floats, Ints, Places, Streets


class Doing(IntEnum):
    """What a rider does now."""

    IDLE = 0
    TO_SHOP = 1
    AT_SHOP = 2
    TO_CUSTOMER = 3
    AT_CUSTOMER = 4


@dataclass(frozen=True)
class Drive:
    """Where everybody truly is: metres (n, 2), m/s, degrees, and whether somebody stands indoors."""

    at: Floats
    speed_mps: Floats
    heading_deg: Floats
    indoors: Bools


def demand(hour: float) -> float:
    """Orders for a rider and minute by the local hour (0–24): lunch, dinner, and a little at night."""
    lunch = np.exp(-(((hour - 12.3) / 1.0) ** 2))
    dinner = np.exp(-(((hour - 18.8) / 1.6) ** 2))
    late = 0.35 * np.exp(-(((hour % 24 - 22.5) / 2.0) ** 2))
    return float(0.12 + 0.7 * lunch + 0.9 * dinner + late)


class City:
    """`step(seconds, hour)` moves everybody and says where they are."""

    def __init__(self, name: str, riders: int, seed: int, shops: int = 6_000) -> None:
        """Raises ValueError for a city that is not in `CITIES`."""
        if name not in CITIES:
            raise ValueError(f"there is no city {name!r}; there are {', '.join(sorted(CITIES))}")
        self._rng = np.random.default_rng([seed, 1])
        self.streets = Streets(CITIES[name], self._rng)
        self.shops = self._scatter(shops, spread_m=800.0)
        self._count = riders
        places = self._scatter(riders, spread_m=1_000.0)
        self._at, self._axis = places.at, places.axis
        self._forward = np.ones(riders, dtype=bool)
        self._cruise_mps = self._rng.normal(8.0, 1.2, riders).clip(4.0, 12.0)
        self._doing = self._rng.choice(np.arange(5), riders, p=[0.15, 0.2, 0.15, 0.4, 0.1])
        self._wait_s = np.where(self._standing, self._rng.uniform(0, 120, riders), 0.0)
        self._ways = np.repeat(self._at[:, None, :], 3, axis=1)
        self._leg = np.full(riders, 3)
        self._goal = Places(self._at.copy(), self._axis.copy())
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
        orders_a_minute = demand(hour)
        before = self._at.copy()
        self._wait_s -= seconds
        self._finish_waiting(seconds, orders_a_minute)
        self._move(seconds, traffic=1.0 / (1.0 + 0.35 * orders_a_minute))
        moved_m = np.abs(self._at - before).sum(axis=1)
        return Drive(
            at=self._at.copy(),
            speed_mps=moved_m / seconds,
            heading_deg=self.streets.headings(self._axis, self._forward),
            indoors=self._standing,
        )

    def _finish_waiting(self, seconds: float, orders_a_minute: float) -> None:
        ordered = self._rng.random(self._count) < 1.0 - np.exp(-orders_a_minute * seconds / 60.0)
        done = self._wait_s <= 0
        leaves_shop = np.flatnonzero(done & (self._doing == Doing.AT_SHOP))
        leaves_customer = done & (self._doing == Doing.AT_CUSTOMER)
        called = np.flatnonzero(ordered & (self._doing == Doing.IDLE))
        self._doing[leaves_customer] = Doing.IDLE
        self._send_to_customers(leaves_shop)
        self._send_to_shops(called)

    def _move(self, seconds: float, traffic: float) -> None:
        """Drive along the waypoints; what is left of the time after a corner goes into the next street."""
        draws = self._rng.random((3, self._count))
        speed = self._cruise_mps * traffic * (0.7 + 0.6 * draws[0])
        # A red light about every kilometre, for up to a minute.
        red = (self._leg < 3) & (self._wait_s <= 0) & (draws[1] < speed * seconds / 1_000.0)
        self._wait_s[red] = 60.0 * draws[2, red]
        left_s = np.where(self._leg < 3, np.clip(-self._wait_s, 0.0, seconds), 0.0)
        for _ in range(3):
            rows = np.flatnonzero(left_s > 0)
            if not len(rows):
                break
            left_s[rows] = self._drive_leg(rows, speed[rows], left_s[rows])
        self._arrive(np.flatnonzero((self._leg >= 3) & ~self._standing & (self._doing != Doing.IDLE)))

    def _drive_leg(self, rows: Ints, speed: Floats, left_s: Floats) -> Floats:
        """Up to the next waypoint; the seconds that are left after it."""
        way = self._ways[rows, self._leg[rows]] - self._at[rows]
        axis = (np.abs(way[:, 1]) > np.abs(way[:, 0])).astype(np.int64)
        length_m = way[np.arange(len(rows)), axis]
        distance_m = np.abs(length_m)
        travel_m = np.minimum(distance_m, speed * left_s)
        self._at[rows, axis] += np.copysign(travel_m, length_m)
        turned = distance_m > 0
        self._axis[rows[turned]] = axis[turned]
        self._forward[rows[turned]] = length_m[turned] > 0
        arrived = travel_m >= distance_m
        at_corner = rows[arrived]
        self._at[at_corner] = self._ways[at_corner, self._leg[at_corner]]
        self._leg[at_corner] += 1
        rest: Floats = np.where(arrived & (self._leg[rows] < 3), left_s - travel_m / speed, 0.0)
        return rest

    def _arrive(self, rows: Ints) -> None:
        self._axis[rows] = self._goal.axis[rows]
        at_shop = self._doing[rows] == Doing.TO_SHOP
        draws = self._rng.random(len(rows))
        self._doing[rows] = np.where(at_shop, Doing.AT_SHOP, Doing.AT_CUSTOMER)
        self._wait_s[rows] = np.where(at_shop, 60.0 + 300.0 * draws, 30.0 + 90.0 * draws)

    def _send_to_shops(self, rows: Ints) -> None:
        """To the nearest of four shops that have an order."""
        offered = self._rng.integers(0, len(self.shops.at), (len(rows), 4))
        far_m = np.abs(self.shops.at[offered] - self._at[rows, None, :]).sum(axis=2)
        chosen = offered[np.arange(len(rows)), far_m.argmin(axis=1)] if len(rows) else offered[:, 0]
        self._send(rows, self.shops.take(chosen), Doing.TO_SHOP)

    def _send_to_customers(self, rows: Ints) -> None:
        away_m = self._rng.normal(0.0, 700.0, (len(rows), 2))
        self._send(rows, self.streets.snap(self._at[rows] + away_m, self._rng), Doing.TO_CUSTOMER)

    def _send(self, rows: Ints, goal: Places, doing: Doing) -> None:
        here = Places(self._at[rows], self._axis[rows])
        self._ways[rows] = self.streets.routes(here, goal, self._rng)
        self._leg[rows] = 0
        self._wait_s[rows] = 0.0
        self._goal.at[rows], self._goal.axis[rows] = goal.at, goal.axis
        self._doing[rows] = doing

    def _scatter(self, count: int, spread_m: float) -> Places:
        """Places around the centre and along the avenues through it, thinning out."""
        return self.streets.snap(self._rng.normal(0.0, spread_m, (count, 2)), self._rng)
