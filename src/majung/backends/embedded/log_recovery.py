"""What happens with the files when the embedded log starts, and how a damaged one is rebuilt."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from majung.backends.embedded import log_segment as files
from majung.backends.embedded.log_errors import is_damage, refusal
from majung.backends.embedded.log_salvage import CHUNK_COLUMNS, salvage, wal_commits_after
from majung.backends.embedded.log_segment import BadChunk, Segment, Stream

_JUMP = 1 << 32
"""More records than a segment can hold: past damage at the end, offsets go on at a multiple of this."""


class Found(msgspec.Struct):
    """What a folder holds; `writer` is None when the next record needs a new segment."""

    segments: list[Segment]
    writer: sqlite3.Connection | None
    ends: dict[Stream, int]
    partitions: dict[str, int]


class Recovery:
    """Works on one folder. Nobody else may, meanwhile, but the writer in a segment newer than it."""

    def __init__(self, folder: Path, damage: list[str]) -> None:
        self._folder = folder
        self._damage = damage

    def run(self, reached: Mapping[Stream, int]) -> Found:
        """Load every segment and check the newest all through. Raises `StorageFull`, `PortError`.

        `reached` is where streams are known to have come: no new record gets an offset below that.
        """
        found = Found([], None, {}, {})
        for path in reversed(self._files()):
            try:
                segment = (
                    self._load(path, found.segments[0])
                    if found.segments
                    else self._load_newest(path, found, reached)
                )
            except (OSError, sqlite3.Error) as error:
                raise refusal(error, path) from error
            found.segments.insert(0, segment)
            found.ends = {**segment.begins, **found.ends}
        try:
            self._pass(found, reached)
        except sqlite3.Error as error:
            raise refusal(error, self._folder) from error
        for topic, number in found.ends:
            found.partitions[topic] = max(found.partitions.get(topic, 0), number + 1)
        return found

    def _files(self) -> list[Path]:
        """The segments, oldest first; of one that was rebuilt, the newest generation."""
        for leftover in self._folder.glob("*.tmp*"):
            leftover.unlink(missing_ok=True)
        newest: dict[int, Path] = {}
        for path in sorted(self._folder.glob("[0-9]*.db"), key=_generation):
            number, _ = _generation(path)
            if number in newest:
                _set_aside(newest[number])
            newest[number] = path
        return [newest[number] for number in sorted(newest)]

    def _load(self, path: Path, following: Segment) -> Segment:
        wal = _read_wal(path)
        try:
            if not wal:
                with closing(files.connect_reader(Segment(path, {}), sealed=True)) as connection:
                    return files.load(path, connection)
            with closing(files.connect_writer(path)) as connection:
                _check_wal(connection, wal)
                return files.load(path, connection)
        except (sqlite3.Error, BadChunk) as error:
            if not _says_damage(error):
                raise
            return self._rebuild(path, str(error), None, following.begins, wal)

    def _load_newest(self, path: Path, found: Found, reached: Mapping[Stream, int]) -> Segment:
        wal = _read_wal(path)
        connection: sqlite3.Connection | None = None
        try:
            connection = files.connect_writer(path)
            _check_wal(connection, wal)
            segment = files.load(path, connection)
            if not segment.rebuilt:
                found.ends = _check_all(connection, segment)
                found.writer = connection
                return segment
            connection.close()
        except (sqlite3.Error, BadChunk) as error:
            if connection is not None:
                connection.close()
            if not _says_damage(error):
                raise
            segment = self._rebuild(path, str(error), None, reached, wal)
        # Nobody knows what followed the last record that was saved: never write behind it.
        for stream in {*segment.begins, *reached}:
            known = (ends.get(stream, 0) for ends in (segment.begins, segment.held_ends, reached))
            found.ends[stream] = _jumped(max(known))
        return segment

    def _pass(self, found: Found, reached: Mapping[Stream, int]) -> None:
        beyond = {stream: at for stream, at in reached.items() if at > found.ends.get(stream, 0)}
        if not beyond:
            return
        for (topic, number), at in beyond.items():
            end = found.ends.get((topic, number), 0)
            self._damage.append(
                f"{topic}/{number} had come to offset {at}, but the log ends at {end}: {at - end} records are"
                " lost; its newest file was cut short, is missing, or an older copy was put in its place"
            )
            found.ends[topic, number] = _jumped(at)
        if found.writer is not None:
            with closing(found.writer):
                files.mark_rebuilt(found.segments[-1], found.writer)
            found.writer = None

    def _ends_before(self, path: Path) -> dict[Stream, int]:
        """Where streams end in the segment before `path`; empty when that cannot be read either."""
        number, _ = _generation(path)
        before = [other for other in self._folder.glob("[0-9]*.db") if _generation(other)[0] < number]
        if not before:
            return {}
        segment = Segment(max(before, key=_generation), {})
        try:
            with closing(files.connect_reader(segment, sealed=True)) as connection:
                return {**files.load(segment.path, connection).begins, **files.held_ends(connection)}
        except (sqlite3.Error, BadChunk):
            return {}

    def rebuild(
        self, path: Path, why: str, begins: Mapping[Stream, int], ends: Mapping[Stream, int]
    ) -> Segment:
        """Put the intact chunks of a damaged file into a new one in its place, and report what is lost.

        Raises sqlite3.Error or OSError when there is no room for it: then everything is as before.
        """
        return self._rebuild(path, why, begins, ends, _read_wal(path))

    def _rebuild(
        self,
        path: Path,
        why: str,
        begins: Mapping[Stream, int] | None,
        ends: Mapping[Stream, int],
        wal: bytes,
    ) -> Segment:
        number, generation = _generation(path)
        target = path.with_name(f"{number:08}.{generation + 1}.db")
        draft = target.with_name(target.name + ".tmp")
        _segment, connection = files.create(draft, {}, rebuilt=True)
        try:
            with closing(connection):
                held, noted = _copy_intact(path, wal, connection)
                if begins is None:
                    first = {stream: min(chunks) for stream, chunks in held.items() if chunks}
                    before = self._ends_before(path) if number > 1 else dict.fromkeys(ends, 0)
                    begins = {**first, **before, **noted}
                connection.execute("BEGIN")
                files.insert_streams(connection, begins)
                connection.execute("COMMIT")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                segment = files.load(target, connection)
        except BaseException:
            files.remove_database(draft)
            raise
        draft.replace(target)
        _set_aside(path)
        files.sync_folder(self._folder)
        self._damage.append(_report(path, why, segment, held, ends))
        return segment


def _copy_intact(
    path: Path, wal: bytes, connection: sqlite3.Connection
) -> tuple[dict[Stream, dict[int, tuple[int, int]]], dict[Stream, int]]:
    """Copy what has a right checksum. Returns (end, time) of each chunk by stream and base, and where the
    file itself says that streams begin.
    """
    held: dict[Stream, dict[int, tuple[int, int]]] = {}
    begins: dict[Stream, int] = {}
    connection.execute("BEGIN")
    for values in salvage(path, wal):
        row = values[1:]
        if len(values) != CHUNK_COLUMNS:
            found = files.stream_from_row(row)
            if found is not None:
                begins.setdefault(*found)
        elif files.row_is_intact(row):
            topic, partition, _partitions, base, count, at_ms = row[:6]
            chunks = held.setdefault((topic, partition), {})
            if base not in chunks or chunks[base][1] < at_ms:
                files.insert_row(connection, row)
                chunks[base] = (base + count, at_ms)
    for stream, chunks in held.items():
        for base in _overtaken(chunks):
            files.delete_chunk(connection, stream, base)
            del chunks[base]
    connection.execute("COMMIT")
    return held, begins


def _overtaken(chunks: Mapping[int, tuple[int, int]]) -> list[int]:
    """Chunks that overlap a later one: they were rolled back, their offsets were given again."""
    kept: list[int] = []
    gone: list[int] = []
    for base, (_end, at_ms) in sorted(chunks.items()):
        while kept and chunks[kept[-1]][0] > base and chunks[kept[-1]][1] <= at_ms:
            gone.append(kept.pop())
        if kept and chunks[kept[-1]][0] > base:
            gone.append(base)
        else:
            kept.append(base)
    return gone


def _report(
    path: Path,
    why: str,
    segment: Segment,
    held: Mapping[Stream, Mapping[int, tuple[int, int]]],
    ends: Mapping[Stream, int],
) -> str:
    saved = sum(end - base for chunks in held.values() for base, (end, _) in chunks.items())
    known = {**segment.begins, **segment.held_ends}
    span = sum(max(known[stream], ends.get(stream, 0)) - begin for stream, begin in segment.begins.items())
    return (
        f"{path.name} is damaged ({why}): {saved} records were saved out of it, {max(0, span - saved)} are"
        f" lost; it is kept as {path.name}.damaged"
    )


def _check_wal(connection: sqlite3.Connection, wal: bytes) -> None:
    """Raise `BadChunk` when SQLite has stopped reading the write-ahead log before its end.

    That is its way with a torn last write, but also with one flipped bit in the middle, and then it
    forgets what was acknowledged.
    """
    if not wal:
        return
    frames = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    if wal_commits_after(wal, max(frames, 0)):
        raise BadChunk(f"its write-ahead log is damaged or torn after frame {max(frames, 0)}")


def _check_all(connection: sqlite3.Connection, segment: Segment) -> dict[Stream, int]:
    """Read every chunk; the end of each stream. Raises `BadChunk` at what is damaged or missing."""
    ends = dict(segment.begins)
    for stream, base, end in files.check(connection):
        if ends.get(stream) != base:
            raise BadChunk(f"records of {stream[0]}/{stream[1]} are missing before offset {base}")
        ends[stream] = end
    return ends


def _jumped(offset: int) -> int:
    return (offset // _JUMP + 1) * _JUMP


def _says_damage(error: Exception) -> bool:
    return isinstance(error, BadChunk) or is_damage(error)


def _read_wal(path: Path) -> bytes:
    wal = path.with_name(path.name + "-wal")
    return wal.read_bytes() if wal.exists() else b""


def _generation(path: Path) -> tuple[int, int]:
    parts = path.name.split(".")
    return int(parts[0]), int(parts[1]) if len(parts) == 3 else 0


def _set_aside(path: Path) -> None:
    for suffix in ("", "-wal"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(part.with_name(part.name + ".damaged"))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
