"""One file of history: the positions of one hour, as the writer sees it.

A position is written twice, both times into pages that lie side by side. First it goes, with all that
came in the same call, into one row of `batch`, and is durable. When `MERGE_AT` positions have gathered
they are sorted by rider and become a run: a row of `chunk` for each rider's session. A table sorted by
rider would have to touch a page for each position (docs/decisions/0003-history.md has the numbers).

A run is written in portions, one with each call, so that no call waits for it. Until it is complete it
does not count: its positions still lie in `batch`, and in memory, where they are served from.
"""

import sqlite3
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from majung.backends.embedded import history_codec as codec
from majung.backends.embedded import history_rows as rows
from majung.backends.embedded._sqlite import connect, make_private
from majung.backends.embedded.history_codec import Chunk
from majung.backends.embedded.history_rows import Arrived, Report
from majung.backends.embedded.history_selection import Selection, Session
from majung.positions.model import StoredPosition

MERGE_AT = 300_000
MAX_SEEN = 200_000
_PORTION_RIDERS = 1000
_SESSION_BYTES = 500  # its names, the dictionaries it is in, and the room of a few points
_VACUUM_MAX_BYTES = 256 * 1024**2

Identity = tuple[str, str, int]  # rider, session, seq

_encode_seen = msgspec.msgpack.Encoder().encode
_decode_seen = msgspec.msgpack.Decoder(list[Identity]).decode


class _Merge(msgspec.Struct):
    """A run on its way: the riders that are still to be written."""

    run: int
    upto_batch: int
    riders: list[str]
    chunks: dict[str, list[Chunk]]
    amount: int
    done: int = 0
    after_commit: int = 0


class HistoryFile:
    """An hour's file, open for writing. All methods but `tail_of` belong to the writer thread.

    Raises sqlite3.Error as it comes; after one, what was to be written is not. `report` is told in words
    what was found damaged.
    """

    def __init__(self, path: Path, hour_ms: int, report: Report) -> None:
        self.path = path
        self.hour_ms = hour_ms
        self.tail_amount = 0
        self._report = report
        self._lock = threading.Lock()  # over what `tail_of` copies
        self._riders: dict[str, dict[str, Session]] = {}
        self._sessions = 0
        self._seen_all = True  # whether every stored session is in _riders
        self._last_batch = 0
        self._merge: _Merge | None = None
        make_private(path)
        self.connection = connect(path)
        try:
            self._load()
        except BaseException:
            self.connection.close()
            raise

    def _load(self) -> None:
        self._transact(lambda: [self.connection.execute(sql) for sql in rows.SCHEMA + rows.DROP_INCOMPLETE])
        seen = self.connection.execute("SELECT content, crc FROM seen").fetchone()
        if seen is not None and zlib.crc32(seen[0]) == seen[1]:
            for rider_id, session_id, last_seq in _decode_seen(seen[0]):
                self._session(rider_id, session_id, "").last_seq = last_seq
        elif self.connection.execute("SELECT 1 FROM chunk LIMIT 1").fetchone():
            self._seen_all = False
        for batch in rows.good_batches(self.path.name, self.connection.execute(rows.BATCHES), self._report):
            sessions = [self._session(rider_id, session_id, door) for rider_id, session_id, door, *_ in batch]
            for session, (_, _, _, record, _) in zip(sessions, batch, strict=True):
                session.last_seq = max(session.last_seq, codec.seq_of(record))
            self._apply(sessions, batch)
        (self._last_batch,) = self.connection.execute("SELECT COALESCE(MAX(id), 0) FROM batch").fetchone()

    @property
    def memory_bytes(self) -> int:
        """Roughly how much it remembers."""
        points = self.tail_amount + (self._merge.amount if self._merge else 0)
        return points * codec.SIZE + self._sessions * _SESSION_BYTES

    @property
    def merging(self) -> bool:
        """Whether a run is on its way."""
        return self._merge is not None

    def amount(self) -> int:
        """How many positions are stored."""
        return rows.count(self.connection)

    # ------------------------------------------------------------------ append

    def append(self, positions: Sequence[StoredPosition]) -> list[bool]:
        """Store those whose identity is new here; which these are. Durable when it returns."""
        selection = Selection(self.hour_ms, self._session, self._seqs)
        try:
            flags = selection.take(positions)
            if selection.arrived or self._merge:
                self._transact(lambda: self._store(selection.arrived))
        except BaseException:
            selection.undo()
            raise
        self._apply(selection.sessions, selection.arrived)
        self._merge_went_on()
        self._bound_seen()
        return flags

    def are_new(self, positions: Sequence[StoredPosition]) -> list[bool]:
        """What `append` would answer."""
        selection = Selection(self.hour_ms, self._session, self._seqs)
        try:
            return selection.take(positions)
        finally:
            selection.undo()

    def _store(self, arrived: Sequence[Arrived]) -> None:
        if arrived:
            content = rows.encode_batch(arrived)
            row = (len(arrived), content, zlib.crc32(content))
            self._last_batch = self.connection.execute(rows.INSERT_BATCH, row).fetchone()[0]
        if self._merge is not None:
            self._merge_portion(self._merge)

    def _apply(self, sessions: Sequence[Session], arrived: Sequence[Arrived]) -> None:
        with self._lock:
            for session, (_, _, door, record, tags) in zip(sessions, arrived, strict=True):
                session.add(record, door, tags)
        self.tail_amount += len(arrived)

    def _session(self, rider_id: str, session_id: str, door: str) -> Session:
        sessions = self._riders.get(rider_id)
        if sessions is None:
            sessions = self._riders[rider_id] = {}
        session = sessions.get(session_id)
        if session is None:
            session = Session(session_id, door, bytearray())
            if not self._seen_all:
                session.last_seq = max(self._seqs(rider_id, session_id), default=-1)
            with self._lock:
                sessions[session_id] = session
            self._sessions += 1
        return session

    def _bound_seen(self) -> None:
        """Whatever sessions somebody invents, memory has a bound: past it, unknown ones are looked up."""
        if self._sessions <= MAX_SEEN:
            return
        with self._lock:
            self._riders = {
                rider_id: kept
                for rider_id, sessions in self._riders.items()
                if (kept := {name: session for name, session in sessions.items() if session.points})
            }
        self._sessions = sum(map(len, self._riders.values()))
        self._seen_all = False

    # ------------------------------------------------------------------ read

    def tail_of(self, rider_id: str) -> list[Chunk]:
        """A copy of what is not in a complete run. From any thread.

        Readers take it before they look into the runs: a position may show in both, never in none.
        """
        with self._lock:
            merging = self._merge.chunks.get(rider_id, []) if self._merge else []
            return [
                Chunk(chunk.session_id, chunk.door, bytes(chunk.points), chunk.extras and {**chunk.extras})
                for chunk in [*merging, *self._riders.get(rider_id, {}).values()]
                if chunk.points
            ]

    def tail(self) -> dict[str, list[Chunk]]:
        """All of that, by rider."""
        riders = {*self._riders, *(self._merge.chunks if self._merge else ())}
        return {rider_id: chunks for rider_id in riders if (chunks := self.tail_of(rider_id))}

    def chunks(self, rider_id: str) -> list[Chunk]:
        """What is in complete runs."""
        found = self.connection.execute(rows.CHUNKS_OF_RIDER, (rider_id, 0, rows.END_OF_TIME_MS)).fetchall()
        return [chunk for _, chunk in rows.good_chunks(self.path.name, found, self._report)]

    def _seqs(self, rider_id: str, session_id: str) -> set[int]:
        """Every seq stored of a session: a look-up in each run."""
        found: set[int] = set()
        for chunk in [*self.tail_of(rider_id), *self.chunks(rider_id)]:
            if chunk.session_id == session_id:
                found.update(chunk.array()["seq"].tolist())
        return found

    # ------------------------------------------------------------------ merge

    def start_merge(self) -> None:
        """Begin to turn the tail into a run; the appends that follow write it, a portion each."""
        if self._merge is not None or not self.tail_amount:
            return
        chunks: dict[str, list[Chunk]] = {}
        for rider_id, sessions in self._riders.items():
            full = [session for session in sessions.values() if session.points]
            if full:
                chunks[rider_id] = [Chunk(s.session_id, s.door, s.points, s.extras) for s in full]
        points = np.frombuffer(b"".join(c.points for some in chunks.values() for c in some), codec.POINT)
        first_ms, last_ms = (self.hour_ms + int(f(points["offset_ms"])) for f in (np.min, np.max))
        sql = "INSERT INTO run (complete, amount, first_ms, last_ms) VALUES (0, 0, ?, ?) RETURNING id"
        run = self.connection.execute(sql, (first_ms, last_ms)).fetchone()[0]
        with self._lock:
            self._merge = _Merge(run, self._last_batch, sorted(chunks), chunks, self.tail_amount)
            for sessions in self._riders.values():
                for session in sessions.values():
                    session.points, session.extras = bytearray(), None
        self.tail_amount = 0

    def _merge_portion(self, merge: _Merge) -> None:
        portion = merge.riders[merge.done : merge.done + _PORTION_RIDERS]
        self.connection.executemany(
            rows.INSERT_CHUNK,
            (
                rows.chunk_row(merge.run, rider_id, chunk)
                for rider_id in portion
                for chunk in merge.chunks[rider_id]
            ),
        )
        merge.after_commit = merge.done + len(portion)
        if merge.after_commit == len(merge.riders):
            done = "UPDATE run SET complete = 1, amount = ? WHERE id = ?"
            self.connection.execute(done, (merge.amount, merge.run))
            self.connection.execute("DELETE FROM batch WHERE id <= ?", (merge.upto_batch,))
            self._save_seen()

    def _merge_went_on(self) -> None:
        """After the commit, and only then, the portion counts."""
        if self._merge is not None:
            self._merge.done = self._merge.after_commit
            if self._merge.done == len(self._merge.riders):
                with self._lock:
                    self._merge = None

    def merge_all(self) -> None:
        """Leave nothing in `batch`."""
        while self._merge is not None or self.tail_amount:
            self.start_merge()
            self.append([])

    def _save_seen(self) -> None:
        self.connection.execute("DELETE FROM seen")
        if self._seen_all:
            content = _encode_seen(
                [
                    (rider_id, session.session_id, session.last_seq)
                    for rider_id, sessions in self._riders.items()
                    for session in sessions.values()
                ]
            )
            self.connection.execute("INSERT INTO seen VALUES (1, ?, ?)", (content, zlib.crc32(content)))

    # ------------------------------------------------------------------ change

    def put_thinned(self, riders: Mapping[str, Sequence[Chunk]]) -> set[Identity]:
        """Into a file by the minute: merge these with what is there, keep one a minute; one transaction.

        Returns the identities that are stored now and were not before.
        """
        new: set[Identity] = set()

        def work() -> None:
            amount = 0
            everything = (1, 1, 0, 0, rows.END_OF_TIME_MS)
            self.connection.execute("INSERT OR IGNORE INTO run VALUES (?, ?, ?, ?, ?)", everything)
            for rider_id, chunks in riders.items():
                before = self.chunks(rider_id)
                after = codec.thin([*before, *chunks])
                new.update(_identities(rider_id, after) - _identities(rider_id, before))
                amount += sum(map(len, after)) - sum(map(len, before))
                self.connection.execute("DELETE FROM chunk WHERE run = 1 AND rider_id = ?", (rider_id,))
                self.connection.executemany(
                    rows.INSERT_CHUNK, [rows.chunk_row(1, rider_id, chunk) for chunk in after]
                )
            self.connection.execute("UPDATE run SET amount = amount + ? WHERE id = 1", (amount,))

        self._transact(work)
        return new

    def erase(self, rider_id: str) -> int:
        """Remove everything of one rider; how many positions went.

        The file is written anew, so that its free pages keep nothing either; past 256 MiB it is not, and they
        go with the file.
        """
        self.merge_all()
        sizes = self.connection.execute(rows.AMOUNT_OF_RIDER, (rider_id,)).fetchall()
        if not sizes:
            return 0
        forgotten = self._riders.pop(rider_id, {})
        self._sessions -= len(forgotten)

        def work() -> None:
            for run, size in sizes:
                self.connection.execute("DELETE FROM chunk WHERE run = ? AND rider_id = ?", (run, rider_id))
                amount = (size // codec.SIZE, run)
                self.connection.execute("UPDATE run SET amount = amount - ? WHERE id = ?", amount)
            self._save_seen()

        self._transact(work)
        if self.path.stat().st_size <= _VACUUM_MAX_BYTES:
            with suppress(sqlite3.Error):  # the disk is full: as if it were too large
                self.connection.execute("VACUUM")
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return sum(size // codec.SIZE for _, size in sizes)

    def close(self, merge: bool = True) -> None:
        """Close; with `merge`, leave nothing in `batch`, so that readers need no tail."""
        try:
            if merge:
                self.merge_all()
                # Reading a file at rest then needs no log and no shared memory: half the time to open it.
                self.connection.execute("PRAGMA busy_timeout = 0")
                with suppress(sqlite3.Error):  # somebody reads it now
                    self.connection.execute("PRAGMA journal_mode = DELETE")
        finally:
            self.connection.close()

    def _transact(self, work: Callable[[], object]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            work()
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # SQLite may have ended it already
                with suppress(sqlite3.Error):  # the first error is the one to be told
                    self.connection.execute("ROLLBACK")
            raise


def _identities(rider_id: str, chunks: Sequence[Chunk]) -> set[Identity]:
    return {(rider_id, chunk.session_id, seq) for chunk in chunks for seq in chunk.array()["seq"].tolist()}
