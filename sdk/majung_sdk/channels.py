"""A few connections, shared by the streams of one process.

gRPC keeps its own back-off under a channel. With one device that would come on top of ours, so a
`Connection` that failed is thrown away and made anew: one back-off, ours. Streams that share a
connection cannot do that to each other; there the channel's own back-off is kept below a second.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import grpc.aio

from majung_sdk.codec import TRACK_POSITIONS

OpenCall = Callable[..., "grpc.aio.StreamStreamCall[bytes, bytes]"]


@dataclass(frozen=True)
class Target:
    """Where to connect, and how to trust it. `tls` None: exactly when certificates are given."""

    address: str
    root_certificates: bytes | None = None
    tls: bool | None = None

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.root_certificates is not None if self.tls is None else self.tls


class Connection:
    """One HTTP/2 connection to the server, made when it is first used."""

    def __init__(self, target: Target, *, shared: bool) -> None:
        self._target = target
        self._shared = shared
        self._channel: grpc.aio.Channel | None = None
        self._open: OpenCall | None = None
        self.generation = 0
        self.last_ack_s = 0.0

    def call(self, token: str) -> "grpc.aio.StreamStreamCall[bytes, bytes]":
        """Begin a TrackPositions call of raw bytes."""
        if self._open is None:
            self._channel = self._connect()
            # No (de)serialisers: positions are bytes already, acknowledgements are decoded by the caller.
            self._open = self._channel.stream_stream(TRACK_POSITIONS)
            self.generation += 1
            self.last_ack_s = time.monotonic()
        return self._open(metadata=(("authorization", f"Bearer {token}"),))

    async def failed(self, generation: int) -> None:
        """A call of this generation could not reach the server."""
        if not self._shared:
            await self.renew(generation)

    async def silent(self, generation: int, since_s: float) -> None:
        """A call of this generation heard nothing since `since_s` (monotonic): is the connection dead?

        When no other stream of it heard anything either, it is: a half-open connection (a phone that
        changed its network) would otherwise stay until TCP gives up, up to quarter of an hour.
        """
        if self.last_ack_s <= since_s:
            await self.renew(generation)

    async def renew(self, generation: int) -> None:
        """Throw the connection away, unless that was done since `generation`."""
        if generation == self.generation and self._channel is not None:
            channel, self._channel, self._open = self._channel, None, None
            await channel.close()

    async def close(self) -> None:
        """Close; every call on it ends."""
        await asyncio.shield(self.renew(self.generation))

    def _connect(self) -> grpc.aio.Channel:
        options: list[tuple[str, int]] = [
            # Otherwise gRPC would put all channels with one address on one connection.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            # The SDK retries by itself, with the buffer in view.
            ("grpc.enable_retries", 0),
        ]
        if not self._target.secure:
            return grpc.aio.insecure_channel(self._target.address, options=options)
        credentials = grpc.ssl_channel_credentials(self._target.root_certificates)
        return grpc.aio.secure_channel(self._target.address, credentials, options=options)
