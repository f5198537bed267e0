"""Which files of history there are, and what is done to a file as a whole: check, salvage, drop.

`detail-20261121T23.db` holds every position of an hour (UTC), `minutes-20261121T23.db` one a minute.
A file that SQLite cannot use is moved into `damaged/`, and what can be read of it copied into a fresh one.
"""

import re
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from majung.backends.embedded import history_codec as codec
from majung.backends.embedded.history_file import HistoryFile
from majung.backends.embedded.history_rows import (
    DROP_INCOMPLETE,
    END_OF_TIME_MS,
    count,
    is_good_batch,
    is_good_chunk,
)

HOUR_MS = codec.HOUR_MS
_STAMP = "%Y%m%dT%H"
_NAME = re.compile(r"(detail|minutes)-(\d{8}T\d{2})\.db$")
_SUFFIXES = (
    "-wal",
    "-shm",
    "",
)  # the database last: a log that is left alone would be played into a new file


class Form(StrEnum):
    """What a file holds."""

    DETAIL = "detail"
    MINUTES = "minutes"


class Key(msgspec.Struct, frozen=True, order=True, gc=False):
    """A file: its hour and form. `born` tells apart files that followed each other under one name."""

    hour_ms: int
    form: Form
    born: int = 0


def hour_of(time_ms: int) -> int:
    """When the UTC hour of this moment began."""
    return time_ms - time_ms % HOUR_MS


def path_of(folder: Path, key: Key) -> Path:
    """Where the file lies."""
    return folder / f"{key.form}-{datetime.fromtimestamp(key.hour_ms / 1000, UTC):{_STAMP}}.db"


def parse_name(name: str) -> tuple[int, Form] | None:
    """Hour and form of a file name; None when it is none of ours."""
    found = _NAME.match(name)
    if found is None:
        return None
    moment = datetime.strptime(found[2], _STAMP).replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1000, Form(found[1])


class Folder:
    """The files, by hour. Changed by the writer thread, read by all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[tuple[int, Form], Key] = {}
        self._sorted: list[Key] | None = None
        self._born = 0
        self._lock = threading.Lock()

    def scan(self) -> list[Key]:
        """List the folder once, at start; sweep away logs whose database is gone."""
        self.path.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in self.path.iterdir()}
        for name in names:
            base = name.removesuffix("-wal").removesuffix("-shm")
            if (base != name and base not in names and parse_name(base)) or ".db.new" in name:
                (self.path / name).unlink()
            elif (parsed := parse_name(name)) is not None:
                self.add(*parsed)
        return self.all()

    def add(self, hour_ms: int, form: Form) -> Key:
        """The key of this file, new or known."""
        with self._lock:
            key = self._files.get((hour_ms, form))
            if key is None:
                self._born += 1
                key = self._files[hour_ms, form] = Key(hour_ms, form, self._born)
                self._sorted = None
            return key

    def get(self, hour_ms: int, form: Form) -> Key | None:
        """The key, if there is such a file."""
        return self._files.get((hour_ms, form))

    def has(self, key: Key) -> bool:
        """Whether it is still this very file."""
        return self._files.get((key.hour_ms, key.form)) == key

    def all(self) -> list[Key]:
        """Every file, oldest first."""
        with self._lock:
            if self._sorted is None:
                self._sorted = sorted(self._files.values())
            return self._sorted

    def renew(self, key: Key) -> None:
        """Another file lies under this name now."""
        with self._lock:
            self._files.pop((key.hour_ms, key.form), None)
        self.add(key.hour_ms, key.form)

    def drop(self, key: Key, release: Callable[[Key], None]) -> None:
        """Unlink it. It must not be open for writing; `release` lets go of it for reading."""
        with self._lock:
            self._files.pop((key.hour_ms, key.form), None)
            self._sorted = None
        release(key)
        for suffix in _SUFFIXES:
            Path(f"{path_of(self.path, key)}{suffix}").unlink(missing_ok=True)

    def set_aside(self, key: Key) -> Path:
        """Move it into `damaged/`, beside others of its name; where it is now. Its key stays."""
        source = path_of(self.path, key)
        shelf = self.path / "damaged"
        shelf.mkdir(exist_ok=True)
        number = 1
        while (target := shelf / f"{source.name}.{number}").exists():
            number += 1
        Path(f"{source}-shm").unlink(missing_ok=True)
        for suffix in ("-wal", ""):
            with suppress(FileNotFoundError):
                Path(f"{source}{suffix}").rename(f"{target}{suffix}")
        return target

    def drop_damaged(self, before_ms: int) -> int:
        """Unlink what was set aside and is of an hour before this; how many."""
        gone = 0
        for file in (self.path / "damaged").glob("*.db.*"):
            parsed = parse_name(file.name.partition(".db")[0] + ".db")
            if parsed is not None and parsed[0] < before_ms:
                file.unlink()
                gone += 1
        return gone


def problem_of(path: Path) -> str:
    """What the file's first page says against its size: "" or words. Finds a truncated file cheaply."""
    wal = Path(f"{path}-wal")
    if wal.exists() and wal.stat().st_size > 0:
        return ""  # the log will mend it
    with path.open("rb") as file:
        head = file.read(100)
    size = path.stat().st_size
    if size == 0:
        return ""
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        return "is not a database any more"
    (page_size,) = struct.unpack(">H", head[16:18])
    pages, changes, valid_for = (struct.unpack(">I", head[i : i + 4])[0] for i in (28, 24, 92))
    expected = pages * (65536 if page_size == 1 else page_size)
    if changes == valid_for and size < expected:
        return f"is truncated: {size} bytes of {expected}"
    return ""


def salvage(damaged: Path, fresh: Path) -> int:
    """Copy the rows that are good of a damaged file into a fresh one; how many positions these are."""
    half_made = fresh.with_name(f"{fresh.name}.new")  # the name is a reader's once the file is whole
    with closing(HistoryFile(half_made, 0, lambda _: None).connection) as into:
        into.execute("BEGIN IMMEDIATE")
        with closing(sqlite3.connect(damaged, isolation_level=None)) as source:
            source.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
            for row in _readable(source, "run", "id"):
                into.execute("INSERT OR IGNORE INTO run VALUES (?, ?, ?, ?, ?)", row)
            for row in _readable(source, "batch", "id"):
                if is_good_batch(*row[2:]):
                    into.execute("INSERT OR IGNORE INTO batch VALUES (?, ?, ?, ?)", row)
            for row in _readable(source, "chunk", "run {0}, rider_id {0}, session_id"):
                if is_good_chunk(*row[1:]):
                    into.execute("INSERT OR IGNORE INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        _count_anew(into)
        into.execute("COMMIT")
        saved = count(into)
    half_made.rename(fresh)
    return saved


def _count_anew(into: sqlite3.Connection) -> None:
    for sql in DROP_INCOMPLETE:
        into.execute(sql)
    into.execute("DELETE FROM run")
    into.execute(
        "INSERT INTO run SELECT run, 1, SUM(LENGTH(points)) / ?, 0, ? FROM chunk GROUP BY run",
        (codec.SIZE, END_OF_TIME_MS),
    )


def _readable(source: sqlite3.Connection, table: str, order: str) -> Iterator[tuple[Any, ...]]:
    # From both ends: one bad page in the middle then hides no more than itself.
    for way in ("ASC", "DESC"):
        sql = f"SELECT * FROM {table} ORDER BY {order.format(way)} {way}"  # noqa: S608
        try:
            yield from source.execute(sql)
            return
        except sqlite3.Error:
            continue
