"""The checkpoint of the live store: one SQLite file, `live.db`.

A save is one transaction: the states of some riders and the meta that belongs to them (how far the log
was read) are both there or neither. Every row carries a checksum, and `open` reads the file through.

It is only a view of the log. A damaged file is moved aside as `live.db.damaged-…` and reported: at start
an empty one takes its place, so there is no meta and the owner reads the log again. When damage shows
later, nothing more is kept until the next start, rather than states of some riders beside a meta that
speaks for all; positions go on being served from memory.

All work happens in one thread of its own; the methods may be called concurrently and run in order.
"""

import asyncio
import contextlib
import json
import sqlite3
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from majung.backends.embedded._sqlite import connect, make_private, translate
from majung.ports import Damaged, PortError

T = TypeVar("T")
Row = tuple[str, bytes, int]

log = structlog.get_logger("majung.live")

FILE_NAME = "live.db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS states (id TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL)
WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (id TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL)
WITHOUT ROWID;
"""
_SAVE = """
INSERT INTO states (id, value, checksum) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET value = excluded.value, checksum = excluded.checksum
"""
_CLEAR_META = "DELETE FROM meta"
_SAVE_META = "INSERT INTO meta (id, value, checksum) VALUES (?, ?, ?)"
_LOAD = "SELECT id, value, checksum FROM states WHERE id IN (SELECT value FROM json_each(?))"
_LOAD_META = "SELECT id, value, checksum FROM meta"
_LOAD_AFTER = "SELECT id, value, checksum FROM states WHERE id > ? ORDER BY id LIMIT 1000"
_CHECK = "SELECT id, value, checksum FROM states UNION ALL SELECT id, value, checksum FROM meta"
_FORGET = "DELETE FROM states WHERE id IN (SELECT value FROM json_each(?))"


class StateFile:
    """`folder/live.db`. Call `open` first, `close` last."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="majung-live")
        self._db: sqlite3.Connection | None = None  # None: closed, or given up
        self._given_up = False
        self.damage: list[str] = []
        """What was found damaged since `open`, in words for an operator."""

    async def open(self) -> None:
        """Open the file, read it through, and put a damaged one aside. Makes what is missing."""
        await self._submit(self._open)

    async def save(self, states: Mapping[str, bytes], meta: Mapping[str, bytes]) -> None:
        """Set these states and replace the meta, in one transaction."""
        rows, meta_rows = _rows(states), _rows(meta)
        await self._run(lambda db: _save(db, rows, meta_rows), None)

    async def load(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The states of those ids that have one."""
        wanted = json.dumps(list(ids))
        rows: list[Row] = await self._run(lambda db: _select(db, _LOAD, wanted), [])
        return {row[0]: row[1] for row in rows}

    async def load_meta(self) -> dict[str, bytes]:
        """The meta of the last save, or {}."""
        rows: list[Row] = await self._run(lambda db: _select(db, _LOAD_META), [])
        return {row[0]: row[1] for row in rows}

    async def all(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Every state in the order of the ids, in chunks; each is read when it is asked for."""
        rows = await self._after("")
        while rows:
            yield [(row[0], row[1]) for row in rows]
            rows = await self._after(rows[-1][0])

    async def _after(self, last: str) -> list[Row]:
        return await self._run(lambda db: _select(db, _LOAD_AFTER, last), [])

    async def forget(self, ids: Sequence[str]) -> None:
        """Erase the states of these ids."""
        unwanted = json.dumps(list(ids))
        await self._run(lambda db: _forget(db, unwanted), None)

    async def close(self) -> None:
        """Finish what was asked, then close the file. Later calls raise PortError."""
        with contextlib.suppress(PortError):
            await self._submit(self._close)
        self._thread.shutdown(wait=False)

    # -------------------------------------------------------------------------------- in the thread

    async def _run(self, work: Callable[[sqlite3.Connection], T], instead: T) -> T:
        """Run `work` in the thread; `instead` is what there is when the file was given up."""
        return await self._submit(lambda: self._guarded(work, instead))

    async def _submit(self, work: Callable[[], T]) -> T:
        try:
            future = self._thread.submit(work)
        except RuntimeError as error:
            raise PortError("the live store is closed") from error
        return await asyncio.wrap_future(future)

    def _guarded(self, work: Callable[[sqlite3.Connection], T], instead: T) -> T:
        if self._given_up:
            return instead
        if self._db is None:
            raise PortError("the live store is not open")
        try:
            return work(self._db)
        except sqlite3.Error as error:
            problem = translate(error, self._path)
            if not isinstance(problem, Damaged):
                raise problem from error
            self._set_aside(str(error))
        except _BadChecksum as error:
            self._set_aside(str(error))
        self._given_up = True
        return instead

    def _open(self) -> None:
        try:
            self._connect()
            found = _fault(self._db) if self._db else ""
        except sqlite3.Error as error:
            problem = translate(error, self._path)
            if not isinstance(problem, Damaged):
                raise problem from error
            found = str(error)
        if found:
            self._set_aside(found)
            self._connect()

    def _connect(self) -> None:
        make_private(self._path)
        self._db = connect(self._path)
        self._db.text_factory = lambda raw: raw.decode(errors="replace")  # the checksum will tell
        self._db.executescript(_SCHEMA)

    def _set_aside(self, why: str) -> None:
        """Move the file away and tell the operator."""
        self._close()
        aside = f"{FILE_NAME}.damaged-{time.time_ns() // 1_000_000}"
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self._path.with_name(FILE_NAME + ending).rename(self._path.with_name(aside + ending))
        self.damage.append(
            f"{self._path} was damaged ({why}) and is kept as {aside};"
            " what is live is rebuilt from the log at the next start, if not now"
        )
        log.error("checkpoint_damaged", file=str(self._path), kept_as=aside, why=why)

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None


class _BadChecksum(Exception):
    """A row is not what was written."""


def _fault(db: sqlite3.Connection) -> str:
    """What is wrong with the file, or nothing. Reads all of it."""
    (answer,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        return str(answer)
    try:
        for row in db.execute(_CHECK):
            _verify(row)
    except _BadChecksum as error:
        return str(error)
    return ""


def _save(db: sqlite3.Connection, states: list[Row], meta: list[Row]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        db.executemany(_SAVE, states)
        db.execute(_CLEAR_META)
        db.executemany(_SAVE_META, meta)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _select(db: sqlite3.Connection, sql: str, *params: str) -> list[Row]:
    rows: list[Row] = db.execute(sql, params).fetchall()
    for row in rows:
        _verify(row)
    return rows


def _forget(db: sqlite3.Connection, ids: str) -> None:
    db.execute(_FORGET, (ids,))


def _verify(row: tuple[str, object, int]) -> None:
    if not isinstance(row[1], bytes) or row[2] != _checksum(row[0], row[1]):
        raise _BadChecksum(f"the checksum of {row[0]!r} is wrong")


def _rows(values: Mapping[str, bytes]) -> list[Row]:
    return [(name, value, _checksum(name, value)) for name, value in values.items()]


def _checksum(name: str, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(name.encode()))
