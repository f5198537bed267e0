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

from majung.friends.blur import Blurring
from majung.friends.channels import mark_of
from majung.friends.consent import Mode, Seen
from majung.friends.model import Place
from majung.friends.parties import EXACT, Link, Subject, Watcher
from majung.positions.geodesy import ellipsoid_m
from majung.positions.model import LivePosition


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


def _by_distance(link: Link) -> tuple[float, str]:
    return link.distance_m, link.subject.person_id
