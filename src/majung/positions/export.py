"""A track as a file: JSON, GeoJSON, GPX or CSV, written page by page, however long it is.

Each format is a writer with a head, a part for each page, and a tail; `export_track` strings them together.
Times are RFC 3339 in UTC with milliseconds, degrees WGS 84 with 7 decimals. What is written here can be
read by `majung replay`.
"""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol
from xml.sax.saxutils import escape

import msgspec

from majung.positions.model import TrackPoint

CONTENT_TYPES = {
    "json": "application/json",
    "geojson": "application/geo+json",
    "gpx": "application/gpx+xml",
    "csv": "text/csv; charset=utf-8; header=present",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GAP_MS = 600_000
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_json = msgspec.json.Encoder().encode


async def export_track(
    format_: str, rider_id: str, pages: AsyncIterator[Sequence[TrackPoint]]
) -> AsyncIterator[bytes]:
    """The file in parts. `format_` is a key of `CONTENT_TYPES` (KeyError otherwise)."""
    writer = _WRITERS[format_](rider_id)
    yield writer.head().encode()
    async for page in pages:
        if page:
            yield writer.page(page).encode()
    yield writer.tail().encode()


def rfc3339(time_ms: int) -> str:
    """`2026-11-21T23:49:10.123Z`."""
    return (_EPOCH + timedelta(milliseconds=time_ms)).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03}Z"


class _Writer(Protocol):
    def head(self) -> str: ...

    def page(self, points: Sequence[TrackPoint]) -> str: ...

    def tail(self) -> str: ...


class _Joined:
    """Items with commas between them, across pages."""

    def __init__(self, rider_id: str) -> None:
        self._rider_id = rider_id
        self._rider = _json(rider_id).decode()
        self._first = True

    def _join(self, items: Sequence[str]) -> str:
        comma = "" if self._first else ",\n"
        self._first = False
        return comma + ",\n".join(items)


class _Json(_Joined):
    """`{"rider_id": …, "points": [TrackPoint, …]}`; what a point does not have is left out."""

    def head(self) -> str:
        return f'{{"rider_id":{self._rider},"points":[\n'

    def page(self, points: Sequence[TrackPoint]) -> str:
        return self._join([_json(point).decode() for point in points])

    def tail(self) -> str:
        return "\n]}\n"


class _GeoJson(_Joined):
    """RFC 7946: a FeatureCollection with a Point for each position, everything else in its properties."""

    def head(self) -> str:
        return '{"type":"FeatureCollection","features":[\n'

    def page(self, points: Sequence[TrackPoint]) -> str:
        return self._join([self._feature(point) for point in points])

    def tail(self) -> str:
        return "\n]}\n"

    def _feature(self, point: TrackPoint) -> str:
        properties = {"rider_id": self._rider_id, "time": rfc3339(point.device_time_ms)}
        properties |= {
            name: value
            for name in ("accuracy_m", "speed_mps", "heading_deg", "session_id", "seq", "mark")
            if (value := getattr(point, name)) not in (None, "")
        }
        return (
            '{"type":"Feature","geometry":{"type":"Point","coordinates":['
            f"{point.longitude:.7f},{point.latitude:.7f}]}},"
            f'"properties":{_json(properties).decode()}}}'
        )


class _Gpx:
    """GPX 1.1: one track, a new segment after a gap of 10 minutes.

    Speed (m/s) and course stand in Garmin's TrackPointExtension v2, as GPX 1.1 has no place for them.
    """

    def __init__(self, rider_id: str) -> None:
        self._name = escape(_NOT_IN_XML.sub("\ufffd", rider_id))
        self._last_ms: int | None = None

    def head(self) -> str:
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<gpx version="1.1" creator="Majung" xmlns="http://www.topografix.com/GPX/1/1" '
            'xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v2">\n'
            f"<trk><name>{self._name}</name>\n"
        )

    def page(self, points: Sequence[TrackPoint]) -> str:
        return "".join(map(self._point, points))

    def tail(self) -> str:
        return ("</trkseg>\n" if self._last_ms is not None else "") + "</trk>\n</gpx>\n"

    def _point(self, point: TrackPoint) -> str:
        opening = ""
        if self._last_ms is None:
            opening = "<trkseg>\n"
        elif point.device_time_ms - self._last_ms > _GAP_MS:
            opening = "</trkseg>\n<trkseg>\n"
        self._last_ms = point.device_time_ms
        return (
            f'{opening}<trkpt lat="{point.latitude:.7f}" lon="{point.longitude:.7f}">'
            f"<time>{rfc3339(point.device_time_ms)}</time>{_motion(point)}</trkpt>\n"
        )


def _motion(point: TrackPoint) -> str:
    speed = "" if point.speed_mps is None else f"<gpxtpx:speed>{point.speed_mps:.3f}</gpxtpx:speed>"
    course = "" if point.heading_deg is None else f"<gpxtpx:course>{point.heading_deg:.2f}</gpxtpx:course>"
    if not speed and not course:
        return ""
    return (
        f"<extensions><gpxtpx:TrackPointExtension>{speed}{course}</gpxtpx:TrackPointExtension></extensions>"
    )


class _Csv:
    """RFC 4180 with a header. A text that a spreadsheet would take for a formula gets a `'` before it."""

    _COLUMNS = "rider_id,time,latitude,longitude,accuracy_m,speed_mps,heading_deg,session_id,seq,mark"

    def __init__(self, rider_id: str) -> None:
        self._rider = _cell(rider_id)

    def head(self) -> str:
        return f"{self._COLUMNS}\r\n"

    def page(self, points: Sequence[TrackPoint]) -> str:
        return "".join(map(self._row, points))

    def tail(self) -> str:
        return ""

    def _row(self, point: TrackPoint) -> str:
        motion = (point.accuracy_m, point.speed_mps, point.heading_deg)
        return (
            f"{self._rider},{rfc3339(point.device_time_ms)},{point.latitude:.7f},{point.longitude:.7f},"
            f"{','.join('' if value is None else repr(value) for value in motion)},"
            f"{_cell(point.session_id)},{point.seq},{_cell(point.mark)}\r\n"
        )


def _cell(text: str) -> str:
    if text.startswith(("=", "+", "-", "@", "\t", "\r")):
        text = f"'{text}"
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


_WRITERS: dict[str, Callable[[str], _Writer]] = {
    "json": _Json,
    "geojson": _GeoJson,
    "gpx": _Gpx,
    "csv": _Csv,
}
