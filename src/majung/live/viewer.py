"""One viewer: what it watches, what waits for it, and what is sent when its socket is ready.

The mailbox holds one entry for each rider, the newest, and events in order. Its bytes are bounded: past
the bound it is thrown away, and what was missed is gathered from the hub's ring when the socket is ready
again. The door calls `take` only when the socket has taken what `take` gave before, so a slow viewer gets
fewer frames, each as fresh as the moment it is made.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from majung.auth.model import Principal
from majung.live import frames, messages
from majung.live.changes import GONE, POSITION, Change
from majung.live.frames import Frame, Mailbox, Piece
from majung.live.watch import LIVE, NEW, RESUME, Subscription
from majung.positions.model import LivePosition

if TYPE_CHECKING:
    from majung.live.hub import Hub

ENTRY_BYTES = 100  # of a mailbox entry; the body of a position is the hub's newest, and costs nothing here
MAX_NOTICES = 64

Visible = frozenset[str] | None
See = Callable[[], Awaitable[Visible]]


class ViewerClosed(Exception):
    """The stream is over: `code` is the WebSocket close code, `str()` the reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Viewer:
    """Made by `Hub.open`, ended by `Hub.leave`. One task calls `take`; any code on the loop the rest."""

    __slots__ = (
        "_box", "_closed", "_due", "_events", "_notices", "_ping", "_restarts", "_sent", "_special", "_stale",
        "_waiter", "abort", "bytes", "dirty", "epoch", "flushed_s", "hub", "keep_alive_s", "principal",
        "see", "sending_since_s", "subscriptions", "visible",
    )  # fmt: skip

    def __init__(self, hub: "Hub", principal: Principal, see: See, visible: Visible) -> None:
        self.hub = hub
        self.principal = principal
        self.see = see
        self.visible = visible
        self.epoch = hub.epoch_for(visible)
        self.subscriptions: dict[str, Subscription] = {}
        self.bytes = 0
        self.dirty = False  # the hub knows that something waits
        self.flushed_s = float("-inf")
        self.sending_since_s: float | None = hub.monotonic_s()  # a door that never takes is slow as well
        self.keep_alive_s = float("inf")
        self.abort: Callable[[], object] = lambda: None  # set by the door: stop, whatever you wait for
        self._box: Mailbox = {}
        self._events: list[Change] = []
        self._notices: list[bytes] = []
        self._stale = False  # the mailbox overflowed: nothing is collected until the next take
        self._sent = hub.recent.offset  # LIVE subscriptions were given everything up to here
        self._restarts = 0
        self._ping = False
        self._special = False  # there is more to say than changes
        self._due = False
        self._waiter: asyncio.Future[None] | None = None
        self._closed: ViewerClosed | None = None

    # ------------------------------------------------------------------------------ what comes in

    def put(self, rider_id: str, change: Change | None) -> None:
        """A rider's newest position or departure (None: it left the area). Newest wins."""
        if self._stale or (self.visible is not None and rider_id not in self.visible):
            return
        if rider_id in self._box:
            if self._box[rider_id] is not change:
                self.hub.coalesced += 1
            self._box[rider_id] = change
            return
        self._box[rider_id] = change
        self._grow(ENTRY_BYTES)

    def put_event(self, change: Change) -> None:
        """An event: kept in order, never replaced."""
        if self._stale or (self.visible is not None and change.rider_id not in self.visible):
            return
        self._events.append(change)
        self._grow(ENTRY_BYTES + len(change.body))

    def notice(self, body: bytes) -> None:
        """A message beside the changes (an error, for one). Too many unread ones end the stream."""
        self._notices.append(body)
        if len(self._notices) > MAX_NOTICES:
            self.close(1008, "too many unread answers")
        self.attend()

    def _grow(self, size: int) -> None:
        self.bytes += size
        self.hub.bytes_pending += size
        if self.bytes > self.hub.buffer_bytes:
            self._clear()
            self._stale = self._special = True
        if not self.dirty:
            self.hub.mark(self)

    def resync(self) -> None:
        """Throw away what waits; every subscription starts again with a snapshot."""
        self._clear()
        self._restarts += 1
        for subscription in self.subscriptions.values():
            self._restart(subscription)
        self.attend()

    def _restart(self, subscription: Subscription) -> None:
        subscription.state = NEW
        subscription.resync = True
        subscription.after = self.hub.recent.offset
        self.hub.resyncs += 1

    def restrict(self, visible: Visible) -> None:
        """The rights of the caller changed: what may no longer be seen goes with the next snapshot."""
        self.visible = visible
        self.epoch = self.hub.epoch_for(visible)
        self.resync()

    def close(self, code: int, reason: str) -> None:
        """End the stream: the next `take` raises ViewerClosed."""
        if self._closed is None:
            self._closed = ViewerClosed(code, reason)
        self._clear()
        self.wake()

    @property
    def closed(self) -> bool:
        """Whether the stream is over."""
        return self._closed is not None

    def _clear(self) -> None:
        self.hub.bytes_pending -= self.bytes
        self.bytes = 0
        self._box = {}
        self._events = []

    # ------------------------------------------------------------------------------- what goes out

    def ping(self) -> None:
        """Nothing was sent for long: `take` gives a frame without a body, and the door says something."""
        self._ping = True
        self.attend()

    def attend(self) -> None:
        """Let `take` go on, with more than changes: a subscription, an answer, a sign of life."""
        self._special = True
        self.wake()

    def wake(self) -> None:
        """Let `take` go on."""
        self._due = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> Iterable[Frame]:
        """Wait until there is something to say, and give it as frames; send them all, then call again.

        Raises ViewerClosed when the hub ends the stream, PortError when a snapshot cannot be read.
        """
        self.sending_since_s = None
        while not self._due:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._due = False
        if self._closed is not None:
            raise self._closed
        if not self._special:
            return self._simple()
        restarts = self._restarts
        found: list[tuple[Subscription, list[LivePosition]]] = []
        for subscription in [s for s in self.subscriptions.values() if s.state == NEW]:
            found.append((subscription, await self.hub.find(subscription)))
        if self._restarts != restarts:
            found = []  # it was asked for with other rights; the next take asks again
        # Nothing is awaited from here: snapshots, mailbox and offset belong to one moment.
        return self._compose(found)

    def _simple(self) -> Iterable[Frame]:
        """Nothing but changes, as nearly always: the same as `_compose`, without asking for the rest."""
        box, events = self._box, self._events
        self._clear()
        self.dirty = False
        hub = self.hub
        self.flushed_s = self.sending_since_s = hub.monotonic_s()
        before, self._sent = self._sent, hub.recent.offset
        hub.sent += len(box) + len(events)
        return frames.render(frames.mailbox(box, events), self.epoch, before, self._sent)

    def _compose(self, found: list[tuple[Subscription, list[LivePosition]]]) -> Iterable[Frame]:
        before = self._resumable()
        pieces: list[Piece] = [frames.plain(body) for body in self._notices]
        self._notices = []
        shown: set[str] = set()
        for subscription, positions in found:
            if self.subscriptions.get(subscription.name) is subscription and subscription.state == NEW:
                changes = self.hub.recent.snapshot(subscription, positions, self.hub.monotonic_s())
                shown.update(change.rider_id for change in changes)
                if subscription.resync:
                    pieces.append(frames.plain(messages.resync(subscription.name)))
                pieces += frames.snapshot(subscription.name, changes)
                self.hub.sent += len(changes)
        box, events = self._collect(found)
        for rider_id in [r for r in shown if r in box and box[r] is None]:
            del box[rider_id]  # it left one area, and is in the snapshot of another
        waiting = frames.mailbox(box, events)
        self.hub.sent += len(box) + len(events)
        if found and not waiting and len(self.subscriptions) > 1:
            waiting = [frames.nothing()]  # a snapshot's offset is read as that subscription's alone
        pieces += waiting
        if self._ping and not pieces:
            pieces.append(frames.plain(b""))
        self._ping = self.dirty = self._special = False
        self.flushed_s = self.sending_since_s = self.hub.monotonic_s()
        self._sent = self.hub.recent.offset
        if self._closed is not None or any(s.state == NEW for s in self.subscriptions.values()):
            self._due = self._special = True
        return frames.render(pieces, self.epoch, before, self._resumable())

    def _resumable(self) -> int:
        """The offset that this viewer may come back with after what was sent so far; 0: with none.

        While a subscription has had no snapshot, there is none that would be right for all of them.
        """
        after = self._sent
        for subscription in self.subscriptions.values():
            if subscription.state == NEW:
                return 0
            if subscription.state == RESUME:
                after = min(after, subscription.after)
        return after

    def _collect(self, found: list[tuple[Subscription, list[LivePosition]]]) -> tuple[Mailbox, list[Change]]:
        """Empty the mailbox; add what subscriptions missed that resume, or all of them when it overflowed."""
        box, events, stale = self._box, self._events, self._stale
        self._clear()
        self._stale = False
        snapshots = {subscription for subscription, _ in found}
        missed_events: dict[int, Change] = {}
        for subscription in self.subscriptions.values():
            asked = subscription.state == NEW
            if asked and subscription not in snapshots:
                continue  # subscribed while the LiveStore was asked for another: its turn is the next take
            if stale or subscription.state == RESUME:
                after = self._sent if subscription.state == LIVE else subscription.after
                if not self.hub.recent.reaches(after):
                    self._restart(subscription)
                    continue
                self._merge(box, self.hub.recent.missed(subscription, after))
                missed_events |= {
                    change.offset: change for change in self.hub.recent.missed_events(subscription, after)
                }
            subscription.state = LIVE
            subscription.resync = False
        if missed_events:
            missed_events |= {change.offset: change for change in events}
            events = [missed_events[offset] for offset in sorted(missed_events)]
        if self.visible is not None:
            events = [change for change in events if change.rider_id in self.visible]
        return box, events

    def _merge(self, box: Mailbox, missed: Iterable[tuple[str, Change | None]]) -> None:
        """A rider that any subscription shows is shown: a position counts more than "left"."""
        for rider_id, change in missed:
            if self.visible is not None and rider_id not in self.visible:
                continue
            held = box.get(rider_id)
            if held is None or (held.kind == GONE and change is not None and change.kind == POSITION):
                box[rider_id] = change
