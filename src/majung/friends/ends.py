"""When decisions end by themselves: which pair has to be asked about again, and when.

A heap, so that waiting costs nothing. Every decision with an end is here once, also one that hides: when ghost mode
ends, there is no link that could know of it.
"""

import heapq

_SPARE = 1_000


class Ends:
    """By pair (watcher, subject), the moment at which to ask again."""

    def __init__(self) -> None:
        self._at_ms: dict[tuple[str, str], int] = {}
        self._heap: list[tuple[int, str, str]] = []

    def __len__(self) -> int:
        return len(self._at_ms)

    def set(self, watcher_id: str, subject_id: str, until_ms: int | None) -> None:
        """What was decided for this pair ends then (None: never, as far as is known)."""
        pair = (watcher_id, subject_id)
        if until_ms is None:
            self._at_ms.pop(pair, None)
        elif self._at_ms.get(pair) != until_ms:
            self._at_ms[pair] = until_ms
            heapq.heappush(self._heap, (until_ms, *pair))
            if len(self._heap) > 2 * len(self._at_ms) + _SPARE:
                self._heap = [(at_ms, *pair) for pair, at_ms in self._at_ms.items()]
                heapq.heapify(self._heap)

    def due(self, now_ms: int) -> list[tuple[str, str]]:
        """The pairs whose moment has come; each once."""
        found: list[tuple[str, str]] = []
        while self._heap and self._heap[0][0] <= now_ms:
            until_ms, *pair = heapq.heappop(self._heap)
            watcher_id, subject_id = pair
            if self._at_ms.get((watcher_id, subject_id)) == until_ms:
                del self._at_ms[watcher_id, subject_id]
                found.append((watcher_id, subject_id))
        return found
