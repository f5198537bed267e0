"""Street addresses, from the extra `majung[kr]` (PyPI: kozip), in an index on disk.

kozip brings the list of the Korean postal service (6.4 million addresses, as of 2021-11-03) as 340 MB of JSON.
It is read once, line by line, in a process of its own, and kept as one row a street: about 40 MB, of which a
search touches a few pages. `python -m majung.addresses.streets FILE` makes the index.
"""

import os
import sqlite3
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec

from majung.addresses.places import Place, Places, read_table
from majung.stores.names import folded, initials

SHAPE = "1"
_LAST = "\U0010ffff"
_MOST_NUMBERS = 5
_NICE = 10  # the index is made beside a server that has better things to do

_TABLES = (
    """CREATE TABLE street (name TEXT NOT NULL, initials TEXT NOT NULL, road TEXT NOT NULL, province TEXT NOT NULL,
    district TEXT NOT NULL, latitude REAL NOT NULL, longitude REAL NOT NULL, numbers BLOB NOT NULL)""",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
)
_INDEXES = (
    "CREATE INDEX street_name ON street (name)",
    "CREATE INDEX street_initials ON street (initials)",
)
_INSERT = "INSERT INTO street VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = """
SELECT road, province, district, numbers FROM street WHERE {column} >= :first AND {column} < :last
ORDER BY name <> :first,
    (latitude - :latitude) * (latitude - :latitude) + 0.63 * (longitude - :longitude) * (longitude - :longitude)
LIMIT :limit
"""


class Number(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One building: its number, the neighbourhood it is in (by its index), its postcode."""

    number: str
    of: int
    postcode: str


class Street(msgspec.Struct, frozen=True):
    """A street within one district."""

    road: str
    province: str
    district: str
    neighbourhoods: list[str]
    numbers: list[Number]

    def matching(self, typed: str) -> list[tuple[Number, bool]]:
        """The buildings of that number (True), else a few whose number begins so."""
        exact = [(number, True) for number in self.numbers if number.number == typed]
        begun = [(number, False) for number in self.numbers if number.number.startswith(typed)]
        return exact[:1] or sorted(begun, key=lambda found: _in_order(found[0].number))[:_MOST_NUMBERS]


class _Numbers(msgspec.Struct, array_like=True):
    neighbourhoods: list[str]
    numbers: list[Number]


_read_numbers = msgspec.json.Decoder(_Numbers).decode


class Streets:
    """The index, opened for reading. Of one thread."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, check_same_thread=False)

    def find(
        self,
        typed: str,
        near: tuple[float, float],
        limit: int,
        whole: bool = False,
        by_initials: bool = False,
    ) -> list[Street]:
        """Streets whose name begins so (`whole`: is so), that name first, then the nearest."""
        first = typed if by_initials else folded(typed)
        params = {
            "first": first,
            "last": first + ("\0" if whole else _LAST),
            "latitude": near[0],
            "longitude": near[1],
            "limit": limit,
        }
        sql = _SELECT.format(column="initials" if by_initials else "name")
        rows = self._connection.execute(sql, params).fetchall()
        return [_street(*row) for row in rows] if first else []

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _street(road: str, province: str, district: str, packed: bytes) -> Street:
    numbers = _read_numbers(zlib.decompress(packed))
    return Street(road, province, district, numbers.neighbourhoods, numbers.numbers)


def _in_order(number: str) -> tuple[int, ...]:
    return tuple(int(part) for part in number.split("-") if part.isdigit())


# ----------------------------------------------------------------------------------------- the index


def source() -> Path | None:
    """The list of kozip; None without the extra."""
    spec = find_spec("kozip")
    file = Path(spec.origin).with_name("new_zip.json") if spec and spec.origin else None
    return file if file and file.is_file() else None


def is_ready(file: Path) -> bool:
    """Whether this is a finished index of this shape, made of the list that is installed."""
    list_file = source()
    if not file.is_file() or list_file is None:
        return False
    try:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        finally:
            connection.close()
    except sqlite3.Error:
        return False
    return meta == {"shape": SHAPE, "source_bytes": str(list_file.stat().st_size)}


def build(file: Path, list_file: Path, places: Places) -> int:
    """Make the index; how many streets. It is there whole or not at all."""
    streets: dict[tuple[str, str, str], bytearray] = {}  # bytes: as strings, it would take a gigabyte
    names: dict[str, int] = {}
    for province, district, postcode, address, neighbourhood in _addresses(list_file):
        road, _, number = address.rpartition(" ")
        name = names.setdefault(neighbourhood, len(names))
        streets.setdefault((province, district, road), bytearray()).extend(
            f"{number} {postcode} {name}\n".encode()
        )
    all_names = list(names)
    making = file.with_name(f"{file.name}.{os.getpid()}")
    making.unlink(missing_ok=True)
    connection = sqlite3.connect(making)
    try:
        connection.execute("PRAGMA journal_mode = OFF")
        for table in _TABLES:
            connection.execute(table)
        connection.executemany(
            _INSERT, (_row(key, streets[key], all_names, places) for key in sorted(streets))
        )
        for index in _INDEXES:
            connection.execute(index)
        meta = [("shape", SHAPE), ("source_bytes", str(list_file.stat().st_size))]
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta)
        connection.commit()
    except BaseException:
        making.unlink(missing_ok=True)
        raise
    finally:
        connection.close()
    making.replace(file)
    return len(streets)


def _addresses(list_file: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """Province, district, postcode, "road number", neighbourhood; the nesting is told by the indentation."""
    postcode = province = district = ""
    with list_file.open(encoding="utf-8") as lines:
        for line in lines:
            depth = len(line) - len(line.lstrip(" "))
            quoted = line.split('"', 2)
            if len(quoted) < 3:
                continue
            if depth == 16:
                address, _, neighbourhood = quoted[1].partition("|")
                yield province, district, postcode, address, neighbourhood
            elif depth == 12:
                district = quoted[1]
            elif depth == 8:
                province = quoted[1]
            elif depth == 4:
                postcode = quoted[1]


def _row(
    key: tuple[str, str, str], entries: bytearray, names: list[str], places: Places
) -> tuple[object, ...]:
    province, district, road = key
    split = [entry.split(" ") for entry in entries.decode().splitlines()]
    common = [name for name, _ in Counter(name for _, _, name in split).most_common()]
    known = [names[int(name)] for name in common]
    numbers = [Number(number, common.index(name), postcode) for number, postcode, name in split]
    packed = zlib.compress(msgspec.json.encode(_Numbers(known, numbers)), 6)
    at: Place | None = places.named(province, district, known[0])
    latitude, longitude = (at.latitude, at.longitude) if at else (0.0, 0.0)
    return folded(road), initials(road), road, province, district, latitude, longitude, packed


def main() -> None:
    """`python -m majung.addresses.streets FILE`."""
    os.nice(_NICE)
    list_file, table = source(), read_table()
    if list_file is None or table is None:
        raise SystemExit("install majung[kr] first")
    build(Path(sys.argv[1]), list_file, Places(table))


if __name__ == "__main__":
    main()
