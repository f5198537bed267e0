"""The geometry of fences: is a point inside, and how far is it from the edge?

A circle is measured along the great circle. A polygon is laid on a plane round its middle (equirectangular:
metres are right there, and slightly off towards the edges of a large fence; what is inside is exact, as
edges are straight in latitude and longitude). Shapely's prepared geometries answer in microseconds.
"""

import itertools
import math
import re

import shapely

from majung.positions.fence_model import MAX_CORNERS, Circle, NewFence, check_circle, check_places
from majung.positions.geodesy import EARTH_RADIUS_M, Box, box_around, distance_m, wrap_longitude

_M_PER_DEGREE = math.radians(EARTH_RADIUS_M)
_MAX_WIDTH_DEG = 180.0


class CircleShape:
    """`radius_m` round a point."""

    def __init__(self, circle: Circle) -> None:
        check_circle(circle)
        self._latitude = circle.latitude
        self._longitude = circle.longitude
        self._radius_m = circle.radius_m
        self.doubt_m = circle.radius_m / 4

    def box(self) -> Box:
        """What encloses it."""
        return box_around(self._latitude, self._longitude, self._radius_m)

    def contains(self, latitude: float, longitude: float) -> bool:
        """Whether the point lies in it, edge included."""
        return self.depth_m(latitude, longitude) >= 0

    def depth_m(self, latitude: float, longitude: float) -> float:
        """How far inside the point is, in metres; negative outside."""
        return self._radius_m - distance_m(self._latitude, self._longitude, latitude, longitude)


class PolygonShape:
    """Straight edges between corners."""

    def __init__(self, corners: tuple[tuple[float, float], ...]) -> None:
        if len(corners) > 1 and corners[0] == corners[-1]:
            corners = corners[:-1]
        if not 3 <= len(set(corners)) <= len(corners) <= MAX_CORNERS:
            raise ValueError(f"a polygon has 3 to {MAX_CORNERS} different corners, not {len(corners)}")
        check_places(corners)
        # Unrolled from the first corner, each edge the short way, so that the antimeridian is nothing special.
        east = [0.0]
        for (_, before), (_, after) in itertools.pairwise(corners):
            east.append(east[-1] + wrap_longitude(after - before))
        if max(east) - min(east) >= _MAX_WIDTH_DEG:
            raise ValueError("a polygon is less than 180 degrees wide (and holds no pole)")
        middle = (max(east) + min(east)) / 2
        self._longitude = wrap_longitude(corners[0][1] + middle)
        latitudes = [latitude for latitude, _ in corners]
        self._latitude = (max(latitudes) + min(latitudes)) / 2
        self._half_width = (max(east) - min(east)) / 2
        self._box = self._enclosing(latitudes)
        self._x_per_degree = _M_PER_DEGREE * math.cos(math.radians(self._latitude))
        places = [(e - middle) * self._x_per_degree for e in east]
        points = [
            (x, (lat - self._latitude) * _M_PER_DEGREE) for x, lat in zip(places, latitudes, strict=True)
        ]
        self._polygon = shapely.Polygon(points)
        self._check()
        self._edge = self._polygon.exterior
        self.doubt_m = self._polygon.area / self._polygon.length / 2
        shapely.prepare(self._polygon)

    def _enclosing(self, latitudes: list[float]) -> Box:
        west, east = self._longitude - self._half_width, self._longitude + self._half_width
        return Box(min(latitudes), wrap_longitude(west), max(latitudes), wrap_longitude(east))

    def _check(self) -> None:
        if not shapely.is_valid(self._polygon):
            reason = shapely.is_valid_reason(self._polygon)
            where = re.search(r"\[(\S+) (\S+)\]", reason)
            place = ""
            if where:
                latitude = self._latitude + float(where[2]) / _M_PER_DEGREE
                longitude = wrap_longitude(self._longitude + float(where[1]) / self._x_per_degree)
                place = f" at ({latitude:.6f}, {longitude:.6f})"
            raise ValueError(f"the polygon crosses or touches itself{place}")
        if self._polygon.area < 1:
            raise ValueError("the polygon has no area")

    def _flat(self, latitude: float, longitude: float) -> tuple[float, float]:
        x = wrap_longitude(longitude - self._longitude) * self._x_per_degree
        return x, (latitude - self._latitude) * _M_PER_DEGREE

    def box(self) -> Box:
        """What encloses it."""
        return self._box

    def contains(self, latitude: float, longitude: float) -> bool:
        """Whether the point lies in it, edges included."""
        return bool(shapely.intersects_xy(self._polygon, *self._flat(latitude, longitude)))

    def depth_m(self, latitude: float, longitude: float) -> float:
        """How far inside the point is, in metres; negative outside."""
        x, y = self._flat(latitude, longitude)
        distance = float(self._edge.distance(shapely.Point(x, y)))
        return distance if shapely.intersects_xy(self._polygon, x, y) else -distance


Shape = CircleShape | PolygonShape


def compile_shape(fence: NewFence) -> Shape:
    """The geometry of a fence. Raises ValueError saying what is wrong with it.

    `doubt_m` of a shape bounds how much a bad accuracy may count: in the middle of a small fence a fix of
    200 m accuracy is still inside.
    """
    if fence.polygon is not None:
        return PolygonShape(fence.polygon)
    circle = fence.circle or fence.near
    if circle is None:
        raise ValueError("a fence is a circle, a polygon or a near point")
    return CircleShape(circle)
