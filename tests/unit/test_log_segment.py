"""One segment file: rows that vouch for themselves, and putting a harmed file together again."""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majung.backends.embedded import log_segment as files
from majung.backends.embedded.log_mark import Mark
from majung.backends.embedded.log_recovery import _overtaken
from majung.backends.embedded.log_salvage import CHUNK_COLUMNS, salvage, wal_commits_after, wal_pages
from majung.backends.embedded.log_segment import BadChunk, Chunk
from majung.backends.embedded.log_tail import TailCache

records = st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.binary()), min_size=1)
chunks = st.builds(
    Chunk,
    topic=st.text(st.characters(codec="utf-8"), min_size=1),
    partition=st.integers(0, 255),
    partitions=st.integers(1, 256),
    base_offset=st.integers(0, 2**62),
    appended_at_ms=st.integers(0, 2**42),
    records=records,
)


def chunk_of(base: int, count: int, value_bytes: int = 100, at_ms: int = 1) -> Chunk:
    chance = random.Random(base)
    return Chunk("t", 0, 1, base, at_ms, [(f"k{n}", chance.randbytes(value_bytes)) for n in range(count)])


@given(chunks)
def test_a_row_gives_back_its_chunk(chunk: Chunk) -> None:
    assert files.chunk_from_row(files.chunk_to_row(chunk)) == chunk


@given(chunks, st.integers(0, 7), st.integers(1, 2**31))
def test_a_row_with_any_column_changed_is_not_believed(chunk: Chunk, column: int, by: int) -> None:
    row = list(files.chunk_to_row(chunk))
    if isinstance(row[column], str):
        row[column] += "x"
    elif isinstance(row[column], bytes):
        at = by % len(row[column])
        row[column] = row[column][:at] + bytes([row[column][at] ^ 1 << by % 8]) + row[column][at + 1 :]
    else:
        row[column] += by
    with pytest.raises(BadChunk):
        files.chunk_from_row(row)


def test_a_row_of_other_types_is_not_believed() -> None:
    row: tuple[Any, ...] = (None, 1.5, b"", "0", None, None, None, None)
    with pytest.raises(BadChunk):
        files.chunk_from_row(row)
    assert files.stream_from_row(("t", 0, "x", 5)) is None


@pytest.fixture
def written(tmp_path: Path) -> Iterator[tuple[Path, bytes, list[Chunk]]]:
    """A segment as a killed process leaves it: the path, its write-ahead log, and what is in both."""
    path = tmp_path / "00000001.db"
    segment, connection = files.create(path, {("t", 0): 0})
    assert segment.number == 1
    stored: list[Chunk] = []
    with closing(connection):
        base = 0
        for count, value_bytes in [(1, 10), (40, 100), (3, 30_000), (200, 5), (10, 370), (5, 4061)] * 4:
            stored.append(chunk_of(base, count, value_bytes))
            base += count
            connection.execute("BEGIN")
            files.insert_chunks(connection, stored[-1:])
            connection.execute("COMMIT")
            if len(stored) == 12:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield path, path.with_name(path.name + "-wal").read_bytes(), stored


def salvaged(path: Path, wal: bytes) -> dict[int, Chunk]:
    rows = (row[1:] for row in salvage(path, wal) if len(row) == CHUNK_COLUMNS)
    found = (files.chunk_from_row(row) for row in rows if files.row_is_intact(row))
    return {chunk.base_offset: chunk for chunk in found}


def test_reading_by_offset(written: tuple[Path, bytes, list[Chunk]]) -> None:
    path, _wal, stored = written
    with closing(files.connect_reader(files.Segment(path, {}), sealed=False)) as connection:
        end = stored[-1].end_offset
        read, more = files.read(connection, ("t", 0), 20, end, 1000)
        assert (read, more) == (stored[1:], False)
        assert files.read(connection, ("t", 0), 20, end, 2) == (stored[1:3], True)
        assert files.read(connection, ("t", 0), 0, stored[3].base_offset, 9) == (stored[:3], False)
        assert files.read(connection, ("t", 1), 0, end, 9) == ([], False)
        spans = [(chunk.stream, chunk.base_offset, chunk.end_offset) for chunk in stored]
        assert list(files.check(connection)) == spans
        assert files.held_ends(connection) == {("t", 0): end}


def test_salvage_finds_every_row_in_file_and_write_ahead_log(
    written: tuple[Path, bytes, list[Chunk]], tmp_path: Path
) -> None:
    path, wal, stored = written
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    assert list(salvaged(copy, wal).values()) == stored
    assert sorted(salvaged(copy, b"")) == [chunk.base_offset for chunk in stored[:12]]


@pytest.mark.parametrize("seed", range(20))
def test_salvage_of_a_harmed_file_yields_only_what_was_written(
    written: tuple[Path, bytes, list[Chunk]], tmp_path: Path, seed: int
) -> None:
    path, wal, stored = written
    chance = random.Random(seed)
    harmed = []
    for data in (bytearray(path.read_bytes()), bytearray(wal)):
        for _ in range(chance.randrange(1, 6)):
            start = chance.randrange(len(data))
            for at in range(start, min(len(data), start + chance.choice([1, 1, 50, 4096]))):
                data[at] = chance.randrange(256)
        harmed.append(data[: len(data) - chance.choice([0, 0, 1, 5000])])
    copy = tmp_path / "copy.db"
    copy.write_bytes(harmed[0])
    found = salvaged(copy, bytes(harmed[1]))
    truth = {chunk.base_offset: chunk for chunk in stored}
    assert found.items() <= truth.items()
    assert len(found) >= len(truth) // 4


def test_noise_is_no_row(tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    chance = random.Random(7)
    pages = bytearray(chance.randbytes(4096 * 200))
    for page in range(1, 200):
        pages[page * 4096] = 0x0D  # Every page says that it is a leaf.
    noise.write_bytes(pages)
    assert salvaged(noise, chance.randbytes(100_000)) == {}
    noise.write_bytes(b"")
    assert salvaged(noise, b"") == {}


def test_a_flipped_bit_in_the_write_ahead_log_is_noticed(
    written: tuple[Path, bytes, list[Chunk]], tmp_path: Path
) -> None:
    path, wal, _stored = written
    frames = len(wal) // 4120
    assert not wal_commits_after(wal, frames)
    assert wal_commits_after(wal, frames // 2)
    copy = tmp_path / "copy.db"
    for at in (0, 16, 32 + 4120 * (frames // 2) + 2000):  # magic, salt, a page
        shutil.copy(path, copy)
        data = bytearray(wal)
        data[at] ^= 1
        copy.with_name("copy.db-wal").write_bytes(data)
        with closing(sqlite3.connect(copy)) as connection:
            believed = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        assert wal_commits_after(bytes(data), max(believed, 0)), at
        assert wal_pages(bytes(data)).keys() == wal_pages(wal).keys()


def test_of_overlapping_chunks_the_later_one_stays() -> None:
    assert _overtaken({0: (10, 1), 10: (15, 2), 15: (20, 3)}) == []
    assert _overtaken({0: (10, 1), 10: (15, 2), 12: (20, 3)}) == [10]
    assert _overtaken({0: (10, 9), 3: (5, 2), 5: (8, 3), 10: (11, 1)}) == [3, 5]


def test_a_mark_is_believed_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "reached.mark"
    mark = Mark(path)
    assert mark.read() == {}
    long = {("라이더", number): 2**40 + number for number in range(50)}
    mark.note(long)
    assert Mark(path).read() == long
    mark.note({("t", 0): 3})  # Shorter than what stands there.
    mark.close()
    assert Mark(path).read() == {("t", 0): 3}
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    assert Mark(path).read() == {}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), max_size=700))
def test_the_tail_holds_the_newest_within_its_bound(adds: list[tuple[int, int]]) -> None:
    tail = TailCache(max_bytes=100)
    ends = [0, 0, 0]
    order: list[Chunk] = []
    for number, count in adds:
        chunk = Chunk("t", number, 3, ends[number], 1, [("k", b"")] * count)
        tail.add(chunk, count)
        ends[number] = chunk.end_offset
        order.append(chunk)
    held, size = [], 0
    for chunk in reversed(order):
        size += len(chunk.records)
        if size > 100:
            break
        held.append(chunk)
    for chunk in order:
        for offset in (chunk.base_offset, chunk.end_offset - 1):
            found = tail.find(chunk.stream, offset)
            assert found is (chunk if any(chunk is one for one in held) else None)
    assert all(tail.find(("t", number), end) is None for number, end in enumerate(ends))
