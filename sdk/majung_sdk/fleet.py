"""Many riders in one process: one buffer file, one writer thread, a few connections."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from majung_sdk.buffer import Buffer
from majung_sdk.channels import Connection, Target
from majung_sdk.reporter import Reporter
from majung_sdk.retry import Problem, Retry
from majung_sdk.totals import Totals
from majung_sdk.uplink import Token


class Fleet:
    """`async with Fleet(target, token, path) as fleet: [rider] = await fleet.add(["rider-1"])`."""

    def __init__(
        self,
        target: str,
        token: Token,
        buffer: Path,
        *,
        root_certificates: bytes | None = None,
        tls: bool | None = None,
        connections: int = 4,
        window: int = 256,
        max_buffered: int = 100_000,
        sync: bool = True,
        linger_s: float = 0.01,
        retry: Retry | None = None,
        on_acked: Callable[[str, Sequence[int]], None] | None = None,
        on_problem: Callable[[Problem], None] | None = None,
    ) -> None:
        """`target` is HOST:PORT. `token` is the credential, or a function that gives a current one.

        `root_certificates` (PEM) switch TLS on; `tls=True` alone trusts gRPC's own roots. `window`:
        positions on their way for each rider. `max_buffered`: positions on disk for each rider, past
        which the oldest are dropped. `sync`: see `buffer`. `on_acked(rider_id, seqs)` and
        `on_problem(problem)` are called on the event loop and must be quick.
        """
        self.totals = Totals()
        self._token = token
        self._window = window
        self._max_buffered = max_buffered
        self._retry = retry or Retry()
        self._on_acked = on_acked
        self._on_problem = on_problem
        self._buffer = Buffer(buffer, sync=sync, linger_s=linger_s, on_problem=on_problem)
        where = Target(target, root_certificates, tls)
        self._connections = [Connection(where, shared=connections > 1) for _ in range(connections)]
        self._reporters: list[Reporter] = []
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the buffer. Raises `BufferInUse`, or sqlite3.OperationalError when it cannot be written."""
        await self._buffer.open()
        self._watch = asyncio.create_task(self._watch_silence(), name="majung-watch")

    async def add(self, rider_ids: Sequence[str], tokens: Sequence[Token] | None = None) -> list[Reporter]:
        """A reporter for each rider (each once), already sending what its buffer holds.

        `tokens`: a credential for each, where the fleet's own may not report for all of them.
        """
        sessions = await self._buffer.adopt(rider_ids)
        made = []
        for at, (rider_id, session) in enumerate(zip(rider_ids, sessions, strict=True)):
            reporter = Reporter(
                rider_id,
                session,
                self._buffer,
                self._connections[(len(self._reporters) + at) % len(self._connections)],
                tokens[at] if tokens is not None else self._token,
                window=self._window,
                max_buffered=self._max_buffered,
                retry=self._retry,
                totals=self.totals,
                on_acked=self._on_acked,
                on_problem=self._on_problem,
            )
            reporter.uplink.start()
            made.append(reporter)
        self._reporters += made
        return made

    @property
    def buffered(self) -> int:
        """How many positions of all riders are on disk and not acknowledged."""
        return sum(reporter.buffered for reporter in self._reporters)

    async def saved(self) -> None:
        """Return when everything reported so far is on disk."""
        await self._buffer.saved()

    async def drained(self) -> None:
        """Return when everything reported so far has been acknowledged."""
        await self._buffer.saved()
        for reporter in self._reporters:
            await reporter.uplink.drained()

    async def close(self) -> None:
        """Stop; what is not acknowledged stays on disk for the next time."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await asyncio.gather(*(reporter.uplink.close() for reporter in self._reporters))
        for connection in self._connections:
            await connection.close()
        await self._buffer.close()

    async def _watch_silence(self) -> None:
        while True:
            await asyncio.sleep(self._retry.ack_timeout_s / 4)
            now_s = time.monotonic()
            for reporter in self._reporters:
                await reporter.uplink.check_silence(now_s)
