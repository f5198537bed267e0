"""The meeting point of what is published and who watches.

`publish`, `gone` and `events` are called by the pipeline, on the loop, and return when every mailbox is
served; they cost what is delivered, not what is watched. Viewers take from their mailboxes at their own
pace.
"""

import asyncio
import secrets
from collections.abc import Iterable, Sequence

import msgspec

from majung.auth.model import AuthError, Forbidden, Principal
from majung.clock import Clock
from majung.live import messages
from majung.live.changes import EVENT, GONE, NOWHERE, POSITION, Change, Ring
from majung.live.messages import Subscribe
from majung.live.relay import Relay
from majung.live.viewer import Area, See, Subscription, Viewer, Visible
from majung.ports import Fanout, LiveStore, Overloaded
from majung.positions.boxes import Box, BoxIndex, cell_of
from majung.positions.model import LivePosition
from majung.positions.triggers import RiderEvent
from majung.settings import LiveSettings

MAX_SUBSCRIPTIONS = 32
MAX_RIDERS = 1_000
MAX_SNAPSHOT = 20_000
SWEEP_EVERY_S = 0.5
SLOW_AFTER_S = 30.0

_encode = msgspec.json.Encoder().encode


class Hub:
    """One for each server. Start `run` under the supervisor: without it, nobody is woken."""

    def __init__(self, settings: LiveSettings, clock: Clock, live: LiveStore, fanout: Fanout) -> None:
        self.monotonic_s = clock.monotonic_s
        self.epoch = secrets.token_hex(8)
        self.offset = 1  # 0 is the offset that nobody can resume from
        self.buffer_bytes = settings.viewer_buffer_bytes
        self.sent = 0
        self.coalesced = 0
        self.resyncs = 0
        self.closed_slow = 0
        self.bytes_pending = 0
        self._clock = clock
        self._live = live
        self._relay = Relay(fanout, self)
        self._max_viewers = settings.max_viewers
        self._flush_every_s = settings.flush_every.total_seconds()
        self._ring = Ring(settings.resume_bytes, settings.resume_for.total_seconds(), self.offset)
        self._newest: dict[str, Change] = {}
        self._by_rider: dict[str, dict[Subscription, None]] = {}
        self._by_fence: dict[str, dict[Subscription, None]] = {}
        self._areas: BoxIndex[Subscription] = BoxIndex()
        self._viewers: dict[Viewer, None] = {}
        self._later: list[Viewer] = []

    @property
    def viewers(self) -> int:
        """Open streams."""
        return len(self._viewers)

    @property
    def ring_bytes(self) -> int:
        """Memory held so that viewers can resume."""
        return self._ring.bytes

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
        newest, ring, by_rider = self._newest, self._ring, self._by_rider
        for position, body in zip(positions, bodies, strict=True):
            rider_id = position.rider_id
            was = newest.get(rider_id)
            self.offset += 1
            change = Change(
                self.offset,
                POSITION,
                rider_id,
                body,
                position.latitude,
                position.longitude,
                NOWHERE if was is None else was.latitude,
                NOWHERE if was is None else was.longitude,
                now_s,
            )
            newest[rider_id] = change
            ring.add(change)
            self._tell_areas(change)
            for subscription in by_rider.get(rider_id, ()):
                subscription.viewer.put(rider_id, change)
        self._trim(now_s)

    def apply_gone(self, rider_ids: Iterable[str]) -> None:
        """Departures, from here or another server."""
        now_s = self.monotonic_s()
        for rider_id in rider_ids:
            was = self._newest.get(rider_id)
            self.offset += 1
            at = (NOWHERE, NOWHERE) if was is None else (was.latitude, was.longitude)
            change = Change(self.offset, GONE, rider_id, b"", NOWHERE, NOWHERE, *at, now_s)
            self._newest[rider_id] = change
            self._ring.add(change)
            for subscription in self._watching(*at):
                subscription.viewer.put(rider_id, change)
            for subscription in self._by_rider.get(rider_id, ()):
                subscription.viewer.put(rider_id, change)
        self._trim(now_s)

    def apply_events(self, events: Sequence[RiderEvent], bodies: Sequence[bytes]) -> None:
        """Events, from here or another server, with their JSON."""
        now_s = self.monotonic_s()
        for event, body in zip(events, bodies, strict=True):
            self.offset += 1
            place = (event.latitude, event.longitude)
            change = Change(
                self.offset, EVENT, event.rider_id, body, *place, NOWHERE, NOWHERE, now_s, event.fence_id
            )
            self._ring.add(change)
            viewers = {s.viewer: None for s in self._by_rider.get(event.rider_id, ())}
            viewers |= {s.viewer: None for s in self._by_fence.get(event.fence_id, ())}
            viewers |= {s.viewer: None for s in self._watching(*place)}
            for viewer in viewers:
                viewer.put_event(change)
        self._trim(now_s)

    def _watching(self, latitude: float, longitude: float) -> list[Subscription]:
        """Subscriptions to an area or fence that the point lies in."""
        if latitude != latitude:
            return []
        candidates = self._areas.at(latitude, longitude)
        return [s for s in candidates if s.area is not None and s.area.contains(latitude, longitude)]

    def _tell_areas(self, change: Change) -> None:
        """Who has the rider in view gets it; who had it in view is told that it left."""
        if not len(self._areas):
            return
        rider_id, here = change.rider_id, (change.latitude, change.longitude)
        was = (change.was_latitude, change.was_longitude)
        known = was[0] == was[0]
        inside: list[Subscription] = []
        candidates = self._areas.at(*here)
        if known and cell_of(*was) != cell_of(*here):
            candidates += self._areas.at(*was)
        for subscription in candidates:
            area = subscription.area
            assert area is not None
            if area.contains(*here):
                inside.append(subscription)
            elif known and area.contains(*was):
                subscription.viewer.put(rider_id, None)
        for subscription in inside:  # last: a viewer may watch both areas
            subscription.viewer.put(rider_id, change)

    def _trim(self, now_s: float) -> None:
        for change in self._ring.trim(now_s):
            if change.kind == GONE and self._newest.get(change.rider_id) is change:
                del self._newest[change.rider_id]

    # ---------------------------------------------------------------------------------- viewers

    async def open(self, principal: Principal, see: See) -> Viewer:
        """A new viewer; `see` says which riders it may see, and is asked again every half second.

        Raises Overloaded past `live.max_viewers`, AuthError when the token has expired.
        """
        if len(self._viewers) >= self._max_viewers:
            raise Overloaded(f"there are {self._max_viewers} viewers already")
        viewer = Viewer(self, principal, see, await see())
        self._viewers[viewer] = None
        return viewer

    def close(self, viewer: Viewer) -> None:
        """The viewer is gone; forget it. May be called twice."""
        for name in list(viewer.subscriptions):
            self.unsubscribe(viewer, name)
        viewer.close(1000, "closed")
        self._viewers.pop(viewer, None)

    def subscribe(
        self, viewer: Viewer, wish: Subscribe, area: Area | None = None, box: Box | None = None
    ) -> None:
        """Watch. The snapshot (or what was missed) comes with the next `take`.

        `area` and `box` are the shape of a wish by fence. A name that is in use is replaced. Raises
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
        if wish.area is not None:
            area = box = wish.area
        subscription = Subscription(viewer, wish.id, riders, area, box, wish.fence or "")
        viewer.subscriptions[wish.id] = subscription
        self._index(subscription)
        self._begin(subscription, wish)

    def _begin(self, subscription: Subscription, wish: Subscribe) -> None:
        viewer = subscription.viewer
        after = wish.offset
        if wish.epoch == viewer.epoch.decode() and self._ring.floor <= after <= self.offset and after > 0:
            subscription.state = "live"
            viewer.joined(after)
            viewer.notice(messages.resumed(wish.id, viewer.epoch, after))
            for rider_id, change in self._missed(subscription, after):
                viewer.put(rider_id, change)
            for change in self._missed_events(subscription, after):
                viewer.put_event(change)
            return
        if wish.epoch:
            subscription.state = "resync"
            self.resyncs += 1
        viewer.joined(None)

    def unsubscribe(self, viewer: Viewer, name: str) -> None:
        """Stop watching; unknown names are ignored."""
        subscription = viewer.subscriptions.pop(name, None)
        if subscription is None:
            return
        if subscription.box is not None:
            self._areas.remove(subscription)
        keyed = [(self._by_rider, rider_id) for rider_id in subscription.riders]
        keyed += [(self._by_fence, subscription.fence_id)] if subscription.fence_id else []
        for index, key in keyed:
            del index[key][subscription]
            if not index[key]:
                del index[key]

    def _index(self, subscription: Subscription) -> None:
        for rider_id in subscription.riders:
            self._by_rider.setdefault(rider_id, {})[subscription] = None
        if subscription.box is not None:
            self._areas.add(subscription, subscription.box)
        if subscription.fence_id:
            self._by_fence.setdefault(subscription.fence_id, {})[subscription] = None

    def fence_changed(self, fence_id: str, area: Area | None, box: Box | None) -> None:
        """A fence has a new shape (its viewers get a snapshot), or (None) is deleted (they are told)."""
        for subscription in list(self._by_fence.get(fence_id, ())):
            viewer = subscription.viewer
            self.unsubscribe(viewer, subscription.name)
            if area is None or box is None:
                viewer.notice(messages.error(404, "Not Found", f"fence {fence_id} was deleted"))
                continue
            renewed = Subscription(viewer, subscription.name, area=area, box=box, fence_id=fence_id)
            renewed.state = "resync"
            viewer.subscriptions[renewed.name] = renewed
            self._index(renewed)
            viewer.joined(None)

    # ------------------------------------------------------------------------ snapshot and resume

    async def find(self, subscription: Subscription) -> list[LivePosition]:
        """What the LiveStore knows of those watched."""
        if subscription.box is None:
            return [p for p in await self._live.get(list(subscription.riders)) if p is not None]
        box = subscription.box
        return await self._live.in_area(box.south, box.west, box.north, box.east, MAX_SNAPSHOT)

    def overlay(self, subscription: Subscription, found: Iterable[LivePosition]) -> list[Change]:
        """A snapshot that belongs to exactly this offset.

        The LiveStore may be ahead of what was published. Where the hub knows a rider, what it published
        last counts, so that no later change can move a marker back; where it does not (after a start),
        it learns the rider now, so that it can say when the rider leaves.
        """
        visible, area = subscription.viewer.visible, subscription.area
        changes: list[Change] = []
        for position in found:
            rider_id = position.rider_id
            if visible is not None and rider_id not in visible:
                continue
            change = self._newest.get(rider_id)
            if change is None:
                change = self._learn(position)
            if change.kind == POSITION and (area is None or area.contains(change.latitude, change.longitude)):
                changes.append(change)
        return changes

    def _learn(self, position: LivePosition) -> Change:
        where = (position.latitude, position.longitude)
        body = _encode(position)
        change = Change(0, POSITION, position.rider_id, body, *where, NOWHERE, NOWHERE, self.monotonic_s())
        self._newest[position.rider_id] = change
        return change

    def _missed(self, subscription: Subscription, after: int) -> list[tuple[str, Change | None]]:
        """What changed after that offset: the newest of each rider, or that it left or is gone."""
        newest, area = self._newest, subscription.area
        if area is None or subscription.box is None:
            known = [newest[rider_id] for rider_id in subscription.riders if rider_id in newest]
            return [(change.rider_id, change) for change in known if change.offset > after]
        first: dict[str, Change] = {}
        for change in self._ring.touching(subscription.box, after):
            if change.rider_id not in first or change.offset < first[change.rider_id].offset:
                first[change.rider_id] = change
        missed: list[tuple[str, Change | None]] = []
        for rider_id, change in first.items():
            now = newest.get(rider_id, change)
            if now.kind == POSITION and area.contains(now.latitude, now.longitude):
                missed.append((rider_id, now))
            elif area.contains(change.was_latitude, change.was_longitude):
                missed.append((rider_id, now if now.kind == GONE else None))
        return missed

    def _missed_events(self, subscription: Subscription, after: int) -> list[Change]:
        area, riders, fence_id = subscription.area, subscription.riders, subscription.fence_id
        return [
            change
            for change in self._ring.events(after)
            if change.rider_id in riders
            or (fence_id and change.fence_id == fence_id)
            or (area is not None and area.contains(change.latitude, change.longitude))
        ]

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
            viewer.wake()

    async def sweep(self) -> None:
        """Once every half second: who may still watch, who does not read, who heard nothing for long."""
        now_s, now_ms = self.monotonic_s(), self._clock.now_ms()
        self._trim(now_s)
        asked: dict[str, Visible] = {}
        for viewer in list(self._viewers):
            expires_at_ms = viewer.principal.expires_at_ms
            if expires_at_ms is not None and expires_at_ms <= now_ms:
                viewer.close(4401, "the token has expired")
                continue
            if viewer.sending_since_s is not None and now_s - viewer.sending_since_s > SLOW_AFTER_S:
                self.closed_slow += 1
                viewer.close(1008, "this viewer does not read")
                viewer.abort()
                continue
            if now_s - viewer.flushed_s > viewer.keep_alive_s:
                viewer.ping()
            await self._look_again(viewer, asked)

    async def _look_again(self, viewer: Viewer, asked: dict[str, Visible]) -> None:
        subject = viewer.principal.subject
        try:
            if subject not in asked:
                asked[subject] = await viewer.see()
        except (AuthError, Forbidden) as problem:
            viewer.close(4401, str(problem))
            return
        if asked[subject] != viewer.visible:
            viewer.restrict(asked[subject])

    async def run(self) -> None:
        """Wakes viewers, looks after rights and slow sockets, talks to other servers, until cancelled."""
        async with self._relay:
            swept_s = self.monotonic_s()
            while True:
                await asyncio.sleep(self._flush_every_s)
                self.flush()
                if self.monotonic_s() - swept_s >= SWEEP_EVERY_S:
                    swept_s = self.monotonic_s()
                    await self.sweep()

    def resync_all(self) -> None:
        """Changes of another server were missed: everybody starts again with a snapshot."""
        self._newest.clear()
        self._ring = Ring(self._ring.max_bytes, self._ring.keep_s, self.offset)
        for viewer in self._viewers:
            viewer.resync()
