"""Committed offsets of the consumer groups: `groups.db`, a small file beside the segments.

Holding it open is also the lock of the folder: a second process that opens the same log is told so.
When the file is damaged it is set aside, and groups begin at the oldest record: consumers see records
again, which the identity of a position makes harmless, and none is skipped.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

from majung.backends.embedded.log_errors import is_damage, refusal
from majung.ports import PortError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS committed (topic TEXT NOT NULL, group_name TEXT NOT NULL,
  partition INTEGER NOT NULL, next_offset INTEGER NOT NULL, crc32 INTEGER NOT NULL,
  PRIMARY KEY (topic, group_name, partition)) WITHOUT ROWID
"""
_SELECT = "SELECT topic, group_name, partition, next_offset, crc32 FROM committed"
_UPSERT = "INSERT OR REPLACE INTO committed VALUES (?, ?, ?, ?, ?)"


def _checksum(topic: str, group: str, partition: int, offset: int) -> int:
    return crc32(f"{topic}\0{group}\0{partition}\0{offset}".encode())


class Groups:
    """The file. Calls block and come from one thread at a time."""

    def __init__(self, path: Path, damage: list[str]) -> None:
        """Open or make the file. Raises `PortError` when another process has it."""
        self._path = path
        self._damage = damage
        self._known: dict[tuple[str, str], dict[int, int]] = {}
        self._connection = self._open()

    def committed(self) -> dict[tuple[str, str], dict[int, int]]:
        """For each (topic, group): the next offset of each partition."""
        return {name: dict(offsets) for name, offsets in self._known.items()}

    def commit(self, topic: str, group: str, offsets: Mapping[int, int]) -> None:
        """Remember `offsets`, durably. Raises `StorageFull` or `PortError`: then the old ones stand."""
        try:
            self._write({(topic, group): offsets})
        except sqlite3.Error as error:
            if not is_damage(error):
                raise refusal(error, self._path) from error
            self._connection = self._start_anew(error)
            # Whoever committed since the start is not sent back by the damage.
            self._write({**self._known, (topic, group): offsets})
        self._known.setdefault((topic, group), {}).update(offsets)

    def close(self) -> None:
        """Let go of the folder."""
        self._connection.close()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise PortError(f"another process uses the log in {self._path.parent}") from error
            if not is_damage(error):
                raise refusal(error, self._path) from error
            return self._start_anew(error)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=1)
        try:
            for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_SCHEMA)
            rows = connection.execute(_SELECT).fetchall()
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        for topic, group, partition, offset, checksum in rows:
            if checksum == _checksum(topic, group, partition, offset):
                self._known.setdefault((topic, group), {})[partition] = offset
            else:
                self._damage.append(
                    f"{self._path.name}: the offset of group {group!r} on {topic}/{partition} fails its"
                    " checksum; the group begins there at the oldest record"
                )
        return connection

    def _start_anew(self, error: sqlite3.Error) -> sqlite3.Connection:
        aside = self._path.with_name(self._path.name + ".damaged")
        if hasattr(self, "_connection"):
            self._connection.close()
        if self._path.exists():
            self._path.replace(aside)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._damage.append(
            f"{self._path.name} is damaged ({error}) and was set aside as {aside.name};"
            " groups whose offsets it held begin at the oldest record"
        )
        return self._connect()

    def _write(self, all_offsets: Mapping[tuple[str, str], Mapping[int, int]]) -> None:
        rows = [
            (topic, group, partition, offset, _checksum(topic, group, partition, offset))
            for (topic, group), offsets in all_offsets.items()
            for partition, offset in offsets.items()
        ]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(_UPSERT, rows)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
