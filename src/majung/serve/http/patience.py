"""Connections that cost more than they should: uvicorn's protocols, with an end to their patience.

Uvicorn bounds the pause between two requests and the pongs of a WebSocket. Bounded here as well, so that no
client holds a descriptor or memory for as long as it likes:

- a request that does not arrive (headers a byte a minute, a body without an end, nothing at all);
- what stands around its body: headers, trailers, the sizes of chunks;
- requests sent ahead of the answers to those before them;
- an answer, or WebSocket messages, that the client does not take;
- a WebSocket message in pieces without an end, and pings whose pongs are not read.

`Patience` has the numbers; uvicorn makes a protocol for each connection. What is left in the kernel when a
connection has been closed is bounded by `TCP_USER_TIMEOUT`, which the listener sets.
"""

import asyncio
from enum import Enum, auto

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from majung.serve.http.lean_socket import EXTENSION, Hears, Keeper, LeanSocket

MAX_HEAD_BYTES = 65_536
MAX_FRAGMENTS = 1_024
MAX_PIPELINED = 64

_BODY_FACTOR = 6
_STALL_FACTOR = 3
_PING_FACTOR = 2
SPARE_CONNECTIONS = 256
"""Who comes when there are too many is told so (503), as long as there are no more of those than this."""

_BAD = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Patience(msgspec.Struct, frozen=True):
    """How long a client may take, in seconds, and how many may be connected."""

    header_s: float
    max_connections: int

    @property
    def body_s(self) -> float:
        """From the end of the headers to the end of the body."""
        return self.header_s * _BODY_FACTOR

    @property
    def ping_s(self) -> float:
        """Between two pings of a WebSocket, and from a ping to its pong."""
        return self.header_s * _PING_FACTOR

    @property
    def stall_s(self) -> float:
        """For how long a client may take nothing of what is sent to it."""
        return self.header_s * _STALL_FACTOR


class _Phase(Enum):
    HEAD = auto()
    BODY = auto()
    WHOLE = auto()


class PatientHttp(HttpToolsProtocol):
    """One HTTP connection."""

    patience: Patience
    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _silent = True
    _around_body = 0
    _phase = _Phase.WHOLE
    _turn = 0  # counts the phases of all requests, so that each gets its own deadline
    _timed_turn = 0

    # ------------------------------------------------------------------------------ connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, unless there are too many already."""
        super().connection_made(transport)
        if len(self.connections) > self.patience.max_connections + SPARE_CONNECTIONS:
            transport.abort()
        else:
            self._wait_at_most(self.patience.header_s)

    def data_received(self, data: bytes) -> None:
        """Count what is not body, and see to it that a clock runs while a request is incomplete."""
        self._silent = False
        self._around_body += len(data)
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        if self._around_body > MAX_HEAD_BYTES:
            self._refuse(_TOO_LARGE)
        else:
            self._set_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._wait_at_most(None)
        self.resume_writing()
        super().connection_lost(exc)

    # --------------------------------------------------------------------------------- request

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._enter(_Phase.HEAD)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; a trailer, after the body, is of no use to anybody."""
        if self._phase is _Phase.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The body has its own time. A request that must wait for the answers before it costs memory."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests ahead of their answers")
        self._enter(_Phase.BODY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A chunk may have as much around it as in it."""
        self._around_body -= 2 * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there; from now on it is the server's time."""
        self._around_body = 0
        self._enter(_Phase.WHOLE)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What follows is no HTTP, or too much of it. An answer on its way must not be mixed with this one."""
        if self._answering():
            self.transport.close()
        else:
            super().send_400_response(msg)

    def handle_websocket_upgrade(self) -> None:
        """`PatientWebSocket` takes over."""
        self._wait_at_most(None)
        super().handle_websocket_upgrade()

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self._turn += 1

    def _set_clock(self) -> None:
        """After each piece that came: a request that came whole has cost no timer."""
        if self._turn != self._timed_turn:
            self._timed_turn = self._turn
            if self._phase is _Phase.WHOLE:
                self._wait_at_most(None)
            else:
                head = self._phase is _Phase.HEAD
                self._wait_at_most(self.patience.header_s if head else self.patience.body_s)
        elif self._deadline is None and self.timeout_keep_alive_task is None and not self._answering():
            # Bytes that begin no request (an empty line) have ended uvicorn's wait for the next one.
            self._wait_at_most(self.patience.header_s)

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    # ---------------------------------------------------------------------------------- answer

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(self.patience.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken nearly all."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    # ----------------------------------------------------------------------------------- clock

    def _wait_at_most(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if self._silent:  # a browser connects ahead of need: no request, so none that failed
            self.transport.close()
        else:
            self._refuse(_TIMEOUT)

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            if not (self._answering() and self.cycle.response_started):
                self.transport.write(answer)
            self.transport.close()


class _HandedOver:
    """In the place of a transport that is somebody else's now."""

    def close(self) -> None:
        """Its new owner does that."""

    def is_closing(self) -> bool:
        """For whoever had it."""
        return True


class PatientWebSocket(WebSocketsSansIOProtocol):
    """One WebSocket connection."""

    patience: Patience
    keeper: Keeper
    _stall: asyncio.TimerHandle | None = None

    def handle_connect(self, event: Request) -> None:
        """A handshake. Its handler may take the connection over when it has accepted (`lean_socket.take_over`)."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][EXTENSION] = {"take_over": self._hand_over}

    def _hand_over(self, behind: Hears) -> LeanSocket:
        """At once after `websocket.accept`: from then on all that is here may be forgotten."""
        self.stop_keepalive()
        self._no_stall()
        transport, self.transport = self.transport, _HandedOver()  # type: ignore[assignment]
        socket = LeanSocket(transport, self.keeper, behind)
        transport.set_protocol(socket)
        self.keeper.keep(socket, self.connections)
        self.connections.discard(self)
        if not self.queue.empty() or self.conn.reader.buffer:
            socket.close(1002, "nothing may be sent before the handshake is answered")
        return socket

    def data_received(self, data: bytes) -> None:
        """A handshake that cannot be read (a line too long, too many) is answered, and that is the end of it.

        uvicorn waits for a handshake that never comes, and fails on it when the server stops.
        """
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.handshake_complete = self.close_sent = True
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD)
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """The size of a message is bounded; so is the number of its pieces, which may be empty."""
        if len(self.frames) >= MAX_FRAGMENTS:
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Pongs for somebody who does not read are not kept for him."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(self.patience.stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken nearly all."""
        super().resume_writing()
        self._no_stall()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._no_stall()
        super().connection_lost(exc)

    def _no_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
