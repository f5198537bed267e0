"""Who watches whom on this server, and how far apart they are.

A `Watcher` is a person with an open stream here. A `Subject` is a person who is live and whom a watcher here may
see. A `Link` joins the two while both hold; who is away has none. Nothing here waits or asks: the links are made
by `linker.py`, and what changes lands in the mailboxes of `viewer.py`.

Cost: an update looks at each link of the person, mostly by four comparisons with the box about the watcher;
the exact distance is reckoned only inside of it. What is shown of a person is encoded once an update for all who
see it alike.
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from majung.friends.blur import Blurring
from majung.friends.channels import mark_of
from majung.friends.consent import Mode, Seen
from majung.friends.model import Place
from majung.positions.geodesy import Box, box_around, ellipsoid_m
from majung.positions.model import LivePosition

if TYPE_CHECKING:
    from majung.friends.viewer import FriendViewer

EXACT = 0
_SPHERE_ERROR = (
    1.006  # a box about a circle on the sphere holds the one on the ellipsoid when it is so much larger
)
NOWHERE = Box(91.0, 0.0, 91.0, 0.0)
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


class Links:
    """All links of this server. Belongs to its event loop; every call ends what it begins."""

    def __init__(self, blurring: Blurring, hysteresis: float) -> None:
        self.watchers: dict[str, Watcher] = {}
        self.marks: Counter[int] = Counter()
        """By which other servers speak of the watchers: how many have each."""
        self.subjects: dict[str, Subject] = {}
        self.count = 0
        self.idle: dict[str, None] = {}
        """Subjects that were dropped: nobody here needs to hear of them."""
        self.blurring = blurring
        self._hysteresis = hysteresis

    # ------------------------------------------------------------------------------ who watches

    def watcher(self, person_id: str) -> Watcher:
        """The watcher with this id, made when there is none."""
        found = self.watchers.get(person_id)
        if found is None:
            me = self.subject(person_id)
            found = self.watchers[person_id] = me.watcher = Watcher(person_id, me)
            self.marks[mark_of(person_id)] += 1
        return found

    def subject(self, person_id: str) -> Subject:
        """The subject with this id, made when there is none."""
        found = self.subjects.get(person_id)
        if found is None:
            found = self.subjects[person_id] = Subject(person_id)
            self.idle.pop(person_id, None)
        return found

    def stop_watching(self, watcher: Watcher) -> None:
        """The last stream has closed."""
        for link in list(watcher.links.values()):
            self.drop(link)
        if self.watchers.get(watcher.person_id) is watcher:
            del self.watchers[watcher.person_id]
            watcher.me.watcher = None
            mark = mark_of(watcher.person_id)
            self.marks[mark] -= 1
            if not self.marks[mark]:
                del self.marks[mark]
        self.release(watcher.me)

    def release(self, subject: Subject) -> None:
        """Forget a subject that nobody here sees."""
        if subject.links or subject.watcher is not None or subject.pins:
            return
        if self.subjects.get(subject.person_id) is subject:
            del self.subjects[subject.person_id]
            self.blurring.forget(subject.person_id)
            self.idle[subject.person_id] = None

    def reach(self, watcher: Watcher, radius_m: float) -> None:
        """How far this watcher sees from now on."""
        if radius_m != watcher.radius_m:
            watcher.radius_m = radius_m
            watcher.out_m = radius_m * (1 + self._hysteresis)
            self.moved_self(watcher)
            for stream in watcher.streams:
                stream.restart()

    # ------------------------------------------------------------------------------------ links

    def join(self, watcher: Watcher, subject: Subject, seen: Seen) -> None:
        """The watcher sees this much of the subject from now on; nothing: the link goes."""
        link = watcher.links.get(subject.person_id)
        if seen.mode is Mode.OFF or subject.position is None:
            if link is not None:
                self.drop(link)
            return
        precision = seen.precision if seen.mode is Mode.BLURRED else EXACT
        if link is None:
            link = watcher.links[subject.person_id] = Link(watcher, subject, precision)
            subject.links.append(link)
            self.count += 1
        news = link.precision != precision
        link.precision, link.until_ms, link.doubted = precision, seen.until_ms, False
        self._measure(link, news)
        for stream in watcher.streams:
            stream.sure(subject.person_id)

    def doubt(self, person_id: str) -> None:
        """Decisions of this person, or towards it, have changed: nothing is said of them until they are read."""
        subject = self.subjects.get(person_id)
        if subject is None:
            return
        for link in subject.links:
            link.doubted = True
        if subject.watcher is not None:
            for link in subject.watcher.links.values():
                link.doubted = True

    def drop(self, link: Link) -> None:
        """The watcher sees the subject no more; it is told when it saw it near."""
        subject, watcher = link.subject, link.watcher
        subject.links.remove(link)
        del watcher.links[subject.person_id]
        self.count -= 1
        if link.inside:
            self._tell(link)
        self.release(subject)

    def near(self, watcher: Watcher) -> Iterator[tuple[Link, Place, bytes]]:
        """Who is inside the radius now, in doubt or not, with what is shown, nearest first."""
        for link in sorted((link for link in watcher.links.values() if link.inside), key=_by_distance):
            shown = link.subject.shown(link.precision, self.blurring)
            if shown is not None:
                yield link, *shown

    # ------------------------------------------------------------------------------------ moves

    def moved(self, position: LivePosition) -> bool:
        """A person has reported: everybody here who sees it exactly is served. Whether it is to be looked at anew

        for those who see it blurred: `Blurring.learn`, then `looked_at`.
        """
        subject = self.subjects.get(position.rider_id)
        if subject is None:
            return False
        if subject.advance(position):
            for link in subject.links:
                if link.precision == EXACT:
                    self._measure(link, news=True)
            if subject.watcher is not None:
                self.moved_self(subject.watcher)
        return self.blurring.is_due(position)

    def looked_at(self, subject: Subject) -> None:
        """Everybody here who sees this person blurred is served."""
        subject.looked_at()
        for link in subject.links:
            if link.precision != EXACT:
                self._measure(link, news=True)

    def moved_self(self, watcher: Watcher) -> None:
        """The watcher is somewhere else: every distance is new."""
        watcher.surround()
        for link in watcher.links.values():
            self._measure(link)
        for stream in watcher.streams:
            stream.moved()

    def gone(self, person_id: str) -> None:
        """Silent for too long: nobody sees it, and, if it watches itself, it sees nobody."""
        subject = self.subjects.get(person_id)
        if subject is None:
            return
        subject.gone()
        self.blurring.forget(person_id)
        for link in list(subject.links):
            self.drop(link)
        watcher = subject.watcher
        if watcher is not None:
            watcher.surround()
            for link in watcher.links.values():
                link.inside = False
            for stream in watcher.streams:
                stream.restart()

    def _measure(self, link: Link, news: bool = False) -> None:
        """Inside or outside, and how far. Who crosses the edge is told of; inside, also what is `news`."""
        was = link.inside
        shown = link.subject.shown(link.precision, self.blurring)
        link.inside = shown is not None and self._is_inside(link, shown[0].latitude, shown[0].longitude)
        if link.inside != was or (news and was):
            self._tell(link)

    @staticmethod
    def _is_inside(link: Link, latitude: float, longitude: float) -> bool:
        watcher = link.watcher
        south, west, north, east = watcher.box
        if not south <= latitude <= north:
            return False
        if not west <= longitude <= east if west <= east else east < longitude < west:
            return False
        here = watcher.me.position
        assert here is not None, "without a place the box is empty"
        link.distance_m = ellipsoid_m(here.latitude, here.longitude, latitude, longitude)
        return link.distance_m <= (watcher.out_m if link.inside else watcher.radius_m)

    def _tell(self, link: Link) -> None:
        for stream in link.watcher.streams:
            stream.touch(link.subject.person_id)


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


def _by_distance(link: Link) -> tuple[float, str]:
    return link.distance_m, link.subject.person_id
