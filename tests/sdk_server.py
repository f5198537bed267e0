"""A small real gRPC server that a test can make late, rude or dead. Not Majung's own door."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import trustme

from majung_sdk.location_pb2 import Position, StreamAck


class Call:
    """What one call brought, in the order it came."""

    def __init__(self, metadata: dict[str, str]) -> None:
        self.metadata = metadata
        self.positions: list[Position] = []

    @property
    def seqs(self) -> list[int]:
        return [position.seq for position in self.positions]


class AckServer:
    """Acknowledges each position at once, unless told otherwise by its attributes."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.may_ack = asyncio.Event()
        self.may_ack.set()
        self.refuse: grpc.StatusCode | None = None
        self.abort_after: int | None = None
        self.on_position: Callable[[Position], None] | None = None
        self.changed = asyncio.Condition()
        self.certificate: trustme.LeafCert | None = None
        self.port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def positions(self) -> list[Position]:
        return [position for call in self.calls for position in call.positions]

    async def start(self) -> "AckServer":
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        handler = grpc.stream_stream_rpc_method_handler(
            self._track,
            request_deserializer=Position.FromString,
            response_serializer=StreamAck.SerializeToString,
        )
        service = grpc.method_handlers_generic_handler(
            "majung.location.v1.LocationService", {"TrackPositions": handler}
        )
        self._server.add_generic_rpc_handlers((service,))
        address = f"127.0.0.1:{self.port}"
        if self.certificate is None:
            self.port = self._server.add_insecure_port(address)
        else:
            chain = b"".join(pem.bytes() for pem in self.certificate.cert_chain_pems)
            pair = (self.certificate.private_key_pem.bytes(), chain)
            self.port = self._server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        await self._server.start()
        return self

    async def die(self) -> None:
        """Cut every connection, mid-call. `start` brings it back at the same port."""
        assert self._server is not None
        await self._server.stop(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds; looked at whenever a call or a position comes."""
        async with self.changed, asyncio.timeout(60):
            await self.changed.wait_for(condition)

    async def _track(
        self, positions: AsyncIterator[Position], context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[StreamAck]:
        call = Call({str(key): str(value) for key, value in context.invocation_metadata() or ()})
        self.calls.append(call)
        await self._tell()
        if self.refuse is not None:
            await context.abort(self.refuse, "go away")
        async for position in positions:
            call.positions.append(position)
            if self.on_position is not None:
                self.on_position(position)
            await self._tell()
            if self.abort_after is not None and len(call.positions) >= self.abort_after:
                self.abort_after = None
                await context.abort(grpc.StatusCode.UNAVAILABLE, "dies mid-call")
            await self.may_ack.wait()
            yield StreamAck(last_acked_seq=position.seq)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()
