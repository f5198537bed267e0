"""Who may be linked to whom: the one place where the live side of friends asks for consent.

Reads take time, and decisions change meanwhile. So each read notes when it began; what has changed since is left
alone by it, since that change has a read of its own in the queue. Newer therefore always comes after older.

Subscribe, snapshot, apply: a watcher is known before its friends are read, a subject is followed before its
position is read, and a position only ever takes the place of an older one.
"""

import asyncio
from collections.abc import Container, Iterable, Sequence

from majung.clock import Clock
from majung.friends.blur import Blurring
from majung.friends.channels import Channels
from majung.friends.consent import NOTHING, Mode, Seen, seen
from majung.friends.due import Due, Key
from majung.friends.ends import Ends
from majung.friends.links import Links
from majung.friends.parties import Subject, Watcher
from majung.friends.people import People
from majung.ports import LiveStore
from majung.positions.model import PERSON

_BLURRED = Seen(Mode.BLURRED)
_WATCHER, _SUBJECT, _PAIR, _LOOK = "watcher", "subject", "pair", "look"


class Linker:
    """Makes and removes links. Belongs to one event loop; `run` does what is waiting."""

    def __init__(
        self,
        people: People,
        live: LiveStore,
        blurring: Blurring,
        links: Links,
        channels: Channels,
        clock: Clock,
        default_radius_m: float,
    ) -> None:
        self.ends = Ends()
        self._people = people
        self._live = live
        self._blurring = blurring
        self._links = links
        self._channels = channels
        self._clock = clock
        self._default_radius_m = default_radius_m
        self._serial = 0
        self._changed_at: dict[str, int] = {}
        self._all_changed_at = 0
        self._reading = 0
        self._building: dict[str, asyncio.Task[None]] = {}
        self._due = Due(self._do)  # the flag: whether friends are told that something has changed
        self._to_announce: set[str] = set()

    @property
    def waiting(self) -> int:
        """How many reads are due or being done."""
        return max(len(self._due), self._reading)

    # -------------------------------------------------------------------------------- what is due

    def changed(self, person_id: str) -> None:
        """Somebody's friendships or decisions have changed; "": anybody's may have."""
        self._serial += 1
        for id_ in (person_id,) if person_id else self._links.watchers:
            self._links.doubt(id_)
        if person_id and self._reading:
            self._changed_at[person_id] = self._serial
        elif not person_id:
            self._all_changed_at = self._serial
        watchers = self._links.watchers
        concerned = [watchers[id_] for id_ in ((person_id,) if person_id else watchers) if id_ in watchers]
        for watcher in concerned:
            self._due.want(_WATCHER, watcher.person_id, first=True)
            watcher.tell_changed()
        if person_id and watchers:
            self._due.want(_SUBJECT, person_id, flag=True, first=True)

    def came(self, person_id: str, announce: bool = False) -> None:
        """Somebody began to report; `announce`: to this server, which tells the others."""
        if announce:
            self._to_announce.add(person_id)
        self._due.want(_SUBJECT, person_id)

    def look_at(self, person_id: str) -> None:
        """A stretch has begun for somebody who is seen blurred."""
        self._due.want(_LOOK, person_id)

    def look_at_ends(self) -> None:
        """Decisions that have ended by now are asked for anew."""
        for watcher_id, subject_id in self.ends.due(self._clock.now_ms()):
            if watcher_id in self._links.watchers:
                self._due.want(_PAIR, watcher_id, subject_id, first=True)

    def left(self, watcher: Watcher) -> None:
        """The last stream of a watcher closes: nobody waits any more for what it sees to end."""
        for person_id in watcher.links:
            self.ends.set(watcher.person_id, person_id, None)

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        await self._due.run()

    async def _do(self, key: Key, tell: bool) -> None:
        if key[0] == _LOOK:
            await self._look(key[1])
        elif key[0] == _PAIR:
            await self._pair(key[1], key[2])
        elif key[0] == _SUBJECT:
            await self._subject(key[1], tell)
        elif (watcher := self._links.watchers.get(key[1])) is not None:
            await self._watcher(watcher)

    # --------------------------------------------------------------------------------- one watcher

    async def build(self, watcher: Watcher) -> None:
        """Link a watcher that has just come to its friends who are live. Raises PortError."""
        task = self._building.get(watcher.person_id)
        if task is None or task.done():
            task = asyncio.create_task(self._watcher(watcher))
            self._building[watcher.person_id] = task
            task.add_done_callback(lambda _: self._built(watcher.person_id, task))
        await asyncio.shield(task)

    def _built(self, person_id: str, task: asyncio.Task[None]) -> None:
        if self._building.get(person_id) is task:
            del self._building[person_id]

    async def _watcher(self, watcher: Watcher) -> None:
        serial = self._begin()
        living: list[Subject] = []
        try:
            person = await self._people.person(watcher.person_id)
            there = await self._living(await self._people.friends_of(watcher.person_id))
            ties = await self._people.ties_to(watcher.person_id, there)
            now_ms = self._clock.now_ms()
            decided = {id_: seen(owner, tie, now_ms) for id_, (owner, tie) in ties.items()}
            wanted = [id_ for id_, what in decided.items() if what.mode is not Mode.OFF]
            living = await self._follow([watcher.person_id, *wanted])
            await self._name(watcher, living)
            await self._learn((subject, decided.get(subject.person_id, NOTHING)) for subject in living)
            if self._stale(serial, watcher.person_id) or not self._there(watcher):
                return
            self._links.reach(watcher, person.radius_m if person else self._default_radius_m)
            for link in list(watcher.links.values()):
                decided.setdefault(link.subject.person_id, NOTHING)
            for person_id, what in decided.items():
                if not self._stale(serial, person_id):
                    self._join(watcher, person_id, what)
            watcher.ready = True
        finally:
            self._end(living)

    def _there(self, watcher: Watcher) -> bool:
        return self._links.watchers.get(watcher.person_id) is watcher

    def _join(self, watcher: Watcher, person_id: str, what: Seen) -> None:
        self.ends.set(watcher.person_id, person_id, what.until_ms)
        subject = self._links.subjects.get(person_id)
        if subject is not None:
            self._links.join(watcher, subject, what)

    async def _pair(self, watcher_id: str, subject_id: str) -> None:
        """A decision has ended by itself."""
        serial = self._begin()
        living: list[Subject] = []
        try:
            watcher = self._links.watchers.get(watcher_id)
            if watcher is None:
                return
            what = await self._people.sees(watcher_id, subject_id)
            if what.mode is not Mode.OFF:
                living = await self._follow(await self._living([subject_id]))
                await self._name(watcher, living)
                await self._learn((subject, what) for subject in living)
            if self._there(watcher) and not self._stale(serial, watcher_id, subject_id):
                self._join(watcher, subject_id, what)
                watcher.tell_changed()
        finally:
            self._end(living)

    # --------------------------------------------------------------------------------- one subject

    async def _subject(self, person_id: str, tell: bool) -> None:
        """Link somebody who came, or who decided something, to its friends who watch here."""
        serial = self._begin()
        living: list[Subject] = []
        try:
            friends = await self._people.friends_of(person_id)
            if person_id in self._to_announce:
                self._to_announce.discard(person_id)
                self._channels.tell_came(person_id, friends)
            here = [id_ for id_ in friends if id_ in self._links.watchers]
            if not here and not self._strangers(person_id, set(friends)):
                return
            ties = await self._people.ties_from(person_id, here)
            watchers = [self._links.watchers[id_] for id_ in ties if id_ in self._links.watchers]
            person = await self._people.person(person_id)
            now_ms = self._clock.now_ms()
            found = {
                w: seen(person.owner, ties[w.person_id], now_ms) if person else NOTHING for w in watchers
            }
            if person is not None and any(what.mode is not Mode.OFF for what in found.values()):
                living = await self._follow(await self._living([person_id]))
                for subject in living:
                    subject.call(person.display_name)
                    await self._learn((subject, what) for what in found.values())
            if self._stale(serial, person_id):
                return
            found.update(dict.fromkeys(self._strangers(person_id, set(friends)), NOTHING))
            for watcher, what in found.items():
                if self._there(watcher) and not self._stale(serial, watcher.person_id):
                    self._join(watcher, person_id, what)
                    if tell:
                        watcher.tell_changed()
        finally:
            self._end(living)

    def _strangers(self, person_id: str, ties: Container[str]) -> list[Watcher]:
        """Who is linked to somebody of whom it is no friend any more."""
        subject = self._links.subjects.get(person_id)
        links = subject.links if subject is not None else ()
        return [link.watcher for link in links if link.watcher.person_id not in ties]

    # ---------------------------------------------------------------------------------- what it takes

    async def _living(self, person_ids: Sequence[str]) -> list[str]:
        """Those of whom it is known where they are: to the store, or to this server by another's word."""
        found = await self._live.get(person_ids, PERSON)
        known = self._links.subjects
        return [
            id_
            for id_, position in zip(person_ids, found, strict=True)
            if position is not None or (id_ in known and known[id_].position is not None)
        ]

    async def _follow(self, person_ids: Sequence[str]) -> list[Subject]:
        """Have these as subjects, with where they are now; they stay until `_end` gets them."""
        subjects = [self._links.subject(id_) for id_ in person_ids]
        for subject in subjects:
            subject.pins += 1
        try:
            unknown = [subject.person_id for subject in subjects if subject.position is None]
            if unknown:
                await self._channels.follow(unknown)
                for position in await self._live.get(unknown, PERSON):
                    if position is not None:
                        self._links.moved(position)
        except BaseException:
            self._release(subjects)
            raise
        return subjects

    async def _name(self, watcher: Watcher, living: Sequence[Subject]) -> None:
        nameless = [one for one in living if not one.display_name and one is not watcher.me]
        if nameless:
            ids = [subject.person_id for subject in nameless]
            names = await self._people.display_names(watcher.person_id, ids)
            for subject in nameless:
                if subject.person_id in names:
                    subject.call(names[subject.person_id])

    async def _learn(self, subjects: Iterable[tuple[Subject, Seen]]) -> None:
        """The looks of those who are seen blurred."""
        for subject, what in subjects:
            newest = subject.position
            if what.mode is Mode.BLURRED and newest is not None:
                await self._blurring.learn(newest)
                if subject.position not in (None, newest):
                    self.look_at(subject.person_id)  # it reported meanwhile

    async def _look(self, person_id: str) -> None:
        subject = self._links.subjects.get(person_id)
        if subject is not None and subject.position is not None:
            await self._learn(((subject, _BLURRED),))
            self._links.looked_at(subject)

    # -------------------------------------------------------------------------------- old and new

    def _begin(self) -> int:
        self._reading += 1
        return self._serial

    def _end(self, subjects: Sequence[Subject]) -> None:
        self._release(subjects)
        self._reading -= 1
        if not self._reading:
            self._changed_at.clear()

    def _release(self, subjects: Sequence[Subject]) -> None:
        for subject in subjects:
            subject.pins -= 1
            self._links.release(subject)

    def _stale(self, serial: int, *person_ids: str) -> bool:
        """Whether any has changed since a read began: then what was read is not used, another read follows."""
        if self._all_changed_at > serial:
            return True
        return any(self._changed_at.get(person_id, 0) > serial for person_id in person_ids)
