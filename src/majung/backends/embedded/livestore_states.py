"""The checkpoint of the live store: one SQLite file, `live.db`.

A save is one transaction: the states of some riders and the meta that belongs to them (how far the log
was read) are both there or neither. It is only a view of the log, so it is written without waiting for
the disk (WAL, `synchronous=NORMAL`): a killed process loses nothing, a power cut at most the last saves,
never a part of one. Every row carries a checksum. A file that fails is moved aside as
`live.db.damaged-…` and an empty one takes its place: no meta, so the owner reads the log again.

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

from majung.ports import Damaged, PortError, StorageFull

T = TypeVar("T")
Row = tuple[str, bytes, int]

log = structlog.get_logger("majung.live")

FILE_NAME = "live.db"
_CHUNK = 1_000
_VERSION = 1

_PRAGMAS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA busy_timeout = 5000;
"""
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS states (id TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL)
WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (id TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL)
WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""
_SAVE = """
INSERT INTO states (id, value, checksum) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET value = excluded.value, checksum = excluded.checksum
"""
_CLEAR_META = "DELETE FROM meta"
_SAVE_META = "INSERT INTO meta (id, value, checksum) VALUES (?, ?, ?)"
_LOAD = "SELECT id, value, checksum FROM states WHERE id IN (SELECT value FROM json_each(?))"
_LOAD_META = "SELECT id, value, checksum FROM meta"
_LOAD_AFTER = f"SELECT id, value, checksum FROM states WHERE id > ? ORDER BY id LIMIT {_CHUNK}"
_FORGET = "DELETE FROM states WHERE id IN (SELECT value FROM json_each(?))"

_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class StateFile:
    """`folder/live.db`. Call `open` first, `close` last."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="majung-live")
        self._db: sqlite3.Connection | None = None
        self.damage: list[str] = []
        """What was found damaged since `open`, in words for an operator."""

    async def open(self) -> None:
        """Open the file, read it through, and put a damaged one aside. Makes what is missing."""
        await self._run(self._open_checked)

    async def save(self, states: Mapping[str, bytes], meta: Mapping[str, bytes]) -> None:
        """Set these states and replace the meta, in one transaction."""
        rows, meta_rows = _rows(states), _rows(meta)
        await self._run(lambda: self._save(rows, meta_rows))

    async def load(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The states of those ids that have one."""
        rows = await self._run(lambda: self._select(_LOAD, json.dumps(list(ids))))
        return {row[0]: row[1] for row in rows}

    async def load_meta(self) -> dict[str, bytes]:
        """The meta of the last save, or {}."""
        return {row[0]: row[1] for row in await self._run(lambda: self._select(_LOAD_META))}

    async def all(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Every state in the order of the ids, in chunks; each chunk is read when it is asked for."""
        last = ""
        while rows := await self._run(lambda after=last: self._select(_LOAD_AFTER, after)):  # type: ignore[misc]
            yield [(row[0], row[1]) for row in rows]
            last = rows[-1][0]

    async def forget(self, ids: Sequence[str]) -> None:
        """Erase the states of these ids."""
        await self._run(lambda: self._forget(json.dumps(list(ids))))

    async def close(self) -> None:
        """Finish what was asked, then close the file. Later calls raise PortError."""
        with contextlib.suppress(PortError):
            await self._run(self._close)
        self._thread.shutdown(wait=False)

    # -------------------------------------------------------------------------------- in the thread

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            future = self._thread.submit(self._guarded, work)
        except RuntimeError as error:
            raise PortError("the live store is closed") from error
        return await asyncio.wrap_future(future)

    def _guarded(self, work: Callable[[], T]) -> T:
        """Run `work`; say in the words of the port what went wrong, and mend what can be mended."""
        try:
            return work()
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_FULL:
                raise StorageFull(f"no room to write {self._path}") from error
            if code in _BROKEN:
                raise self._set_aside(str(error)) from error
            raise PortError(f"{self._path}: {error}") from error

    def _open_checked(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
            found = self._fault()
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in _BROKEN:
                raise
            found = str(error)
        if found:
            self._set_aside(found)

    def _open(self) -> None:
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._db.executescript(_PRAGMAS + _SCHEMA)

    def _fault(self) -> str:
        """What is wrong with the file, or nothing. Reads all of it."""
        db = self._connection()
        (answer,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            return str(answer)
        for table in ("states", "meta"):
            for name, value, checksum in db.execute(f"SELECT id, value, checksum FROM {table}"):  # noqa: S608
                if checksum != _checksum(name, value):
                    return f"the checksum of {name!r} in {table} is wrong"
        return ""

    def _set_aside(self, why: str) -> Damaged:
        """Move the file away, begin an empty one, and tell the operator; returns what to raise."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        aside = self._path.with_name(f"{FILE_NAME}.damaged-{time.time_ns() // 1_000_000}")
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self._path.with_name(FILE_NAME + ending).rename(aside.with_name(aside.name + ending))
        told = f"{self._path} was damaged ({why}); kept as {aside.name}, what is live is rebuilt from the log"
        self.damage.append(told)
        log.error("checkpoint_damaged", file=str(self._path), kept_as=aside.name, why=why)
        self._open()
        return Damaged(told)

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise PortError("the live store is closed")
        return self._db

    def _save(self, states: list[Row], meta: list[Row]) -> None:
        db = self._connection()
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

    def _select(self, sql: str, *params: str) -> list[Row]:
        rows: list[Row] = self._connection().execute(sql, params).fetchall()
        for name, value, checksum in rows:
            if checksum != _checksum(name, value):
                raise self._set_aside(f"the checksum of {name!r} is wrong")
        return rows

    def _forget(self, ids: str) -> None:
        self._connection().execute(_FORGET, (ids,))

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _rows(values: Mapping[str, bytes]) -> list[Row]:
    return [(name, value, _checksum(name, value)) for name, value in values.items()]


def _checksum(name: str, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(name.encode()))
