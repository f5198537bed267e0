"""Reading history: connections that are kept, and the chunks of one rider in one file.

Any thread may read. Nothing here waits for the writer.
"""

import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

from majung.backends.embedded.history_codec import Chunk
from majung.backends.embedded.history_folder import Folder, Key, path_of
from majung.backends.embedded.history_rows import (
    BATCHES,
    CHUNKS_OF_RIDER,
    Report,
    good_batches,
    good_chunks,
)

T = TypeVar("T")


class Readers:
    """Connections for reading, at most `limit` at rest; any thread takes one and gives it back."""

    def __init__(self, folder: Folder, limit: int = 48) -> None:
        self._folder = folder
        self._limit = limit
        self._idle: dict[Key, sqlite3.Connection] = {}
        self._lock = threading.Lock()

    def use(self, key: Key, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on a connection to the file. Raises sqlite3.Error."""
        with self._lock:
            connection = self._idle.pop(key, None)
        if connection is None:
            connection = self._open(key)
        try:
            return work(connection)
        except BaseException:
            connection.close()
            connection = None
            raise
        finally:
            if connection is not None:
                self._give_back(key, connection)

    def _open(self, key: Key) -> sqlite3.Connection:
        uri = f"{path_of(self._folder.path, key).absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -256")
        return connection

    def _give_back(self, key: Key, connection: sqlite3.Connection) -> None:
        out: list[sqlite3.Connection] = []
        with self._lock:
            if key in self._idle or not self._folder.has(key):
                out.append(connection)
            else:
                self._idle[key] = connection
            if len(self._idle) > self._limit:  # the one that rested longest
                out.append(self._idle.pop(next(iter(self._idle))))
        for one in out:
            one.close()

    def forget(self, key: Key) -> None:
        """Close what rests on a file that is going away."""
        with self._lock:
            connection = self._idle.pop(key, None)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close all that rest."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connection in idle.values():
            connection.close()


def rider_chunks(
    connection: sqlite3.Connection,
    name: str,
    rider_id: str,
    from_ms: int,
    to_ms: int,
    tail: list[Chunk] | None,
    report: Report,
) -> list[Chunk]:
    """Everything of a rider in a file. `tail`: the writer's, or None when the writer has not opened the file.

    The tail has to be copied before this is called: a merge meanwhile shows a position twice, never hides it.
    """
    connection.execute("BEGIN")
    try:
        rows = connection.execute(CHUNKS_OF_RIDER, (rider_id, from_ms, to_ms)).fetchall()
        found = [chunk for _, chunk in good_chunks(name, rows, report)]
        if tail is None:
            tail = _tail_in_file(connection, name, rider_id, report)
    finally:
        connection.execute("ROLLBACK")
    return found + tail


def _tail_in_file(connection: sqlite3.Connection, name: str, rider_id: str, report: Report) -> list[Chunk]:
    sessions: dict[str, Chunk] = {}
    for batch in good_batches(name, connection.execute(BATCHES), report):
        for owner, session_id, door, record, tags in batch:
            if owner == rider_id:
                empty = Chunk(session_id, door, bytearray())
                sessions.setdefault(session_id, empty).add(record, door, tags)
    return list(sessions.values())
