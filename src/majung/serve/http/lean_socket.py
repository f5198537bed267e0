"""A WebSocket after its handshake (RFC 6455), for a stream that tens of thousands hold open at once.

The framework does the handshake: path, credential, refusals, one set of rules. Then it hands the connection over
(`take_over`), and goes: what is left of it is one object, no task, no queue and no timer of its own. A message
costs its system call and little more; the numbers are in `docs/decisions/0010-friends-speed.md`.

What the other end may do is bounded here as in `patience`: the size of a message and the number of its pieces,
how long it takes nothing of what it is sent, and how long it is silent (`Keeper`).
"""

import asyncio
import struct
from collections.abc import Callable, MutableSet
from typing import Any, Protocol, cast

from websockets.speedups import apply_mask

EXTENSION = "majung"
MAX_MESSAGE_BYTES = 1_048_576
MAX_FRAGMENTS = 1_024

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_PROTOCOL_ERROR, _TOO_BIG = 1002, 1009
_FIN, _MASKED, _RESERVED = 0x80, 0x80, 0x70
_KEY_BYTES = 4
_TIMEOUT = 1011


class Hears(Protocol):
    """What stands behind a socket."""

    def heard(self, message: bytes, is_text: bool) -> None:
        """A whole message."""
        ...

    def writable(self) -> None:
        """The other end has taken nearly everything, after `LeanSocket.send` had said that it does not."""
        ...

    def lost(self) -> None:
        """The connection is gone. Called once."""
        ...


def take_over(scope: Any, behind: Hears) -> "LeanSocket":
    """The connection of this ASGI scope, whose handshake the handler has accepted this moment."""
    return cast(LeanSocket, scope["extensions"][EXTENSION]["take_over"](behind))


class _Ended(Exception):
    """What came is no WebSocket frame, or too much: the close code."""


def frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """A whole message of the server's."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", _FIN | opcode, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", _FIN | opcode, 126, size) + payload
    return struct.pack("!BBQ", _FIN | opcode, 127, size) + payload


class LeanSocket(asyncio.Protocol):
    """One connection. `heard_s`, `stalled_s` and `closed_s` (when we said goodbye) are for the keeper."""

    __slots__ = ("_behind", "_buffer", "_keeper", "_opcode", "_pieces", "_size", "_transport",
                 "closed_s", "full", "heard_s", "pinged", "stalled_s")  # fmt: skip

    def __init__(self, transport: asyncio.Transport, keeper: "Keeper", behind: Hears) -> None:
        self._transport = transport
        self._keeper = keeper
        self._behind: Hears | None = behind
        self._buffer = b""
        self._pieces: list[bytes] | None = None
        self._size = 0
        self._opcode = _TEXT
        self.closed_s: float | None = None
        self.full = False
        self.heard_s = keeper.now_s
        self.stalled_s: float | None = None
        self.pinged = False

    # ------------------------------------------------------------------------------------- sending

    def send(self, frames: bytes) -> bool:
        """Frames (`frame`), to be sent at once; False: no more until `Hears.writable`."""
        if self.closed_s is None:
            self._transport.write(frames)
        return not self.full

    def close(self, code: int, reason: str = "") -> None:
        """Say why, and end when the other end has heard it; `Hears.lost` follows."""
        if self.closed_s is None:
            said = reason.encode()[:123].decode(errors="ignore").encode()
            self._transport.write(frame(struct.pack("!H", code) + said, _CLOSE))
            self.read(True)
            self.closed_s = self._keeper.now_s

    def abort(self) -> None:
        """End now, whatever waits to be sent."""
        self.closed_s = self._keeper.now_s
        self._transport.abort()

    def shutdown(self) -> None:
        """uvicorn's word for: the server stops."""
        self.close(1012, "the server restarts")
        self._end()

    def _end(self) -> None:
        """Nothing is sent any more but what was."""
        if self.closed_s is None:
            self.closed_s = self._keeper.now_s
        self._transport.close()

    def read(self, on: bool) -> None:
        """Whether to read on: not reading holds the other end back."""
        if (
            self.closed_s is None
            and not self._transport.is_closing()
            and on is not self._transport.is_reading()
        ):
            (self._transport.resume_reading if on else self._transport.pause_reading)()

    # ----------------------------------------------------------------------------- of the transport

    def pause_writing(self) -> None:
        """The other end takes less than it is sent."""
        self.full = True
        self.stalled_s = self._keeper.now_s

    def resume_writing(self) -> None:
        """It has taken nearly all."""
        self.full = False
        self.stalled_s = None
        if self._behind is not None and self.closed_s is None:
            self._behind.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything."""
        self.closed_s = self._keeper.now_s
        self._keeper.forget(self)
        self.closed_s = self._keeper.now_s  # nothing is written any more: uvloop raises on a closed transport
        self._buffer, self._pieces = b"", None
        behind, self._behind = self._behind, None
        if behind is not None:
            behind.lost()

    def data_received(self, data: bytes) -> None:
        """Take whole frames out of what has come."""
        self.heard_s = self._keeper.now_s
        self.pinged = False
        buffer = self._buffer + data if self._buffer else data
        at = 0
        try:
            while taken := self._take(buffer, at):
                at += taken
        except _Ended as ended:
            self.close(*ended.args)
            self._end()
        self._buffer = b"" if self._transport.is_closing() else buffer[at:]

    def _take(self, buffer: bytes, at: int) -> int:
        """One frame at `at`: how long it is; 0: it has not come whole."""
        available = len(buffer) - at
        if available < 2 or self._transport.is_closing():
            return 0
        first, second = buffer[at], buffer[at + 1]
        size, head = second & 0x7F, 2
        if first & _RESERVED or not second & _MASKED:
            raise _Ended(_PROTOCOL_ERROR, "no frame of this protocol")
        if first & 8 and (size > 125 or not first & _FIN):
            raise _Ended(_PROTOCOL_ERROR, "a control frame in pieces")
        if size > 125:
            head = 4 if size == 126 else 10
            if available < head:
                return 0
            size = int.from_bytes(buffer[at + 2 : at + head], "big")
        if self._size + size > MAX_MESSAGE_BYTES:
            raise _Ended(_TOO_BIG, "the message is too big")
        whole = head + _KEY_BYTES + size
        if available < whole:
            return 0
        start = at + head + _KEY_BYTES
        self._frame(first, apply_mask(buffer[start : start + size], buffer[start - _KEY_BYTES : start]))
        return whole

    def _frame(self, first: int, payload: bytes) -> None:
        opcode, last = first & 15, bool(first & _FIN)
        if opcode in (_TEXT, _BINARY) and self._pieces is None:
            if last:
                self._message(payload, opcode)
            else:
                self._pieces, self._size, self._opcode = [payload], len(payload), opcode
        elif opcode == _CONTINUATION and self._pieces is not None:
            if len(self._pieces) >= MAX_FRAGMENTS:
                raise _Ended(_TOO_BIG, "too many fragments")
            self._pieces.append(payload)
            self._size += len(payload)
            if last:
                whole, self._pieces, self._size = b"".join(self._pieces), None, 0
                self._message(whole, self._opcode)
        elif opcode == _PING:
            if not self.full:  # pongs for somebody who does not read are not kept for him
                self.send(frame(payload, _PONG))
        elif opcode == _CLOSE:
            self.send(frame(payload[:2], _CLOSE))
            self._end()
        elif opcode != _PONG:
            raise _Ended(_PROTOCOL_ERROR, "not the frame that should follow")

    def _message(self, payload: bytes, opcode: int) -> None:
        if self._behind is not None and self.closed_s is None:
            self._behind.heard(payload, opcode == _TEXT)


class Keeper:
    """Looks after all lean sockets of a server: who is silent is asked, who does not answer or read is dropped.

    Its clock is as old as its last round, `EVERY_S`: nothing here needs it better, and it costs nothing.
    """

    EVERY_S = 2.0
    CHUNK = 1_000

    def __init__(
        self, silent_s: float, pong_s: float, stall_s: float, monotonic_s: Callable[[], float]
    ) -> None:
        """Seconds of silence before a ping; from there to the end; of taking nothing."""
        self._silent_s, self._pong_s, self._stall_s = silent_s, pong_s, stall_s
        self._monotonic_s = monotonic_s
        self._sockets: dict[LeanSocket, MutableSet[Any]] = {}
        self.now_s = monotonic_s()

    def __len__(self) -> int:
        return len(self._sockets)

    def keep(self, socket: LeanSocket, connections: MutableSet[Any]) -> None:
        """From now on; uvicorn's set of connections knows it as well, for its bounds and its end."""
        self._sockets[socket] = connections
        connections.add(socket)

    def forget(self, socket: LeanSocket) -> None:
        """It is gone."""
        connections = self._sockets.pop(socket, None)
        if connections is not None:
            connections.discard(socket)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self.EVERY_S)
            await self.round()

    async def round(self) -> None:
        """Look at everybody once."""
        self.now_s = now_s = self._monotonic_s()
        for number, socket in enumerate(list(self._sockets), 1):
            silent_s = now_s - socket.heard_s
            if _over(socket.stalled_s, now_s, self._stall_s) or _over(socket.closed_s, now_s, self._pong_s):
                socket.abort()
            elif silent_s > self._silent_s + self._pong_s:
                socket.close(_TIMEOUT, "keepalive ping timeout")
            elif silent_s > self._silent_s and not socket.pinged:
                socket.pinged = True
                socket.send(frame(b"", _PING))
            if number % self.CHUNK == 0:
                await asyncio.sleep(0)


def _over(since_s: float | None, now_s: float, bound_s: float) -> bool:
    return since_s is not None and now_s - since_s > bound_s
