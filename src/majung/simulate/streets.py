"""A street grid that looks like a city: avenues half a kilometre apart, lanes between them, turned.

Places are in metres along two axes: axis 0 along the main avenue, axis 1 across it, from the centre.
A street runs along one axis at a fixed coordinate of the other, so `lines[a]` are the coordinates on
axis `a` of the streets that cross it. Everything is columns: one row for each rider.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_METRES_PER_DEGREE = 111_195.0  # of latitude, on a sphere of 6,371 km


@dataclass(frozen=True)
class CityPlan:
    """Where a city is and how its main avenue lies. Degrees (WGS 84, clockwise from north), metres."""

    latitude: float
    longitude: float
    bearing_deg: float
    half_size_m: float


CITIES = {
    # Gangnam station; Teheran-ro runs north-east by east, Gangnam-daero across it.
    "gangnam": CityPlan(37.4979, 127.0276, 66.0, 2_500.0),
    "hongdae": CityPlan(37.5563, 126.9236, 52.0, 2_000.0),
    "seomyeon": CityPlan(35.1577, 129.0592, 15.0, 2_000.0),
}


@dataclass(frozen=True)
class Places:
    """Points on streets: `at` (n, 2) in metres, `axis` (n,) the axis along which the street runs."""

    at: Floats
    axis: Ints

    def take(self, rows: Ints) -> "Places":
        """Some of them."""
        return Places(self.at[rows], self.axis[rows])


class Streets:
    """The grid of one city. Deterministic by the generator it is given."""

    def __init__(self, plan: CityPlan, rng: np.random.Generator) -> None:
        self.plan = plan
        self.lines: tuple[Floats, Floats] = (_lines(plan.half_size_m, rng), _lines(plan.half_size_m, rng))
        turn = math.radians(plan.bearing_deg)
        # Rows: how far east and north one metre along each axis leads.
        self._axes = np.array([[math.sin(turn), math.cos(turn)], [-math.cos(turn), math.sin(turn)]])
        self._scale = np.array(
            [_METRES_PER_DEGREE * math.cos(math.radians(plan.latitude)), _METRES_PER_DEGREE]
        )
        self._centre = np.array([plan.longitude, plan.latitude])

    def degrees(self, at: Floats) -> Floats:
        """Metres (n, 2) as longitude and latitude (n, 2)."""
        result: Floats = at @ self._axes / self._scale + self._centre
        return result

    def metres(self, degrees: Floats) -> Floats:
        """Longitude and latitude (n, 2) as metres along the axes (n, 2): what `degrees` undoes."""
        result: Floats = (degrees - self._centre) * self._scale @ self._axes.T
        return result

    def headings(self, axis: Ints, forward: Bools) -> Floats:
        """Degrees clockwise from north of a drive along `axis`, towards larger coordinates or back."""
        across = np.where(axis == 0, 0.0, -90.0)
        result: Floats = (self.plan.bearing_deg + across + np.where(forward, 0.0, 180.0)) % 360.0
        return result

    def nearest_lines(self, axis: Ints, wanted: Floats) -> Floats:
        """For each: the coordinate on `axis` of the crossing street nearest to `wanted`."""
        found = [lines[_nearest(lines, wanted)] for lines in self.lines]
        return np.where(axis == 0, found[0], found[1])

    def snap(self, around: Floats, rng: np.random.Generator) -> Places:
        """Points (n, 2) moved onto the nearest street of a random direction, kept inside the city."""
        inside = np.clip(around, -self.plan.half_size_m, self.plan.half_size_m)
        axis = rng.integers(0, 2, len(inside))
        rows = np.arange(len(inside))
        inside[rows, 1 - axis] = self.nearest_lines(1 - axis, inside[rows, 1 - axis])
        return Places(inside, axis)

    def nearest(self, at: Floats) -> Places:
        """Points (n, 2) moved onto the street that is nearest to each, kept inside the city."""
        inside = np.clip(at, -self.plan.half_size_m, self.plan.half_size_m)
        rows = np.arange(len(inside))
        lines = np.column_stack([found[_nearest(found, inside[:, a])] for a, found in enumerate(self.lines)])
        across: Ints = np.abs(lines - inside).argmin(axis=1)
        inside[rows, across] = lines[rows, across]
        return Places(inside, 1 - across)

    def routes(self, start: Places, end: Places, rng: np.random.Generator) -> Floats:
        """Three waypoints (n, 3, 2) along streets from each start to its end.

        Between two parallel streets the way leads over a crossing street somewhere between them;
        otherwise it turns once, and the last two waypoints are the same.
        """
        rows = np.arange(len(start.at))
        along, same = start.axis, start.axis == end.axis
        via = start.at[rows, along] + (end.at[rows, along] - start.at[rows, along]) * rng.random(len(rows))
        ways = np.empty((len(rows), 3, 2))
        ways[:, 0] = start.at
        ways[rows, 0, along] = np.where(same, self.nearest_lines(along, via), end.at[rows, along])
        ways[:, 1] = ways[:, 0]
        ways[rows, 1, 1 - along] = end.at[rows, 1 - along]
        ways[:, 2] = end.at
        return ways


def _lines(half_size_m: float, rng: np.random.Generator) -> Floats:
    """Avenues about 550 m apart (one through the centre), four lanes between two of them."""
    count = int(half_size_m // 550) + 1
    avenues = np.arange(-count, count + 1) * 550.0
    avenues[avenues != 0] += rng.uniform(-60, 60, 2 * count)
    lanes = [np.linspace(a, b, 6)[1:-1] + rng.uniform(-15, 15, 4) for a, b in pairwise(avenues)]
    every = np.sort(np.concatenate([avenues, *lanes]))
    inside: Floats = every[np.abs(every) <= half_size_m]
    return inside


def _nearest(lines: Floats, wanted: Floats) -> Ints:
    right = np.clip(np.searchsorted(lines, wanted), 1, len(lines) - 1)
    nearer_left = wanted - lines[right - 1] < lines[right] - wanted
    return right - nearer_left
