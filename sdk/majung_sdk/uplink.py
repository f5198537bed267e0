"""One rider's stream: sends what its source holds, listens for acknowledgements, connects again.

The server acknowledges within a call in the order in which positions were sent. So `_sent` keeps that
order, and an acknowledgement of seq X settles everything that was sent up to X, whatever the numbers.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import grpc
import grpc.aio

from majung_sdk.channels import Connection
from majung_sdk.codec import decode_ack
from majung_sdk.pending import Pending, as_ranges
from majung_sdk.retry import Problem, Retry, is_refusal
from majung_sdk.totals import Totals

Token = str | Callable[[], str]

_OFFLINE = Problem("CANCELLED", "there is no reception")


class Source(Protocol):
    """Where an uplink's positions lie until they are acknowledged."""

    async def page(self, first: int, last: int) -> Sequence[tuple[int, bytes]]:
        """The positions `first`…`last` that are held, ascending, as wire bytes."""
        ...

    def settle(self, first: int, last: int) -> None:
        """The server has made these durable: they need not be held any longer."""
        ...


class Uplink:
    """Sends one session of one rider. Runs as one task beside a sender task for each call."""

    def __init__(
        self,
        source: Source,
        connection: Connection,
        token: Token,
        *,
        window: int = 256,
        newest_first: bool = True,
        retry: Retry | None = None,
        totals: Totals | None = None,
        on_acked: Callable[[Sequence[int]], None] | None = None,
        on_problem: Callable[[Problem], None] | None = None,
    ) -> None:
        """`window`: how many positions may be on their way unacknowledged.

        `newest_first` False keeps strict ascending order (a replay); see `pending` for the rule.
        `on_acked` gets the seqs of each acknowledgement; `on_problem` every failed call. Both are
        called on the event loop and must be quick.
        """
        self._source = source
        self._connection = connection
        self._token = token
        self._window = window
        self._overtake_past = window if newest_first else None
        self._retry = retry or Retry()
        self._totals = totals or Totals()
        self._on_acked = on_acked
        self._on_problem = on_problem
        self._pending = Pending()
        self._fresh: dict[int, bytes] = {}
        self._sent: deque[tuple[int, float]] = deque()
        self._sent_set: set[int] = set()
        self._call: grpc.aio.StreamStreamCall[bytes, bytes] | None = None
        self._generation = 0
        self._task: asyncio.Task[None] | None = None
        self._taken = (1, 0)
        self._moved = asyncio.Event()
        self._kick = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._online = True
        self._acked = 0
        self._failures = 0
        self._heard_s = 0.0
        self._cut: Problem | None = None
        self._lose_acks = 0
        self.connected = False

    def __len__(self) -> int:
        """How many positions are durable here and not acknowledged yet."""
        return len(self._pending) + len(self._sent) + self._taken[1] - self._taken[0] + 1

    @property
    def in_flight(self) -> int:
        """How many positions were sent and not acknowledged yet."""
        return len(self._sent)

    @property
    def online(self) -> bool:
        """Whether it may use the network. Set it when the system says that there is (no) reception."""
        return self._online

    @online.setter
    def online(self, value: bool) -> None:
        if value != self._online:
            self._online = value
            self._failures = 0
            self._kick.set()
            self._moved.set()
            if not value and self._call is not None:
                self._cut = _OFFLINE
                self._call.cancel()

    def start(self) -> None:
        """Begin to send, in the background, until `close`."""
        self._task = asyncio.create_task(self._run(), name="majung-uplink")

    def hold(self, first: int, last: int) -> None:
        """The source holds `first`…`last`: send them."""
        self._pending.add(first, last)
        self._empty.clear()
        self._moved.set()

    def ready(self, seq: int, payload: bytes) -> None:
        """The source holds `seq`, whose bytes are at hand: send it, without reading it again."""
        if len(self._fresh) < self._window:
            self._fresh[seq] = payload
        self.hold(seq, seq)

    def drop_oldest(self, count: int) -> None:
        """Give up the oldest positions that are not on their way (the buffer is full)."""
        first, last = self._pending.take_oldest(count)
        for seq in range(first, last + 1):
            self._fresh.pop(seq, None)
        self._totals.dropped += last - first + 1
        self._source.settle(first, last)

    def lose_next_ack(self) -> None:
        """Behave as if the next acknowledgement were lost on the way: what it covers is sent again.

        The simulator uses it to make a server prove that a repeated position changes nothing.
        """
        self._lose_acks += 1

    async def drained(self) -> None:
        """Return when everything held has been acknowledged."""
        await self._empty.wait()

    async def close(self) -> None:
        """Stop sending. What is not acknowledged stays in the source."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def check_silence(self, now_s: float) -> None:
        """End the call when its oldest position has waited for the acknowledgement for too long."""
        call = self._call
        if call is None or not self._sent:
            return
        since_s = max(self._sent[0][1], self._heard_s)
        if now_s - since_s > self._retry.ack_timeout_s:
            self._cut = Problem("DEADLINE_EXCEEDED", f"no acknowledgement for {now_s - since_s:.0f} s")
            call.cancel()
            await self._connection.silent(self._generation, since_s)

    async def _run(self) -> None:
        while True:
            while not (self._online and len(self._pending)):
                self._moved.clear()
                await self._moved.wait()
            acked_before = self._acked
            problem = await self._one_call()
            self._put_back()
            if problem is _OFFLINE:
                continue
            self._totals.failed_calls += 1
            self._failures = 1 if self._acked > acked_before else self._failures + 1
            self._tell(problem)
            if problem.code == "UNAVAILABLE":
                await self._connection.failed(self._generation)
            await self._pause(self._retry.pause_s(self._failures, problem.permanent))

    def _tell(self, problem: Problem) -> None:
        if self._on_problem is None:
            return
        try:
            self._on_problem(problem)
        except Exception as error:  # the app's own code must not stop the stream
            asyncio.get_running_loop().call_exception_handler(
                {"message": "on_problem failed", "exception": error}
            )

    async def _pause(self, seconds: float) -> None:
        self._kick.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._kick.wait()
        except TimeoutError:
            return

    async def _one_call(self) -> Problem:
        try:
            token = self._token if isinstance(self._token, str) else self._token()
        except Exception as error:  # the app's own code
            return Problem("UNAUTHENTICATED", f"no token: {error!r}")
        call = self._call = self._connection.call(token)
        self._generation = self._connection.generation
        self._cut = None
        self._totals.calls += 1
        sender = asyncio.create_task(self._send(call), name="majung-sender")
        try:
            return await self._listen(call)
        except Exception as error:  # of `on_acked`, or bytes that are no StreamAck
            return Problem("INTERNAL", repr(error))
        finally:
            self._call = None
            self._totals.connected -= self.connected
            self.connected = False
            call.cancel()
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send(self, call: "grpc.aio.StreamStreamCall[bytes, bytes]") -> None:
        try:
            while True:
                # One position until the first acknowledgement: a server that refuses costs no more, and
                # its reason is read (gRPC hides the status of a call behind a write that comes too late).
                room = (self._window if self.connected else 1) - len(self._sent)
                if room <= 0 or not len(self._pending):
                    self._moved.clear()
                    await self._moved.wait()
                    continue
                self._taken = self._pending.next(room, self._overtake_past)
                for seq, payload in await self._payloads(*self._taken):
                    self._taken = (seq + 1, self._taken[1])
                    self._sent.append((seq, time.monotonic()))
                    self._sent_set.add(seq)
                    self._totals.sent += 1
                    await call.write(payload)
                self._taken = (1, 0)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the call is over; the listener gets its status
        except Exception as error:
            self._cut = Problem("BUFFER", f"cannot read what was buffered: {error!r}")
            call.cancel()

    async def _payloads(self, first: int, last: int) -> Sequence[tuple[int, bytes]]:
        fresh = self._fresh
        if first not in fresh:
            for seq in range(first, last + 1):
                fresh.pop(seq, None)
            return await self._source.page(first, last)
        payloads: list[tuple[int, bytes]] = []
        for seq in range(first, last + 1):
            payload = fresh.pop(seq, None)
            if payload is None:
                payloads.extend(await self._source.page(seq, last))
                break
            payloads.append((seq, payload))
        return payloads

    async def _listen(self, call: "grpc.aio.StreamStreamCall[bytes, bytes]") -> Problem:
        try:
            while (raw := await call.read()) is not grpc.aio.EOF:
                self._acknowledged(decode_ack(raw))
        except grpc.aio.AioRpcError as error:
            return self._cut or _problem(error)
        except asyncio.CancelledError:
            # A call that was cancelled here raises the same as a task that is cancelled.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return self._cut or Problem("CANCELLED", "the connection was given up")
        return Problem("UNAVAILABLE", "the server ended the call")

    def _acknowledged(self, seq: int) -> None:
        now_s = time.monotonic()
        self._heard_s = self._connection.last_ack_s = now_s
        if not self.connected:
            self.connected = True
            self._totals.connected += 1
        if seq not in self._sent_set:
            return
        seqs: list[int] = []
        while not seqs or seqs[-1] != seq:
            one, sent_s = self._sent.popleft()
            self._sent_set.discard(one)
            self._totals.ack_ms.add((now_s - sent_s) * 1000)
            seqs.append(one)
        self._moved.set()
        if self._lose_acks:
            self._lose_acks -= 1
            self._pending.put_back(seqs)
            return
        self._settled(seqs)

    def _settled(self, seqs: list[int]) -> None:
        self._acked += len(seqs)
        self._totals.acked += len(seqs)
        for first, last in as_ranges(seqs):
            self._source.settle(first, last)
        if self._on_acked is not None:
            self._on_acked(seqs)
        if not len(self):
            self._empty.set()

    def _put_back(self) -> None:
        self._pending.put_back([*(seq for seq, _ in self._sent), *range(self._taken[0], self._taken[1] + 1)])
        self._taken = (1, 0)
        self._sent.clear()
        self._sent_set.clear()


def _problem(error: grpc.aio.AioRpcError) -> Problem:
    code, detail = error.code().name, error.details() or ""
    if detail == "Internal error from Core":  # what grpc.aio says when a write met a call that had ended
        code, detail = "UNAVAILABLE", "the connection broke"
    return Problem(code, detail, is_refusal(code))
