"""One viewer of orders: what waits for it, and what is sent when its socket is ready.

Unlike positions, orders are not newest-wins: every version is delivered in order, or the mailbox ran over
its bound and the viewer is told `resync` and gets a snapshot. The rider's position is newest-wins.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from majung.auth.model import Principal
from majung.live.frames import Frame
from majung.live.viewer import ViewerClosed
from majung.orders import live_ring
from majung.orders.live_ring import Change
from majung.orders.model import Order
from majung.orders.view_policy import Scope, carrier

if TYPE_CHECKING:
    from majung.orders.order_live import OrderLive

ENTRY_BYTES = 100
_MAX_TRIES = 8

See = Callable[[], Awaitable[Scope]]


class OrderViewer:
    """Made by `OrderLive.open`, ended by `OrderLive.leave`. One task calls `take`."""

    def __init__(self, hub: "OrderLive", principal: Principal, scope: Scope, see: See) -> None:
        self.hub = hub
        self.principal = principal
        self.scope = scope
        self.see = see
        self.bytes = 0
        self.carried: dict[str, str] = {}  # order → the rider who carries it now
        self.flushed_s = hub.monotonic_s()
        self.sending_since_s: float | None = hub.monotonic_s()  # a door that never takes is slow as well
        self.keep_alive_s = float("inf")
        self.abort: Callable[[], object] = lambda: None  # set by the door: stop, whatever you wait for
        self._changes: list[Change] = []
        self._extras: list[bytes] = []
        self._riders: dict[str, bytes] = {}
        self._greeting: bytes = b""
        self._snapshot_due = True
        self._settle_due = True  # who carries what is read once, then followed
        self._shown: dict[str, int] = {}  # versions of the last snapshot; older changes are not sent after it
        self._ping = False
        self._due = asyncio.Event()
        self._due.set()
        self._closed: ViewerClosed | None = None

    # ------------------------------------------------------------------------------ what comes in

    def resume(self, missed: list[Change], epoch: str, after: int) -> None:
        """Begin with what was missed instead of a snapshot."""
        self._snapshot_due = False
        self._greeting = live_ring.resumed(epoch, after)
        for change in missed:
            self.put(change)

    def announce_resync(self) -> None:
        """Begin with `resync`: it came back with an offset that cannot be served."""
        self._greeting = live_ring.resync()

    def put(self, change: Change) -> None:
        """A change, in order."""
        self._follow(change)
        self._changes.append(change)
        self._grow(ENTRY_BYTES + len(change.full))

    def put_extra(self, body: bytes) -> None:
        """A message beside the changes (an ETA, a notice): in order, not resumable."""
        self._extras.append(body)
        self._grow(ENTRY_BYTES + len(body))

    def put_rider(self, order_id: str, body: bytes) -> None:
        """Where the rider of this order is. Newest wins."""
        if order_id not in self._riders:
            self._grow(ENTRY_BYTES)
        self._riders[order_id] = body
        self._due.set()

    def _follow(self, change: Change) -> None:
        if self.scope.follows_rider:
            self.hub.follow(self, change.order_id, change.carrier)

    def forget_rider(self, order_id: str) -> None:
        """Nobody carries this order (or somebody else): what waits is not for this viewer any more."""
        self._riders.pop(order_id, None)

    def _grow(self, size: int) -> None:
        self.bytes += size
        if self.bytes > self.hub.buffer_bytes:
            self.restart()
        self._due.set()

    def restart(self) -> None:
        """Throw away what waits: `resync` and a snapshot."""
        self._clear()
        self._snapshot_due = self._settle_due = True
        self._greeting = live_ring.resync()
        self.hub.resyncs += 1
        self._due.set()

    def ping(self) -> None:
        """Nothing was sent for long: `take` gives a frame without a body."""
        self._ping = True
        self._due.set()

    def close(self, code: int, reason: str) -> None:
        """End the stream: the next `take` raises ViewerClosed."""
        if self._closed is None:
            self._closed = ViewerClosed(code, reason)
        self._clear()
        self._due.set()

    def _clear(self) -> None:
        self.bytes = 0
        self._changes = []
        self._extras = []
        self._riders = {}

    # ------------------------------------------------------------------------------- what goes out

    async def take(self) -> list[Frame]:
        """Wait until there is something to say, and give it; send it all, then call again.

        Raises ViewerClosed when the hub ends the stream, PortError when a snapshot cannot be read.
        """
        self.sending_since_s = None
        while not (frames := await self._next()):
            pass
        self.flushed_s = self.sending_since_s = self.hub.monotonic_s()
        return frames

    async def _next(self) -> list[Frame]:
        await self._due.wait()
        self._due.clear()
        if self._closed is not None:
            raise self._closed
        if self._settle_due or self._snapshot_due:
            return await self._begin()
        return self._drain()

    async def _begin(self) -> list[Frame]:
        """Subscribed already; take the snapshot; then apply what has come meanwhile."""
        for _ in range(_MAX_TRIES):
            if self._snapshot_due:
                self._clear()
            self._settle_due = False
            offset = self.hub.offset
            found, complete = await self.hub.find(self.scope)
            if self._closed is not None:
                raise self._closed
            if self._settle_due:
                continue  # it ran over while the snapshot was read
            frames = [Frame(self._greeting, 0)] if self._greeting else []
            self._greeting = b""
            carried = self._settle(found)
            if self._snapshot_due:
                self._snapshot_due = False
                self._shown = {order.order_id: order.version for order in found}
                shown = [self.scope.show(order) for order in found]
                frames.append(Frame(live_ring.snapshot(self.hub.epoch, offset, shown, complete), offset))
            frames += self._drain()
            frames += await self.hub.where(self, carried)
            return frames
        raise ViewerClosed(1013, "too much happens; try again later")

    def _settle(self, found: list[Order]) -> list[Order]:
        """Who carries what, as of the snapshot and of what waits; gives the orders that are carried."""
        if not self.scope.follows_rider:
            return []
        newest = {change.order_id: change for change in self._changes}
        for order in found:
            change = newest.get(order.order_id)
            if change is None or change.version < order.version:
                self.hub.follow(self, order.order_id, carrier(order))
        return [order for order in found if self.carried.get(order.order_id) == carrier(order) != ""]

    def _drain(self) -> list[Frame]:
        """Changes, then what is beside them."""
        changes, extras, riders = self._changes, self._extras, self._riders
        self._clear()
        frames = [
            Frame(change.body_for(self.scope), change.offset) for change in changes if self._news(change)
        ]
        frames += [Frame(body, 0) for body in extras]
        frames += [Frame(body, 0) for body in riders.values()]
        if self._ping and not frames:
            frames = [Frame(b"", 0)]
        self._ping = False
        return frames

    def _news(self, change: Change) -> bool:
        """Whether it is newer than the snapshot, which may have been ahead of what was published."""
        shown = self._shown.get(change.order_id)
        if shown is None:
            return True
        if change.version <= shown:
            return False
        del self._shown[change.order_id]
        return True
