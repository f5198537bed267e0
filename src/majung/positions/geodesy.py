"""Distances and directions on the Earth, taken as a sphere, and the distance on the ellipsoid.

The error of the sphere is at most 0.5 %, far below what "the nearest rider" needs; what friends read as
"so far from you" is `ellipsoid_m`, to the millimetre. All degrees are WGS 84 latitude and longitude, all
distances metres: along the great circle, if not said otherwise. Scalars use `math`, columns use NumPy.

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

_A_M = 6_378_137.0
_F = 1 / 298.257223563
_B_M = _A_M * (1 - _F)
_E2 = _F * (2 - _F)
"""WGS 84 (NGA.STND.0036): half axes, flattening, first eccentricity squared."""

_HALF_MERIDIAN_M = 20_003_931.4586
"""From pole to pole: nothing is further apart."""

_CHORD_REACH_M = 30_000.0
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


def ellipsoid_m(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Length of the geodesic on the WGS 84 ellipsoid: the straight line between two places on the ground.

    Within 1 mm of Karney's GeographicLib, but for places almost opposite each other on the globe, where
    Vincenty's iteration does not end: there the sphere answers, within 0.5 %. Up to 30 km, which is almost
    every friend, the chord through the ground is bent back: the arc over a chord d on a circle of radius R
    is `d + d³/24R² + 3d⁵/640R⁴`, R by Euler's theorem from the two radii of curvature (Torge & Müller,
    Geodesy, 4.1).
    """
    phi, to_phi = math.radians(latitude), math.radians(to_latitude)
    across = math.radians(math.remainder(to_longitude - longitude, 360.0))
    sine, to_sine = math.sin(phi), math.sin(to_phi)
    normal_m = _A_M / math.sqrt(1 - _E2 * sine * sine)
    to_normal_m = _A_M / math.sqrt(1 - _E2 * to_sine * to_sine)
    axis_m, to_axis_m = normal_m * math.cos(phi), to_normal_m * math.cos(to_phi)  # from the Earth's axis
    up_m = (1 - _E2) * (to_normal_m * to_sine - normal_m * sine)
    half = math.sin(across / 2)
    chord2 = (to_axis_m - axis_m) ** 2 + 4 * axis_m * to_axis_m * half * half + up_m * up_m
    if chord2 > _CHORD_REACH_M * _CHORD_REACH_M:
        return _vincenty_m(phi, to_phi, across)
    if chord2 == 0.0:
        return 0.0
    meridian_m = normal_m**3 * (1 - _E2) / (_A_M * _A_M)
    northward2 = min(1.0, (meridian_m * (to_phi - phi)) ** 2 / chord2)
    curvature = northward2 / meridian_m + (1 - northward2) / normal_m
    bend = chord2 * curvature * curvature / 24
    return math.sqrt(chord2) * (1 + bend * (1 + 2.7 * bend))


def _vincenty_m(phi: float, to_phi: float, across: float) -> float:
    """The inverse problem by Vincenty (Survey Review 23, 1975), radians; his names in the comments."""
    flat, to_flat = math.atan((1 - _F) * math.tan(phi)), math.atan((1 - _F) * math.tan(to_phi))  # U1, U2
    sin1, cos1, sin2, cos2 = math.sin(flat), math.cos(flat), math.sin(to_flat), math.cos(to_flat)
    lam = across
    for _ in range(40):
        sin_lam, cos_lam = math.sin(lam), math.cos(lam)
        sin_sigma = math.hypot(cos2 * sin_lam, cos1 * sin2 - sin1 * cos2 * cos_lam)
        cos_sigma = sin1 * sin2 + cos1 * cos2 * cos_lam
        if sin_sigma < _SLACK_RAD:
            break
        sigma = math.atan2(sin_sigma, cos_sigma)
        sin_alpha = cos1 * cos2 * sin_lam / sin_sigma
        cos2_alpha = max(0.0, 1 - sin_alpha * sin_alpha)
        middle = cos_sigma - 2 * sin1 * sin2 / cos2_alpha if cos2_alpha > _SLACK_RAD else 0.0  # cos 2σm
        c = _F / 16 * cos2_alpha * (4 + _F * (4 - 3 * cos2_alpha))
        turn = sigma + c * sin_sigma * (middle + c * cos_sigma * (2 * middle * middle - 1))
        before, lam = lam, across + (1 - c) * _F * sin_alpha * turn
        if abs(lam) > math.pi:
            break
        if abs(lam - before) < _SLACK_RAD:
            return _vincenty_arc_m(sigma, sin_sigma, cos_sigma, cos2_alpha, middle)
    hav = math.sin((to_phi - phi) / 2) ** 2 + math.cos(phi) * math.cos(to_phi) * math.sin(across / 2) ** 2
    return min(_HALF_MERIDIAN_M, 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, hav))))


def _vincenty_arc_m(
    sigma: float, sin_sigma: float, cos_sigma: float, cos2_alpha: float, middle: float
) -> float:
    """Vincenty's (3), (4), (6) and (19): from the arc on the auxiliary sphere to metres."""
    u2 = cos2_alpha * (_A_M * _A_M - _B_M * _B_M) / (_B_M * _B_M)
    a = 1 + u2 / 16384 * (4096 + u2 * (-768 + u2 * (320 - 175 * u2)))
    b = u2 / 1024 * (256 + u2 * (-128 + u2 * (74 - 47 * u2)))
    third = b / 6 * middle * (4 * sin_sigma * sin_sigma - 3) * (4 * middle * middle - 3)
    delta = b * sin_sigma * (middle + b / 4 * (cos_sigma * (2 * middle * middle - 1) - third))
    return _B_M * a * (sigma - delta)


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
