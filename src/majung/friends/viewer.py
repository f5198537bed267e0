"""One open stream of a person: what it was told, what it has to be told, and the messages.

The mailbox holds no messages. It notes which friends have changed since the last time, and when the socket is
ready the stream says how they stand *now*: so the newest wins, a slow viewer gets less and never something old,
and what waits is bounded by the number of friends. A friend who came near and left in between is not mentioned.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from majung.auth.model import Principal
from majung.friends.parties import Link, Watcher
from majung.live.frames import Frame
from majung.live.viewer import ViewerClosed

if TYPE_CHECKING:
    from majung.friends.nearby import Nearby

_json = msgspec.json.Encoder().encode
_FRIENDS_CHANGED = b'{"type":"friends_changed"}'

See = Callable[[], Awaitable[object]]


class FriendViewer:
    """Made by `Nearby.open`, ended by `Nearby.leave`. One task calls `take`; any code on the loop the rest.

    A door that needs no task says so with `serve`, and calls `drain` when it is told to.
    """

    __slots__ = (
        "_changed", "_closed", "_hub", "_moved", "_ping", "_shown", "_snapshot_due", "_touched", "_waiter",
        "abort", "dirty", "due", "flushed_s", "keep_alive_s", "principal", "see", "sending_since_s", "tell",
        "verified", "watcher",
    )  # fmt: skip

    def __init__(self, hub: "Nearby", principal: Principal, see: See, watcher: Watcher) -> None:
        self.principal = principal
        self.see = see
        self.watcher = watcher
        self.verified = 0  # the version of rights under which the credential was looked at last
        self.dirty = False
        self.flushed_s = float("-inf")
        self.sending_since_s: float | None = hub.monotonic_s()  # a door that never takes is slow as well
        self.keep_alive_s = float("inf")
        self.abort: Callable[[], object] = lambda: None  # set by the door: stop, whatever you wait for
        self._hub = hub
        self._shown: set[str] = set()  # whom the viewer has been told of as near
        self._touched: dict[str, None] = {}
        self._snapshot_due = True
        self._moved = False
        self._changed = False
        self._ping = False
        self.due = False
        self.tell: Callable[[], object] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._closed: ViewerClosed | None = None

    # ------------------------------------------------------------------------------ what comes in

    def touch(self, person_id: str) -> None:
        """This friend has moved, come or gone."""
        if person_id in self._touched:
            self._hub.coalesced += 1
        elif not self._snapshot_due:
            self._touched[person_id] = None
            self._mark()

    def sure(self, person_id: str) -> None:
        """What this friend lets the viewer see has been read: what waited for that can be said."""
        if person_id in self._touched:
            self._mark()

    def moved(self) -> None:
        """The viewer itself is somewhere else."""
        self._moved = True
        self._mark()

    def restart(self) -> None:
        """Everything is different: a snapshot."""
        self._snapshot_due = True
        self._touched = {}
        self._mark()

    def friends_changed(self) -> None:
        """Friendships or decisions have changed."""
        self._changed = True
        self._mark()

    def ping(self) -> None:
        """Nothing was sent for long: `take` gives a frame without a body."""
        self._ping = True
        self.wake()

    def close(self, code: int, reason: str) -> None:
        """End the stream: the next `take` raises ViewerClosed."""
        if self._closed is None:
            self._closed = ViewerClosed(code, reason)
        self.wake()

    @property
    def closed(self) -> bool:
        """Whether the stream is over."""
        return self._closed is not None

    def _mark(self) -> None:
        if not self.dirty:
            self._hub.mark(self)

    def serve(self, tell: Callable[[], object]) -> None:
        """Instead of a task in `take`: `tell` is called when there is something to `drain`."""
        self.sending_since_s = None
        self.tell = tell
        if self.due:
            self._hub.ready(self)

    def wake(self) -> None:
        """Let `take` go on."""
        if self.tell is not None and not self.due:
            self._hub.ready(self)
        self.due = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ------------------------------------------------------------------------------- what goes out

    async def take(self) -> list[Frame]:
        """Wait until there is something to say, and give it; send it all, then call again. Raises ViewerClosed."""
        self.sending_since_s = None
        bodies: list[bytes] = []
        while not bodies:
            while not self.due:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            bodies = self.drain()
        self.sending_since_s = self.flushed_s
        return [Frame(body, 0) for body in bodies]

    def drain(self) -> list[bytes]:
        """What there is to say, all of one moment; [] when it is nothing any more. Raises ViewerClosed."""
        self.due = self.dirty = False
        if self._closed is not None:
            raise self._closed
        bodies = [self._snapshot()] if self._snapshot_due else self._news()
        if self._changed:
            bodies.append(_FRIENDS_CHANGED)
        if self._ping and not bodies:
            bodies.append(b"")
        self._changed = self._ping = False
        if bodies:
            self.flushed_s = self._hub.monotonic_s()
        return bodies

    def _snapshot(self) -> bytes:
        near: list[bytes] = []
        shown: set[str] = set()
        later: dict[str, None] = {}
        now_ms = self._hub.now_ms()
        for link, _, body in self._hub.links.near(self.watcher):
            if link.in_doubt(now_ms):
                later[link.subject.person_id] = None
            else:
                near.append(_friend(link, body))
                shown.add(link.subject.person_id)
        self._shown, self._touched = shown, later
        self._snapshot_due = self._moved = False
        return b'{"type":"snapshot","at_ms":%d,"radius_m":%b,"here":%b,"near":[%b]}' % (
            now_ms,
            _json(self.watcher.radius_m),
            _here(self.watcher),
            b",".join(near),
        )

    def _news(self) -> list[bytes]:
        touched, self._touched = self._touched, {}
        hub, links, now_ms = self._hub, self.watcher.links, self._hub.now_ms()
        bodies: list[bytes] = []
        for person_id in touched:
            link = links.get(person_id)
            if link is not None and link.in_doubt(now_ms):
                self._touched[person_id] = None
                continue
            shown = link.subject.shown(link.precision, hub.links.blurring) if link and link.inside else None
            if link is not None and shown is not None and link.subject.position is not None:
                entered = b"false" if person_id in self._shown else b"true"
                self._shown.add(person_id)
                bodies.append(
                    b'{"type":"near","entered":%b,"friend":%b}' % (entered, _friend(link, shown[1]))
                )
                hub.delivered(now_ms - link.subject.position.received_at_ms)
            elif person_id in self._shown:
                self._shown.discard(person_id)
                reason = b"gone" if link is None else b"away"
                bodies.append(
                    b'{"type":"left","person_id":%b,"reason":"%b","at_ms":%d}'
                    % (_json(person_id), reason, now_ms)
                )
        if self._moved:
            self._moved = False
            bodies.append(self._distances(now_ms))
        return bodies

    def _distances(self, now_ms: int) -> bytes:
        links = self.watcher.links
        near = {
            id_: round(link.distance_m, 3)
            for id_ in self._shown
            if (link := links.get(id_)) is not None and link.inside and not link.in_doubt(now_ms)
        }
        return b'{"type":"distances","distances":%b,"at_ms":%d,"here":%b}' % (
            _json(near),
            now_ms,
            _here(self.watcher),
        )


def _friend(link: Link, place: bytes) -> bytes:
    """A `Near`, of parts that were encoded once."""
    return b'{"display_name":%b,"distance_m":%.3f,"place":%b}' % (link.subject.name, link.distance_m, place)


def _here(watcher: Watcher) -> bytes:
    here = watcher.me.position
    if here is None:
        return b"null"
    return _json(
        {"latitude": here.latitude, "longitude": here.longitude, "device_time_ms": here.device_time_ms}
    )
