"""The gRPC door: `majung.location.v1.LocationService`, reflection and the standard health service.

Messages stay bytes until `wire.location` parses them, so that a malformed one is quarantined instead of
ending the call. One call is one device: its positions are appended in order, and an acknowledgement
covers everything before it in the call.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from majung.auth.limits import RateLimited, RateLimiter
from majung.auth.model import AuthError, Forbidden, Principal
from majung.auth.policy import Action, may
from majung.auth.service import AuthService
from majung.ports import Overloaded, PortError, StorageFull
from majung.positions.ingest import Ingest
from majung.positions.model import Reason
from majung.settings import ServerSettings
from majung.wire.location import DOOR, Malformed, decode_position, encode_ack

log = structlog.get_logger("majung.grpc")

SERVICE = "majung.location.v1.LocationService"
MAX_MESSAGE_BYTES = 1_048_576
VERIFY_EVERY_MS = 500


class Context(Protocol):
    """What is used of `grpc.aio.ServicerContext`, which comes without types."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        """Headers of the call."""
        ...

    def peer(self) -> str:
        """Whose address, like `ipv4:127.0.0.1:5000`."""
        ...

    async def read(self) -> Any:
        """The next message, or grpc.aio.EOF."""
        ...

    async def write(self, message: bytes) -> None:
        """Send one message."""
        ...

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call; raises."""
        ...


class _Call:
    """How far one call has come: the commits that it waits for, each with the last seq it covers.

    Commits end in order, but an earlier one may fail where a later one succeeds (the disk was full for
    a moment), so each is awaited: an acknowledgement must cover everything before it.
    """

    __slots__ = ("commits", "last_seq", "principal", "reading_done", "remote", "token", "verified_ms", "wake")

    def __init__(self, principal: Principal, token: str, remote: str, now_ms: int) -> None:
        self.principal = principal
        self.token = token
        self.remote = remote
        self.verified_ms = now_ms
        self.commits: deque[tuple[asyncio.Future[None], int]] = deque()
        self.last_seq = 0
        self.wake = asyncio.Event()
        self.reading_done = False

    def note(self, commit: "asyncio.Future[None]", seq: int) -> None:
        """`commit` carries everything up to `seq`. Positions that came together share one."""
        self.last_seq = seq
        if self.commits and self.commits[-1][0] is commit:
            self.commits.pop()
        self.commits.append((commit, seq))

    async def next_durable(self) -> int:
        """Wait for the oldest commit; the seq that is durable then. Raises what the commit raised."""
        commit, _ = self.commits[0]
        await commit
        return self.commits.popleft()[1]


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
        self._server: grpc.aio.Server | None = None
        self.open_streams = 0
        self.port = 0

    # ------------------------------------------------------------------------------------ lifecycle

    async def start(self) -> None:
        """Bind and serve; `port` is then the port in use. Raises OSError when it cannot bind."""
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 20_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.max_metadata_size", 16_384),
            ]
        )
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
        """Read to the end, wait until all is durable, answer once."""
        call = await self._admit(context)
        self.open_streams += 1
        try:
            await self._read_all(call, context)
            while call.commits:
                await call.next_durable()
            return encode_ack(call.last_seq)
        except Exception as problem:
            await _abort(context, problem)
            raise
        finally:
            self.open_streams -= 1

    async def _track_positions(self, _: object, context: Context) -> None:
        """Read while acknowledging what has become durable; many positions may share one answer."""
        call = await self._admit(context)
        self.open_streams += 1
        reader = asyncio.create_task(self._read_and_wake(call, context))
        try:
            await self._acknowledge(call, context)
            await reader
        except Exception as problem:
            await _abort(context, problem)
            raise
        finally:
            self.open_streams -= 1
            if not reader.done():
                reader.cancel()

    async def _acknowledge(self, call: _Call, context: Context) -> None:
        while not (call.reading_done and not call.commits):
            await call.wake.wait()
            call.wake.clear()
            while call.commits:
                await context.write(encode_ack(await call.next_durable()))

    async def _read_and_wake(self, call: _Call, context: Context) -> None:
        try:
            await self._read_all(call, context)
        finally:
            call.reading_done = True
            call.wake.set()

    async def _read_all(self, call: _Call, context: Context) -> None:
        ingest, limiter, wake = self._ingest, self._limiter, call.wake
        while True:
            await ingest.ready()
            data = await context.read()
            if data is grpc.aio.EOF:
                return
            now_ms = ingest.now_ms()
            if now_ms - call.verified_ms > VERIFY_EVERY_MS:
                await self._verify(call, now_ms)
            wait_s = limiter.take(call.principal.subject)
            if wait_s > 0:  # not reading is the back-pressure: HTTP/2 stops the device
                await asyncio.sleep(wait_s)
            self._take(call, data, now_ms)
            wake.set()

    def _take(self, call: _Call, data: bytes, now_ms: int) -> None:
        try:
            position = decode_position(data, call.principal.rider_id, now_ms)
        except Malformed as problem:
            commit = self._ingest.quarantine(call.principal, DOOR, data, Reason.MALFORMED, str(problem))
            call.note(commit, call.last_seq)
        else:
            call.note(self._ingest.submit(call.principal, [position]), position.seq)

    # ------------------------------------------------------------------------------------ admission

    async def _verify(self, call: _Call, now_ms: int) -> None:
        """A call may last for days; a credential that was revoked meanwhile ends it with the next message."""
        call.principal = await self._auth.authenticate_bearer(call.token, call.remote)
        call.verified_ms = now_ms

    async def _admit(self, context: Context) -> _Call:
        """Authenticate the call, or end it with the status that says what is wrong."""
        if self.open_streams >= self._settings.max_streams:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many open streams; try again later")
        try:
            token, remote = _bearer_of(context), _remote_of(context.peer())
            principal = await self._auth.authenticate_bearer(token, remote)
            if not may(principal, Action.REPORT_OWN):
                raise Forbidden(f"the role {principal.role} does not report positions")
        except Exception as problem:
            await _abort(context, problem)
            raise
        return _Call(principal, token, remote, self._ingest.now_ms())


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
            await context.abort(code, str(problem))
    log.error("call_failed", exc_info=problem)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log has the details")
