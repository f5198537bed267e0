"""Puts the readable rows of a damaged segment together, from its pages alone.

SQLite gives up on a whole file when its first page or the root of a tree is damaged, forgets the end of
a write-ahead log after one flipped bit, and refuses a file that is shorter than its header says. But every
chunk carries its own checksum, so it is enough to look at each leaf page by itself: whatever row has a
right checksum is a row that was written. Layout: https://www.sqlite.org/fileformat2.html sections 1.5,
1.6, 2.1 and 4.1.
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from majung.backends.embedded.log_segment import PAGE_BYTES

_LEAF = 0x0D
_WAL_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
CHUNK_COLUMNS, STREAM_COLUMNS = 9, 5
# Sections 1.6 and 2.1: how much of a row stays in the leaf, for pages without reserved bytes.
_MOST_LOCAL = PAGE_BYTES - 35
_LEAST_LOCAL = (PAGE_BYTES - 12) * 32 // 255 - 23
_MAX_ROW_BYTES = 1 << 30

Page = Callable[[int], bytes]


def salvage(path: Path, wal: bytes) -> Iterator[list[Any]]:
    """Every row that can be read in the file `path` and in `wal`, its write-ahead log: all its columns.

    Checksums are for the caller to check. A row may come twice, and one that was rolled back may come.
    """
    frames = wal_pages(wal)
    with path.open("rb") as file:

        def stored(number: int) -> bytes:
            file.seek((number - 1) * PAGE_BYTES)
            return file.read(PAGE_BYTES)

        def newest(number: int) -> bytes:
            return frames.get(number) or stored(number)

        for number in sorted(frames.keys() | range(1, path.stat().st_size // PAGE_BYTES + 1)):
            for page in {newest(number), stored(number)}:
                yield from _rows(page, 100 if number == 1 else 0, newest)


def wal_pages(wal: bytes) -> dict[int, bytes]:
    """The newest image of each page in a write-ahead log, checksums disregarded.

    Only frames with the salt of the header count (of the first frame, when the header is damaged): others
    are left over from before the log was last begun anew.
    """
    return {number: page for number, _commit, page in _frames(wal)}


def wal_commits_after(wal: bytes, frame: int) -> bool:
    """Whether `wal` holds a finished transaction past its `frame`th frame, where SQLite stopped reading."""
    return any(commit for index, (_, commit, _) in enumerate(_frames(wal), 1) if index > frame)


def _frames(wal: bytes) -> Iterator[tuple[int, bool, bytes]]:
    step = _FRAME_HEADER_BYTES + PAGE_BYTES
    salt: bytes | None = wal[16:24] if len(wal) > step and _header_is_whole(wal) else None
    for at in range(_WAL_HEADER_BYTES, len(wal) - step + 1, step):
        number, size = struct.unpack_from(">II", wal, at)
        this = wal[at + 8 : at + 16]
        salt = this if salt is None else salt
        if this == salt:
            yield number, size != 0, wal[at + _FRAME_HEADER_BYTES : at + step]


def _header_is_whole(wal: bytes) -> bool:
    """Section 4.2: the checksum of the first 24 bytes stands in the last 8."""
    magic = int.from_bytes(wal[:4], "big")
    order = ">" if magic & 1 else "<"
    first = second = 0
    words = struct.unpack_from(f"{order}6I", wal)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return struct.unpack_from(">II", wal, 24) == (first, second)


def _rows(page: bytes, start: int, other: Page) -> Iterator[list[Any]]:
    """The rows of a leaf page; cells that make no sense are passed over."""
    if len(page) < PAGE_BYTES or page[start] != _LEAF:
        return
    cells = min(int.from_bytes(page[start + 3 : start + 5], "big"), PAGE_BYTES // 6)
    for index in range(cells):
        pointer = start + 8 + 2 * index
        try:
            values = _record(_payload(page, int.from_bytes(page[pointer : pointer + 2], "big"), other))
        except (IndexError, ValueError):
            continue
        if values:
            yield values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    return value << 8 | data[at + 8], at + 9


def _payload(page: bytes, at: int, other: Page) -> bytes:
    size, at = _varint(page, at)
    _rowid, at = _varint(page, at)
    if size > _MAX_ROW_BYTES:
        raise ValueError("a row of impossible size")
    if size <= _MOST_LOCAL:
        return page[at : at + size]
    local = _LEAST_LOCAL + (size - _LEAST_LOCAL) % (PAGE_BYTES - 4)
    local = local if local <= _MOST_LOCAL else _LEAST_LOCAL
    parts = [page[at : at + local]]
    following, missing = int.from_bytes(page[at + local : at + local + 4], "big"), size - local
    passed = {0}
    while missing > 0:
        overflow = other(following) if following not in passed else b""
        if len(overflow) < PAGE_BYTES:
            raise ValueError("an overflow page is missing, or the chain of them is a ring")
        passed.add(following)
        parts.append(overflow[4 : 4 + missing])
        following, missing = int.from_bytes(overflow[:4], "big"), missing - (PAGE_BYTES - 4)
    return b"".join(parts)


_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def _record(payload: bytes) -> list[Any]:
    head, at = _varint(payload, 0)
    kinds: list[int] = []
    while at < head:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if len(kinds) not in (CHUNK_COLUMNS, STREAM_COLUMNS):
        return []
    values: list[Any] = []
    for kind in kinds:
        if kind in (0, 8, 9):
            values.append(None if kind == 0 else kind - 8)
            continue
        width = _INTEGER_BYTES.get(kind, (kind - 12) // 2 if kind >= 12 else -1)
        if width < 0 or at + width > len(payload):
            raise ValueError("a column of impossible size")
        data = payload[at : at + width]
        at += width
        if kind < 12:
            values.append(int.from_bytes(data, "big", signed=True))
        else:
            values.append(data if kind % 2 == 0 else data.decode())
    return values
