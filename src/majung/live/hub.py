"""The meeting point of what is published and who watches.

`publish`, `gone` and `events` are called by the pipeline, on the loop, and return when every mailbox is
served; they cost what is delivered, not what is watched. Viewers take from their mailboxes at their own
pace.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence

import msgspec

from majung.auth.model import AuthError, Forbidden, Principal
from majung.clock import Clock
from majung.live import messages
from majung.live.audience import SWEEP_EVERY_S, Audience
from majung.live.messages import Subscribe
from majung.live.recent import Recent
from majung.live.relay import Relay
from majung.live.viewer import See, Viewer, Visible
from majung.live.watch import NEW, RESUME, Area, Subscription, Watch
from majung.ports import Fanout, LiveStore, PortError
from majung.positions.model import LivePosition
from majung.positions.triggers import RiderEvent
from majung.settings import LiveSettings

MAX_SUBSCRIPTIONS = 32
MAX_RIDERS = 1_000
MAX_SNAPSHOT = 100_000

_encode = msgspec.json.Encoder().encode


class Hub:
    """One for each server. Start `run` under the supervisor: without it, nobody is woken."""

    def __init__(self, settings: LiveSettings, clock: Clock, live: LiveStore, fanout: Fanout) -> None:
        self.monotonic_s = clock.monotonic_s
        self.epoch = secrets.token_hex(8)
        self.recent = Recent(settings.resume_bytes, settings.resume_for.total_seconds())
        self.buffer_bytes = settings.viewer_buffer_bytes
        self.sent = 0
        self.coalesced = 0
        self.resyncs = 0
        self.bytes_pending = 0
        self.listeners: list[Callable[[Sequence[LivePosition]], None]] = []  # each hears every position
        self._live = live
        self._relay = Relay(fanout, self)
        self._flush_every_s = settings.flush_every.total_seconds()
        self._watch = Watch()
        self._audience = Audience[Viewer](clock, settings.max_viewers, _look_again, self.leave)
        self._later: list[Viewer] = []

    @property
    def viewers(self) -> int:
        """Open streams."""
        return len(self._audience)

    @property
    def closed_slow(self) -> int:
        """Streams that were closed since nobody read them."""
        return self._audience.closed_slow

    def counters(self) -> dict[str, int]:
        """For metrics, by name."""
        return {
            "sent": self.sent,
            "coalesced": self.coalesced,
            "resyncs": self.resyncs,
            "closed_slow": self.closed_slow,
            "relay_dropped": self._relay.dropped,
        }

    # ------------------------------------------------------------------------------- publishing

    def publish(self, positions: Sequence[LivePosition]) -> None:
        """The newest position of each of these riders, to everybody who watches them."""
        if positions:
            bodies = [_encode(position) for position in positions]
            self._relay.positions(bodies)
            self.apply(positions, bodies)

    def gone(self, rider_ids: Sequence[str]) -> None:
        """These riders are off the map."""
        if rider_ids:
            self._relay.gone(rider_ids)
            self.apply_gone(rider_ids)

    def events(self, events: Sequence[RiderEvent]) -> None:
        """Enter, exit, dwell, near, silent, back: to who watches the rider, the fence or the place."""
        if events:
            bodies = [_encode(event) for event in events]
            self._relay.events(bodies)
            self.apply_events(events, bodies)

    def apply(self, positions: Sequence[LivePosition], bodies: Sequence[bytes]) -> None:
        """Positions, from here or another server, with their JSON."""
        now_s = self.monotonic_s()
        for position, body in zip(positions, bodies, strict=True):
            self._watch.tell(self.recent.moved(position, body, now_s))
        self.recent.trim(now_s)
        for listener in self.listeners:
            listener(positions)

    def apply_gone(self, rider_ids: Iterable[str]) -> None:
        """Departures, from here or another server."""
        now_s = self.monotonic_s()
        for rider_id in rider_ids:
            change = self.recent.gone(rider_id, now_s)
            in_view = self._watch.at(change.was_latitude, change.was_longitude)
            for subscription in (*in_view, *self._watch.of_rider(rider_id)):
                subscription.viewer.put(rider_id, change)
        self.recent.trim(now_s)

    def apply_events(self, events: Sequence[RiderEvent], bodies: Sequence[bytes]) -> None:
        """Events, from here or another server, with their JSON."""
        now_s, watch = self.monotonic_s(), self._watch
        for event, body in zip(events, bodies, strict=True):
            change = self.recent.happened(event, body, now_s)
            in_view = watch.at(event.latitude, event.longitude)
            concerned = (*watch.of_rider(event.rider_id), *watch.of_fence(event.fence_id), *in_view)
            for viewer in {subscription.viewer: None for subscription in concerned}:
                viewer.put_event(change)
        self.recent.trim(now_s)

    # ---------------------------------------------------------------------------------- viewers

    async def open(self, principal: Principal, see: See) -> Viewer:
        """A new viewer; `see` says which riders it may see, and is asked again every half second.

        Raises Overloaded past `live.max_viewers`, AuthError when the token has expired.
        """
        self._audience.admit()
        viewer = Viewer(self, principal, see, await see())
        self._audience.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """The viewer is gone; forget it. May be called twice."""
        for name in list(viewer.subscriptions):
            self.unsubscribe(viewer, name)
        viewer.close(1000, "closed")
        self._audience.remove(viewer)

    def close(self) -> None:
        """The server stops: every stream ends, so that its viewer comes back to the next one."""
        self._audience.close()

    def subscribe(self, viewer: Viewer, wish: Subscribe, fence: Area | None = None) -> None:
        """Watch. The snapshot (or what was missed) comes with the next `take`.

        `fence` is the shape of the fence that the wish names. A name that is in use is replaced. Raises
        ValueError past a limit, Forbidden when a named rider may not be seen.
        """
        messages.check_subscribe(wish)
        riders = frozenset(wish.riders or ())
        if len(riders) > MAX_RIDERS:
            raise ValueError(f"a subscription names at most {MAX_RIDERS} riders")
        if viewer.visible is not None and (hidden := riders - viewer.visible):
            raise Forbidden(f"this credential may not see rider {min(hidden)[:64]!r}")
        if wish.id not in viewer.subscriptions and len(viewer.subscriptions) >= MAX_SUBSCRIPTIONS:
            raise ValueError(f"a viewer has at most {MAX_SUBSCRIPTIONS} subscriptions")
        self.unsubscribe(viewer, wish.id)
        subscription = Subscription(viewer, wish.id, riders, wish.area or fence, wish.fence or "")
        if wish.epoch == viewer.epoch.decode() and wish.offset > 0 and self.recent.reaches(wish.offset):
            subscription.state, subscription.after = RESUME, wish.offset
            viewer.notice(messages.resumed(wish.id, viewer.epoch, wish.offset))
        elif wish.epoch:
            subscription.resync = True
            self.resyncs += 1
        self._add(subscription)

    def _add(self, subscription: Subscription) -> None:
        subscription.viewer.subscriptions[subscription.name] = subscription
        if subscription.state == NEW:
            subscription.after = self.recent.offset
        self._watch.add(subscription)
        subscription.viewer.attend()

    def unsubscribe(self, viewer: Viewer, name: str) -> None:
        """Stop watching; unknown names are ignored."""
        subscription = viewer.subscriptions.pop(name, None)
        if subscription is not None:
            self._watch.remove(subscription)

    def fence_changed(self, fence_id: str, shape: Area | None) -> None:
        """A fence has a new shape (its viewers get a snapshot), or (None) is deleted (they are told)."""
        for subscription in self._watch.of_fence(fence_id):
            viewer, name = subscription.viewer, subscription.name
            self.unsubscribe(viewer, name)
            if shape is None:
                viewer.notice(
                    messages.error(404, "Not found", f"fence {fence_id} was deleted", "not-found", name)
                )
                continue
            renewed = Subscription(viewer, name, frozenset(), shape, fence_id)
            renewed.resync = True
            self.resyncs += 1
            self._add(renewed)

    # ------------------------------------------------------------------------------- snapshots

    async def find(self, subscription: Subscription) -> list[LivePosition]:
        """What the LiveStore knows of those watched. Raises PortError."""
        box, visible = subscription.box, subscription.viewer.visible
        if box is None or visible is not None:
            ids = subscription.riders if box is None or visible is None else visible
            return [position for position in await self._live.get(list(ids)) if position is not None]
        found = await self._live.in_area(box.south, box.west, box.north, box.east, MAX_SNAPSHOT)
        if len(found) == MAX_SNAPSHOT:
            detail = f"more than {MAX_SNAPSHOT} riders are in this area; the others show up as they move"
            subscription.viewer.notice(
                messages.error(413, "Large area", detail, "large-area", subscription.name)
            )
        return found

    # -------------------------------------------------------------------------------- housekeeping

    def epoch_for(self, visible: Visible) -> bytes:
        """The epoch as one viewer is told it: other rights, another epoch, hence a snapshot."""
        mine = self.epoch if visible is None else f"{self.epoch}-{hash(visible) & 0xFFFFFFFF:08x}"
        return mine.encode()

    def mark(self, viewer: Viewer) -> None:
        """Something waits for this viewer: wake it now, or when its pause is over."""
        viewer.dirty = True
        if self.monotonic_s() - viewer.flushed_s >= self._flush_every_s:
            viewer.wake()
        else:
            self._later.append(viewer)

    def flush(self) -> None:
        """Wake everybody whose pause is over."""
        waiting, self._later = self._later, []
        for viewer in waiting:
            if viewer.dirty:
                viewer.wake()

    async def sweep(self) -> None:
        """Every half second: who may still watch, who does not read (or never began), who heard nothing."""
        self.recent.trim(self.monotonic_s())
        await self._audience.sweep()

    async def run(self) -> None:
        """Wakes viewers, looks after rights and slow sockets, talks to other servers, until cancelled."""
        async with self._relay:
            swept_s = self.monotonic_s()
            while True:
                await asyncio.sleep(self._flush_every_s)
                self.flush()
                self._relay.check()
                if self.monotonic_s() - swept_s >= SWEEP_EVERY_S:
                    swept_s = self.monotonic_s()
                    await self.sweep()

    def resync_all(self) -> None:
        """Changes of another server were missed: everybody starts again with a snapshot."""
        self.recent.forget()
        for viewer in self._audience.everybody():
            viewer.resync()


async def _look_again(viewer: Viewer) -> None:
    try:
        visible = await viewer.see()
    except (AuthError, Forbidden) as problem:
        viewer.close(4401, str(problem))
        return
    except PortError:
        return  # not known just now: what was true half a second ago stands
    if visible != viewer.visible:
        viewer.restrict(visible)
