"""One viewer: what it watches, what waits for it, and the frames made of that when its socket is ready.

The mailbox holds one entry for each rider, the newest, and events in order; its bytes are bounded. The
door calls `take` again only when the socket has taken what `take` gave before, so a slow viewer gets
fewer frames, each as fresh as the moment it is made.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol


from majung.auth.model import Principal
from majung.live import messages
from majung.live.changes import EVENT, GONE, POSITION, Change
from majung.positions.boxes import Box

if TYPE_CHECKING:
    from majung.live.hub import Hub

ENTRY_BYTES = 100  # of a mailbox entry beside the body, which is shared
PART_BYTES = 65_536  # a frame is cut at about this size
MAX_NOTICES = 64

Visible = frozenset[str] | None
See = Callable[[], Awaitable[Visible]]


class Area(Protocol):
    """Where a subscription looks: a box, or the shape of a fence."""

    def contains(self, latitude: float, longitude: float) -> bool:
        """Whether the point lies in it, edges included."""
        ...


class Frame(NamedTuple):
    """One message for the socket, and the offset that it brings the viewer to (0: not resumable yet)."""

    body: bytes
    offset: int


class ViewerClosed(Exception):
    """The stream is over: `code` is the WebSocket close code, `str()` the reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Subscription:
    """One thing that one viewer watches. `box` encloses `area`."""

    __slots__ = ("area", "box", "fence_id", "name", "riders", "state", "viewer")

    def __init__(
        self,
        viewer: "Viewer",
        name: str,
        riders: frozenset[str] = frozenset(),
        area: Area | None = None,
        box: Box | None = None,
        fence_id: str = "",
    ) -> None:
        self.viewer = viewer
        self.name = name
        self.riders = riders
        self.area = area
        self.box = box
        self.fence_id = fence_id
        self.state = "new"  # "new" and "resync" wait for a snapshot, "live" has it


class Viewer:
    """Made by `Hub.open`, ended by `Hub.close`. One task calls `take`, any code on the loop the rest."""

    __slots__ = (
        "_closed", "_due", "_events", "_notices", "_ping", "_safe", "_waiter", "abort", "box", "bytes",
        "dirty", "epoch", "flushed_s", "hub", "keep_alive_s", "principal", "see", "sending_since_s", "stale",
        "subscriptions", "visible",
    )  # fmt: skip

    def __init__(self, hub: "Hub", principal: Principal, see: See, visible: Visible) -> None:
        self.hub = hub
        self.principal = principal
        self.see = see
        self.visible = visible
        self.epoch = hub.epoch_for(visible)
        self.subscriptions: dict[str, Subscription] = {}
        self.box: dict[str, Change | None] = {}  # None: left the area
        self.bytes = 0
        self.dirty = False
        self.stale = False  # the mailbox overflowed: nothing more is collected until the snapshot
        self.flushed_s = float("-inf")
        self.sending_since_s: float | None = None
        self.keep_alive_s = float("inf")
        self.abort: Callable[[], object] = lambda: (
            None
        )  # set by the door: stop sending, whatever it waits for
        self._events: list[Change] = []
        self._notices: list[bytes] = []
        self._safe: int | None = None  # everything up to this offset was sent; None: nothing watched yet
        self._ping = False
        self._due = False
        self._waiter: asyncio.Future[None] | None = None
        self._closed: ViewerClosed | None = None

    # ------------------------------------------------------------------------------ what comes in

    def put(self, rider_id: str, change: Change | None) -> None:
        """A rider's newest position or departure (None: it left the area). Newest wins."""
        if self.stale or (self.visible is not None and rider_id not in self.visible):
            return
        box = self.box
        size = ENTRY_BYTES if change is None else ENTRY_BYTES + len(change.body)
        if rider_id in box:
            old = box[rider_id]
            size -= ENTRY_BYTES if old is None else ENTRY_BYTES + len(old.body)
            if old is not change:
                self.hub.coalesced += 1
        box[rider_id] = change
        self._grow(size)

    def put_event(self, change: Change) -> None:
        """An event: kept in order, never replaced."""
        if self.stale or (self.visible is not None and change.rider_id not in self.visible):
            return
        self._events.append(change)
        self._grow(ENTRY_BYTES + len(change.body))

    def notice(self, body: bytes) -> None:
        """A message outside the order of changes (an error, for one). Too many unread ones end the stream."""
        self._notices.append(body)
        if len(self._notices) > MAX_NOTICES:
            self.close(1008, "too many errors")
        self.wake()

    def _grow(self, size: int) -> None:
        self.bytes += size
        self.hub.bytes_pending += size
        if self.bytes > self.hub.buffer_bytes:
            self.resync()
        elif not self.dirty:
            self.hub.mark(self)

    def resync(self) -> None:
        """Throw away what waits; every subscription starts again with a snapshot."""
        self._clear()
        self.stale = True
        for subscription in self.subscriptions.values():
            if subscription.state == "live":
                subscription.state = "resync"
                self.hub.resyncs += 1
        if not self.dirty:
            self.hub.mark(self)

    def restrict(self, visible: Visible) -> None:
        """The rights of the caller changed: what may no longer be seen is gone with the next snapshot."""
        self.visible = visible
        self.epoch = self.hub.epoch_for(visible)
        self.resync()

    def close(self, code: int, reason: str) -> None:
        """End the stream: the next `take` raises ViewerClosed."""
        if self._closed is None:
            self._closed = ViewerClosed(code, reason)
        self._clear()
        self.wake()

    def _clear(self) -> None:
        self.hub.bytes_pending -= self.bytes
        self.bytes = 0
        self.box = {}
        self._events = []

    def joined(self, after: int | None) -> None:
        """A subscription was added: resumed after that offset, or (None) about to get a snapshot."""
        if after is None:
            self._safe = 0
            self.wake()
        else:
            self._safe = after if self._safe is None else min(self._safe, after)

    @property
    def closed(self) -> bool:
        """Whether the stream is over."""
        return self._closed is not None

    # ------------------------------------------------------------------------------- what goes out

    def ping(self) -> None:
        """Nothing was sent for long: `take` gives a frame without a body, and the door says something."""
        self._ping = True
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
        self.stale = False
        wanting = [s for s in self.subscriptions.values() if s.state != "live"]
        found = [(s, await self.hub.find(s)) for s in wanting]
        # From here to the end nothing is awaited: snapshots, mailbox and offset belong together.
        self.dirty = False
        self.flushed_s = self.sending_since_s = self.hub.monotonic_s()
        safe = self._safe or 0
        pieces = self._notice_pieces()
        for subscription, riders in found:
            if self.subscriptions.get(subscription.name) is subscription:
                pieces += self._snapshot_pieces(subscription, self.hub.overlay(subscription, riders))
        pieces += self._mailbox_pieces()
        if self._ping and not pieces:
            pieces.append(_plain(b""))
        self._ping = False
        # Stale: the mailbox overflowed while the LiveStore was asked. What was found is better than
        # nothing, but it is not complete, so it must not be resumed from, and is done again.
        complete = not self.stale and all(s.state == "live" for s in self.subscriptions.values())
        self._due = not complete or self._closed is not None
        final = self.hub.offset if complete else safe
        if self.subscriptions:
            self._safe = final
        return self._frames(pieces, safe, final)

    def _frames(self, pieces: "Sequence[_Piece]", safe: int, final: int) -> Iterator[Frame]:
        epoch = self.epoch
        for number, piece in enumerate(pieces, 1):
            offset = final if number == len(pieces) else safe
            yield Frame(piece(epoch, offset), offset)

    def _notice_pieces(self) -> "list[_Piece]":
        bodies, self._notices = self._notices, []
        return [_plain(body) for body in bodies]

    def _snapshot_pieces(self, subscription: Subscription, changes: list[Change]) -> "list[_Piece]":
        pieces: list[_Piece] = []
        if subscription.state == "resync":
            pieces.append(_plain(messages.resync(subscription.name)))
        subscription.state = "resync" if self.stale else "live"
        self.hub.sent += len(changes)
        parts = _parts(changes)
        pieces.append(_snapshot(subscription.name, parts[0]))
        return pieces + [_positions(part) for part in parts[1:]]

    def _mailbox_pieces(self) -> "list[_Piece]":
        box, events = self.box, self._events
        if not box and not events:
            return []
        self._clear()
        newest = [change for change in box.values() if change is not None and change.kind == POSITION]
        pieces: list[_Piece] = [_positions(part) for part in _parts(newest)] if newest else []
        if len(newest) < len(box):
            left = [rider_id for rider_id, change in box.items() if change is None]
            offline = [
                rider_id for rider_id, change in box.items() if change is not None and change.kind == GONE
            ]
            pieces += [_gone(*both) for both in (("left", left), ("offline", offline)) if both[1]]
        pieces += [_event(change) for change in events if change.kind == EVENT]
        self.hub.sent += len(box) + len(events)
        return pieces


_Piece = Callable[[bytes, int], bytes]


def _plain(body: bytes) -> _Piece:
    return lambda _epoch, _offset: body


def _snapshot(name: str, changes: list[Change]) -> _Piece:
    return lambda epoch, offset: messages.positions(messages.snapshot_head(name, epoch, offset), changes)


def _positions(changes: list[Change]) -> _Piece:
    return lambda epoch, offset: messages.positions(messages.positions_head(epoch, offset), changes)


def _gone(reason: str, rider_ids: list[str]) -> _Piece:
    return lambda _epoch, offset: messages.gone(reason, rider_ids, offset)


def _event(change: Change) -> _Piece:
    return lambda _epoch, offset: messages.event(change, offset)


def _parts(changes: list[Change]) -> list[list[Change]]:
    """Cut into frames of about PART_BYTES; at least one, which may be empty."""
    if len(changes) < 64:
        return [changes]
    parts: list[list[Change]] = [[]]
    size = 0
    for change in changes:
        if size > PART_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(change)
        size += len(change.body) + 1
    return parts
