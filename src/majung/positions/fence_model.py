"""What a fence is, as the API and the database hold it, and what makes it a valid one."""

import math
import unicodedata
from collections.abc import Iterable

import msgspec

from majung.positions.check import is_good_id

MAX_CORNERS = 1_000
MAX_RADIUS_M = 1_000_000.0
MAX_NAME_CHARS = 100
MAX_RIDERS = 1_000
MAX_DWELL_S = 30 * 86_400.0
MAX_CONFIRM_S = 3_600.0
MAX_CONFIRM_FIXES = 100


class Circle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything within `radius_m` (great circle) of a point."""

    latitude: float
    longitude: float
    radius_m: float


class NewFence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A fence as it is asked for: a name and exactly one of `circle`, `polygon` and `near`.

    `polygon` lists corners as [latitude, longitude] in either direction; the last may repeat the first.
    Its edges are straight on the map and go the short way round the Earth. `near` is a circle that gives
    one `near` event for each visit and nothing else. `dwell_s` asks for a `dwell` event after so long
    inside. A crossing counts when it has lasted over `confirm_fixes` positions and `confirm_s` seconds of
    device time (by default what the settings say). With `rider_ids` it concerns these riders alone.
    """

    name: str
    circle: Circle | None = None
    polygon: tuple[tuple[float, float], ...] | None = None
    near: Circle | None = None
    dwell_s: float | None = None
    confirm_fixes: int | None = None
    confirm_s: float | None = None
    rider_ids: tuple[str, ...] = ()


class Fence(NewFence, frozen=True, kw_only=True):
    """A fence that exists. `version` grows with each change."""

    fence_id: str
    version: int
    created_at_ms: int
    updated_at_ms: int


def check_fence(fence: NewFence) -> None:
    """Raises ValueError saying what is wrong, geometry aside (`shapes.compile_shape` looks at that)."""
    if not 0 < len(fence.name.strip()) <= MAX_NAME_CHARS or any(
        unicodedata.category(c)[0] == "C" for c in fence.name
    ):
        raise ValueError(f"name: 1-{MAX_NAME_CHARS} printable characters")
    if sum(shape is not None for shape in (fence.circle, fence.polygon, fence.near)) != 1:
        raise ValueError("a fence is a circle, a polygon or a near point: exactly one of them")
    _check_range("dwell_s", fence.dwell_s, 0, MAX_DWELL_S)
    _check_range("confirm_s", fence.confirm_s, 0, MAX_CONFIRM_S)
    _check_range("confirm_fixes", fence.confirm_fixes, 1, MAX_CONFIRM_FIXES)
    if len(fence.rider_ids) > MAX_RIDERS:
        raise ValueError(f"rider_ids: at most {MAX_RIDERS}")
    if not all(is_good_id(rider_id) for rider_id in fence.rider_ids):
        raise ValueError("rider_ids: 1-128 printable characters without /")
    if fence.near is not None and fence.dwell_s is not None:
        raise ValueError("dwell_s: a near point has none; use a circle")


def check_circle(circle: Circle) -> None:
    """Raises ValueError when it is none on Earth."""
    check_places([(circle.latitude, circle.longitude)])
    _check_range("radius_m", circle.radius_m, 1, MAX_RADIUS_M)


def check_places(places: Iterable[tuple[float, float]]) -> None:
    """Raises ValueError when one of the (latitude, longitude) is none."""
    for number, (latitude, longitude) in enumerate(places, 1):
        if not (math.isfinite(latitude) and math.isfinite(longitude)):
            raise ValueError(f"point {number}: latitude and longitude must be finite numbers")
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
            swapped = " (swapped?)" if abs(longitude) <= 90 and abs(latitude) <= 180 else ""
            raise ValueError(
                f"point {number}: ({latitude}, {longitude}) is not (latitude, longitude){swapped}"
            )


def _check_range(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise ValueError(f"{name}: {least:g} to {most:g}, not {value}")
