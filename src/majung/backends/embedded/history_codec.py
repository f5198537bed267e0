"""How positions lie in a history file: fixed records of 40 bytes, in chunks of one rider's session.

Pure functions, no I/O. Degrees are integers of 1e-7 (1 cm), accuracy is in cm, speed in mm/s, heading in
hundredths of a degree; times are milliseconds. A record knows its hour only by the file it lies in.
What few records have (tags, another door than their chunk's) stands beside them in `extras`.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from majung.positions.model import Mark, Position, StoredPosition, TrackPoint

HOUR_MS = 3_600_000
MINUTE_MS = 60_000

RECORD = struct.Struct("<qqIiiiiHBx")
POINT = np.dtype(
    [
        ("seq", "<i8"),
        ("received_at_ms", "<i8"),
        ("offset_ms", "<u4"),  # since the hour began
        ("latitude", "<i4"),  # 1e-7 degrees
        ("longitude", "<i4"),
        ("accuracy", "<i4"),  # cm, -1: unknown
        ("speed", "<i4"),  # mm/s, -1: unknown
        ("heading", "<u2"),  # 0.01 degrees, 65535: unknown
        ("mark", "u1"),  # index into _MARKS
        ("spare", "u1"),
    ]
)
SIZE = RECORD.size
assert POINT.itemsize == SIZE

# The order is the format: append, never reorder.
_MARKS: tuple[str, ...] = (Mark.PLAIN.value, Mark.INACCURATE.value, Mark.JUMP.value, Mark.LATE.value)
_MARK_CODES = {mark: code for code, mark in enumerate(_MARKS)}
_DOUBTFUL = np.array([mark in (Mark.INACCURATE, Mark.JUMP) for mark in _MARKS])
_MAX_I4 = 2**31 - 1
_MOST_M = _MAX_I4 // 100
_MOST_MPS = _MAX_I4 // 1000
_NO_HEADING = 65535

Extras = dict[int, tuple[str, dict[str, str] | None]]


class Chunk(msgspec.Struct, gc=False):
    """Records of one session. `extras`: by index, the door and tags of records that have their own."""

    session_id: str
    door: str
    points: bytes | bytearray
    extras: Extras | None = None  # None in nearly all: a dict for each session would be felt

    def __len__(self) -> int:
        return len(self.points) // SIZE

    def array(self) -> NDArray[np.void]:
        """The records as a structured array (dtype `POINT`), a copy of nothing."""
        return np.frombuffer(self.points, POINT)

    def add(self, record: bytes, door: str, tags: dict[str, str] | None) -> None:
        """Append one record. Only for chunks whose points are a bytearray."""
        if not self.points:
            self.door = door
        if tags or door != self.door:
            if self.extras is None:
                self.extras = {}
            self.extras[len(self)] = (door, tags)
        self.points += record

    def door_and_tags(self, index: int) -> tuple[str, dict[str, str] | None]:
        """Those of one record."""
        own = self.extras.get(index) if self.extras else None
        return own or (self.door, None)


_encode_extras = msgspec.msgpack.Encoder().encode
_decode_extras = msgspec.msgpack.Decoder(Extras).decode


def encode(stored: StoredPosition, hour_ms: int) -> bytes:
    """The record of a position that lies in the hour. Raises ValueError for what no record can hold."""
    position = stored.position
    accuracy, speed, heading = position.accuracy_m, position.speed_mps, position.heading_deg
    try:
        return RECORD.pack(
            position.seq,
            position.received_at_ms,
            position.device_time_ms - hour_ms,
            round(position.latitude * 1e7),
            round(position.longitude * 1e7),
            -1 if accuracy is None else round(accuracy * 100) if accuracy < _MOST_M else _MAX_I4,
            -1 if speed is None else round(speed * 1000) if speed < _MOST_MPS else _MAX_I4,
            _NO_HEADING if heading is None else round(heading * 100),
            _MARK_CODES[stored.mark],
        )
    except (struct.error, KeyError, OverflowError) as error:
        raise ValueError(f"a position that history cannot hold: {error}") from error


def seq_of(record: bytes) -> int:
    """The seq of a record."""
    return int.from_bytes(record[:8], "little", signed=True)


def decode(rider_id: str, hour_ms: int, chunk: Chunk) -> Iterator[StoredPosition]:
    """The positions of a chunk, whole again (to the resolution above), as they lie."""
    for i, point in enumerate(chunk.array().tolist()):
        seq, received, offset, latitude, longitude, accuracy, speed, heading, mark, _ = point
        door, tags = chunk.door_and_tags(i)
        position = Position(
            rider_id=rider_id,
            session_id=chunk.session_id,
            seq=seq,
            latitude=latitude / 1e7,
            longitude=longitude / 1e7,
            device_time_ms=hour_ms + offset,
            received_at_ms=received,
            accuracy_m=None if accuracy < 0 else accuracy / 100,
            speed_mps=None if speed < 0 else speed / 1000,
            heading_deg=None if heading == _NO_HEADING else heading / 100,
            tags=tags,
            door=door,
        )
        yield StoredPosition(position, _MARKS[mark])


def pack_extras(extras: Extras | None) -> bytes:
    """Bytes of the extras; empty when there are none, as is usual."""
    return _encode_extras(extras) if extras else b""


def unpack_extras(content: bytes) -> Extras | None:
    """The extras again. Raises msgspec.DecodeError."""
    return _decode_extras(content) if content else None


def checksum(rider_id: str, session_id: str, door: str, points: bytes | bytearray, extras: bytes) -> int:
    """CRC-32 over everything that a chunk's row holds, the names included."""
    names = f"{rider_id}/{session_id}/{door}".encode("utf-8", "surrogateescape")
    crc = zlib.crc32(points, zlib.crc32(names))
    return zlib.crc32(extras, crc) if extras else crc


def track(
    chunks: Iterable[Chunk], hour_ms: int, from_ms: int, to_ms: int, include_marked: bool
) -> list[TrackPoint]:
    """The points with `from_ms <= device_time_ms < to_ms`, each identity once, by time, session and seq."""
    low, high = max(from_ms - hour_ms, 0), min(to_ms - hour_ms, HOUR_MS)
    found: dict[tuple[int, str, int], tuple[int, ...]] = {}
    for chunk in chunks:
        points = chunk.array()
        keep = (points["offset_ms"] >= low) & (points["offset_ms"] < high)
        if not include_marked:
            keep &= ~_DOUBTFUL[points["mark"]]
        for point in points[keep].tolist():
            found[point[2], chunk.session_id, point[0]] = point
    return [_track_point(hour_ms, key[1], found[key]) for key in sorted(found)]


def _track_point(hour_ms: int, session_id: str, point: tuple[int, ...]) -> TrackPoint:
    seq, _, offset, latitude, longitude, accuracy, speed, heading, mark, _ = point
    return TrackPoint(
        hour_ms + offset,
        latitude / 1e7,
        longitude / 1e7,
        None if accuracy < 0 else accuracy / 100,
        None if speed < 0 else speed / 1000,
        None if heading == _NO_HEADING else heading / 100,
        session_id,
        seq,
        _MARKS[mark],
    )


def thin(chunks: Sequence[Chunk]) -> list[Chunk]:
    """One position a minute: the first one; a doubtful one (jump, inaccurate) only if there is no other.

    The result depends on the positions alone, not on the order or the portions in which they are given:
    thin(thin(a) + b) == thin(a + b). So late data can be put into a thinned hour, and thinning that was
    interrupted can simply be done again.
    """
    chunks = [chunk for chunk in sorted(chunks, key=_session) if len(chunk)]
    if not chunks:
        return []
    points = np.concatenate([chunk.array() for chunk in chunks])
    owner = np.repeat(np.arange(len(chunks)), [len(chunk) for chunk in chunks])
    minute = points["offset_ms"] // MINUTE_MS
    order = np.lexsort((points["seq"], points["offset_ms"], _DOUBTFUL[points["mark"]], minute))
    kept = order[np.unique(minute[order], return_index=True)[1]]
    return _pick(chunks, owner, np.sort(kept))


def _session(chunk: Chunk) -> str:
    return chunk.session_id


def _pick(chunks: Sequence[Chunk], owner: NDArray[np.intp], kept: NDArray[np.intp]) -> list[Chunk]:
    """The kept records (indexes over all chunks, ascending), a chunk for each session."""
    starts = np.cumsum([0, *map(len, chunks)])
    picked: dict[str, Chunk] = {}
    for index in kept.tolist():
        chunk = chunks[owner[index]]
        at = index - int(starts[owner[index]])
        into = picked.get(chunk.session_id)
        if into is None:
            into = picked[chunk.session_id] = Chunk(chunk.session_id, chunk.door, bytearray())
        door, tags = chunk.door_and_tags(at)
        into.add(bytes(chunk.points[at * SIZE : (at + 1) * SIZE]), door, tags)
    return list(picked.values())
