"""One open call of a device: read, append, and say how far it is durable.

`StreamPositions` answers once, at the end. `TrackPositions` is acknowledged on the way: the reader appends
while the acknowledger waits for the commits in the same order; an acknowledgement covers everything before
it. What has become durable while an acknowledgement was being sent shares the next one. A device that does
not read them blocks the acknowledger (HTTP/2 flow control); with `MAX_COMMITS` of them owing the reader
stops as well, and HTTP/2 stops the device. So a call costs bounded memory whatever its device does.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, Protocol

import grpc

from majung.auth.limits import RateLimiter
from majung.auth.model import Principal
from majung.ports import Overloaded
from majung.positions.ingest import Ingest
from majung.positions.model import Reason
from majung.wire.location import DOOR, Malformed, decode_position, encode_ack

MAX_COMMITS = 16
"""Commits of one call that are not acknowledged yet. A disk that keeps up owes two: one is being written,
one is filling."""

VERIFY_EVERY_MS = 500


class Context(Protocol):
    """What is used of `grpc.aio.ServicerContext`, which comes without types."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        """Headers of the call."""
        ...

    def peer(self) -> str:
        """Whose address, like `ipv4:127.0.0.1:5000`."""
        ...

    async def read(self) -> Any:
        """The next message, or grpc.aio.EOF."""
        ...

    async def write(self, message: bytes) -> None:
        """Send one message; waits while the other end takes nothing."""
        ...

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call; raises."""
        ...


class Call:
    """An admitted call. `stream` or `track` is awaited, once. Belongs to the event loop.

    `remembered` and `verify` say whether the credential still holds: at once if that is known, else after
    looking.

    Both raise what ends the call: AuthError and Forbidden, or PortError when something could not be
    stored; nothing of that, or after it, has been acknowledged then.
    """

    __slots__ = (
        "_commits",
        "_context",
        "_ended",
        "_ingest",
        "_last_seq",
        "_limiter",
        "_principal",
        "_remembered",
        "_verified_ms",
        "_verify",
        "_waiting",
    )

    def __init__(
        self,
        context: Context,
        principal: Principal,
        remembered: Callable[[], Principal | None],
        verify: Callable[[], Awaitable[Principal]],
        ingest: Ingest,
        limiter: RateLimiter,
    ) -> None:
        self._context = context
        self._principal = principal
        self._remembered = remembered
        self._verify = verify
        self._verified_ms = ingest.now_ms()
        self._ingest = ingest
        self._limiter = limiter
        # Commits end in order, but an earlier one may fail where a later one succeeds (the disk was full
        # for a moment), so each is looked at.
        self._commits: deque[tuple[asyncio.Future[None], int]] = deque()
        self._last_seq = 0
        self._ended = False
        self._waiting: asyncio.Future[None] | None = None  # reader or acknowledger, for the other

    async def stream(self) -> bytes:
        """Read to the end, wait until all is durable; the one answer."""
        await self._read(self._durable)
        while self._commits:
            await self._durable()
        return encode_ack(self._last_seq)

    async def track(self) -> None:
        """Read while acknowledging what has become durable."""
        reader = asyncio.create_task(self._read_and_tell())
        try:
            await self._acknowledge()
            await reader
        finally:
            if not reader.done():
                reader.cancel()

    # -------------------------------------------------------------------------------------- reading

    async def _read(self, make_room: Callable[[], Awaitable[object]]) -> None:
        context, ingest, limiter, commits = self._context, self._ingest, self._limiter, self._commits
        while (data := await context.read()) is not grpc.aio.EOF:
            # Waiting here, with one message in hand, is the back-pressure: nothing more is read, and
            # HTTP/2 stops the device.
            while len(commits) >= MAX_COMMITS:
                await make_room()
            now_ms = ingest.now_ms()
            # A call may last for days; a credential that was revoked meanwhile ends it here.
            if now_ms - self._verified_ms > VERIFY_EVERY_MS:
                self._principal = self._remembered() or await self._verify()
                self._verified_ms = now_ms
            while (wait_s := limiter.take(self._principal.subject)) > 0:
                await asyncio.sleep(wait_s)
            await ingest.ready()
            while not self._take(data, now_ms):
                await ingest.ready()

    def _take(self, data: bytes, now_ms: int) -> bool:
        """Append one message; False when its bytes are more than there is room for just now."""
        try:
            commit = self._append(data, now_ms)
        except Overloaded:
            return False
        commits = self._commits
        if commits and commits[-1][0] is commit:  # positions that came together share one commit
            commits[-1] = (commit, self._last_seq)
        else:
            commits.append((commit, self._last_seq))
        if self._waiting is not None:
            self._wake()
        return True

    def _append(self, data: bytes, now_ms: int) -> "asyncio.Future[None]":
        principal = self._principal
        try:
            position = decode_position(data, principal.rider_id, now_ms)
        except Malformed as problem:
            return self._ingest.quarantine(principal, DOOR, data, Reason.MALFORMED, str(problem))
        commit = self._ingest.submit(principal, [position])
        self._last_seq = position.seq
        return commit

    async def _read_and_tell(self) -> None:
        try:
            await self._read(self._pause)
        finally:
            self._ended = True
            self._wake()

    # -------------------------------------------------------------------------------- acknowledging

    async def _acknowledge(self) -> None:
        commits, write = self._commits, self._context.write
        while True:
            while commits:
                await write(encode_ack(await self._durable()))
                if self._waiting is not None:
                    self._wake()
            if self._ended:
                return
            await self._pause()

    async def _durable(self) -> int:
        """Wait for the oldest commit, and take along those after it that are done; the last seq of them.

        Raises what the commit raised; a later one that failed is left for the next call to raise.
        """
        commits = self._commits
        await commits[0][0]
        seq = commits.popleft()[1]  # looked at now: more positions may have joined the commit meanwhile
        while commits and (commit := commits[0][0]).done() and commit.exception() is None:
            seq = commits.popleft()[1]
        return seq

    # ---------------------------------------------------------------------------- one for the other

    async def _pause(self) -> None:
        """Wait for the other of reader and acknowledger. They never wait at once: one does while
        something is owing, the other while nothing is."""
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
