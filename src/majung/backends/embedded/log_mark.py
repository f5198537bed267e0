"""How far the log has come, noted beside it: `reached.mark`.

A write-ahead log that was cut short looks like one that never went further, to SQLite and to everybody
else. So the writer notes the ends after each commit, in a file of its own and without waiting for the
disk: the note survives a killed process, and after a power failure it is behind the truth, never ahead of
it. A log that ends before its mark has lost something that was acknowledged.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

import msgspec

from majung.backends.embedded.log_segment import Stream

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str, int, int]]).decode


class Mark:
    """The file. A note that cannot be written or read is no error: it only notices less."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def read(self) -> dict[Stream, int]:
        """The ends that were noted last; empty when there are none or the note is damaged."""
        try:
            data = self._path.read_bytes()
            size, checksum = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
            body = data[8 : 8 + size]
            if checksum != crc32(body):
                return {}
            return {(topic, number): end for topic, number, end in _decode(body)}
        except (OSError, msgspec.MsgspecError):
            return {}

    def note(self, ends: Mapping[Stream, int]) -> None:
        """Note `ends`, after they are durable."""
        body = _encode([(topic, number, end) for (topic, number), end in ends.items()])
        try:
            if self._file < 0:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, len(body).to_bytes(4, "big") + crc32(body).to_bytes(4, "big") + body)
        except OSError:
            return

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
