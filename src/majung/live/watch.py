"""Who watches what: the index from a change to the subscriptions that it concerns.

Riders and fences by name, areas in a grid, so that a batch of positions costs what it delivers.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from majung.live.changes import Change
from majung.positions.boxes import BoxIndex
from majung.positions.geodesy import Box

if TYPE_CHECKING:
    from majung.live.viewer import Viewer

NEW, RESUME, LIVE = 0, 1, 2


class Area(Protocol):
    """Where a subscription looks: a viewport, or the shape of a fence."""

    def contains(self, latitude: float, longitude: float) -> bool:
        """Whether the point lies in it, edges included."""
        ...

    def box(self) -> Box:
        """What encloses it."""
        ...


class Subscription:
    """One thing that one viewer watches.

    `state` is NEW while it waits for a snapshot, RESUME while it waits for what it missed, then LIVE. It
    gets what happened after offset `after`. With `resync`, its snapshot is announced as one that replaces lost changes.
    """

    __slots__ = ("after", "area", "box", "fence_id", "name", "resync", "riders", "state", "viewer")

    def __init__(
        self, viewer: "Viewer", name: str, riders: frozenset[str], area: Area | None, fence_id: str = ""
    ) -> None:
        self.viewer = viewer
        self.name = name
        self.riders = riders
        self.area = area
        self.box = None if area is None else area.box()
        self.fence_id = fence_id
        self.state = NEW
        self.resync = False
        self.after = 0


class Watch:
    """All subscriptions of one hub."""

    def __init__(self) -> None:
        self.riders: dict[str, dict[Subscription, None]] = {}
        self.fences: dict[str, dict[Subscription, None]] = {}
        self.areas: BoxIndex[Subscription] = BoxIndex()

    def add(self, subscription: Subscription) -> None:
        """From now on, changes concern it."""
        for rider_id in subscription.riders:
            self.riders.setdefault(rider_id, {})[subscription] = None
        if subscription.box is not None:
            self.areas.add(subscription, subscription.box)
        if subscription.fence_id:
            self.fences.setdefault(subscription.fence_id, {})[subscription] = None

    def remove(self, subscription: Subscription) -> None:
        """No longer."""
        for rider_id in subscription.riders:
            _discard(self.riders, rider_id, subscription)
        if subscription.box is not None:
            self.areas.remove(subscription)
        if subscription.fence_id:
            _discard(self.fences, subscription.fence_id, subscription)

    def of_rider(self, rider_id: str) -> Iterable[Subscription]:
        """Who named this rider."""
        return self.riders.get(rider_id, ())

    def of_fence(self, fence_id: str) -> list[Subscription]:
        """Who named this fence."""
        return list(self.fences.get(fence_id, ()))

    def at(self, latitude: float, longitude: float) -> list[Subscription]:
        """Whose area the point lies in; nobody's, when it is NaN."""
        if latitude != latitude:
            return []
        candidates = self.areas.at(latitude, longitude)
        return [s for s in candidates if s.area is not None and s.area.contains(latitude, longitude)]

    def tell(self, change: Change) -> None:
        """Put a position into the mailbox of everybody who watches; "left" where it went out of view."""
        rider_id = change.rider_id
        if len(self.areas):
            self._tell_areas(rider_id, change)
        for subscription in self.riders.get(rider_id, ()):
            subscription.viewer.put(rider_id, change)

    def _tell_areas(self, rider_id: str, change: Change) -> None:
        here = (change.latitude, change.longitude)
        was = (change.was_latitude, change.was_longitude)
        known = was[0] == was[0]
        inside: list[Subscription] = []
        for subscription in self.areas.at_either(here, was) if known else self.areas.at(*here):
            area = subscription.area
            assert area is not None
            if area.contains(*here):
                inside.append(subscription)
            elif known and area.contains(*was):
                subscription.viewer.put(rider_id, None)
        for subscription in inside:  # last: one viewer may watch the area it left and the one it entered
            subscription.viewer.put(rider_id, change)


def _discard(index: dict[str, dict[Subscription, None]], key: str, subscription: Subscription) -> None:
    del index[key][subscription]
    if not index[key]:
        del index[key]
