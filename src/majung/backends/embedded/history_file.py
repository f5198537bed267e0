"""One file of history: the positions of one hour, as the writer sees it.

A position is written twice, both times into pages that lie side by side. First it goes, with all that
came in the same call, into one row of `batch`, and is durable. When `MERGE_AT` positions have gathered
they are sorted by rider and become a `run`: a row of `chunk` for each rider's session. A table sorted by
rider would have to touch one page for each position (docs/decisions/0003-history.md has the numbers).

What lies in `batch` is in memory too (`tail`), so reading a rider needs the tail and one look-up a run.
"""

import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from majung.backends.embedded import history_codec as codec
from majung.backends.embedded._sqlite import connect, make_private
from majung.backends.embedded.history_codec import Chunk
from majung.positions.model import StoredPosition

MERGE_AT = 200_000
MAX_SEEN = 400_000
END_OF_TIME_MS = 2**62

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS batch (
        id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, content BLOB NOT NULL, crc INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS run (
        id INTEGER PRIMARY KEY, amount INTEGER NOT NULL,
        first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS chunk (
        run INTEGER NOT NULL, rider_id TEXT NOT NULL, session_id TEXT NOT NULL, door TEXT NOT NULL,
        points BLOB NOT NULL, extras BLOB NOT NULL, crc INTEGER NOT NULL,
        PRIMARY KEY (run, rider_id, session_id)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS seen (
        id INTEGER PRIMARY KEY, content BLOB NOT NULL, crc INTEGER NOT NULL)""",
)
_CHUNK = "chunk.session_id, chunk.door, chunk.points, chunk.extras, chunk.crc"
CHUNKS_OF_RIDER = f"""
SELECT {_CHUNK} FROM run CROSS JOIN chunk ON chunk.run = run.id AND chunk.rider_id = ?
WHERE run.last_ms >= ? AND run.first_ms < ? ORDER BY run.id DESC
"""  # noqa: S608 (a constant)
CHUNKS_OF_RIDERS = f"""
SELECT chunk.rider_id, {_CHUNK} FROM run CROSS JOIN chunk
ON chunk.run = run.id AND chunk.rider_id BETWEEN ? AND ?
"""  # noqa: S608 (a constant)
BATCHES = "SELECT content, crc FROM batch ORDER BY id"
INSERT_BATCH = "INSERT INTO batch (amount, content, crc) VALUES (?, ?, ?)"
INSERT_RUN = "INSERT INTO run (amount, first_ms, last_ms) VALUES (?, ?, ?) RETURNING id"
INSERT_CHUNK = "INSERT OR REPLACE INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?)"
COUNT = "SELECT (SELECT COALESCE(SUM(amount), 0) FROM run) + (SELECT COALESCE(SUM(amount), 0) FROM batch)"


class Arrived(msgspec.Struct, array_like=True, gc=False):
    """One new position on its way into `batch`."""

    rider_id: str
    session_id: str
    door: str
    record: bytes
    tags: dict[str, str] | None


Identity = tuple[str, str, int]  # rider, session, seq
Tail = dict[str, dict[str, Chunk]]  # rider → session → what is in `batch`

_encode_batch = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(list[Arrived]).decode
_encode_seen = msgspec.msgpack.Encoder().encode
_decode_seen = msgspec.msgpack.Decoder(list[tuple[str, str, int]]).decode


def good_chunks(
    name: str, rows: Iterable[tuple[str, str, str, bytes, bytes, int]], report: Callable[[str], None]
) -> Iterator[Chunk]:
    """The chunks of rows (`rider_id, session_id, door, points, extras, crc`); damaged ones are reported."""
    for rider_id, session_id, door, points, extras, crc in rows:
        if codec.checksum(rider_id, session_id, door, points, extras) == crc:
            yield Chunk(session_id, door, points, codec.unpack_extras(extras))
        else:
            report(f"{name}: a chunk of rider {rider_id!r} fails its checksum and is left out")


def good_batches(
    name: str, rows: Iterable[tuple[bytes, int]], report: Callable[[str], None]
) -> Iterator[list[Arrived]]:
    """The batches of rows (`content, crc`); damaged ones are reported."""
    for content, crc in rows:
        if zlib.crc32(content) == crc:
            yield _decode_batch(content)
        else:
            report(f"{name}: a batch fails its checksum and is left out")


def chunk_row(run: int, rider_id: str, chunk: Chunk) -> tuple[int, str, str, str, bytes, bytes, int]:
    """The row of a chunk."""
    points, extras = bytes(chunk.points), codec.pack_extras(chunk.extras)
    crc = codec.checksum(rider_id, chunk.session_id, chunk.door, points, extras)
    return run, rider_id, chunk.session_id, chunk.door, points, extras, crc


def count(connection: sqlite3.Connection) -> int:
    """How many positions the file holds."""
    return int(connection.execute(COUNT).fetchone()[0])


def add_to_tail(tail: Tail, arrived: Sequence[Arrived]) -> None:
    """Append to the chunks of the tail."""
    for one in arrived:
        sessions = tail.get(one.rider_id)
        if sessions is None:
            sessions = tail[one.rider_id] = {}
        chunk = sessions.get(one.session_id)
        if chunk is None:
            chunk = sessions[one.session_id] = Chunk(one.session_id, one.door, bytearray(), {})
        chunk.add(one.record, one.door, one.tags)


class HistoryFile:
    """An hour's file, open for writing. All methods but `tail_of` belong to the writer thread.

    Raises sqlite3.Error as it comes; after one, what was to be written is not. `report` is told in words
    what was found damaged.
    """

    def __init__(self, path: Path, hour_ms: int, report: Callable[[str], None]) -> None:
        self.path = path
        self.hour_ms = hour_ms
        self._report = report
        self.tail: Tail = {}
        self.tail_amount = 0
        self._lock = threading.Lock()  # over the tail, which readers copy from
        # The highest seq of each (rider, session): a higher one is new without a look-up.
        self._seen: dict[tuple[str, str], int] = {}
        self._seen_all = True
        make_private(path)
        self.connection = connect(path)
        try:
            self._load()
        except BaseException:
            self.connection.close()
            raise

    def _load(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            self.connection.execute(statement)
        self.connection.execute("COMMIT")
        for content, crc in self.connection.execute("SELECT content, crc FROM seen"):
            if zlib.crc32(content) == crc:
                self._seen = {(rider, session): seq for rider, session, seq in _decode_seen(content)}
            else:
                self._seen_all = False
        if not self._seen and self.connection.execute("SELECT 1 FROM chunk LIMIT 1").fetchone():
            self._seen_all = False
        for batch in good_batches(self.path.name, self.connection.execute(BATCHES), self._report):
            self._apply(batch)

    @property
    def weight(self) -> int:
        """Roughly how many entries it holds in memory."""
        return self.tail_amount + len(self._seen)

    def amount(self) -> int:
        """How many positions are stored."""
        return count(self.connection)

    # ------------------------------------------------------------------ append

    def select_new(self, positions: Sequence[StoredPosition]) -> tuple[list[bool], list[Arrived]]:
        """For each, whether its identity is new here; and those that are, ready for `append`."""
        flags: list[bool] = []
        arrived: list[Arrived] = []
        highest: dict[tuple[str, str], int] = {}
        looked_up: dict[tuple[str, str], set[int]] = {}
        for stored in positions:
            position = stored.position
            key = (position.rider_id, position.session_id)
            last = highest.get(key)
            if last is None:
                last = highest[key] = self._highest(key)
            seq = position.seq
            if seq <= last:
                known = looked_up.get(key)
                if known is None:
                    known = looked_up[key] = self._seqs(key) | _seqs_in(arrived, key)
                if seq in known:
                    flags.append(False)
                    continue
            else:
                highest[key] = seq
            if key in looked_up:
                looked_up[key].add(seq)
            flags.append(True)
            record = codec.encode(stored, self.hour_ms)
            arrived.append(Arrived(key[0], key[1], position.door, record, position.tags))
        return flags, arrived

    def append(self, arrived: Sequence[Arrived]) -> None:
        """Store them; durable when it returns."""
        content = _encode_batch(arrived)
        self.connection.execute(INSERT_BATCH, (len(arrived), content, zlib.crc32(content)))
        self._apply(arrived)

    def _apply(self, arrived: Sequence[Arrived]) -> None:
        with self._lock:
            add_to_tail(self.tail, arrived)
        self.tail_amount += len(arrived)
        for one in arrived:
            seq = int.from_bytes(one.record[:8], "little", signed=True)
            key = (one.rider_id, one.session_id)
            if seq > self._seen.get(key, -1):
                self._seen[key] = seq
        if len(self._seen) > MAX_SEEN:  # bounded, whatever sessions somebody invents
            self._seen.clear()
            self._seen_all = False

    def _highest(self, key: tuple[str, str]) -> int:
        last = self._seen.get(key)
        if last is None:
            last = -1 if self._seen_all else max(self._seqs(key), default=-1)
            if not self._seen_all:
                self._seen[key] = last
        return last

    def _seqs(self, key: tuple[str, str]) -> set[int]:
        """Every seq stored of a (rider, session): one look-up a run."""
        found: set[int] = set()
        for chunk in [*self.tail_of(key[0]), *self.chunks(key[0])]:
            if chunk.session_id == key[1]:
                found.update(chunk.array()["seq"].tolist())
        return found

    # ------------------------------------------------------------------ read

    def tail_of(self, rider_id: str) -> list[Chunk]:
        """A copy of what is not in a run yet. From any thread."""
        with self._lock:
            sessions = self.tail.get(rider_id, {})
            return [
                Chunk(chunk.session_id, chunk.door, bytes(chunk.points), dict(chunk.extras))
                for chunk in sessions.values()
            ]

    def chunks(self, rider_id: str) -> list[Chunk]:
        """What is in runs."""
        rows = self.connection.execute(CHUNKS_OF_RIDER, (rider_id, 0, END_OF_TIME_MS)).fetchall()
        return list(good_chunks(self.path.name, ((rider_id, *row) for row in rows), self._report))

    # ------------------------------------------------------------------ change

    def merge(self) -> None:
        """Turn the tail into a run. Nothing changes when it fails."""
        if not self.tail:
            return
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            offsets = [
                (int(chunk.array()["offset_ms"].min()), int(chunk.array()["offset_ms"].max()))
                for sessions in self.tail.values()
                for chunk in sessions.values()
            ]
            first, last = min(low for low, _ in offsets), max(high for _, high in offsets)
            bounds = (self.tail_amount, self.hour_ms + first, self.hour_ms + last)
            run = self.connection.execute(INSERT_RUN, bounds).fetchone()[0]
            self.connection.executemany(INSERT_CHUNK, self._tail_rows(run))
            self.connection.execute("DELETE FROM batch")
            self._save_seen()
            self.connection.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise
        # Readers copy the tail before they look into the runs: a position may show in both, never in none.
        with self._lock:
            self.tail = {}
        self.tail_amount = 0

    def _tail_rows(self, run: int) -> Iterator[tuple[object, ...]]:
        for rider_id in sorted(self.tail):
            sessions = self.tail[rider_id]
            for session_id in sorted(sessions):
                yield chunk_row(run, rider_id, sessions[session_id])

    def _save_seen(self) -> None:
        self.connection.execute("DELETE FROM seen")
        if self._seen_all:
            content = _encode_seen([(*key, seq) for key, seq in self._seen.items()])
            self.connection.execute("INSERT INTO seen VALUES (1, ?, ?)", (content, zlib.crc32(content)))

    def put_thinned(self, riders: Mapping[str, Sequence[Chunk]]) -> set[Identity]:
        """Into a file by the minute: merge these with what is there, keep one a minute; one transaction.

        Returns the identities that are stored now and were not before.
        """
        new: set[Identity] = set()
        amount = 0
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self.connection.execute("INSERT OR IGNORE INTO run VALUES (1, 0, 0, ?)", (END_OF_TIME_MS,))
            for rider_id, chunks in riders.items():
                before = self.chunks(rider_id)
                after = codec.thin([*before, *chunks])
                new |= _identities(rider_id, after) - _identities(rider_id, before)
                amount += sum(map(len, after)) - sum(map(len, before))
                self.connection.execute("DELETE FROM chunk WHERE run = 1 AND rider_id = ?", (rider_id,))
                self.connection.executemany(INSERT_CHUNK, [chunk_row(1, rider_id, chunk) for chunk in after])
            self.connection.execute("UPDATE run SET amount = amount + ? WHERE id = 1", (amount,))
            self.connection.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise
        return new

    def erase(self, rider_id: str) -> int:
        """Remove everything of one rider, the bytes on the disk too; how many positions went."""
        self.merge()
        sizes = self.connection.execute(
            "SELECT run, SUM(LENGTH(points)) FROM run CROSS JOIN chunk ON chunk.run = run.id "
            "WHERE rider_id = ? GROUP BY run",
            (rider_id,),
        ).fetchall()
        if not sizes:
            return 0
        self.connection.execute("PRAGMA secure_delete = ON")
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            for run, size in sizes:
                self.connection.execute("DELETE FROM chunk WHERE run = ? AND rider_id = ?", (run, rider_id))
                amount = (size // codec.SIZE, run)
                self.connection.execute("UPDATE run SET amount = amount - ? WHERE id = ?", amount)
            self._seen = {key: seq for key, seq in self._seen.items() if key[0] != rider_id}
            self._save_seen()
            self.connection.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise
        self.connection.execute("PRAGMA secure_delete = OFF")
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return sum(size // codec.SIZE for _, size in sizes)

    def rollback(self) -> None:
        """End a transaction that failed (SQLite may have ended it already)."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def close(self, merge: bool = True) -> None:
        """Close; with `merge`, leave nothing in `batch`, so that readers need no tail."""
        try:
            if merge:
                self.merge()
        finally:
            self.connection.close()


def _seqs_in(arrived: Sequence[Arrived], key: tuple[str, str]) -> set[int]:
    return {
        int.from_bytes(one.record[:8], "little", signed=True)
        for one in arrived
        if (one.rider_id, one.session_id) == key
    }


def _identities(rider_id: str, chunks: Sequence[Chunk]) -> set[Identity]:
    return {(rider_id, chunk.session_id, seq) for chunk in chunks for seq in chunk.array()["seq"].tolist()}
