"""A Redis of our own for a benchmark, and bare RESP over sockets.

With redis-py, redis-py would be what is measured (`friends_parts.client_library`). So commands are joined by
hand, and subscribers only count bytes; what a client costs is measured apart, from the bytes they got.
"""

import contextlib
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.server import free_port

_PONG = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
_START_WITHIN_S = 60.0
_AT_ONCE = 500


def redis_server() -> str:
    """The path of the program; raises LookupError where there is none."""
    found = shutil.which("redis-server") or shutil.which("redis-server", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise LookupError("redis-server is missing (Debian: apt install redis-server)")
    return found


@contextlib.contextmanager
def redis(program: str) -> Iterator[int]:
    """A Redis on loopback that keeps nothing; its port. It ends with the block."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="majung-redis-") as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        command += ["--appendonly", "no", "--client-output-buffer-limit", "pubsub", "0", "0", "0"]
        with Path(folder, "redis.log").open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            _wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("redis-server did not start") from None
            time.sleep(0.02)


def command(*parts: bytes) -> bytes:
    """A command as Redis reads it."""
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


def many(name: bytes, arguments: Sequence[bytes], at_once: int = _AT_ONCE) -> Iterator[bytes]:
    """One command with many arguments, in portions."""
    for start in range(0, len(arguments), at_once):
        yield command(name, *arguments[start : start + at_once])


class Connection:
    """A connection that sends commands and reads replies in order."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._at = 0

    def ask(self, commands: Sequence[bytes]) -> list[Any]:
        """Send commands in one go; their replies."""
        self._socket.sendall(b"".join(commands))
        return [self._reply() for _ in commands]

    def info(self, section: str) -> dict[str, str]:
        """A section of INFO."""
        [text] = self.ask([command(b"INFO", section.encode())])
        lines = text.decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def close(self) -> None:
        self._socket.close()

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n", self._at)) < 0:
            self._more()
        line, self._at = self._buffer[self._at : end], end + 2
        return line

    def _more(self) -> None:
        got = self._socket.recv(1 << 20)
        if not got:
            raise ConnectionError("Redis has closed the connection")
        self._buffer, self._at = self._buffer[self._at :] + got, 0

    def _reply(self) -> Any:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        if kind == b"$":
            size = int(rest)
            while len(self._buffer) - self._at < size + 2:
                self._more()
            start, self._at = self._at, self._at + size + 2
            return self._buffer[start : start + size]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return rest


class Subscribers:
    """One subscribed connection for each server. They count what comes; the first keeps a part of it."""

    def __init__(self, port: int, servers: int, keep_bytes: int = 8 << 20) -> None:
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(servers)]
        self._selector = selectors.DefaultSelector()
        self._into = bytearray(1 << 20)
        self._keep_bytes = keep_bytes
        self.kept = bytearray()
        self.keeping = False
        self.bytes = 0
        for number, one in enumerate(self._sockets):
            self._selector.register(one, selectors.EVENT_READ, number)
        for number in range(servers):  # so that PING is answered in the way of subscribers from now on
            self.send(number, [command(b"SUBSCRIBE", b"start")])

    def send(self, server: int, commands: Iterable[bytes]) -> None:
        """Send commands, each after the replies of the one before it have been read."""
        one = self._sockets[server]
        for data in commands:
            one.sendall(data + command(b"PING"))
            tail = b""
            while not tail.endswith(_PONG):
                tail = (tail + one.recv(1 << 20))[-len(_PONG) :]

    def start_counting(self) -> None:
        """Count and keep from here."""
        self.bytes, self.keeping, self.kept = 0, True, bytearray()

    def drain(self) -> None:
        """Read what is there."""
        while ready := self._selector.select(timeout=0):
            for key, _ in ready:
                self._read(key.fd, key.data)

    def settle(self) -> None:
        """Read everything that was sent before now: each connection is asked for an answer behind it."""
        for number, one in enumerate(self._sockets):
            one.sendall(command(b"PING"))
            tail = b""
            while not tail.endswith(_PONG):
                tail = (tail + self._read(one.fileno(), number))[-len(_PONG) :]
            self.bytes -= len(_PONG)

    def close(self) -> None:
        self._selector.close()
        for one in self._sockets:
            one.close()

    def _read(self, fd: int, number: int) -> bytes:
        size = self._sockets[number].recv_into(self._into)
        if not size:
            raise ConnectionError("Redis has closed a subscriber")
        self.bytes += size
        if number == 0 and self.keeping and len(self.kept) < self._keep_bytes:
            self.kept += self._into[:size]
        return bytes(self._into[max(0, size - len(_PONG)) : size])


def messages(data: bytes) -> Iterator[bytes]:
    """The payloads in what a subscriber got (the last one may be cut: it is left out)."""
    at, end = 0, len(data)
    while at < end:
        line = data.find(b"\r\n$", at + 5)  # past "*3" and the name of the push: the channel
        line = data.find(b"\r\n$", line + 3)  # the payload
        stop = data.find(b"\r\n", line + 3)
        if line < 0 or stop < 0:
            return
        size = int(data[line + 3 : stop])
        at = stop + 2 + size + 2
        if at > end:
            return
        yield data[stop + 2 : at - 2]


class Usage:
    """CPU microseconds of Redis, and its memory, since the last look."""

    def __init__(self, control: Connection) -> None:
        self._control = control
        self._cpu_us = self._now_us()
        self._bytes = self._memory()

    def _now_us(self) -> float:
        info = self._control.info("cpu")
        return 1e6 * (float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"]))

    def _memory(self) -> int:
        return int(self._control.info("memory")["used_memory"])

    def cpu_us(self) -> float:
        before, self._cpu_us = self._cpu_us, self._now_us()
        return self._cpu_us - before

    def grown_bytes(self) -> int:
        before, self._bytes = self._bytes, self._memory()
        return self._bytes - before
