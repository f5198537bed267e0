"""What an error of SQLite means for the log: the disk is full, the file is damaged, or neither."""

import sqlite3
from pathlib import Path

from majung.ports import PortError, StorageFull

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}


def is_damage(error: BaseException) -> bool:
    """Whether the file says things that SQLite never wrote."""
    if not isinstance(error, sqlite3.Error):
        return False
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    if code == sqlite3.SQLITE_IOERR_SHORT_READ or code & 0xFF in _DAMAGE:
        return True
    text = str(error)  # An empty file is a sound database without tables.
    return code == sqlite3.SQLITE_ERROR and text.startswith(("no such table", "no such column"))


def writer_is_usable(error: BaseException) -> bool:
    """Whether the next transaction may use the same file: the write found no room, and that is all.

    After a failed fsync the system may call pages written that are not; such a file is left alone.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_WRITE


def refusal(error: BaseException, path: Path) -> PortError:
    """The error of the port: what went wrong, and what to mend."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    if isinstance(error, OSError) or code in _FULL:
        return StorageFull(
            f"cannot write {path.name} in {path.parent}: {error}; free some room (or lift the quota, or mend"
            " the permissions), writing goes on by itself"
        )
    return PortError(f"cannot write {path.name}: {error}")
