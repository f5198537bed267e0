"""Whoever follows orders sees every version of them, in order, and never a silent gap.

Subscribe, snapshot, apply: a viewer is registered first, then gets the open orders that it may see, then
every change since. It comes back with `epoch` and `offset` and gets what it missed, or `resync` and a
snapshot. The customer of an order also sees where its rider is, from pick-up to the door and not a second
longer (`view_policy.carrier`).

Neighbours: `views` calls `publish` after each commit; the hub of positions calls `positions`; the doors in
`serve/http/order_stream.py` open viewers. One event loop owns all of it.
"""

import asyncio
import secrets
from collections.abc import Iterable, Sequence

import msgspec

from majung.auth.model import AuthError, Forbidden, Principal
from majung.clock import Clock
from majung.live.audience import SWEEP_EVERY_S, Audience
from majung.live.frames import Frame
from majung.observe.families import Counted, Figure, Level
from majung.orders import live_ring, view_store
from majung.orders.live_ring import Ring, filed_under
from majung.orders.live_viewer import OrderViewer, See
from majung.orders.model import Order
from majung.orders.view_policy import Scope
from majung.orders.view_store import Filed
from majung.ports import Database, LiveStore, Overloaded, PortError
from majung.positions.model import LivePosition
from majung.settings import LiveSettings

MAX_SNAPSHOT = 1_000

_encode = msgspec.json.Encoder().encode


class OrderLive:
    """One for each server. Start `run` under the supervisor: it looks after rights and slow sockets."""

    def __init__(self, settings: LiveSettings, clock: Clock, database: Database, live: LiveStore) -> None:
        self.monotonic_s = clock.monotonic_s
        self.buffer_bytes = settings.viewer_buffer_bytes
        self.resyncs = 0
        self._bounds = (settings.resume_bytes, settings.resume_for.total_seconds())
        self._database = database
        self._live = live
        self._audience = Audience[OrderViewer](clock, settings.max_viewers, _look_again, self.leave)
        self._by_key: dict[str, dict[OrderViewer, None]] = {}
        self._followers: dict[str, dict[tuple[OrderViewer, str], None]] = {}
        self._held = False
        self.epoch = secrets.token_hex(8)
        self._ring = Ring(*self._bounds)

    @property
    def viewers(self) -> int:
        """Open streams."""
        return len(self._audience)

    @property
    def closed_slow(self) -> int:
        """Streams that were closed since nobody read them."""
        return self._audience.closed_slow

    @property
    def offset(self) -> int:
        """Of the last change."""
        return self._ring.offset

    # ------------------------------------------------------------------------------- publishing

    def publish(self, filed: Sequence[Filed]) -> None:
        """What the views have committed, in that order, to everybody it concerns."""
        now_s = self.monotonic_s()
        for event, was_rider_id in filed:
            change = self._ring.happened(event, was_rider_id, now_s)
            for key in filed_under(change):
                for viewer in self._by_key.get(key, ()):
                    viewer.put(change)
        self._ring.trim(now_s)

    def tell(self, keys: Iterable[str], body: bytes) -> None:
        """A message of another module (ETA, notice) to who watches any of these keys, once each."""
        for viewer in {viewer: None for key in keys for viewer in self._by_key.get(key, ())}:
            viewer.put_extra(body)

    def positions(self, positions: Sequence[LivePosition]) -> None:
        """Called with every new position; costs what is followed."""
        if not self._followers:
            return
        for position in positions:
            followers = self._followers.get(position.rider_id)
            if followers is None or position.kind != "rider":
                continue
            place = _encode(position)
            bodies: dict[str, bytes] = {}
            for viewer, order_id in list(followers):
                if order_id not in bodies:
                    bodies[order_id] = live_ring.rider(order_id, place)
                viewer.put_rider(order_id, bodies[order_id])

    def hold(self) -> None:
        """The views are being rebuilt: no snapshot of a part of them, until `forget`."""
        self._held = True

    def forget(self) -> None:
        """The views were rebuilt: a new epoch, and everybody starts again with a snapshot."""
        self._held = False
        self.epoch = secrets.token_hex(8)
        self._ring = Ring(*self._bounds, self._ring.offset)
        for viewer in self._audience.everybody():
            viewer.restart()

    def figures(self) -> list[Figure]:
        """For `/metrics`."""
        return [
            Level("majung_order_viewers", "Open streams of orders.", len(self._audience)),
            Counted(
                "majung_order_viewer_resyncs",
                "Streams of orders that began again with a snapshot, since more waited than may.",
                "reason",
                {"overflow": self.resyncs},
            ),
        ]

    # ---------------------------------------------------------------------------------- viewers

    def open(
        self, principal: Principal, scope: Scope, see: See, epoch: str = "", offset: int = 0
    ) -> OrderViewer:
        """A new viewer of `scope`; `see` says it again every half second, and raises when it is over.

        Raises Overloaded past `live.max_viewers`.
        """
        self._audience.admit()
        viewer = OrderViewer(self, principal, scope, see)
        self._audience.add(viewer)
        self._by_key.setdefault(scope.key, {})[viewer] = None
        if epoch == self.epoch and offset > 0 and self._ring.reaches(offset):
            viewer.resume(self._ring.missed(scope.key, offset), epoch, offset)
        elif epoch:
            self.resyncs += 1
            viewer.announce_resync()
        return viewer

    def leave(self, viewer: OrderViewer) -> None:
        """The viewer is gone; forget it. May be called twice."""
        if not self._audience.remove(viewer):
            return
        for order_id in list(viewer.carried):
            self.follow(viewer, order_id, "")
        key = viewer.scope.key
        del self._by_key[key][viewer]
        if not self._by_key[key]:
            del self._by_key[key]
        viewer.close(1000, "closed")

    def close(self) -> None:
        """The server stops: every stream ends, so that its viewer comes back to the next one."""
        self._audience.close()

    def follow(self, viewer: OrderViewer, order_id: str, rider_id: str) -> None:
        """From now on this viewer sees this rider for this order; "": nobody."""
        was = viewer.carried.get(order_id, "")
        if was == rider_id:
            return
        if was:
            del self._followers[was][viewer, order_id]
            if not self._followers[was]:
                del self._followers[was]
            del viewer.carried[order_id]
            viewer.forget_rider(order_id)
        if rider_id and viewer in self._audience:
            viewer.carried[order_id] = rider_id
            self._followers.setdefault(rider_id, {})[viewer, order_id] = None

    async def find(self, scope: Scope) -> tuple[list[Order], bool]:
        """The open orders of a scope, and whether these are all. Raises PortError."""
        if self._held:
            raise Overloaded("the views of orders are being rebuilt")
        found = await view_store.read_open(self._database, scope, MAX_SNAPSHOT + 1)
        return found[:MAX_SNAPSHOT], len(found) <= MAX_SNAPSHOT

    async def where(self, viewer: OrderViewer, orders: Sequence[Order]) -> list[Frame]:
        """Where the riders of these orders are, as the first thing that a viewer is shown of them."""
        if not orders:
            return []
        found = await self._live.get([order.rider_id for order in orders])
        return [
            Frame(live_ring.rider(order.order_id, _encode(position)), 0)
            for order, position in zip(orders, found, strict=True)
            if position is not None
            and viewer.carried.get(order.order_id) == order.rider_id
            and seen_while_carrying(order, position)
        ]

    # -------------------------------------------------------------------------------- housekeeping

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            await self.sweep()

    async def sweep(self) -> None:
        """Who may still watch, who does not read (or never began), who heard nothing."""
        self._ring.trim(self.monotonic_s())
        await self._audience.sweep()


def seen_while_carrying(order: Order, position: LivePosition) -> bool:
    """Whether the position came after the pick-up by this rider, or after the order was given to this one on

    the way: where a rider was before is nobody's business.
    """
    return position.received_at_ms >= max(order.picked_up_at_ms, order.assigned_at_ms)


async def _look_again(viewer: OrderViewer) -> None:
    try:
        scope = await viewer.see()
    except (AuthError, Forbidden) as problem:
        viewer.close(4401, str(problem))
        return
    except PortError:
        return  # not known just now: what was true half a second ago stands
    if scope != viewer.scope:
        viewer.close(4401, "the rights of this credential changed")
