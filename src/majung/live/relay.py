"""Between servers: what one hub publishes, the others apply.

Fanout delivers at most once, so messages are numbered per sender. Who sees a gap knows that it missed
something and lets all its viewers start again with a snapshot: late, never silently wrong.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Self

import msgspec

from majung.ports import Fanout, PortError
from majung.positions.model import LivePosition
from majung.positions.triggers import RiderEvent

if TYPE_CHECKING:
    from majung.live.hub import Hub

CHANNEL = "live.v1"
MAX_WAITING_BYTES = 8_388_608
MAX_SENDERS = 1_000


class _Batch(msgspec.Struct):
    sender: str
    number: int
    positions: list[msgspec.Raw] = []
    gone: list[str] = []
    events: list[msgspec.Raw] = []


_decode = msgspec.json.Decoder(_Batch).decode
_decode_position = msgspec.json.Decoder(LivePosition).decode
_decode_event = msgspec.json.Decoder(RiderEvent).decode
_json = msgspec.json.Encoder().encode


class Relay:
    """Sends in the background; what waits is bounded, the oldest goes first (and leaves a gap)."""

    def __init__(self, fanout: Fanout, hub: "Hub") -> None:
        self._fanout = fanout
        self._hub = hub
        self._own = b'{"sender":"%b",' % hub.epoch.encode()
        self._number = 0
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._heard: dict[str, int] = {}
        self._some = asyncio.Event()
        self._leave: Callable[[], Awaitable[None]] | None = None
        self._sender: asyncio.Task[None] | None = None
        self.dropped = 0

    def positions(self, bodies: Sequence[bytes]) -> None:
        """Send positions as they were encoded."""
        self._put(b'"positions":[' + b",".join(bodies) + b"]}")

    def gone(self, rider_ids: Sequence[str]) -> None:
        """Send departures."""
        self._put(b'"gone":' + _json(rider_ids) + b"}")

    def events(self, bodies: Sequence[bytes]) -> None:
        """Send events as they were encoded."""
        self._put(b'"events":[' + b",".join(bodies) + b"]}")

    def _put(self, rest: bytes) -> None:
        self._number += 1
        if self._sender is None:
            return  # not running: nobody to tell yet, and the numbers say so to who is told later
        message = self._own + b'"number":%d,' % self._number + rest
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        while self._waiting_bytes > MAX_WAITING_BYTES:
            self._waiting_bytes -= len(self._waiting.popleft())
            self.dropped += 1
        self._some.set()

    def receive(self, message: bytes) -> None:
        """Apply what another server sent."""
        if message.startswith(self._own):
            return
        batch = _decode(message)
        last = self._heard.pop(batch.sender, None)
        self._heard[batch.sender] = batch.number
        if len(self._heard) > MAX_SENDERS:
            del self._heard[next(iter(self._heard))]  # the one that has been quiet for longest
        if last is not None and batch.number != last + 1:
            self._hub.resync_all()
        if batch.positions:
            self._hub.apply(
                [_decode_position(raw) for raw in batch.positions], [bytes(raw) for raw in batch.positions]
            )
        if batch.gone:
            self._hub.apply_gone(batch.gone)
        if batch.events:
            self._hub.apply_events(
                [_decode_event(raw) for raw in batch.events], [bytes(raw) for raw in batch.events]
            )

    def check(self) -> None:
        """Raises what ended the sending, if anything has."""
        if self._sender is not None and self._sender.done():
            self._sender.result()

    async def _send(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                message = self._waiting.popleft()
                self._waiting_bytes -= len(message)
                try:
                    await self._fanout.publish(CHANNEL, message)
                except PortError:
                    self.dropped += 1  # the gap in the numbers tells the others

    async def __aenter__(self) -> Self:
        self._leave = await self._fanout.subscribe(CHANNEL, self.receive)
        self._sender = asyncio.create_task(self._send(), name="live.relay")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
            self._sender = None
        if self._leave is not None:
            await self._leave()
