"""Everybody who has a stream open here: how many may, and who has to go.

The hubs (of positions, of orders, of friends) differ in what they send. In this they are alike: a bound on the
streams, a credential that is looked at again, a socket that does not read, a sign of life, the end of the server.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from majung.auth.model import Principal
from majung.clock import Clock
from majung.ports import Overloaded

SWEEP_EVERY_S = 0.5
SLOW_AFTER_S = 30.0
_CHUNK = 500


class Watching(Protocol):
    """One open stream, as far as this module knows it."""

    principal: Principal
    flushed_s: float
    """When it was sent something last."""
    sending_since_s: float | None
    """Since when its socket takes what it was given; None: it waits for more."""
    keep_alive_s: float
    abort: Callable[[], object]

    def close(self, code: int, reason: str) -> None:
        """End the stream, with a WebSocket close code."""
        ...

    def ping(self) -> None:
        """Nothing was sent for long: say something."""
        ...


W = TypeVar("W", bound=Watching)


class Audience(Generic[W]):
    """The open streams of one hub. Belongs to its event loop."""

    def __init__(
        self,
        clock: Clock,
        max_viewers: int,
        look_again: Callable[[W], Awaitable[None]],
        leave: Callable[[W], None],
    ) -> None:
        """`look_again` closes a stream whose rights are over; `leave` forgets one that was aborted."""
        self.closed_slow = 0
        self._clock = clock
        self._max_viewers = max_viewers
        self._look_again = look_again
        self._leave = leave
        self._viewers: dict[W, None] = {}
        self._closing = False

    def __len__(self) -> int:
        return len(self._viewers)

    def __contains__(self, viewer: W) -> bool:
        return viewer in self._viewers

    def admit(self) -> None:
        """Return when there is room for one more. Raises Overloaded."""
        if self._closing:
            raise Overloaded("the server restarts")
        if len(self._viewers) >= self._max_viewers:
            raise Overloaded(f"there are {self._max_viewers} viewers already")

    def add(self, viewer: W) -> None:
        """One more."""
        self._viewers[viewer] = None

    def remove(self, viewer: W) -> bool:
        """One less; whether it was there."""
        return self._viewers.pop(viewer, viewer) is None

    def everybody(self) -> list[W]:
        """Who is there now."""
        return list(self._viewers)

    def close(self) -> None:
        """The server stops: every stream ends, so that its viewer comes back to the next one."""
        self._closing = True
        for viewer in self.everybody():
            viewer.close(1012, "the server restarts")

    async def sweep(self) -> None:
        """Who may still watch, who does not read (or never began), who heard nothing."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        for number, viewer in enumerate(self.everybody(), 1):
            expires_at_ms = viewer.principal.expires_at_ms
            if expires_at_ms is not None and expires_at_ms <= now_ms:
                viewer.close(4401, "the token has expired")
            elif viewer.sending_since_s is not None and now_s - viewer.sending_since_s > SLOW_AFTER_S:
                self.closed_slow += 1
                viewer.close(1008, "this viewer does not read")
                viewer.abort()
                self._leave(viewer)
            else:
                if now_s - viewer.flushed_s > viewer.keep_alive_s:
                    viewer.ping()
                await self._look_again(viewer)
            if number % _CHUNK == 0:
                await asyncio.sleep(0)  # with many viewers this takes a while, and publishing must go on
