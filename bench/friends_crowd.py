"""Everybody's phone, in one lean process.

Sockets and epoll, no event loop: the phones share two cores with the server, so each frame may cost little. What
is not done here is said here: frames of the server are taken apart by their length alone; of a delivery only the
kind and the time are read, of every 16th person all of it. Our own frames are masked with zeros.

Open loop: each person sends at fixed times whatever the server does. `device_time_ms` of a position is when it
was due, and latency is from there to the moment when a friend's phone has read it, so a slow server (or a slow
generator) shows in the figures and does not slow the load down.
"""

import base64
import contextlib
import os
import random
import select
import socket
import struct
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from geographiclib.geodesic import Geodesic

from bench.friends_town import World, near, person_id, place

SESSION = f"s{time.time_ns()}"
SAMPLE = 16
AT_ONCE = 64
PER_ADDRESS = 20_000
OFF_BY_M = 8.0
NEAR = b'{"type":"near"'
ACK, DISTANCES = b'{"last_acked_seq"', b'{"type":"distances"'
TIME = b'"device_time_ms":'
_KEY = base64.b64encode(bytes(16)).decode()


class Plan(msgspec.Struct, frozen=True):
    """What to do, and with whom. `moving`: also report; else only connect, and wait for a right list."""

    host: str
    port: int
    world: str
    people: int
    seconds: float
    interval_s: float
    near_part: float
    server_pid: int
    moving: bool = True


def frame(payload: bytes, opcode: int = 0x81) -> bytes:
    """A masked frame whose mask is zero."""
    size = len(payload)
    head = struct.pack("!BB", opcode, 0x80 | size) if size < 126 else struct.pack("!BBH", opcode, 0xFE, size)
    return head + b"\0\0\0\0" + payload


class Phone:
    """One person."""

    __slots__ = ("acked", "buffer", "got", "known", "number", "open", "sent", "socket")

    def __init__(self, number: int, sock: socket.socket) -> None:
        self.number = number
        self.socket = sock
        self.buffer = b""
        self.open = False
        self.sent = 0
        self.acked = 0
        self.got = 0  # deliveries of positions that were due in the measured time
        self.known: set[str] | None = (
            None  # who is near, by what the server said; for who is looked at closely
        )


class Crowd:
    """All of them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.world = msgspec.msgpack.decode(Path(plan.world).read_bytes(), type=World)
        self.epoll = select.epoll()
        self.phones: dict[int, Phone] = {}
        self.by_number: list[Phone] = []
        self.waiting = 0
        self.failed: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.bytes = 0
        self.latencies_ms: Counter[int] = Counter()
        self.since_ms = 1 << 62
        self.late_ms = 0.0
        self.wrong: list[str] = []
        self.right = 0
        self.last_heard_s = 0.0
        self.complete_s: list[float] = []
        self.began_s = 0.0

    # ---------------------------------------------------------------------------------- connecting

    def connect(self) -> float:
        """Everybody, at most `AT_ONCE` handshakes at a time; the seconds it took."""
        self.began_s = time.monotonic()
        at_once = AT_ONCE if self.plan.moving else self.plan.people
        for number in range(self.plan.people):
            while self.waiting >= at_once:
                self.listen(1.0)
            self.dial(number)
            self.listen(0.0)
        while self.waiting:
            self.listen(1.0)
        return time.monotonic() - self.began_s

    def dial(self, number: int) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if number >= PER_ADDRESS:
            sock.bind((f"127.0.0.{1 + number // PER_ADDRESS}", 0))
        sock.connect((self.plan.host, self.plan.port))
        sock.setblocking(False)
        phone = Phone(number, sock)
        if number % SAMPLE == 0 or not self.plan.moving:
            phone.known = set()
        head = (
            f"GET /v1/friends/live HTTP/1.1\r\nhost: {self.plan.host}\r\nupgrade: websocket\r\n"
            f"connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: {_KEY}\r\n"
            f"authorization: Bearer {self.world.tokens[number]}\r\n\r\n"
        )
        sock.send(head.encode())
        self.phones[sock.fileno()] = phone
        self.by_number.append(phone)
        self.epoll.register(sock.fileno(), select.EPOLLIN)
        self.waiting += 1

    def accepted(self, phone: Phone) -> None:
        head, found, rest = phone.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        self.waiting -= 1
        if not head.startswith(b"HTTP/1.1 101"):
            self.failed[head[:30].decode("latin-1")] += 1
            self.hang_up(phone)
            return
        phone.open = True
        phone.buffer = rest
        if self.plan.moving:
            self.report(phone, time.time_ns() // 1_000_000)
        if rest:
            self.frames(phone, b"")

    def hang_up(self, phone: Phone) -> None:
        with contextlib.suppress(OSError):
            self.epoll.unregister(phone.socket.fileno())
        self.phones.pop(phone.socket.fileno(), None)
        phone.socket.close()
        phone.open = False

    # ------------------------------------------------------------------------------------ sending

    def report(self, phone: Phone, due_ms: int) -> None:
        """A step of a metre to and fro: the list stays the same, the distances change."""
        latitude, longitude = place(phone.number, self.world.online, self.plan.near_part)
        phone.sent += 1
        step = (phone.sent % 3) * 1e-5
        body = b'{"session_id":"%b","seq":%d,"latitude":%.6f,"longitude":%.6f,"device_time_ms":%d}' % (
            SESSION.encode(), phone.sent, latitude + step, longitude, due_ms)  # fmt: skip
        try:
            phone.socket.send(frame(body))
        except OSError as problem:
            self.failed[f"send: {problem.strerror}"] += 1
            self.hang_up(phone)

    # ---------------------------------------------------------------------------------- listening

    def listen(self, timeout_s: float) -> None:
        """Take what has come."""
        phones = self.phones
        for fd, _ in self.epoll.poll(timeout_s, 512):
            phone = phones[fd]
            try:
                data = os.read(fd, 16_384)
            except BlockingIOError:
                continue
            except OSError as problem:
                self.lost(phone, problem.strerror or str(problem))
                continue
            if not data:
                self.lost(phone, "closed by the server")
            elif phone.open:
                self.frames(phone, data)
            else:
                phone.buffer += data
                self.accepted(phone)

    def lost(self, phone: Phone, why: str) -> None:
        self.failed[why] += 1
        if not phone.open:
            self.waiting -= 1
        self.hang_up(phone)

    def frames(self, phone: Phone, data: bytes) -> None:
        """Each whole frame; the rest waits."""
        buffer = phone.buffer + data if phone.buffer else data
        self.bytes += len(data)
        at, end = 0, len(buffer)
        while end - at >= 2:
            size, head = buffer[at + 1], 2
            if size > 125:
                head = 4 if size == 126 else 10
                if end - at < head:
                    break
                size = int.from_bytes(buffer[at + 2 : at + head], "big")
            if end - at < head + size:
                break
            opcode = buffer[at] & 15
            payload = buffer[at + head : at + head + size]
            at += head + size
            if opcode == 1:
                self.message(phone, payload)
            elif opcode == 9:
                self.counts["ping"] += 1
                phone.socket.send(frame(payload, 0x8A))
            elif opcode == 8:
                self.failed[f"close {payload[:60]!r}"] += 1
        phone.buffer = buffer[at:] if at < end else b""

    def message(self, phone: Phone, payload: bytes) -> None:
        """Count it; a delivery is timed; of a sampled person everything is looked at."""
        if payload.startswith(NEAR):
            at = payload.find(TIME) + len(TIME)
            due_ms = int(payload[at : at + 13])
            if due_ms >= self.since_ms:
                phone.got += 1
                self.latencies_ms[time.time_ns() // 1_000_000 - due_ms] += 1
            self.counts["near"] += 1
        elif payload.startswith(ACK):
            phone.acked = int(payload[18:-1])
            self.counts["ack"] += 1
        else:
            self.counts[payload[9:24].decode("latin-1").split('"')[0]] += 1
        self.last_heard_s = time.monotonic()
        if phone.known is not None and not payload.startswith((ACK, DISTANCES)):
            self.look(phone, msgspec.json.decode(payload))

    def look(self, phone: Phone, message: dict[str, Any]) -> None:
        """The list that this person sees, kept by the grammar of docs/friends.md; who is in it must be right."""
        kind = message["type"]
        assert phone.known is not None
        if kind == "snapshot":
            told = message["near"]
            phone.known = set()
        elif kind == "near":
            told = [message["friend"]]
        else:
            told = []
            if kind == "left":
                phone.known.discard(message["person_id"])
        for one in told:
            phone.known.add(one["place"]["person_id"])
            self.check(phone, one)
        if not self.plan.moving and len(phone.known) == len(self.should(phone)):
            self.complete_s.append(time.monotonic() - self.began_s)

    def check(self, phone: Phone, told: dict[str, Any]) -> None:
        who = told["place"]["person_id"]
        allowed = self.should(phone)
        if who not in allowed:
            self.wrong.append(f"{person_id(phone.number)} was told of {who}")
        elif abs(told["distance_m"] - allowed[who]) > OFF_BY_M:
            self.wrong.append(f"{told['distance_m']} m to {who}, not {allowed[who]:.0f}")
        else:
            self.right += 1

    def circle(self, number: int) -> list[int]:
        """The friends within the radius who are there at all."""
        everybody = near(number, self.world.online, self.plan.near_part)
        return [friend for friend in everybody if friend < self.plan.people]

    def should(self, phone: Phone) -> dict[str, float]:
        """person_id → metres, of everybody within the radius."""
        key = phone.number
        if key not in _should:
            online, part = self.world.online, self.plan.near_part
            here = place(key, online, part)
            _should[key] = {
                person_id(friend): Geodesic.WGS84.Inverse(*here, *place(friend, online, part))["s12"]
                for friend in self.circle(key)
            }
        return _should[key]

    # --------------------------------------------------------------------------------- the phases

    def quiet(self, pause_s: float = 1.0, within_s: float = 60.0) -> float:
        """Listen until nothing has come for a while; the seconds it took."""
        began_s = self.last_heard_s = time.monotonic()
        while (now_s := time.monotonic()) - self.last_heard_s < pause_s and now_s - began_s < within_s:
            self.listen(0.1)
        return time.monotonic() - began_s

    def move(self) -> None:
        """Everybody reports once an interval, evenly spread, neighbours at different times."""
        plan, people = self.plan, len(self.by_number)
        order = list(range(people))
        random.Random(4).shuffle(order)
        begin_s, begin_ms = time.monotonic(), time.time_ns() // 1_000_000
        self.since_ms = begin_ms
        gap_s = plan.interval_s / people
        for turn in range(int(plan.seconds / gap_s)):
            due_s = turn * gap_s
            while (wait_s := begin_s + due_s - time.monotonic()) > 0:
                self.listen(wait_s)
            self.late_ms = max(self.late_ms, -wait_s * 1000)
            phone = self.by_number[order[turn % people]]
            if phone.open:
                self.report(phone, begin_ms + int(due_s * 1000))
            if turn % 4 == 0:
                self.listen(0.0)

    def drain(self, within_s: float = 10.0) -> None:
        """Listen until all that is due has come, and as long again as a surplus may take."""
        expected, until_s = self.due()[0], time.monotonic() + within_s
        while self.latencies_ms.total() < expected and time.monotonic() < until_s:
            self.listen(0.1)
        self.quiet(0.3, 2.0)

    def due(self) -> tuple[int, int, int]:
        """Deliveries that there should be, that are missing, and that are too many."""
        sent = [phone.sent - 1 for phone in self.by_number]
        expected = missing = surplus = 0
        for phone in self.by_number:
            should = sum(sent[friend] for friend in self.circle(phone.number))
            expected += should
            missing += max(0, should - phone.got)
            surplus += max(0, phone.got - should)
        return expected, missing, surplus


_should: dict[int, dict[str, float]] = {}
