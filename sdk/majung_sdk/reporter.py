"""One rider's side of the SDK: gives each position its seq, puts it on disk, and hands it to the uplink."""

import time
from collections.abc import Callable, Mapping, Sequence

from majung_sdk.buffer import Buffer, Session
from majung_sdk.channels import Connection
from majung_sdk.codec import encode
from majung_sdk.retry import Problem, Retry
from majung_sdk.totals import Totals
from majung_sdk.uplink import Token, Uplink


class Reporter:
    """Made by `Device` and `Fleet`. Belongs to one event loop."""

    def __init__(
        self,
        rider_id: str,
        session: Session,
        buffer: Buffer,
        connection: Connection,
        token: Token,
        *,
        window: int,
        max_buffered: int,
        retry: Retry,
        totals: Totals,
        on_acked: Callable[[str, Sequence[int]], None] | None = None,
        on_problem: Callable[[Problem], None] | None = None,
    ) -> None:
        self.rider_id = rider_id
        self.session_id = session.session_id
        self._key = session.key
        self._next_seq = session.next_seq
        self._buffer = buffer
        self._max_buffered = max_buffered
        self._totals = totals
        self.uplink = Uplink(
            self,
            connection,
            token,
            window=window,
            retry=retry,
            totals=totals,
            on_acked=None if on_acked is None else (lambda seqs: on_acked(rider_id, seqs)),
            on_problem=on_problem,
        )
        for first, last in session.held:
            self.uplink.hold(first, last)

    def report(
        self,
        latitude: float,
        longitude: float,
        *,
        device_time_ms: int | None = None,
        accuracy_m: float | None = None,
        speed_mps: float | None = None,
        heading_deg: float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> int:
        """Take one fix; returns its seq. It is on disk a moment later (see `saved`), then sent.

        Degrees are WGS 84; `device_time_ms` is Unix time in ms, now by default. Raises `BufferFull`
        (nothing was taken), or TypeError and ValueError for what is no number or does not fit.
        """
        seq = self._next_seq
        now_ms = time.time_ns() // 1_000_000 if device_time_ms is None else device_time_ms
        payload = encode(
            self.rider_id,
            self.session_id,
            seq,
            latitude,
            longitude,
            now_ms,
            accuracy_m,
            speed_mps,
            heading_deg,
            tags,
        )
        self._buffer.put(self._key, seq, payload, self._saved)
        self._next_seq = seq + 1
        self._totals.reported += 1
        return seq

    @property
    def online(self) -> bool:
        """Whether it may use the network; set it when the system says that reception comes or goes."""
        return self.uplink.online

    @online.setter
    def online(self, value: bool) -> None:
        self.uplink.online = value

    @property
    def buffered(self) -> int:
        """How many positions are on disk and not acknowledged."""
        return len(self.uplink)

    async def saved(self) -> None:
        """Return when everything reported so far is on disk."""
        await self._buffer.saved()

    async def drained(self) -> None:
        """Return when everything reported so far has been acknowledged."""
        await self._buffer.saved()
        await self.uplink.drained()

    def _saved(self, seq: int, payload: bytes) -> None:
        self.uplink.ready(seq, payload)
        if len(self.uplink) > self._max_buffered:
            # A few at once, so that a long time without reception does not cost an erasure each fix.
            self.uplink.drop_oldest(max(1, self._max_buffered // 100))

    # ---- the uplink's source

    async def page(self, first: int, last: int) -> Sequence[tuple[int, bytes]]:
        """See `Source.page`."""
        return await self._buffer.page(self._key, first, last)

    def settle(self, first: int, last: int) -> None:
        """See `Source.settle`."""
        self._buffer.settle(self._key, first, last)
