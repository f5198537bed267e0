"""What the hub knows: the newest of every rider, and what changed lately.

From it come the three things a viewer can get: a change as it happens, a snapshot that belongs to exactly
one offset, and what was missed since an offset.
"""

from collections.abc import Iterable

import msgspec

from majung.live.changes import EVENT, GONE, NO_CELL, NOWHERE, POSITION, Change, Ring, ring_cell
from majung.live.watch import Subscription
from majung.positions.model import LivePosition
from majung.positions.triggers import RiderEvent

_encode = msgspec.json.Encoder().encode
_NOBODY = Change(0, GONE, "", b"", NOWHERE, NOWHERE, NOWHERE, NOWHERE, 0.0)


class Recent:
    """Counts the changes (`offset`) and holds them as long as the bounds of the ring allow."""

    def __init__(self, max_bytes: int, keep_s: float) -> None:
        self.offset = 1  # 0 is the offset that nobody can resume from
        self._bounds = (max_bytes, keep_s)
        self._ring = Ring(max_bytes, keep_s, self.offset)
        self._newest: dict[str, Change] = {}

    @property
    def held_bytes(self) -> int:
        """Memory held so that viewers can resume."""
        return self._ring.bytes

    def moved(self, position: LivePosition, body: bytes, now_s: float) -> Change:
        """A rider has a new position; `body` is its JSON."""
        rider_id = position.rider_id
        was = self._newest.get(rider_id, _NOBODY)
        latitude, longitude = position.latitude, position.longitude
        self.offset += 1
        change = Change(
            self.offset,
            POSITION,
            rider_id,
            body,
            latitude,
            longitude,
            was.latitude,
            was.longitude,
            now_s,
            ring_cell(latitude, longitude),
            was.cell,
        )
        self._newest[rider_id] = change
        self._ring.add(change)
        return change

    def gone(self, rider_id: str, now_s: float) -> Change:
        """A rider is off the map."""
        was = self._newest.get(rider_id, _NOBODY)
        self.offset += 1
        place = (was.latitude, was.longitude)
        change = Change(self.offset, GONE, rider_id, b"", NOWHERE, NOWHERE, *place, now_s, NO_CELL, was.cell)
        self._newest[rider_id] = change
        self._ring.add(change)
        return change

    def happened(self, event: RiderEvent, body: bytes, now_s: float) -> Change:
        """An event; `body` is its JSON."""
        self.offset += 1
        place = (event.latitude, event.longitude)
        change = Change(
            self.offset, EVENT, event.rider_id, body, *place, NOWHERE, NOWHERE, now_s, fence_id=event.fence_id
        )
        self._ring.add(change)
        return change

    def trim(self, now_s: float) -> None:
        """Forget what is past the bounds."""
        for change in self._ring.trim(now_s):
            if change.kind == GONE and self._newest.get(change.rider_id) is change:
                del self._newest[change.rider_id]

    def forget(self) -> None:
        """Changes were missed: nothing known before can be relied on."""
        self._newest = {}
        self._ring = Ring(*self._bounds, self.offset)

    def snapshot(
        self, subscription: Subscription, found: Iterable[LivePosition], now_s: float
    ) -> list[Change]:
        """What the LiveStore gave, made into a snapshot that belongs to exactly this offset.

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
                change = self._newest[rider_id] = _learned(position, now_s)
            if change.kind == POSITION and (area is None or area.contains(change.latitude, change.longitude)):
                changes.append(change)
        return changes

    def reaches(self, after: int) -> bool:
        """Whether everything after that offset is still held."""
        return self._ring.floor <= after <= self.offset

    def missed(self, subscription: Subscription, after: int) -> list[tuple[str, Change | None]]:
        """What changed after that offset: the newest of each rider, or that it is gone, or left (None).

        Exactly that: who came into the area and left it again meanwhile is not mentioned.
        """
        newest, area = self._newest, subscription.area
        if area is None or subscription.box is None:
            known = [newest[rider_id] for rider_id in subscription.riders if rider_id in newest]
            return [(change.rider_id, change) for change in known if change.offset > after]
        first: dict[str, Change] = {}  # of each rider: it says where the rider was at that offset
        for change in self._ring.touching(subscription.box, after):
            if change.rider_id not in first or change.offset < first[change.rider_id].offset:
                first[change.rider_id] = change
        missed: list[tuple[str, Change | None]] = []
        for rider_id, change in first.items():
            now = newest[rider_id]
            if now.kind == POSITION and area.contains(now.latitude, now.longitude):
                missed.append((rider_id, now))
            elif area.contains(change.was_latitude, change.was_longitude):
                missed.append((rider_id, now if now.kind == GONE else None))
        return missed

    def missed_events(self, subscription: Subscription, after: int) -> list[Change]:
        """Events after that offset that concern it, oldest first."""
        area, riders, fence_id = subscription.area, subscription.riders, subscription.fence_id
        return [
            change
            for change in self._ring.events(after)
            if change.rider_id in riders
            or (fence_id and change.fence_id == fence_id)
            or (area is not None and area.contains(change.latitude, change.longitude))
        ]


def _learned(position: LivePosition, now_s: float) -> Change:
    place = (position.latitude, position.longitude)
    body, cell = _encode(position), ring_cell(*place)
    return Change(0, POSITION, position.rider_id, body, *place, NOWHERE, NOWHERE, now_s, cell)
