"""The loss ledger: where every position went.

    received  = accepted + quarantined + refused + pending      (the door; this process)
    consumed  = processed + skipped                              (the log's offsets; for ever)
    processed = deduplicated + stored + undecodable + erased    (the consumer; for ever)
    stored    = shown + late + marked                           (the consumer; for ever)

The counts of the consumer are checkpointed together with the offset that they belong to, so that a
crash rolls both back to the same moment and the sums close again after it.
"""

import asyncio
import time
from collections import deque

import msgspec

_SAMPLES = 4096


class DoorCounts(msgspec.Struct):
    """Counted at the doors since this process started."""

    received: int = 0
    accepted: int = 0
    quarantined: int = 0
    refused: int = 0


class ConsumerCounts(msgspec.Struct):
    """Counted by the consumer since the data folder was made; lives in the checkpoint."""

    processed: int = 0
    skipped: int = 0
    deduplicated: int = 0
    undecodable: int = 0
    stored: int = 0
    shown: int = 0
    late: int = 0
    marked: int = 0
    erased: int = 0


class LedgerError(msgspec.Struct, frozen=True):
    """A sum that does not close: which, and by how much."""

    equation: str
    difference: int


class Ledger:
    """Counters and the sums over them. Belongs to the event loop."""

    def __init__(self) -> None:
        self.door = DoorCounts()
        self.consumer = ConsumerCounts()
        self.ack_ms: deque[float] = deque(maxlen=_SAMPLES)
        self.ack_ms_sum = 0.0
        self.ack_count = 0
        self._waiting: dict[asyncio.Future[None], list[float]] = {}

    def received(self, count: int) -> None:
        """A door read this many fixes."""
        self.door.received += count

    def refused(self, count: int) -> None:
        """This many were read and turned down with an error to the device, which keeps them."""
        self.door.refused += count

    def pending(self, future: "asyncio.Future[None]", accepted: int, quarantined: int) -> None:
        """These are on their way to the disk; counted when `future` is done.

        Many calls share one future (a group commit), so there is one callback a commit, not a position.
        """
        waiting = self._waiting.get(future)
        if waiting is None:
            self._waiting[future] = [time.perf_counter(), accepted, quarantined]
            future.add_done_callback(self._settle)
        else:
            waiting[1] += accepted
            waiting[2] += quarantined

    def _settle(self, future: "asyncio.Future[None]") -> None:
        started, accepted, quarantined = self._waiting.pop(future)
        if future.cancelled() or future.exception() is not None:
            self.door.refused += int(accepted + quarantined)
            return
        self.door.accepted += int(accepted)
        self.door.quarantined += int(quarantined)
        elapsed_ms = (time.perf_counter() - started) * 1000
        self.ack_ms.append(elapsed_ms)
        self.ack_ms_sum += elapsed_ms
        self.ack_count += 1

    def pending_count(self) -> int:
        """Fixes between the door and the disk."""
        return int(sum(accepted + quarantined for _, accepted, quarantined in self._waiting.values()))

    def ack_p99_ms(self) -> float:
        """99th percentile of the last commits, from first append to durable, in milliseconds."""
        if not self.ack_ms:
            return 0.0
        ordered = sorted(self.ack_ms)
        return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]

    def check(self, consumed: int) -> list[LedgerError]:
        """The sums that do not close; empty when nothing is lost. Call between batches.

        `consumed` is how far the consumer has come by its offsets: a count that this ledger did not make.
        `skipped` are offsets that hold no record any more, because a file was damaged.
        """
        door, consumer = self.door, self.consumer
        sums = {
            "received = accepted + quarantined + refused + pending": door.received
            - (door.accepted + door.quarantined + door.refused + self.pending_count()),
            "consumed = processed + skipped": consumed - (consumer.processed + consumer.skipped),
            "processed = deduplicated + stored + undecodable + erased": consumer.processed
            - (consumer.deduplicated + consumer.stored + consumer.undecodable + consumer.erased),
            "stored = shown + late + marked": consumer.stored
            - (consumer.shown + consumer.late + consumer.marked),
        }
        return [LedgerError(equation, difference) for equation, difference in sums.items() if difference]
