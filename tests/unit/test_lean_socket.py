"""The WebSocket for ten thousands: what comes in pieces is heard whole, what is wrong ends it, silence is noticed."""

import asyncio
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from majung.clock import ManualClock
from majung.serve.http.lean_socket import MAX_FRAGMENTS, MAX_MESSAGE_BYTES, Keeper, LeanSocket, frame


class Wire(asyncio.Transport):
    """What was written, and how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.aborted = False
        self.reading = True

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        assert not self.closed, "uvloop raises then"
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Behind:
    """Hears everything."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bool]] = []
        self.wakes = self.ends = 0

    def heard(self, message: bytes, is_text: bool) -> None:
        self.messages.append((message, is_text))

    def writable(self) -> None:
        self.wakes += 1

    def lost(self) -> None:
        self.ends += 1


class Line:
    """A socket with all that is around it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.keeper = Keeper(40.0, 20.0, 30.0, self.clock.monotonic_s)
        self.wire, self.behind = Wire(), Behind()
        self.connections: set[object] = set()
        self.socket = LeanSocket(self.wire, self.keeper, self.behind)
        self.keeper.keep(self.socket, self.connections)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        asyncio.run(self.keeper.round())


def client(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    """A frame as a client sends it, by another implementation."""
    return Frame(opcode, data, fin).serialize(mask=True)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[tuple[bytes, bool]], bytes]:
    """Messages, and their bytes on the wire: in pieces, with pings and pongs between the pieces."""
    messages: list[tuple[bytes, bool]] = []
    wire = b""
    for _ in range(draw(st.integers(1, 6))):
        size = draw(st.sampled_from([0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000]))
        is_text = draw(st.booleans())
        message = random.Random(size).randbytes(size)
        messages.append((message, is_text))
        cuts = sorted(draw(st.lists(st.integers(0, size), max_size=3)))
        pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
        for number, piece in enumerate(pieces):
            kind = (Opcode.TEXT if is_text else Opcode.BINARY) if number == 0 else Opcode.CONT
            wire += client(kind, piece, fin=number == len(pieces) - 1)
            if draw(st.booleans()):
                wire += client(draw(st.sampled_from([Opcode.PING, Opcode.PONG])), b"alive")
    return messages, wire


@settings(max_examples=60, deadline=None)
@given(conversations(), st.integers(0, 2**32), st.sampled_from([1, 7, 1_000, 1 << 20]))
def test_what_comes_in_pieces_is_heard_whole(
    conversation: tuple[list[tuple[bytes, bool]], bytes], seed: int, most: int
) -> None:
    messages, wire = conversation
    if most == 1 and len(wire) > 5_000:
        most = 1_000  # a byte at a time would only take long
    line, rnd, at = Line(), random.Random(seed), 0
    while at < len(wire):
        size = rnd.randint(1, most)
        line.socket.data_received(wire[at : at + size])
        at += size
    assert line.behind.messages == messages
    assert line.wire.written == frame(b"alive", 10) * line.wire.written.count(b"alive")
    assert not line.wire.closed


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_what_is_sent_is_read_by_others(size: int) -> None:
    assert frame(b"x" * size) == Frame(Opcode.TEXT, b"x" * size).serialize(mask=False)


def close_code(line: Line) -> int:
    """Of the close frame that was written last."""
    assert line.wire.written[0] == 0x88, line.wire.written
    return int(struct.unpack("!H", line.wire.written[2:4])[0])


PIECE = client(Opcode.TEXT, b"x", fin=False)
WRONG = {
    "not masked": (Frame(Opcode.TEXT, b"hi").serialize(mask=False), 1002),
    "a reserved bit": (bytes([0xC1]) + client(Opcode.TEXT, b"hi")[1:], 1002),
    "an opcode that is none": (bytes([0x83]) + client(Opcode.TEXT, b"hi")[1:], 1002),
    "a control frame in pieces": (bytes([0x09]) + client(Opcode.PING, b"")[1:], 1002),
    "a long control frame": (bytes([0x89, 0xFE, 0, 126, 0, 0, 0, 0]) + b"x" * 126, 1002),
    "a piece of nothing": (client(Opcode.CONT, b"x"), 1002),
    "a message within a message": (PIECE + client(Opcode.TEXT, b"x"), 1002),
    "too big": (struct.pack("!BBQ", 0x81, 0xFF, MAX_MESSAGE_BYTES + 1), 1009),
    "too big in pieces": (
        PIECE + struct.pack("!BBQ", 0x80, 0xFF, MAX_MESSAGE_BYTES),
        1009,
    ),
    "too many pieces": (PIECE + client(Opcode.CONT, b"", fin=False) * MAX_FRAGMENTS, 1009),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_ends_the_connection(case: str) -> None:
    data, code = WRONG[case]
    line = Line()
    line.socket.data_received(data)
    assert close_code(line) == code
    assert line.wire.closed
    line.socket.data_received(client(Opcode.TEXT, b"hi"))
    assert line.behind.messages == []


def test_a_goodbye_of_the_client_is_answered() -> None:
    line = Line()
    line.socket.data_received(client(Opcode.CLOSE, struct.pack("!H", 1000) + b"bye"))
    assert close_code(line) == 1000
    assert line.wire.closed
    line.socket.send(frame(b"too late"))
    line.socket.close(1012)


def test_a_goodbye_of_ours_waits_for_its_answer() -> None:
    line = Line()
    line.socket.read(False)
    line.socket.close(4401, "the token has expired")
    assert close_code(line) == 4401
    assert line.wire.reading and not line.wire.closed
    line.socket.send(frame(b"too late"))
    line.socket.data_received(client(Opcode.TEXT, b"unheard"))
    assert line.behind.messages == [] and b"too late" not in line.wire.written
    line.socket.data_received(client(Opcode.CLOSE, struct.pack("!H", 4401)))
    assert line.wire.closed and not line.wire.aborted


def test_who_does_not_answer_a_goodbye_is_dropped() -> None:
    line = Line()
    line.socket.close(1000)
    line.pass_time(20.0)
    assert not line.wire.closed
    line.pass_time(1.0)
    assert line.wire.aborted


def test_silence_is_asked_and_ended() -> None:
    line = Line()
    line.pass_time(40.0)
    assert line.wire.written == b""
    line.pass_time(1.0)
    assert line.wire.written == frame(b"", 9)
    line.pass_time(10.0)
    assert line.wire.written == frame(b"", 9), "asked once"
    line.socket.data_received(client(Opcode.PONG, b""))
    line.pass_time(39.0)
    assert line.wire.written == frame(b"", 9)
    line.pass_time(2.0)
    assert line.wire.written == frame(b"", 9) * 2
    line.wire.written = b""
    line.pass_time(20.0)
    assert close_code(line) == 1011


def test_who_takes_nothing_is_dropped() -> None:
    line = Line()
    assert line.socket.send(b"x")
    line.socket.pause_writing()
    assert not line.socket.send(b"x")
    line.pass_time(30.0)
    line.socket.resume_writing()
    assert line.behind.wakes == 1
    line.socket.pause_writing()
    line.socket.data_received(client(Opcode.PING, b"no pong for who does not read"))
    assert b"no pong" not in line.wire.written
    line.pass_time(31.0)
    assert line.wire.aborted


def test_it_is_forgotten_when_it_is_lost() -> None:
    line = Line()
    assert line.connections == {line.socket} and len(line.keeper) == 1
    line.socket.connection_lost(None)
    assert not line.connections and len(line.keeper) == 0
    assert line.behind.ends == 1
    line.wire.closed = True
    line.socket.send(frame(b"an answer that comes too late"))
    line.socket.close(1012)


def test_the_end_of_the_server_ends_it() -> None:
    line = Line()
    line.socket.shutdown()
    assert close_code(line) == 1012
    assert line.wire.closed
