"""Riders who are told where to go, moving along the streets of a city: a `simulate.run.Moving`.

Who has nothing to do strolls a few streets now and then, towards where stores are.
"""

import asyncio

import numpy as np

from majung.simulate.city import flow, streets_of
from majung.simulate.streets import Floats, Ints, Places
from majung.simulate.traffic import Drive, Traffic

_STROLL_AFTER_S = 40.0
_STROLL_M = 350.0

Place = tuple[float, float]
"""Latitude, longitude."""


class Crew:
    """All riders of a simulation; `go` is awaited until one has arrived. Of one event loop."""

    def __init__(self, city: str, riders: int, seed: int, spread_m: float = 800.0) -> None:
        """Raises ValueError for a city that there is not."""
        rng = np.random.default_rng([seed, 3])
        self.streets = streets_of(city, rng)
        start = self.streets.snap(rng.normal(0.0, spread_m, (riders, 2)), rng)
        self._traffic = Traffic(self.streets, start, rng)
        self._rng = rng
        self._spread_m = spread_m
        self._indoors = np.zeros(riders, dtype=bool)
        self._free = np.ones(riders, dtype=bool)
        self._arrivals: dict[int, asyncio.Future[None]] = {}
        self.moving = 0

    def step(self, seconds: float, hour: float) -> Drive:
        """Let `seconds` pass at the local `hour`; who arrives goes on."""
        before = self._traffic.at.copy()
        self._stroll(seconds)
        for row in self._traffic.move(seconds, flow(hour)).tolist():
            arrival = self._arrivals.pop(row, None)
            if arrival is not None and not arrival.done():
                arrival.set_result(None)
        self.moving = len(self._arrivals)
        return self._traffic.drive(before, seconds, self._indoors)

    def _stroll(self, seconds: float) -> None:
        bored = self._rng.random(len(self._free)) < seconds / _STROLL_AFTER_S
        rows = np.flatnonzero(self._free & self._traffic.standing & bored)
        if len(rows):
            here = self._traffic.at[rows]
            way = self._rng.normal(0.0, self._spread_m, (len(rows), 2)) - here
            self._traffic.send(rows, self.streets.snap(here + way.clip(-_STROLL_M, _STROLL_M), self._rng))

    def place(self, row: int) -> Place:
        """Where this rider truly is."""
        longitude, latitude = self.streets.degrees(self._traffic.at[[row]])[0].tolist()
        return latitude, longitude

    def put(self, places: dict[int, Place]) -> None:
        """These are here, at once: before it begins."""
        for row, (latitude, longitude) in places.items():
            on_street = self.streets.nearest(self.streets.metres(np.array([[longitude, latitude]])))
            rows = np.array([row])
            self._traffic.at[rows] = on_street.at
            self._traffic.lead(rows, np.repeat(on_street.at[:, None, :], 3, axis=1), on_street)

    def free(self, row: int, free: bool) -> None:
        """Whether this rider has nothing to do, and may stroll."""
        self._free[row] = free
        if not free:
            self.halt(row)

    def indoors(self, row: int, inside: bool) -> None:
        """Whether this rider stands in a house, where reception is worse."""
        self._indoors[row] = inside

    async def go(self, row: int, to: Place) -> None:
        """Drive there by the streets; the last metres off them when the place lies off them."""
        goal = self.streets.metres(np.array([[to[1], to[0]]]))
        street = self.streets.nearest(goal)
        rows = np.array([row])
        self._indoors[row] = False
        self._traffic.send(rows, street)
        await self._arrival(row)
        if np.abs(street.at - goal).max() > 5.0:
            self._traffic.lead(rows, _across(street.at, goal), Places(goal, street.axis))
            await self._arrival(row)

    def halt(self, row: int) -> None:
        """Stay where one is."""
        rows: Ints = np.array([row])
        here = self._traffic.here(rows)
        self._traffic.lead(rows, np.repeat(here.at[:, None, :], 3, axis=1), here)

    async def _arrival(self, row: int) -> None:
        arrival = self._arrivals[row] = asyncio.get_running_loop().create_future()
        try:
            await arrival
        except asyncio.CancelledError:
            if self._arrivals.get(row) is arrival:
                del self._arrivals[row]
                self.halt(row)
            raise


def _across(start: Floats, goal: Floats) -> Floats:
    """Waypoints (n, 3, 2) from the street to a place beside it: along one axis, then along the other."""
    ways = np.repeat(goal[:, None, :], 3, axis=1)
    ways[:, 0, 1] = start[:, 1]
    return ways
