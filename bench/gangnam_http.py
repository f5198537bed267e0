"""HTTP/1.1 to one server as cheaply as Python can: keep-alive connections, one request on each at a time.

It knows what our server sends and no more: every answer has a Content-Length. A connection that is closed
fails its request; nothing is sent twice.
"""

import asyncio
from typing import NamedTuple, cast

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Answer(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiting: asyncio.Future[Answer] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self._buffer = buffer = self._buffer + data if self._buffer else data
        head = buffer.find(_END)
        if head < 0:
            return
        at = buffer.lower().find(_LENGTH, 0, head) + len(_LENGTH)
        length = int(buffer[at : buffer.find(b"\r", at)])
        end = head + len(_END) + length
        if len(buffer) < end or self.waiting is None:
            return
        answer = Answer(int(buffer[9:12]), buffer[end - length : end])
        self._buffer = buffer[end:]
        waiting, self.waiting = self.waiting, None
        if not waiting.done():
            waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(ConnectionError("the server closed the connection"))


class Pool:
    """As many connections as there are requests at once; `opened` says how many that were."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._free: list[_Connection] = []
        self.opened = 0
        self.requests = 0

    async def request(
        self, method: str, path: str, token: str, body: bytes = b"", headers: str = ""
    ) -> Answer:
        """Send, wait, answer. Raises ConnectionError, OSError."""
        connection = self._take() or await self._open()
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: {self._host}\r\nauthorization: Bearer {token}\r\n{headers}"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        assert connection.transport is not None
        connection.waiting = asyncio.get_running_loop().create_future()
        connection.transport.write(head.encode() + body)
        self.requests += 1
        answer = await connection.waiting
        self._free.append(connection)
        return answer

    def close(self) -> None:
        """All connections."""
        for connection in self._free:
            if connection.transport is not None:
                connection.transport.close()

    def _take(self) -> _Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.transport is not None:
                return connection
        return None

    async def _open(self) -> _Connection:
        self.opened += 1
        _, connection = await asyncio.get_running_loop().create_connection(
            _Connection, self._host, self._port
        )
        return connection
