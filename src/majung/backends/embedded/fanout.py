"""Fanout within one process: a table of receivers."""

from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger("majung.fanout")


class EmbeddedFanout:
    """Hands each message over in the call of `publish`, in the order of the subscriptions."""

    def __init__(self) -> None:
        self._receivers: dict[str, dict[object, Callable[[bytes], None]]] = {}

    async def publish(self, channel: str, message: bytes) -> None:
        """Call every receiver of the channel. One that raises is reported; the others still get it."""
        for receive in list(self._receivers.get(channel, {}).values()):
            try:
                receive(message)
            except Exception:
                log.exception("receiver_failed", channel=channel)

    async def subscribe(
        self, channel: str, receive: Callable[[bytes], None]
    ) -> Callable[[], Awaitable[None]]:
        """Call `receive` for each message from now on, until the returned function is awaited."""
        key = object()
        self._receivers.setdefault(channel, {})[key] = receive

        async def leave() -> None:
            receivers = self._receivers.get(channel, {})
            receivers.pop(key, None)
            if not receivers:
                self._receivers.pop(channel, None)

        return leave

    async def close(self) -> None:
        """Drop all subscriptions."""
        self._receivers.clear()
