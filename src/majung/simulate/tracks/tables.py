"""CSV (columns by name), GeoLife PLT, and OwnTracks recorder files: one position a line."""

import csv
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from typing import TextIO

import msgspec

from majung.simulate.tracks.model import Fix, Options, Unreadable
from majung.simulate.tracks.values import (
    ACCURACY_NAMES,
    HEADING_NAMES,
    LATITUDE_NAMES,
    LONGITUDE_NAMES,
    RIDER_NAMES,
    SPEED_NAMES,
    TIME_NAMES,
    number,
    optional,
    speed_factor,
    time_ms,
)

Rows = Iterator[Fix | Unreadable]


def _find(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


class Columns:
    """Where the values of a row stand. Raises ValueError when there is no place or no time."""

    def __init__(self, names: Sequence[str], options: Options) -> None:
        header = [name.strip().lower() for name in names]
        self.options = options
        self.latitude = self._need(header, LATITUDE_NAMES, "latitude")
        self.longitude = self._need(header, LONGITUDE_NAMES, "longitude")
        self.time = self._need(header, TIME_NAMES, "time")
        # "2026-01-26","15:57:02" in two columns
        self.date = _find(header, ("date",)) if header[self.time] == "time" else None
        self.unit_ms = header[self.time].endswith("_ms")
        self.rider = self._rider(header)
        self.accuracy = _find(header, ACCURACY_NAMES)
        self.heading = _find(header, HEADING_NAMES)
        self.speed = _find(header, SPEED_NAMES)
        self.speed_factor = 1.0 if self.speed is None else speed_factor(header[self.speed])

    @property
    def rider_is_row_number(self) -> bool:
        """Whether the rider comes from a column `id` that nobody asked for: it may number the rows."""
        return self.rider is not None and not self.options.id_column and self._rider_name == "id"

    @staticmethod
    def _need(header: Sequence[str], names: Sequence[str], what: str) -> int:
        at = _find(header, names)
        if at is None:
            raise ValueError(
                f"no column for the {what} (one of {', '.join(names)}) in {', '.join(header)[:200]}"
            )
        return at

    def _rider(self, header: Sequence[str]) -> int | None:
        wanted = self.options.id_column.strip().lower()
        if self.options.rider_id:
            return None
        if wanted and wanted not in header:
            raise ValueError(f"no column {self.options.id_column!r} in {', '.join(header)[:200]}")
        at = header.index(wanted) if wanted else _find(header, RIDER_NAMES)
        self._rider_name = "" if at is None else header[at]
        return at

    def read(self, line: int, row: Sequence[str]) -> Fix:
        """One row. Raises ValueError."""
        try:
            when = row[self.time] if self.date is None else f"{row[self.date]} {row[self.time]}"
            rider_id = self.options.rider_id if self.rider is None else row[self.rider].strip()
            latitude, longitude = row[self.latitude], row[self.longitude]
        except IndexError:
            raise ValueError(f"only {len(row)} columns") from None
        if self.rider is not None and not rider_id:
            raise ValueError("there is no rider")
        return Fix(
            line,
            rider_id,
            time_ms(when, self.options.timezone, unit_ms=self.unit_ms),
            number(latitude),
            number(longitude),
            self._optional(row, self.accuracy),
            self._optional(row, self.speed, self.speed_factor),
            self._optional(row, self.heading),
        )

    @staticmethod
    def _optional(row: Sequence[str], at: int | None, factor: float = 1.0) -> float | None:
        return None if at is None or at >= len(row) else optional(row[at], factor)


def read_csv(lines: TextIO, options: Options) -> Rows:
    """Columns by name, separated by comma, semicolon or tab. Raises ValueError for a useless header."""
    first = lines.readline()
    separator = max(",;\t", key=first.count)
    names = next(csv.reader([first], delimiter=separator), [])
    columns = Columns(names, options)
    rows = csv.reader(lines, delimiter=separator)
    seen: set[str] = set()
    fixes: list[Fix] = []
    for row in _rows(rows):
        if isinstance(row, Unreadable):
            yield row
            continue
        if not row:
            continue
        fix = _try(rows.line_num + 1, lambda line, row=row: columns.read(line, row))  # type: ignore[misc]
        if columns.rider_is_row_number and isinstance(fix, Fix):
            seen.add(fix.rider_id)
            fixes.append(fix)
        else:
            yield fix
    numbered = len(fixes) > 1 and len(seen) == len(fixes)
    for fix in fixes:  # only now is it known whether `id` names riders or numbers rows
        yield msgspec.structs.replace(fix, rider_id="") if numbered else fix


def _rows(rows: "csv._reader") -> Iterator[list[str] | Unreadable]:  # type: ignore[name-defined]
    while True:
        try:
            yield next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Unreadable(rows.line_num + 1, str(error))


def read_plt(lines: TextIO, options: Options) -> Rows:
    """GeoLife: six lines of header, then latitude,longitude,0,feet,days,date,time; times are GMT."""

    def read(line: int, text: str) -> Fix:
        words = text.split(",")
        if len(words) < 7:
            raise ValueError(f"only {len(words)} columns")
        when = time_ms(f"{words[5].strip()} {words[6].strip()}", UTC)
        return Fix(line, options.rider_id, when, number(words[0]), number(words[1]))

    for line, text in enumerate(lines, start=1):
        if line > 6 and text.strip():
            yield _try(line, lambda line, text=text: read(line, text))  # type: ignore[misc]


def read_owntracks(lines: TextIO, options: Options) -> Rows:
    """The recorder's `.rec`: ISO time, type (`*` is a location), JSON; separated by tabs.

    Speed is km/h there. Other types (lwt, waypoint …) are not positions and are passed over.
    """

    def read(line: int, text: str) -> Fix:
        try:
            values = msgspec.json.decode(text, type=dict[str, object])
        except msgspec.MsgspecError as error:
            raise ValueError(f"no JSON: {error}") from None
        if "lat" not in values or "lon" not in values:
            raise ValueError(f"no position in a {values.get('_type', 'message')!s}")
        return Fix(
            line,
            options.rider_id,
            time_ms(values.get("tst")),
            number(str(values["lat"])),
            number(str(values["lon"])),
            optional(values.get("acc")),
            optional(values.get("vel"), 1 / 3.6),
            optional(values.get("cog")),
        )

    for line, text in enumerate(lines, start=1):
        words = text.rstrip("\r\n").split("\t", 2)
        if len(words) == 3 and words[1].strip() == "*":
            yield _try(line, lambda line, words=words: read(line, words[2]))  # type: ignore[misc]
        elif text.strip() and len(words) != 3:
            yield Unreadable(line, "not a line of the recorder")


def _try(line: int, read: Callable[[int], Fix]) -> Fix | Unreadable:
    try:
        return read(line)
    except (ValueError, OverflowError) as error:
        return Unreadable(line, str(error))
