"""HTTP/1.1 to one server, cheaply: keep-alive connections that all simulated people share.

Each request carries the credential of who asks. `Client.call` is what a good client does: it waits as long as
the server says (429, 503), tries again after a lost connection, and hands every other refusal to who asked.
"""

import asyncio
import random
import ssl
from collections import Counter
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import msgspec

WITHIN_S = 30.0
_TRIES = 30
_LONGEST_PAUSE_S = 20.0
_PASSING = frozenset({429, 502, 503, 504, 507})


class Answer(msgspec.Struct, frozen=True):
    """What came back. `retry_after_s` is 0 when nothing was said of it."""

    status: int
    body: bytes
    retry_after_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """The body; {} when it is no JSON object."""
        try:
            found = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def refusal(self) -> str:
        """The `type` of the problem details, such as `order-conflict`; "" when it was done."""
        return "" if self.ok else str(self.json().get("type", self.status))


class _Connection(asyncio.Protocol):
    """One connection; one request at a time. The callbacks in the middle are httptools'."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiting: asyncio.Future[Answer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._retry_after_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods alone

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as problem:
            self._fail(ConnectionError(f"not HTTP: {problem}"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._fail(ConnectionError("the server closed the connection"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after" and value.strip().isdigit():
            self._retry_after_s = float(value)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        answer = Answer(self._parser.get_status_code(), bytes(self._body), self._retry_after_s)
        self._body.clear()
        self._retry_after_s = 0.0
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        if not self._parser.should_keep_alive():
            self.close()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()
            self.transport = None

    def _fail(self, problem: Exception) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(problem)


class Client:
    """All requests of a simulation. Belongs to one event loop; `close` it at the end."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None, at_once: int = 32) -> None:
        """`url` is http://HOST:PORT or https://HOST:PORT. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address: http://HOST:PORT")
        secure = parts.scheme == "https"
        self.tls = (tls or ssl.create_default_context()) if secure else None
        self.host, self.port = parts.hostname, parts.port or (443 if secure else 80)
        self.requests = 0
        self.waited: Counter[str] = Counter()  # how often it had to wait, by why
        self._at_once = asyncio.Semaphore(at_once)
        self._free: list[_Connection] = []
        self._random = random.Random(f"{url}")  # noqa: S311 - pauses

    async def call(
        self, method: str, path: str, token: str, body: Any = None, headers: str = "", tries: int = _TRIES
    ) -> Answer:
        """Ask until there is an answer that waiting would not change. Raises ConnectionError at last.

        `body` is sent as JSON, bytes as they are. `headers` are whole lines, each with its end. After a lost
        connection it is asked again, so that a command may have been done already: then the answer is a
        conflict that shows the thing as it is.
        """
        content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        head = self._head(method, path, token, len(content), headers)
        for number in range(1, tries + 1):
            try:
                answer = await self._once(head + content)
                if answer.status not in _PASSING or number == tries:
                    return answer
                why = str(answer.status)
            except (OSError, TimeoutError) as problem:
                if number == tries:
                    raise ConnectionError(str(problem) or "no answer in time") from problem
                why, answer = "connection", Answer(0, b"")
            self.waited[why] += 1
            pause_s = min(_LONGEST_PAUSE_S, 0.2 * 2**number) * (0.5 + 0.5 * self._random.random())
            await asyncio.sleep(max(pause_s, answer.retry_after_s * (1 + 0.2 * self._random.random())))
        raise AssertionError("unreachable")

    def _head(self, method: str, path: str, token: str, length: int, headers: str) -> bytes:
        bearer = f"authorization: Bearer {token}\r\n" if token else ""
        kind = "" if "content-type" in headers else "content-type: application/json\r\n"
        return (
            f"{method} {path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n{bearer}{headers}{kind}"
            f"content-length: {length}\r\n\r\n"
        ).encode()

    async def _once(self, request: bytes) -> Answer:
        async with self._at_once, asyncio.timeout(WITHIN_S):
            connection = self._take() or await self._open()
            if connection.transport is None:
                raise ConnectionError("the server closed the connection")
            waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            connection.waiting = waiting
            self.requests += 1
            connection.transport.write(request)
            try:
                answer = await waiting
            except BaseException:
                connection.close()  # what comes later must not answer another request
                raise
            if connection.transport is not None:
                self._free.append(connection)
            return answer

    def _take(self) -> _Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                return connection
        return None

    async def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(_Connection, self.host, self.port, ssl=self.tls)
        return made

    def close(self) -> None:
        """Close every connection."""
        for connection in self._free:
            connection.close()
        self._free.clear()
