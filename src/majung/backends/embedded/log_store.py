"""The segment files of the embedded log: which there are, where records lie in them, what is damaged.

Two threads work here: the writer (`append`, `roll`, `seal`) and the reader (everything else). They share
the list of segments, which changes as a whole under a lock, and `ends`, which the writer moves after a
commit. Nothing here knows of the event loop.

Damage is found in three ways: SQLite says so, a checksum is wrong, or an offset is missing. In each case
the segment is rebuilt from its intact pages (`log_salvage`), the damaged file is kept beside it as
`*.damaged`, and what is missing is reported. When it was the newest segment, nobody knows how far it went:
new records continue in a new segment at the next multiple of 2^32, so that no offset is used twice.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from majung.backends.embedded import log_segment as files
from majung.backends.embedded.log_errors import is_damage, refusal, writer_is_usable
from majung.backends.embedded.log_mark import Mark
from majung.backends.embedded.log_recovery import Recovery
from majung.backends.embedded.log_segment import BadChunk, Chunk, Record, Segment, Stream
from majung.ports import PortError

_OPEN_READERS = 4
_ROW_BYTES = 96  # What SQLite adds to a payload, roughly: it decides only when a segment is closed.


class ActiveDamaged(Exception):
    """The segment that is written to is damaged: the writer must leave it before it is rebuilt."""


class Store:
    """Segments in a folder."""

    def __init__(self, folder: Path, segment_bytes: int, damage: list[str]) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._damage = damage
        self._lock = threading.Lock()
        self._segments: list[Segment] = []
        self._readers: dict[Path, sqlite3.Connection] = {}
        self._writer: sqlite3.Connection | None = None
        self._written = 0
        self._mark = Mark(folder / "reached.mark")
        self.ends: dict[Stream, int] = {}
        self.partitions: dict[str, int] = {}

    # ---- start and stop

    def open(self, committed: Mapping[Stream, int]) -> None:
        """Find the segments, check the newest one all through, rebuild damaged ones.

        `committed` is how far any group has come: no new record gets an offset below that.
        """
        reached = self._mark.read()
        for stream, offset in committed.items():
            reached[stream] = max(offset, reached.get(stream, 0))
        found = Recovery(self._folder, self._damage).run(reached)
        self._segments, self._writer = found.segments, found.writer
        self.ends, self.partitions = found.ends, found.partitions
        if self._writer is not None:
            self._written = self._segments[-1].size_bytes()

    def close(self) -> None:
        """Close every file; the newest is folded together so that it can be copied as it is."""
        self._leave_writer()
        self._mark.close()
        for connection in self._readers.values():
            connection.close()
        self._readers.clear()

    # ---- writing (writer thread)

    def append(
        self, records: Mapping[Stream, list[Record]], partitions: Mapping[str, int], at_ms: int
    ) -> list[Chunk]:
        """Store all of `records` in one transaction. Raises `StorageFull` or `PortError`: then none is."""
        try:
            return self._append(records, partitions, at_ms)
        except (sqlite3.Error, OSError) as error:
            path = self._segments[-1].path if self._segments else self._folder
            if not is_damage(error):
                raise refusal(error, path) from error
            self._damage.append(f"{path.name} is damaged ({error}); writing goes on in a new segment")
        try:
            return self._append(records, partitions, at_ms)
        except (sqlite3.Error, OSError) as error:
            raise refusal(error, self._folder) from error

    def _append(
        self, records: Mapping[Stream, list[Record]], partitions: Mapping[str, int], at_ms: int
    ) -> list[Chunk]:
        if self._writer is None or self._written >= self._segment_bytes:
            self.roll()
        assert self._writer is not None
        segment = self._segments[-1]
        chunks = [
            Chunk(topic, number, partitions[topic], self.ends.get((topic, number), 0), at_ms, batch)
            for (topic, number), batch in records.items()
        ]
        begins = self._new_streams(segment, chunks)
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            if begins:
                files.insert_streams(self._writer, begins)
            self._written += files.insert_chunks(self._writer, chunks) + _ROW_BYTES * len(chunks)
            self._writer.execute("COMMIT")
        except BaseException as error:
            self._roll_back(error)
            raise
        with self._lock:
            segment.begins.update(begins)
            self.ends.update(begins)
            self.ends.update((chunk.stream, chunk.end_offset) for chunk in chunks)
        self._mark.note(self.ends)
        segment.newest_ms = at_ms
        segment.oldest_ms = at_ms if segment.oldest_ms is None else segment.oldest_ms
        return chunks

    def _new_streams(self, segment: Segment, chunks: Iterable[Chunk]) -> dict[Stream, int]:
        topics = {chunk.topic: chunk.partitions for chunk in chunks if chunk.stream not in segment.begins}
        self.partitions.update(topics)
        every = ((topic, number) for topic, count in topics.items() for number in range(count))
        return {stream: self.ends.get(stream, 0) for stream in every if stream not in segment.begins}

    def _roll_back(self, error: BaseException) -> None:
        assert self._writer is not None
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            usable = writer_is_usable(error) or not isinstance(error, sqlite3.Error)
        except sqlite3.Error:
            usable = False
        if not usable:
            self._leave_writer()

    def roll(self) -> None:
        """Continue in a new segment file. Raises sqlite3.Error or OSError: then the old one stays."""
        number = self._segments[-1].number + 1 if self._segments else 1
        segment, connection = files.create(self._folder / f"{number:08}.db", self.ends)
        self._leave_writer()
        self._writer, self._written = connection, 0
        with self._lock:
            self._segments = [*self._segments, segment]

    def leave_newest(self) -> None:
        """Continue in a new segment at once. Raises `StorageFull`, `PortError`."""
        try:
            self.roll()
        except (sqlite3.Error, OSError) as error:
            raise refusal(error, self._folder) from error

    def roll_if_older(self, before_ms: int) -> None:
        """Close the newest segment when its first record is older than `before_ms`."""
        if self._segments and (self._segments[-1].oldest_ms or before_ms) < before_ms:
            self.leave_newest()

    def _leave_writer(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            pass  # Its write-ahead log then stays beside it, and readers use that too.
        finally:
            writer.close()

    # ---- reading (reader thread)

    def begins(self, stream: Stream) -> int:
        """The first offset still held."""
        with self._lock:
            held = (segment.begins[stream] for segment in self._segments if stream in segment.begins)
            return next(held, self.ends.get(stream, 0))

    def behind(self, stream: Stream, offset: int) -> int:
        """How many records lie at `offset` and after it."""
        spans = (self._span(index, stream) for index in range(len(self._segments)))
        return sum(max(0, span[1] - max(span[0], offset)) for span in spans if span is not None)

    def read(self, stream: Stream, offset: int, limit: int) -> tuple[list[Chunk], int]:
        """Up to `limit` chunks from the one with `offset`, and the offset to go on from.

        No chunks and a later offset: what lies between is lost, or dropped. No chunks and the same one:
        there is nothing more. Raises `ActiveDamaged`, and `StorageFull` when a rebuild finds no room.
        """
        end = offset
        for _attempt in range(2):
            index, begin, end = self._locate(stream, offset)
            if index < 0:
                return [], self.ends.get(stream, offset)
            segment, sealed = self._segments[index], index < len(self._segments) - 1
            first = max(offset, begin)
            try:
                chunks, more = files.read(self._reader(segment, sealed), stream, first, end, limit)
                if segment.rebuilt or _unbroken(chunks, first, end, more):
                    return chunks, chunks[-1].end_offset if chunks else end
                why = f"records of {stream[0]}/{stream[1]} are missing from offset {first} on"
            except (sqlite3.Error, BadChunk) as error:
                if not (isinstance(error, BadChunk) or is_damage(error)):
                    raise PortError(f"cannot read {segment.path.name}: {error}") from error
                why = str(error)
            if not sealed:
                raise ActiveDamaged(why)
            self._rebuild(segment, why)
        return [], end

    def _locate(self, stream: Stream, offset: int) -> tuple[int, int, int]:
        for index in range(len(self._segments)):
            span = self._span(index, stream)
            if span is not None and offset < span[1]:
                return index, *span
        return -1, 0, 0

    def _span(self, index: int, stream: Stream) -> tuple[int, int] | None:
        with self._lock:
            if index >= len(self._segments):
                return None
            segment = self._segments[index]
            begin = segment.begins.get(stream)
            if begin is None:
                return None
            after = self._segments[index + 1].begins if index + 1 < len(self._segments) else self.ends
            end = after.get(stream, self.ends.get(stream, begin))
            return begin, min(end, segment.held_ends.get(stream, begin)) if segment.rebuilt else end

    def _reader(self, segment: Segment, sealed: bool) -> sqlite3.Connection:
        connection = self._readers.pop(segment.path, None)
        if connection is None:
            connection = files.connect_reader(segment, sealed)
            while len(self._readers) >= _OPEN_READERS:
                self._readers.pop(next(iter(self._readers))).close()
        self._readers[segment.path] = connection
        return connection

    def _rebuild(self, segment: Segment, why: str) -> None:
        index = self._segments.index(segment)
        spans = {stream: self._span(index, stream) for stream in segment.begins}
        ends = {stream: span[1] for stream, span in spans.items() if span is not None}
        connection = self._readers.pop(segment.path, None)
        if connection is not None:
            connection.close()
        try:
            rebuilt = Recovery(self._folder, self._damage).rebuild(segment.path, why, segment.begins, ends)
        except (sqlite3.Error, OSError) as error:
            raise refusal(error, segment.path) from error
        with self._lock:
            at = self._segments.index(segment)
            self._segments = [*self._segments[:at], rebuilt, *self._segments[at + 1 :]]

    # ---- retention (reader thread)

    def drop(self, before_ms: int, may_go: Callable[[Mapping[Stream, int], int], bool]) -> int:
        """Unlink the oldest segments whose newest record is older than `before_ms`, while `may_go`.

        `may_go` gets the end offset of each stream in the segment and the time of its newest record. Returns
        how many records went.
        """
        dropped = 0
        while len(self._segments) > 1:
            segment = self._segments[0]
            spans = {stream: self._span(0, stream) for stream in segment.begins}
            ends = {stream: span[1] for stream, span in spans.items() if span is not None}
            newest_ms = segment.newest_ms
            if newest_ms is not None and (newest_ms >= before_ms or not may_go(ends, newest_ms)):
                break
            with self._lock:
                self._segments = self._segments[1:]
            connection = self._readers.pop(segment.path, None)
            if connection is not None:
                connection.close()
            segment.unlink()
            dropped += sum(span[1] - span[0] for span in spans.values() if span is not None)
        return dropped


def _unbroken(chunks: list[Chunk], first: int, end: int, more: bool) -> bool:
    expected = first
    for chunk in chunks:
        if chunk.base_offset > expected or (chunk.base_offset < expected and chunk is not chunks[0]):
            return False
        expected = chunk.end_offset
    return more or expected >= end
