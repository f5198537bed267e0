"""One segment file of the embedded log: SQLite, written by one thread, one row a chunk.

A chunk is what one group commit brought for one partition, like a record batch of Kafka. A row tells
everything about itself (topic, partition, number of partitions, offsets, time) under one CRC-32, so that
`log_salvage` can put a file together again from its pages alone.

Layout of the payload: MessagePack, an array of `[key, value]`, key text, value binary.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

Stream = tuple[str, int]
"""A partition of a topic: (topic, partition)."""

Record = tuple[str, bytes]

PAGE_BYTES = 4096
READ_BYTES = 2 << 20
_PLAIN, _REBUILT = 1, 2

_SCHEMA = """
CREATE TABLE chunk (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
  partitions INTEGER NOT NULL, base_offset INTEGER NOT NULL, count INTEGER NOT NULL,
  appended_at_ms INTEGER NOT NULL, crc32 INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX chunk_by_offset ON chunk (topic, partition, base_offset);
CREATE TABLE stream (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL,
  base_offset INTEGER NOT NULL, crc32 INTEGER NOT NULL);
"""
_COLUMNS = "topic, partition, partitions, base_offset, count, appended_at_ms, crc32, payload"
_INSERT = f"INSERT INTO chunk ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_DELETE = "DELETE FROM chunk WHERE topic = ? AND partition = ? AND base_offset = ?"
_INSERT_STREAM = "INSERT INTO stream (topic, partition, base_offset, crc32) VALUES (?, ?, ?, ?)"
_READ = f"""
SELECT {_COLUMNS} FROM chunk WHERE topic = :topic AND partition = :partition AND base_offset < :end
  AND base_offset >= coalesce((SELECT max(base_offset) FROM chunk
    WHERE topic = :topic AND partition = :partition AND base_offset <= :offset), 0)
  ORDER BY base_offset
"""  # noqa: S608
_ALL = f"SELECT {_COLUMNS} FROM chunk ORDER BY id"  # noqa: S608
_STREAMS = "SELECT topic, partition, base_offset, crc32 FROM stream"
_NEWEST = "SELECT appended_at_ms FROM chunk ORDER BY id DESC LIMIT 1"
_SPAN_MS = "SELECT min(appended_at_ms), max(appended_at_ms) FROM chunk"
_HELD_ENDS = "SELECT topic, partition, max(base_offset), count FROM chunk GROUP BY topic, partition"
_OLDEST = "SELECT appended_at_ms FROM chunk ORDER BY id LIMIT 1"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str, bytes]]).decode


class BadChunk(Exception):
    """A stored row fails its checksum."""


class Chunk(msgspec.Struct, frozen=True):
    """Records of one partition with the offsets `base_offset` … `base_offset + len(records) - 1`."""

    topic: str
    partition: int
    partitions: int
    base_offset: int
    appended_at_ms: int
    records: list[Record]

    @property
    def end_offset(self) -> int:
        """The offset after the last record."""
        return self.base_offset + len(self.records)

    @property
    def stream(self) -> Stream:
        """The partition it belongs to."""
        return self.topic, self.partition


def _checksum(
    topic: str, partition: int, partitions: int, base: int, count: int, at_ms: int, payload: bytes
) -> int:
    return crc32(payload, crc32(f"{topic}\0{partition}\0{partitions}\0{base}\0{count}\0{at_ms}".encode()))


def _stream_checksum(topic: str, partition: int, base: int) -> int:
    return crc32(f"{topic}\0{partition}\0{base}".encode())


def chunk_to_row(chunk: Chunk) -> tuple[Any, ...]:
    """The columns of `chunk` after `id`."""
    payload = _encode(chunk.records)
    head = (
        chunk.topic,
        chunk.partition,
        chunk.partitions,
        chunk.base_offset,
        len(chunk.records),
        chunk.appended_at_ms,
    )
    return *head, _checksum(*head, payload), payload


def row_is_intact(row: Sequence[Any]) -> bool:
    """Whether the columns of a chunk are what was written."""
    try:
        topic, partition, partitions, base, count, at_ms, checksum, payload = row
        return bool(checksum == _checksum(topic, partition, partitions, base, count, at_ms, payload))
    except (TypeError, ValueError):
        return False


def chunk_from_row(row: Sequence[Any]) -> Chunk:
    """The chunk of these columns. Raises `BadChunk` when they are not what was written."""
    if not row_is_intact(row):
        raise BadChunk(f"the chunk at {row[0]}/{row[1]} offset {row[3]} fails its checksum")
    topic, partition, partitions, base, _count, at_ms, _checksum, payload = row
    return Chunk(topic, partition, partitions, base, at_ms, _decode(payload))


def stream_from_row(row: Sequence[Any]) -> tuple[Stream, int] | None:
    """The partition and its first offset in this file; None when the checksum is wrong."""
    try:
        topic, partition, base, checksum = row
        intact = checksum == _stream_checksum(topic, partition, base)
    except (TypeError, ValueError):
        return None
    return ((topic, partition), base) if intact else None


class Segment:
    """What is known of one file without reading it through."""

    def __init__(self, path: Path, begins: dict[Stream, int], rebuilt: bool = False) -> None:
        self.path = path
        self.begins = begins
        self.rebuilt = rebuilt
        self.held_ends: dict[Stream, int] = {}
        """Of a rebuilt file alone: where each stream ends in it, as records may be missing after that."""
        self.oldest_ms: int | None = None
        self.newest_ms: int | None = None

    @property
    def number(self) -> int:
        """Its place in the log."""
        return int(self.path.name.split(".")[0])

    def wal_path(self) -> Path:
        """SQLite's write-ahead log of the file."""
        return self.path.with_name(self.path.name + "-wal")

    def size_bytes(self) -> int:
        """Bytes of the file and its write-ahead log (the second is folded into the first)."""
        return sum(path.stat().st_size for path in (self.path, self.wal_path()) if path.exists())

    def unlink(self) -> None:
        """Remove the file, and damaged ones of its number that were set aside."""
        for path in self.path.parent.glob(f"{self.number:08}.*"):
            path.unlink(missing_ok=True)


def remove_database(path: Path) -> None:
    """Remove one SQLite file with what SQLite puts beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make names in `folder` durable, where the system knows such a thing."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open for the writer thread. Every commit reaches the disk before it returns."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 16777216")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(segment: Segment, sealed: bool) -> sqlite3.Connection:
    """Open for reading. A sealed file without a write-ahead log needs no room on the disk at all."""
    wal = segment.wal_path()
    alone = sealed and not (wal.exists() and wal.stat().st_size)
    uri = f"{segment.path.absolute().as_uri()}?{'immutable=1' if alone else 'mode=rw'}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)


def create(
    path: Path, begins: Mapping[Stream, int], rebuilt: bool = False
) -> tuple[Segment, sqlite3.Connection]:
    """Make a new file that continues the streams at `begins`; leaves nothing behind when it cannot."""
    segment = Segment(path, dict(begins), rebuilt)
    connection: sqlite3.Connection | None = None
    try:
        connection = connect_writer(path)
        # `executescript` would commit before it starts: the statements run one by one in a transaction.
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        insert_streams(connection, begins)
        connection.execute(f"PRAGMA user_version = {_REBUILT if rebuilt else _PLAIN}")
        connection.execute("COMMIT")
        sync_folder(path.parent)
    except BaseException:
        if connection is not None:
            connection.close()
        remove_database(path)
        raise
    return segment, connection


def insert_streams(connection: sqlite3.Connection, begins: Mapping[Stream, int]) -> None:
    """Note where streams begin in this file; inside the caller's transaction."""
    connection.executemany(
        _INSERT_STREAM,
        [
            (topic, number, base, _stream_checksum(topic, number, base))
            for (topic, number), base in begins.items()
        ],
    )


def insert_chunks(connection: sqlite3.Connection, chunks: Iterable[Chunk]) -> int:
    """Add chunks, inside the caller's transaction; returns the bytes of their payloads."""
    rows = [chunk_to_row(chunk) for chunk in chunks]
    connection.executemany(_INSERT, rows)
    return sum(len(row[-1]) for row in rows)


def insert_row(connection: sqlite3.Connection, row: Sequence[Any]) -> None:
    """Add the columns of one chunk as they are, in place of an older one with its offset."""
    connection.execute(_DELETE, (row[0], row[1], row[3]))
    connection.execute(_INSERT, row)


def delete_chunk(connection: sqlite3.Connection, stream: Stream, base_offset: int) -> None:
    """Remove one chunk, inside the caller's transaction."""
    connection.execute(_DELETE, (*stream, base_offset))


def load(path: Path, connection: sqlite3.Connection) -> Segment:
    """Read what `Segment` holds. Raises sqlite3.Error or `BadChunk` when the file is damaged."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (_PLAIN, _REBUILT):
        raise BadChunk(f"unknown layout {version}")
    begins: dict[Stream, int] = {}
    for row in connection.execute(_STREAMS):
        found = stream_from_row(row)
        if found is None:
            raise BadChunk("the list of streams fails its checksum")
        begins[found[0]] = found[1]
    segment = Segment(path, begins, rebuilt=version == _REBUILT)
    if segment.rebuilt:
        segment.held_ends = held_ends(connection)
        # Its rows stand in the order in which they were found.
        segment.oldest_ms, segment.newest_ms = connection.execute(_SPAN_MS).fetchone()
        return segment
    oldest, newest = (connection.execute(sql).fetchone() for sql in (_OLDEST, _NEWEST))
    if oldest is not None:
        segment.oldest_ms, segment.newest_ms = oldest[0], newest[0]
    return segment


def held_ends(connection: sqlite3.Connection) -> dict[Stream, int]:
    """The offset after the last record of each stream in this file."""
    return {(row[0], row[1]): row[2] + row[3] for row in connection.execute(_HELD_ENDS)}


def mark_rebuilt(segment: Segment, connection: sqlite3.Connection) -> None:
    """Note that records may be missing in this file, and that nobody need look for them again."""
    connection.execute(f"PRAGMA user_version = {_REBUILT}")
    segment.rebuilt = True
    segment.held_ends = held_ends(connection)


def read(
    connection: sqlite3.Connection, stream: Stream, offset: int, end: int, limit: int
) -> tuple[list[Chunk], bool]:
    """Chunks from the one that holds `offset`, before the offset `end`; and whether there may be more.

    Stops after `limit` chunks or `READ_BYTES` of payload.
    """
    chunks: list[Chunk] = []
    size = 0
    names = {"topic": stream[0], "partition": stream[1], "offset": offset, "end": end}
    with closing(connection.execute(_READ, names)) as rows:
        for row in rows:
            chunk = chunk_from_row(row)
            if chunk.end_offset > offset:
                chunks.append(chunk)
                size += len(row[-1])
            if len(chunks) >= limit or size >= READ_BYTES:
                return chunks, True
    return chunks, False


def check(connection: sqlite3.Connection) -> Iterator[tuple[Stream, int, int]]:
    """Stream, base and end offset of every chunk in the order of writing, read without the index.

    Raises `BadChunk` at the first that fails its checksum, sqlite3.Error where SQLite sees damage.
    """
    for row in connection.execute(_ALL):
        if not row_is_intact(row):
            raise BadChunk(f"the chunk at {row[0]}/{row[1]} offset {row[3]} fails its checksum")
        yield (row[0], row[1]), row[3], row[3] + row[4]
