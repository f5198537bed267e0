"""SQLite as the embedded stores use it: one way to open it, and its errors in the words of the ports."""

import os
import shutil
import sqlite3
from pathlib import Path

from majung.ports import Conflict, Damaged, Overloaded, PortError, StorageFull

_BUSY_S = 10.0
_ROOM_BYTES = 1_048_576


def connect(path: Path) -> sqlite3.Connection:
    """Open `path` in autocommit mode; transactions are begun by hand. Threads take turns by themselves.

    WAL, so that readers and a second process (`majung device add`) do not wait for the writer;
    synchronous=FULL, because without it a power cut takes back what COMMIT has promised.
    """
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA journal_size_limit = 67108864")
    except BaseException:
        connection.close()
        raise
    return connection


def make_private(path: Path) -> None:
    """Create `path` (and its folder) if missing, readable by its owner alone: it holds people's data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def translate(error: sqlite3.Error, path: Path) -> PortError:
    """The port's error for one of SQLite's, with what to do about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and not _has_room(path)):
        return StorageFull(f"no room left for {path}: free some space, service resumes by itself")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "Could not decode to UTF-8" in str(error):
        return Damaged(f"{path} is damaged ({error}): stop Majung and restore the file from a backup")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Overloaded(f"{path} was locked by another process for {_BUSY_S:.0f} s: {error}")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return Conflict(str(error))
    if code == sqlite3.SQLITE_READONLY:
        return PortError(f"{path} may not be written here: {error}")
    return PortError(f"{path}: {error}")


def _has_room(path: Path) -> bool:
    # A full disk shows as an I/O error where SQLite grows its shared memory or its journal.
    try:
        return shutil.disk_usage(path.parent).free > _ROOM_BYTES
    except OSError:
        return True
