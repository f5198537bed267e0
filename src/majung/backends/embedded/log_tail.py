"""The newest chunks in memory, so that a consumer at the tip never reads the disk."""

from bisect import bisect_right
from collections import deque

from majung.backends.embedded.log_segment import Chunk, Stream

_SPARE = 256


class _Tail:
    """Chunks of one stream without a gap. The first `start` of the lists are gone already."""

    __slots__ = ("bases", "chunks", "start")

    def __init__(self) -> None:
        self.chunks: list[Chunk | None] = []
        self.bases: list[int] = []
        self.start = 0


class TailCache:
    """Bounded by `max_bytes` over all streams; the oldest chunk goes first. Owned by the event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._tails: dict[Stream, _Tail] = {}
        self._order: deque[tuple[Stream, int]] = deque()

    def add(self, chunk: Chunk, size_bytes: int) -> None:
        """Hold `chunk`, which follows the last one of its stream."""
        tail = self._tails.setdefault(chunk.stream, _Tail())
        tail.chunks.append(chunk)
        tail.bases.append(chunk.base_offset)
        self._order.append((chunk.stream, size_bytes))
        self._bytes += size_bytes
        while self._bytes > self._max_bytes:
            stream, size = self._order.popleft()
            self._bytes -= size
            self._drop_first(self._tails[stream])

    def find(self, stream: Stream, offset: int) -> Chunk | None:
        """The chunk that holds `offset`, or None when it must come from the disk."""
        tail = self._tails.get(stream)
        if tail is None:
            return None
        at = bisect_right(tail.bases, offset, tail.start) - 1
        if at < tail.start:
            return None
        chunk = tail.chunks[at]
        return chunk if chunk is not None and offset < chunk.end_offset else None

    @staticmethod
    def _drop_first(tail: _Tail) -> None:
        tail.chunks[tail.start] = None
        tail.start += 1
        if tail.start > _SPARE and tail.start * 2 > len(tail.bases):
            del tail.chunks[: tail.start], tail.bases[: tail.start]
            tail.start = 0
