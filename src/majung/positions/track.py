"""Fewer points, the same line: Douglas and Peucker's simplification (1973), in metres."""

from collections.abc import Iterator, Sequence

import numpy as np
import shapely

from majung.positions.geodesy import EARTH_RADIUS_M, Floats
from majung.positions.model import TrackPoint

# On a piece this small a degree of longitude has one length, to 1.5 % at 60° of latitude; and the
# recursion in GEOS stays shallow.
_PIECE_DEG = 1.0
_PIECE_POINTS = 4_096


def simplify(points: Sequence[TrackPoint], tolerance_m: float) -> list[TrackPoint]:
    """The points that matter: no point left out lies further than `tolerance_m` from the line that remains.

    First and last stay, and the order; a tolerance of 0 keeps all. Long tracks are done in pieces of 1° or
    4,096 points (whose ends stay), each on a plane of its own, across the antimeridian too. Time does not
    count: somebody who stood still for an hour is two points.
    """
    if tolerance_m <= 0 or len(points) < 3:
        return list(points)
    latitudes = np.array([point.latitude for point in points])
    longitudes = _unwrap(np.array([point.longitude for point in points]))
    kept: list[int] = []
    for start, end in _pieces(latitudes, longitudes):
        piece = _simplified(latitudes[start : end + 1], longitudes[start : end + 1], tolerance_m)
        kept.extend(start + index for index in piece[:-1])
    return [points[index] for index in kept] + [points[-1]]


def _unwrap(longitudes: Floats) -> Floats:
    """Longitudes without the leap at the antimeridian: no step is longer than half the way round."""
    unwrapped: Floats = np.unwrap(longitudes, period=360.0)
    return unwrapped


def _pieces(latitudes: Floats, longitudes: Floats) -> Iterator[tuple[int, int]]:
    """First and last index of each piece; the last of one is the first of the next."""
    last = len(latitudes) - 1
    start = 0
    while start < last:
        end = min(start + _reach(latitudes, longitudes, start), last)
        yield start, end
        start = end


def _reach(latitudes: Floats, longitudes: Floats, start: int) -> int:
    """How many points on from `start` the piece goes: at least one."""
    ahead = 64
    while True:
        away = np.maximum(
            np.abs(latitudes[start : start + ahead + 1] - latitudes[start]),
            np.abs(longitudes[start : start + ahead + 1] - longitudes[start]),
        )
        outside = np.flatnonzero(away > _PIECE_DEG)
        if outside.size:
            return max(1, int(outside[0]) - 1)
        if len(away) <= ahead or ahead >= _PIECE_POINTS:
            return ahead
        ahead *= 2


def _simplified(latitudes: Floats, longitudes: Floats, tolerance_m: float) -> list[int]:
    """Indexes of a piece that stay, its first and last among them."""
    metres = np.radians(EARTH_RADIUS_M)
    x = (longitudes - longitudes[0]) * metres * np.cos(np.radians(latitudes.mean()))
    y = (latitudes - latitudes[0]) * metres
    # GEOS carries the third coordinate along: it says which points remained.
    line = shapely.linestrings(np.column_stack((x, y, np.arange(len(x)))))
    remained = shapely.simplify(line, tolerance_m, preserve_topology=False)
    indexes = shapely.get_coordinates(remained, include_z=True)[:, 2].astype(int).tolist()
    return indexes if len(indexes) > 1 else [0, len(x) - 1]
