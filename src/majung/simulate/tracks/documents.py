"""GPX and GeoJSON: positions inside a document."""

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from xml.parsers import expat

import msgspec

from majung.simulate.tracks.model import Fix, Options, Unreadable
from majung.simulate.tracks.values import (
    ACCURACY_NAMES,
    HEADING_NAMES,
    RIDER_NAMES,
    SPEED_NAMES,
    TIME_NAMES,
    number,
    optional,
    speed_factor,
    time_ms,
)

Rows = Iterator[Fix | Unreadable]

_POINTS = ("trkpt", "rtept")
_FIELDS = ("time", "speed", "course")


class _Gpx:
    """Collects the points of a GPX 1.0 or 1.1 document as expat meets them.

    `speed` (m/s) and `course` stand in the point itself or in Garmin's TrackPointExtension.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self.found: list[Fix | Unreadable] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        # Entities of its own are how a small file becomes a huge one; GPX needs none.
        self._parser.EntityDeclHandler = self._no_entities
        self._point: dict[str, str] | None = None
        self._line = 0
        self._field = ""

    def feed(self, data: bytes, last: bool) -> bool:
        """Read on; False when the document is broken from here on."""
        try:
            self._parser.Parse(data, last)
        except (expat.ExpatError, ValueError) as error:
            line = self._parser.CurrentLineNumber
            self.found.append(Unreadable(line, f"the document is broken from here on: {error}"))
            return False
        return True

    def _no_entities(self, *_: object) -> None:
        raise ValueError("it declares entities")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        if name in _POINTS:
            self._point, self._line = dict(attributes), self._parser.CurrentLineNumber
        elif self._point is not None and name in _FIELDS:
            self._field = name
            self._point[name] = ""

    def _text(self, text: str) -> None:
        if self._field and self._point is not None:
            self._point[self._field] += text

    def _end(self, tag: str) -> None:
        name = tag.rpartition(" ")[2]
        if name == self._field:
            self._field = ""
        if name in _POINTS and self._point is not None:
            point, self._point = self._point, None
            self.found.append(self._read(point))

    def _read(self, point: dict[str, str]) -> Fix | Unreadable:
        try:
            return Fix(
                self._line,
                self._options.rider_id,
                time_ms(point.get("time"), self._options.timezone),
                number(point.get("lat", "")),
                number(point.get("lon", "")),
                None,
                optional(point.get("speed")),
                optional(point.get("course")),
            )
        except (ValueError, OverflowError) as error:
            return Unreadable(self._line, str(error))


def read_gpx(data: BinaryIO, options: Options) -> Rows:
    """Track and route points; waypoints are places, not a track, and are passed over."""
    gpx = _Gpx(options)
    while True:
        chunk = data.read(65_536)
        alive = gpx.feed(chunk, last=not chunk)
        yield from gpx.found
        gpx.found.clear()
        if not chunk or not alive:
            return


def read_geojson(data: BinaryIO, options: Options) -> Rows:
    """Point features with a time, and (Multi)LineStrings with `coordTimes`.

    Instead of lines the positions of the document are counted. Raises ValueError for what is no GeoJSON.
    """
    try:
        document = msgspec.json.decode(data.read(), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ValueError(f"no GeoJSON: {error}") from None
    features = document.get("features") if document.get("type") == "FeatureCollection" else [document]
    if not isinstance(features, list):
        raise ValueError("no GeoJSON: there are no features")
    place = 0
    for feature in features:
        for coordinates, when, properties in _points(feature):
            place += 1
            yield _geojson_fix(place, coordinates, when, properties, options)


def _points(feature: object) -> Iterator[tuple[object, object, Mapping[str, Any]]]:
    """Coordinates, time and properties of every position of a feature."""
    if not isinstance(feature, dict):
        yield None, None, {}
        return
    geometry = _mapping(feature.get("geometry"))
    properties = {key.lower(): value for key, value in _mapping(feature.get("properties")).items()}
    if "id" in feature:
        properties.setdefault("id", feature["id"])
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "LineString":
        yield from _along(coordinates, _times(properties), properties)
    elif kind == "MultiLineString" and isinstance(coordinates, list):
        times = _times(properties)
        for at, line in enumerate(coordinates):
            yield from _along(line, times[at] if at < len(times) else None, properties)
    elif kind == "Point":
        yield coordinates, _first(properties, TIME_NAMES), properties
    else:
        yield None, None, properties


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _along(
    line: object, times: object, properties: dict[str, Any]
) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    of_the_line = {key: value for key, value in properties.items() if key in RIDER_NAMES}
    if not isinstance(line, list):
        yield None, None, of_the_line
        return
    for at, coordinates in enumerate(line):
        yield coordinates, times[at] if isinstance(times, list) and at < len(times) else None, of_the_line


def _times(properties: Mapping[str, Any]) -> list[Any]:
    nested = properties.get("coordinateproperties")
    times = _first(properties, ("coordtimes", "times"))
    if times is None and isinstance(nested, dict):
        times = nested.get("times")
    return times if isinstance(times, list) else []


def _first(properties: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((properties[name] for name in names if properties.get(name) is not None), None)


def _geojson_fix(
    place: int, coordinates: object, when: object, properties: Mapping[str, Any], options: Options
) -> Fix | Unreadable:
    if not isinstance(coordinates, list) or len(coordinates) < 2:
        return Unreadable(place, "no Point or LineString with coordinates")
    names = (options.id_column.lower(),) if options.id_column else RIDER_NAMES
    rider = _first(properties, names)
    speed_name = next((name for name in SPEED_NAMES if name in properties), "")
    try:
        return Fix(
            place,
            options.rider_id or ("" if rider is None else str(rider).strip()),
            time_ms(when, options.timezone),
            number(str(coordinates[1])),
            number(str(coordinates[0])),
            optional(_first(properties, ACCURACY_NAMES)),
            optional(properties.get(speed_name), speed_factor(speed_name)),
            optional(_first(properties, HEADING_NAMES)),
        )
    except (ValueError, OverflowError) as error:
        return Unreadable(place, str(error))
