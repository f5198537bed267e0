"""Uvicorn in our event loop: our signals, a port known at once, and no patience for slow loris."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from majung.settings import ServerSettings

_BODY_PATIENCE = 6


class _ImpatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request does not arrive in time.

    Uvicorn limits only the pause between requests. A client that sends its headers a byte a minute
    would hold a connection (and a file descriptor) for ever.
    """

    header_timeout_s = 10.0
    _deadline: asyncio.TimerHandle | None = None

    def _wait_at_most(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
            self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_at_most(self.header_timeout_s)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._wait_at_most(self.header_timeout_s)

    def on_headers_complete(self) -> None:
        self._wait_at_most(self.header_timeout_s * _BODY_PATIENCE)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._wait_at_most(None)
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._wait_at_most(None)
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_at_most(None)
        super().connection_lost(exc)


class _Uvicorn(uvicorn.Server):
    """Leaves signals to whoever runs the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def split_address(address: str) -> tuple[str, int]:
    """`"127.0.0.1:8080"` or `"[::1]:8080"` → host and port. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{address!r} is not HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - ":8080" means every interface, as typed


class HttpListener:
    """Serves one ASGI application."""

    def __init__(self, app: Any, settings: ServerSettings, max_connections: int) -> None:
        protocol = type(
            "Protocol", (_ImpatientProtocol,), {"header_timeout_s": settings.header_timeout.total_seconds()}
        )
        self._settings = settings
        self._config = uvicorn.Config(
            app,
            loop="none",
            http=protocol,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=1_048_576,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            limit_concurrency=max_connections,
            backlog=4096,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=max(1, int(settings.drain_for.total_seconds())),
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
        self._server = _Uvicorn(self._config)
        self._task: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None
        self.port = 0

    async def start(self) -> None:
        """Bind and serve. Raises OSError saying which address could not be had."""
        host, port = split_address(self._settings.http)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as problem:
            sock.close()
            raise OSError(f"cannot listen for HTTP on {self._settings.http}: {problem.strerror}") from None
        sock.setblocking(False)
        self._socket = sock
        self.port = int(sock.getsockname()[1])
        self._task = asyncio.create_task(self._server.serve(sockets=[sock]), name="http")
        while not self._server.started and not self._task.done():
            await asyncio.sleep(0.005)
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Stop listening, let open requests finish (at most `server.drain_for`)."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
            self._task = None
