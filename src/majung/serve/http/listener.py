"""Uvicorn in our event loop: our signals, a port known at once, and the patience of `patience`."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, cast

import uvicorn

from majung.serve.descriptors import connection_bound
from majung.serve.http.lean_socket import Keeper
from majung.serve.http.patience import Patience, PatientHttp, PatientWebSocket
from majung.settings import ServerSettings


class _Uvicorn(uvicorn.Server):
    """Leaves signals to whoever runs the process, and bounds the TLS handshake."""

    def __init__(self, config: uvicorn.Config, handshake_s: float) -> None:
        super().__init__(config)
        self._handshake_s = handshake_s

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on the one socket given."""
        config = self.config
        await self.lifespan.startup()

        def protocol() -> asyncio.Protocol:
            kind = cast(type[PatientHttp], config.http_protocol_class)
            return kind(config, self.server_state, app_state={})

        [sock] = sockets or []
        server = await asyncio.get_running_loop().create_server(
            protocol,
            sock=sock,
            ssl=config.ssl,
            ssl_handshake_timeout=self._handshake_s if config.ssl else None,
            backlog=config.backlog,
        )
        self.servers = [server]
        self.started = True


def split_address(address: str) -> tuple[str, int]:
    """`"127.0.0.1:8080"` or `"[::1]:8080"` → host and port. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{address!r} is not HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - ":8080" means every interface, as typed


class HttpListener:
    """Serves one ASGI application."""

    def __init__(self, app: Any, settings: ServerSettings, max_connections: int) -> None:
        bound = connection_bound("http", max_connections, settings.max_streams)
        patience = Patience(settings.header_timeout.total_seconds(), bound)
        self._patience = patience
        self._settings = settings
        self._keeper = Keeper(
            2 * patience.ping_s, patience.ping_s, patience.stall_s, asyncio.get_running_loop().time
        )
        self._config = uvicorn.Config(
            app,
            loop="none",
            http=type("Http", (PatientHttp,), {"patience": patience}),
            ws=type("WebSocket", (PatientWebSocket,), {"patience": patience, "keeper": self._keeper}),
            ws_per_message_deflate=False,
            ws_max_size=1_048_576,
            ws_ping_interval=patience.ping_s,
            ws_ping_timeout=patience.ping_s,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            limit_concurrency=bound,
            backlog=4096,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=max(1, int(settings.drain_for.total_seconds())),
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
        self._server = _Uvicorn(self._config, patience.header_s)
        self._task: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None
        self.port = 0

    async def start(self) -> None:
        """Bind and serve. Raises OSError saying which address could not be had."""
        host, port = split_address(self._settings.http)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
            stall_ms = round(self._patience.stall_s * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stall_ms)
        try:
            sock.bind((host, port))
        except OSError as problem:
            sock.close()
            raise OSError(f"cannot listen for HTTP on {self._settings.http}: {problem.strerror}") from None
        sock.setblocking(False)
        self._socket = sock
        self.port = int(sock.getsockname()[1])
        self._keeping = asyncio.create_task(self._keeper.run(), name="lean-sockets")
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
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None
