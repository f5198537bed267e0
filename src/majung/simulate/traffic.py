"""Vehicles that drive along streets: all of them in one step, as NumPy columns.

Who drives says where to (`send`) and asks who has arrived (`move`); lights, corners and the flow of the
traffic are here. Metres and seconds; one row for each vehicle.
"""

from dataclasses import dataclass

import numpy as np

from majung.simulate.streets import Bools, Floats, Ints, Places, Streets


@dataclass(frozen=True)
class Drive:
    """Where everybody truly is: metres (n, 2), m/s, degrees, and whether somebody stands indoors."""

    at: Floats
    speed_mps: Floats
    heading_deg: Floats
    indoors: Bools


class Traffic:
    """The vehicles of one city. Deterministic by the generator that it is given."""

    def __init__(self, streets: Streets, places: Places, rng: np.random.Generator) -> None:
        count = len(places.at)
        self.at = places.at.copy()
        self.wait_s = np.zeros(count)  # at a light, or for whatever the driver waits for
        self._rng = rng
        self._streets = streets
        self._axis = places.axis.copy()
        self._forward = np.ones(count, dtype=bool)
        self._cruise_mps = rng.normal(8.0, 1.2, count).clip(4.0, 12.0)
        self._ways = np.repeat(self.at[:, None, :], 3, axis=1)
        self._leg = np.full(count, 3)
        self._goal = Places(self.at.copy(), self._axis.copy())

    @property
    def standing(self) -> Bools:
        """Who is not on the way to anywhere."""
        standing: Bools = self._leg >= 3
        return standing

    def here(self, rows: Ints) -> Places:
        """Where these are."""
        return Places(self.at[rows], self._axis[rows])

    def send(self, rows: Ints, goal: Places) -> None:
        """From now on these drive along streets to `goal` (a row for each)."""
        self.lead(rows, self._streets.routes(self.here(rows), goal, self._rng), goal)

    def lead(self, rows: Ints, ways: Floats, goal: Places) -> None:
        """The same by waypoints (n, 3, 2) of one's own, each along one axis from the one before."""
        self._ways[rows] = ways
        self._leg[rows] = 0
        self.wait_s[rows] = 0.0
        self._goal.at[rows], self._goal.axis[rows] = goal.at, goal.axis

    def drive(self, before: Floats, seconds: float, indoors: Bools) -> Drive:
        """What to report of a step that began at `before`."""
        return Drive(
            at=self.at.copy(),
            speed_mps=np.abs(self.at - before).sum(axis=1) / seconds,
            heading_deg=self._streets.headings(self._axis, self._forward),
            indoors=indoors,
        )

    def move(self, seconds: float, flow: float) -> Ints:
        """Let `seconds` pass (`flow` 1.0: an empty street); the rows that have arrived.

        What is left of the time after a corner goes into the next street.
        """
        under_way = self._leg < 3
        self.wait_s -= seconds
        draws = self._rng.random((3, len(self.at)))
        speed = self._cruise_mps * flow * (0.7 + 0.6 * draws[0])
        # A red light about every kilometre, for up to a minute.
        red = under_way & (self.wait_s <= 0) & (draws[1] < speed * seconds / 1_000.0)
        self.wait_s[red] = 60.0 * draws[2, red]
        left_s = np.where(under_way, np.clip(-self.wait_s, 0.0, seconds), 0.0)
        for _ in range(3):
            rows = np.flatnonzero(left_s > 0)
            if not len(rows):
                break
            left_s[rows] = self._drive_leg(rows, speed[rows], left_s[rows])
        arrived: Ints = np.flatnonzero(under_way & (self._leg >= 3))
        self._axis[arrived] = self._goal.axis[arrived]
        return arrived

    def _drive_leg(self, rows: Ints, speed: Floats, left_s: Floats) -> Floats:
        """Up to the next waypoint; the seconds that are left after it."""
        way = self._ways[rows, self._leg[rows]] - self.at[rows]
        axis = (np.abs(way[:, 1]) > np.abs(way[:, 0])).astype(np.int64)
        length_m = way[np.arange(len(rows)), axis]
        distance_m = np.abs(length_m)
        travel_m = np.minimum(distance_m, speed * left_s)
        self.at[rows, axis] += np.copysign(travel_m, length_m)
        turned = distance_m > 0
        self._axis[rows[turned]] = axis[turned]
        self._forward[rows[turned]] = length_m[turned] > 0
        arrived = travel_m >= distance_m
        at_corner = rows[arrived]
        self.at[at_corner] = self._ways[at_corner, self._leg[at_corner]]
        self._leg[at_corner] += 1
        rest: Floats = np.where(arrived & (self._leg[rows] < 3), left_s - travel_m / speed, 0.0)
        return rest
