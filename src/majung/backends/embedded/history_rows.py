"""The tables of a history file, and how rows become chunks again. Damaged rows are reported and left out."""

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator

import msgspec

from majung.backends.embedded import history_codec as codec
from majung.backends.embedded.history_codec import Chunk

END_OF_TIME_MS = 2**62

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS batch (
        id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, content BLOB NOT NULL, crc INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS run (
        id INTEGER PRIMARY KEY, complete INTEGER NOT NULL, amount INTEGER NOT NULL,
        first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS chunk (
        run INTEGER NOT NULL, rider_id TEXT NOT NULL, session_id TEXT NOT NULL, door TEXT NOT NULL,
        points BLOB NOT NULL, extras BLOB NOT NULL, crc INTEGER NOT NULL,
        PRIMARY KEY (run, rider_id, session_id)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS seen (
        id INTEGER PRIMARY KEY, content BLOB NOT NULL, crc INTEGER NOT NULL)""",
)
_CHUNK = "chunk.rider_id, chunk.session_id, chunk.door, chunk.points, chunk.extras, chunk.crc"
# One look-up in each run whose times overlap: a run is sorted by rider.
CHUNKS_OF_RIDER = f"""
SELECT {_CHUNK} FROM run CROSS JOIN chunk ON chunk.run = run.id AND chunk.rider_id = ?
WHERE run.complete = 1 AND run.last_ms >= ? AND run.first_ms < ?
"""  # noqa: S608 (a constant)
CHUNKS_OF_RIDERS = f"""
SELECT {_CHUNK} FROM run CROSS JOIN chunk ON chunk.run = run.id AND chunk.rider_id BETWEEN ? AND ?
WHERE run.complete = 1
"""  # noqa: S608 (a constant)
BATCHES = "SELECT content, crc FROM batch ORDER BY id"
INSERT_BATCH = "INSERT INTO batch (amount, content, crc) VALUES (?, ?, ?) RETURNING id"
INSERT_CHUNK = "INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?)"
DROP_INCOMPLETE = (
    "DELETE FROM chunk WHERE run IN (SELECT id FROM run WHERE complete = 0)",
    "DELETE FROM run WHERE complete = 0",
)
COUNT = "SELECT (SELECT COALESCE(SUM(amount), 0) FROM run) + (SELECT COALESCE(SUM(amount), 0) FROM batch)"
AMOUNT_OF_RIDER = """
SELECT run, SUM(LENGTH(points)) FROM run CROSS JOIN chunk ON chunk.run = run.id
WHERE rider_id = ? GROUP BY run
"""

Report = Callable[[str], None]
ChunkRow = tuple[str, str, str, bytes, bytes, int]


# One position in a row of `batch`: rider_id, session_id, door, record, tags.
Arrived = tuple[str, str, str, bytes, dict[str, str] | None]

encode_batch = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(list[Arrived]).decode


def count(connection: sqlite3.Connection) -> int:
    """How many positions the file holds."""
    return int(connection.execute(COUNT).fetchone()[0])


def good_batches(name: str, rows: Iterable[tuple[bytes, int]], report: Report) -> Iterator[list[Arrived]]:
    """The batches of rows `content, crc`."""
    for content, crc in rows:
        if is_good_batch(content, crc):
            yield _decode_batch(content)
        else:
            report(f"{name}: a batch fails its checksum and is left out")


def good_chunks(name: str, rows: Iterable[ChunkRow], report: Report) -> Iterator[tuple[str, Chunk]]:
    """Rider and chunk of rows `rider_id, session_id, door, points, extras, crc`."""
    for row in rows:
        if is_good_chunk(*row):
            rider_id, session_id, door, points, extras, _ = row
            yield rider_id, Chunk(session_id, door, points, codec.unpack_extras(extras))
        else:
            report(f"{name}: a chunk of rider {row[0]!r} fails its checksum and is left out")


def is_good_batch(content: object, crc: object) -> bool:
    """Whether this is what was written. A flipped bit may change even the type of a column."""
    return isinstance(content, bytes) and zlib.crc32(content) == crc


def is_good_chunk(
    rider_id: object, session_id: object, door: object, points: object, extras: object, crc: object
) -> bool:
    """Whether this is what was written."""
    return (
        isinstance(rider_id, str)
        and isinstance(session_id, str)
        and isinstance(door, str)
        and isinstance(points, bytes)
        and isinstance(extras, bytes)
        and codec.checksum(rider_id, session_id, door, points, extras) == crc
    )


def chunk_row(
    run: int, rider_id: str, chunk: Chunk
) -> tuple[int, str, str, str, bytes | bytearray, bytes, int]:
    """The row of a chunk."""
    extras = codec.pack_extras(chunk.extras)
    crc = codec.checksum(rider_id, chunk.session_id, chunk.door, chunk.points, extras)
    return run, rider_id, chunk.session_id, chunk.door, chunk.points, extras, crc
