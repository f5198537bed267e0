"""A watcher, a subject, and the link between them: what `links.py` keeps, as `linker.py` makes it."""

from typing import TYPE_CHECKING

import msgspec

from majung.friends.blur import Blurring
from majung.friends.model import Place
from majung.positions.geodesy import Box, box_around
from majung.positions.model import LivePosition

if TYPE_CHECKING:
    from majung.friends.viewer import FriendViewer

EXACT = 0
NOWHERE = Box(91.0, 0.0, 91.0, 0.0)
_SPHERE_ERROR = 1.006
"""A box about a circle on the sphere holds the one on the ellipsoid when it is larger by so much."""
_HALF_GLOBE_M = 20_100_000.0

_json = msgspec.json.Encoder().encode


class Subject:
    """A person who may be seen here. `position` None: not live, but a watcher itself."""

    __slots__ = ("_shown", "display_name", "links", "name", "person_id", "pins", "position", "watcher")

    def __init__(self, person_id: str) -> None:
        self.person_id = person_id
        self.display_name = ""
        self.name = b'""'  # the same as JSON
        self.position: LivePosition | None = None
        self.links: list[Link] = []
        self.watcher: Watcher | None = None
        self.pins = 0  # reads that are about to link it
        self._shown: dict[int, tuple[Place, bytes]] = {}

    def call(self, display_name: str) -> None:
        """What the person is called from now on."""
        if display_name != self.display_name:
            self.display_name, self.name = display_name, _json(display_name)

    def advance(self, position: LivePosition) -> bool:
        """Take a position unless a newer one is known; whether it was taken."""
        known = self.position
        if known is not None and (position.device_time_ms, position.received_at_ms) <= (
            known.device_time_ms,
            known.received_at_ms,
        ):
            return False
        self.position = position
        self._shown.pop(EXACT, None)
        return True

    def looked_at(self) -> None:
        """The cells may have changed."""
        exact = self._shown.get(EXACT)
        self._shown = {} if exact is None else {EXACT: exact}

    def gone(self) -> None:
        """Not live any more."""
        self.position = None
        self._shown = {}

    def shown(self, precision: int, blurring: Blurring) -> tuple[Place, bytes] | None:
        """What those see who see this much (0: exact), with its JSON; None: nothing yet."""
        found = self._shown.get(precision)
        if found is None and self.position is not None:
            place = (
                exact_place(self.position)
                if precision == EXACT
                else blurring.place(self.person_id, precision)
            )
            if place is not None:
                found = self._shown[precision] = place, _json(place)
        return found


class Watcher:
    """A person with streams open here."""

    __slots__ = ("box", "links", "me", "out_m", "person_id", "radius_m", "ready", "streams")

    def __init__(self, person_id: str, me: Subject) -> None:
        self.person_id = person_id
        self.me = me
        self.ready = False  # its friends have been read
        self.radius_m = 0.0
        self.out_m = 0.0  # who was inside has left beyond this
        self.links: dict[str, Link] = {}
        self.streams: list[FriendViewer] = []
        self.box = NOWHERE  # who is outside of it is outside of the radius for certain

    def tell_changed(self) -> None:
        """Friendships or decisions have changed."""
        for stream in self.streams:
            stream.friends_changed()

    def is_sure(self, now_ms: int) -> bool:
        """Whether it is known what each friend lets it see."""
        return self.ready and not any(link.in_doubt(now_ms) for link in self.links.values())

    def surround(self) -> None:
        """Reckon the box anew: the watcher has moved, or its radius has changed."""
        here = self.me.position
        if here is None:
            self.box = NOWHERE
        else:
            reach_m = min(self.out_m * _SPHERE_ERROR, _HALF_GLOBE_M)
            self.box = box_around(here.latitude, here.longitude, reach_m)


class Link:
    """What one watcher sees of one subject. `precision` 0: exactly.

    In doubt nothing is said along it: somebody has decided something that has not been read yet, or what was
    decided has ended (`until_ms`). What is read next ends the doubt, or the link.
    """

    __slots__ = ("distance_m", "doubted", "inside", "precision", "subject", "until_ms", "watcher")

    def __init__(self, watcher: Watcher, subject: Subject, precision: int) -> None:
        self.watcher = watcher
        self.subject = subject
        self.precision = precision
        self.until_ms: int | None = None
        self.doubted = False
        self.inside = False
        self.distance_m = 0.0

    def in_doubt(self, now_ms: int) -> bool:
        """Whether nothing may be said along it now."""
        return self.doubted or (self.until_ms is not None and self.until_ms <= now_ms)


def exact_place(position: LivePosition) -> Place:
    """What somebody sees who may see everything."""
    return Place(
        position.rider_id,
        position.latitude,
        position.longitude,
        position.device_time_ms,
        position.accuracy_m,
        position.speed_mps,
        position.heading_deg,
    )
