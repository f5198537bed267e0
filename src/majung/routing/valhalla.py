"""Valhalla in this process: ways along streets, from tiles that `majung routing build` made.

Needs the extra `[routing]`. Calls run in one thread, beside the event loop (the library lets go of the
interpreter's lock meanwhile), since an actor of Valhalla is for one thread. At most `MAX_WAITING` wait; more
are refused and the caller takes the straight line, as it does for places that no street is near to.
"""

import asyncio
import json
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from majung.ports import Overloaded
from majung.positions.geodesy import distance_m
from majung.routing.model import VALHALLA, NoRoute, Place, Route, Step, Way

T = TypeVar("T")

MISSING = "routes on streets need the extra: pip install 'majung[routing]'"
MAX_WAITING = 32
MAX_STRAIGHT_M = 100_000.0
MAX_PAIRS = 400
SNAP_WITHIN_M = 500
"""A place that is further than this from every street is off the network."""
LANGUAGES = {"ko": "ko-KR", "en": "en-US"}

# Valhalla's manoeuvre types (proto/directions.proto), as names of arrows.
_KINDS = (
    ("start", (1, 2, 3)),
    ("arrive", (4, 5, 6)),
    ("straight", (7, 8, 17, 22, 25)),
    ("slight_right", (9, 18, 20, 23, 37)),
    ("right", (10,)),
    ("sharp_right", (11,)),
    ("u_turn", (12, 13)),
    ("sharp_left", (14,)),
    ("left", (15,)),
    ("slight_left", (16, 19, 21, 24, 38)),
    ("roundabout", (26, 27)),
    ("ferry", (28, 29)),
)
_KIND_OF = {number: name for name, numbers in _KINDS for number in numbers}


def installed() -> bool:
    """Whether the extra is there."""
    try:
        import valhalla  # noqa: F401
    except ImportError:
        return False
    return True


class ValhallaRouter:
    """One for each server. `close` when done."""

    def __init__(self, tiles: Path, profile: str) -> None:
        """`tiles` is the file that the build made; `profile` a costing of Valhalla.

        Raises ValueError, saying what to do, when the extra or the file is missing or not what it should be.
        """
        self._profile = profile
        self._waiting = 0
        self._actor = _open(tiles)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="valhalla")

    def close(self) -> None:
        """Finish what runs; refuse the rest."""
        self._thread.shutdown(cancel_futures=True)

    async def route(self, start: Place, end: Place, language: str = "en-US") -> Route:
        """The best way. Raises NoRoute, Overloaded."""
        _require_near(start, end)
        asked = {
            "locations": [_location(start), _location(end)],
            "costing": self._profile,
            "language": language,
            "units": "kilometers",
        }
        return await self._call(lambda: read_route(json.loads(self._actor.route(json.dumps(asked)))))

    async def many(self, starts: Sequence[Place], ends: Sequence[Place]) -> list[list[Way]]:
        """From each to each; at most MAX_PAIRS. Raises NoRoute when one of them has no way, Overloaded."""
        if len(starts) * len(ends) > MAX_PAIRS:
            raise NoRoute(f"at most {MAX_PAIRS} ways at once")
        for start in starts:
            for end in ends:
                _require_near(start, end)
        asked = {
            "sources": [_location(start) for start in starts],
            "targets": [_location(end) for end in ends],
            "costing": self._profile,
            "units": "kilometers",
        }
        return await self._call(lambda: read_matrix(json.loads(self._actor.matrix(json.dumps(asked)))))

    async def _call(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} ways are being looked for already")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (
            RuntimeError,
            ValueError,
            KeyError,
        ) as problem:  # the library says everything with RuntimeError
            raise NoRoute(str(problem)) from problem
        finally:
            self._waiting -= 1


def _open(tiles: Path) -> Any:
    if not installed():
        raise ValueError(MISSING)
    import valhalla

    if not tiles.is_file():
        raise ValueError(f"there are no tiles at {tiles}: make them with majung routing build FILE.osm.pbf")
    config = valhalla.get_config(tile_extract=str(tiles), tile_dir="")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        try:
            return valhalla.Actor(file.name)
        except RuntimeError as problem:
            raise ValueError(f"{tiles} cannot be read as tiles ({problem}): build them again") from problem


def _location(place: Place) -> dict[str, float]:
    return {"lat": place.latitude, "lon": place.longitude, "search_cutoff": SNAP_WITHIN_M}


def _require_near(start: Place, end: Place) -> None:
    if not distance_m(*start, *end) <= MAX_STRAIGHT_M:
        raise NoRoute(f"further apart than {MAX_STRAIGHT_M / 1000:.0f} km")


def read_route(answer: dict[str, Any]) -> Route:
    """Valhalla's answer to /route, one leg."""
    leg = answer["trip"]["legs"][0]
    points = decode_polyline(leg["shape"])
    steps = tuple(_step(manoeuvre) for manoeuvre in leg.get("maneuvers", ()))
    summary = leg["summary"]
    return Route(round(summary["length"] * 1000, 1), round(summary["time"], 1), points, VALHALLA, steps)


def _step(said: dict[str, Any]) -> Step:
    return Step(
        kind=_KIND_OF.get(said["type"], "straight"),
        text=said["instruction"],
        distance_m=round(said["length"] * 1000, 1),
        duration_s=round(said["time"], 1),
        begin=said["begin_shape_index"],
        street=", ".join(said.get("street_names", ())),
    )


def read_matrix(answer: dict[str, Any]) -> list[list[Way]]:
    """Valhalla's answer to /sources_to_targets. Raises NoRoute when a pair has no way."""
    rows: list[list[Way]] = []
    for row in answer["sources_to_targets"]:
        if any(cell["time"] is None for cell in row):
            raise NoRoute("no street leads from one of the places to another")
        rows.append([Way(cell["distance"] * 1000, float(cell["time"])) for cell in row])
    return rows


def decode_polyline(text: str) -> tuple[tuple[float, float], ...]:
    """Google's encoded polyline with six decimals, as Valhalla writes it → (longitude, latitude) pairs."""
    numbers: list[int] = []
    value = shift = 0
    for letter in text.encode("ascii"):
        bits = letter - 63
        value |= (bits & 31) << shift
        shift += 5
        if bits < 32:
            numbers.append(~(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    latitude = longitude = 0
    points = []
    for i in range(0, len(numbers) - 1, 2):
        latitude += numbers[i]
        longitude += numbers[i + 1]
        points.append((longitude / 1e6, latitude / 1e6))
    return tuple(points)
