"""The gRPC door: `majung.location.v1.LocationService`, reflection and the standard health service.

It admits calls and says how they end; `grpc_call` is what happens in one. Messages stay bytes until
`wire.location` parses them, so that a malformed one is quarantined instead of ending the call. One call is
one device: its positions are appended in order, and an acknowledgement covers everything before it.
"""

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from majung.auth.limits import RateLimited, RateLimiter
from majung.auth.model import AuthError, Forbidden, Principal
from majung.auth.policy import RIDES, Action, may
from majung.auth.service import AuthService
from majung.ports import Overloaded, PortError, StorageFull
from majung.positions.ingest import Ingest
from majung.serve.descriptors import connection_bound
from majung.serve.grpc_call import Call, Context
from majung.settings import ServerSettings

log = structlog.get_logger("majung.grpc")

SERVICE = "majung.location.v1.LocationService"
MAX_MESSAGE_BYTES = 1_048_576
MAX_CALLS_OF_A_DEVICE = 32
"""A phone has one, and for up to 80 s those that a dead network left behind."""

ACCEPT_WITHIN_S = 120
IDLE_MS = 300_000

T = TypeVar("T")


class TooManyCalls(Exception):
    """A bound on open calls is reached. `str()` is safe to show."""


class GrpcDoor:
    """Serves devices. Belongs to the event loop (grpc.aio: one loop a process)."""

    def __init__(
        self, settings: ServerSettings, ingest: Ingest, auth: AuthService, limiter: RateLimiter
    ) -> None:
        self._settings = settings
        self._ingest = ingest
        self._auth = auth
        self._limiter = limiter
        self._health = HealthServicer()
        self._calls_of_device: Counter[str] = Counter()
        self._server: grpc.aio.Server | None = None
        self.open_streams = 0
        self.port = 0

    # ------------------------------------------------------------------------------------ lifecycle

    async def start(self) -> None:
        """Bind and serve; `port` is then the port in use. Raises OSError when it cannot bind."""
        server = grpc.aio.server(options=_options(self._settings))
        server.add_generic_rpc_handlers((self._handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), server)
        try:
            self.port = self._bind(server)
        except RuntimeError as problem:
            raise OSError(f"cannot listen for gRPC on {self._settings.grpc}: {problem}") from None
        await server.start()
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._server = server

    def _bind(self, server: grpc.aio.Server) -> int:
        cert, key = self._settings.tls_cert, self._settings.tls_key
        if cert and key:
            credentials = grpc.ssl_server_credentials([(Path(key).read_bytes(), Path(cert).read_bytes())])
            return int(server.add_secure_port(self._settings.grpc, credentials))
        return int(server.add_insecure_port(self._settings.grpc))

    async def stop(self, grace_s: float) -> None:
        """Tell health checks, refuse new calls, let open ones finish, cut what is left."""
        if self._server is None:
            return
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
        self._server = None

    def _handlers(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "StreamPositions": grpc.stream_unary_rpc_method_handler(self._stream_positions),
                "TrackPositions": grpc.stream_stream_rpc_method_handler(self._track_positions),
            },
        )

    # ---------------------------------------------------------------------------------------- calls

    async def _stream_positions(self, _: object, context: Context) -> bytes:
        return await self._serve(context, Call.stream)

    async def _track_positions(self, _: object, context: Context) -> None:
        await self._serve(context, Call.track)

    async def _serve(self, context: Context, method: Callable[[Call], Awaitable[T]]) -> T:
        """Admit the call and run it, or end it with the status that says what is wrong."""
        self.open_streams += 1  # counted before it is known: whoever waits to be admitted holds memory too
        try:
            if self.open_streams > self._settings.max_streams:
                raise TooManyCalls("too many open streams; try again later")
            token, remote = _bearer_of(context), _remote_of(context.peer())
            principal = await self._auth.authenticate_bearer(token, remote)
            if not may(principal, Action.REPORT_OWN):
                raise Forbidden(f"the role {principal.role} does not report positions")
            remembered = partial(self._auth.remembered, token)
            verify = partial(self._auth.authenticate_bearer, token, remote)
            with self._one_of(principal):
                return await method(Call(context, principal, remembered, verify, self._ingest, self._limiter))
        except Exception as problem:
            await _abort(context, problem)
            raise
        finally:
            self.open_streams -= 1

    @contextlib.contextmanager
    def _one_of(self, principal: Principal) -> Iterator[None]:
        """One device must not take the calls of all; a gateway has as many as it has riders."""
        subject, calls = principal.subject, self._calls_of_device
        if principal.role not in RIDES:
            yield
            return
        if calls[subject] >= MAX_CALLS_OF_A_DEVICE:
            raise TooManyCalls(f"this device has {MAX_CALLS_OF_A_DEVICE} open calls already")
        calls[subject] += 1
        try:
            yield
        finally:
            calls[subject] -= 1
            if not calls[subject]:
                del calls[subject]


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    """Channel arguments of gRPC core; docs/decisions/0004-grpc-door.md has the numbers behind them."""
    patience_ms = round(settings.header_timeout.total_seconds() * 1000)
    pending = 2 * settings.max_streams + 1000
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", 16_384),
        # Calls that the event loop has not accepted yet. Past 1,000 core cancels them at random, and any
        # that has waited for 30 s: both happen to good devices when the server is busy for a moment. All
        # streams may come back in one moment, and those past `max_streams` are to be told so in words.
        ("grpc.server.max_pending_requests", pending),
        ("grpc.server.max_pending_requests_hard_limit", pending),
        ("grpc.server_max_unrequested_time_in_server", ACCEPT_WITHIN_S),
        # A connection must speak TLS and HTTP/2 within this, have a call within IDLE_MS, answer pings.
        ("grpc.server_handshake_timeout_ms", patience_ms),
        ("grpc.max_connection_idle_ms", IDLE_MS),
        ("grpc.max_allowed_incoming_connections", connection_bound("grpc", settings.max_streams)),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ]


def _bearer_of(context: Context) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == "authorization" and isinstance(value, str):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer" and token.strip():
                return token.strip()
    raise AuthError("send metadata authorization: Bearer <device token>")


def _remote_of(peer: str) -> str:
    """The address in gRPC's `ipv4:127.0.0.1:5000` or `ipv6:%5B::1%5D:5000`, without the port."""
    return peer.partition(":")[2].rpartition(":")[0]


_STATUS: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (AuthError, grpc.StatusCode.UNAUTHENTICATED),
    (Forbidden, grpc.StatusCode.PERMISSION_DENIED),
    (RateLimited, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TooManyCalls, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (StorageFull, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (Overloaded, grpc.StatusCode.UNAVAILABLE),
    (PortError, grpc.StatusCode.UNAVAILABLE),
)


async def _abort(context: Context, problem: Exception) -> None:
    """End the call with the status of `problem`; what is no known problem stays an internal error."""
    if isinstance(problem, grpc.aio.AbortError | grpc.aio.UsageError):
        return
    for kind, code in _STATUS:
        if isinstance(problem, kind):
            await context.abort(code, problem.outward if isinstance(problem, PortError) else str(problem))
    log.error("call_failed", exc_info=problem)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log has the details")
