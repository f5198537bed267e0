"""Distances and directions on the Earth, taken as a sphere.

The error against the ellipsoid is at most 0.5 %, far below what "the nearest rider" needs. All degrees
are WGS 84 latitude and longitude, all distances metres along the great circle. Scalars use `math`,
columns use NumPy.

Searches compare squared chords of unit vectors instead of angles: `chord² = 4·hav(angle)`, so they order
places exactly as the haversine formula does, and cost three subtractions and no trigonometry. Near by,
where precision matters, a chord is good to a nanometre.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the WGS 84 ellipsoid (IUGG R1)."""

_SLACK = 1e-9
_SLACK_RAD = 1e-12


class Box(NamedTuple):
    """An area in degrees. `west > east` means that it crosses the antimeridian."""

    south: float
    west: float
    north: float
    east: float


def distance_m(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Great-circle distance of two places, by the haversine formula (Sinnott 1984)."""
    south, north = math.radians(latitude), math.radians(to_latitude)
    across = math.radians(to_longitude - longitude)
    hav = math.sin((north - south) / 2) ** 2 + math.cos(south) * math.cos(north) * math.sin(across / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, hav)))


def distances_m(latitude: float, longitude: float, latitudes: Floats, longitudes: Floats) -> Floats:
    """Great-circle distance from one place to each of n; shape (n,)."""
    south, north = math.radians(latitude), np.radians(latitudes)
    across = np.radians(longitudes - longitude)
    hav = np.sin((north - south) / 2) ** 2 + math.cos(south) * np.cos(north) * np.sin(across / 2) ** 2
    distances: Floats = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(1.0, hav)))
    return distances


def unit_vectors(latitudes: Floats, longitudes: Floats) -> Floats:
    """Points on the unit sphere, shape (3, n): what a search compares."""
    phi, lam = np.radians(latitudes), np.radians(longitudes)
    flat = np.cos(phi)
    return np.stack((flat * np.cos(lam), flat * np.sin(lam), np.sin(phi)))


def unit_vector(latitude: float, longitude: float) -> Floats:
    """One point on the unit sphere, shape (3, 1): the centre of a search."""
    phi, lam = math.radians(latitude), math.radians(longitude)
    flat = math.cos(phi)
    return np.array(((flat * math.cos(lam),), (flat * math.sin(lam),), (math.sin(phi),)))


def squared_chords(points: Floats, centre: Floats) -> Floats:
    """Squared straight-line distance of unit vectors (3, n) to one of shape (3, 1); shape (n,).

    Only additions and multiplications: a place gets the same bits however many are asked at once.
    """
    d = points - centre
    d *= d
    chords: Floats = d[0]
    chords += d[1]
    chords += d[2]
    return chords


def chords_to_m(chords: Floats) -> Floats:
    """Great-circle metres that belong to squared chords; shape (n,)."""
    halves = np.sqrt(chords)
    halves *= 0.5
    np.minimum(halves, 1.0, out=halves)
    metres: Floats = np.arcsin(halves, out=halves)
    metres *= 2 * EARTH_RADIUS_M
    return metres


def m_to_chord(radius_m: float) -> float:
    """Squared chord that belongs to great-circle metres; past half the globe: 4, everything."""
    angle = radius_m / EARTH_RADIUS_M
    return 4.0 if angle >= math.pi else 4 * math.sin(angle / 2) ** 2


def destination(
    latitude: float, longitude: float, bearing_deg: float, distance_m: float
) -> tuple[float, float]:
    """Where one arrives after `distance_m` from a place, leaving at `bearing_deg` (0 north, 90 east).

    Longitude comes back within -180…180. Formula: the spherical direct problem.
    """
    phi, theta, delta = math.radians(latitude), math.radians(bearing_deg), distance_m / EARTH_RADIUS_M
    sine = math.sin(phi) * math.cos(delta) + math.cos(phi) * math.sin(delta) * math.cos(theta)
    sine = max(-1.0, min(1.0, sine))
    turn = math.atan2(
        math.sin(theta) * math.sin(delta) * math.cos(phi), math.cos(delta) - math.sin(phi) * sine
    )
    return math.degrees(math.asin(sine)), wrap_longitude(longitude + math.degrees(turn))


def wrap_longitude(longitude: float) -> float:
    """The same meridian within -180…180."""
    return longitude if -180 <= longitude <= 180 else (longitude + 180) % 360 - 180


def box_around(latitude: float, longitude: float, radius_m: float) -> Box:
    """The smallest box that holds everything within `radius_m`, a hair larger against rounding.

    A circle over a pole gets all longitudes; one over the antimeridian gets `west > east`.
    Formula: the meridians that touch a small circle, `sin(Δλ) = sin(δ) / cos(φ)` (Bronshtein 3.4).
    """
    delta = radius_m / EARTH_RADIUS_M * (1 + _SLACK) + _SLACK_RAD
    phi = math.radians(latitude)
    south, north = phi - delta, phi + delta
    if south <= -math.pi / 2 or north >= math.pi / 2:
        return Box(max(-90.0, math.degrees(south)), -180.0, min(90.0, math.degrees(north)), 180.0)
    across = math.degrees(math.asin(min(1.0, math.sin(delta) / math.cos(phi)))) * (1 + _SLACK)
    if across >= 180:
        return Box(math.degrees(south), -180.0, math.degrees(north), 180.0)
    west, east = wrap_longitude(longitude - across), wrap_longitude(longitude + across)
    return Box(math.degrees(south), west, math.degrees(north), east)


def inside(box: Box, latitudes: Floats, longitudes: Floats) -> npt.NDArray[np.bool_]:
    """Which of n places lie in the box, borders included; shape (n,)."""
    after, before = longitudes >= box.west, longitudes <= box.east
    between = (after | before) if box.west > box.east else (after & before)
    within: npt.NDArray[np.bool_] = between & (latitudes >= box.south) & (latitudes <= box.north)
    return within
