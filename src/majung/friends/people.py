"""What people decided for each other, as every read path asks for it.

Nothing is remembered here: a person has hundreds of friends, and who reads keeps as much as it needs for as long
as it needs it, under the word of `listeners`.
"""

from collections.abc import Callable, Sequence

from majung.clock import Clock
from majung.friends import store
from majung.friends.changes import FriendChanges
from majung.friends.consent import NOTHING, Owner, Seen, Tie, seen
from majung.friends.model import Caller
from majung.ports import Database, Row


class People:
    """Reads of people, friendships and decisions. One for each server; of its event loop.

    `listeners` are called after each commit with the id of every person whose friendships or decisions have
    changed, on whichever server, within a second; with "": everybody's may have.
    """

    def __init__(self, database: Database, clock: Clock, changes: FriendChanges) -> None:
        self._database = database
        self._clock = clock
        self.listeners: list[Callable[[str], None]] = changes.listeners

    async def person(self, person_id: str) -> Caller | None:
        """A person with its names, radius and what it decided for everybody. Raises PortError."""
        rows = await self._database.read(store.SELECT_PERSON, {"person_id": person_id})
        return store.caller_of(rows[0]) if rows else None

    async def owner(self, person_id: str) -> Owner:
        """What this person decided for everybody; for somebody unknown: nothing is shown. Raises PortError."""
        rows = await self._database.read(store.SELECT_OWNER, {"person_id": person_id})
        return store.owner_of(person_id, rows[0]) if rows else Owner(person_id)

    async def ties_from(self, person_id: str, among: Sequence[str] | None = None) -> dict[str, Tie]:
        """What this person decided for each of its friends (`among` these), by the friend's id. Raises PortError."""
        return store.ties_of(await self._read_among(store.SELECT_TIES_FROM, person_id, among))

    async def ties_to(
        self, viewer_id: str, among: Sequence[str] | None = None
    ) -> dict[str, tuple[Owner, Tie]]:
        """What each friend (`among` these) decided for the viewer, by the friend's id. Raises PortError."""
        return store.owned_ties_of(await self._read_among(store.SELECT_TIES_TO, viewer_id, among))

    async def sees(self, viewer_id: str, owner_id: str) -> Seen:
        """What the viewer sees of the owner now; nothing of strangers. Raises PortError."""
        params = {"viewer_id": viewer_id, "owner_id": owner_id}
        found = store.owned_ties_of(await self._database.read(store.SELECT_TIE, params))
        if owner_id not in found:
            return NOTHING
        owner, tie = found[owner_id]
        return seen(owner, tie, self._clock.now_ms())

    async def friends_of(self, person_id: str) -> list[str]:
        """The ids of a person's friends. Raises PortError."""
        return [
            str(row[0]) for row in await self._database.read(store.SELECT_FRIENDS, {"person_id": person_id})
        ]

    async def display_names(self, person_id: str, among: Sequence[str] | None = None) -> dict[str, str]:
        """What a person's friends (`among` these) call themselves, by their ids. Raises PortError."""
        return dict(await self._read_among(store.SELECT_DISPLAY_NAMES, person_id, among))

    async def _read_among(self, sql: str, person_id: str, among: Sequence[str] | None) -> list[Row]:
        """Of hundreds of friends few are there; the others are not worth decoding."""
        params = {"person_id": person_id}
        if among is None:
            return await self._database.read(sql, params)
        if not among:
            return []
        room = 1 << (len(among) - 1).bit_length()  # few lengths: a statement is prepared once for each
        padded = [*among, *[among[0]] * (room - len(among))]
        params |= {f"id{number}": id_ for number, id_ in enumerate(padded)}
        marks = ", ".join(f":id{number}" for number in range(room))
        return await self._database.read(sql + store.AMONG.format(marks), params)

    async def radius_m(self, person_id: str, default_m: float) -> float:
        """Within how many metres friends are near for this person. Raises PortError."""
        person = await self.person(person_id)
        return person.radius_m if person else default_m
