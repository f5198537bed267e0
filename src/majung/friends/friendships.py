"""Friendships: who they are, ending one, and not wanting to hear of somebody."""

from collections.abc import Iterable
from typing import Any

from majung.clock import Clock
from majung.friends import store, store_more
from majung.friends.changes import FriendChanges
from majung.friends.consent import Mode, Owner, Seen, Tie, holds, seen
from majung.friends.model import NO_FRIEND, Caller, Friend, Shown, Stranger
from majung.friends.people import People
from majung.friends.sharing import number_of
from majung.ports import Conflict, Database, Row, Transaction
from majung.settings import FriendsSettings

MAX_BLOCKED = 10_000


class FriendsConflict(Conflict):
    """A rule of friendships says no. `str()` is safe to show."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.outward = message


def befriend(
    transaction: Transaction, changed: set[str], one: Caller, other: Caller, now_ms: int, max_friends: int
) -> None:
    """Make two people friends, both ways; who are already stay as they are. What they asked is answered.

    Nothing is shared by it: each sees of the other what the other decided for all friends.
    Raises FriendsConflict.
    """
    for asker, asked in ((one, other), (other, one)):
        transaction.execute(store_more.DELETE_REQUEST_TO, {"asker": asker.number, "name": asked.name})
    if transaction.execute(store.ARE_FRIENDS, {"owner": one.number, "viewer": other.number}):
        return
    for person in (one, other):
        if int(transaction.execute(store.COUNT_FRIENDS, {"owner": person.number})[0][0]) >= max_friends:
            raise FriendsConflict(f"one of you has {max_friends} friends, as many as one may have")
    for owner, viewer in ((one, other), (other, one)):
        pair = {"owner": owner.number, "viewer": viewer.number, "now_ms": now_ms}
        transaction.execute(store.INSERT_TIE, pair)
    changed |= {one.person_id, other.person_id}


def hold(transaction: Transaction, *numbers: int) -> None:
    """Nobody else befriends or blocks these until the commit: what is asked now is true then."""
    for number in sorted(numbers):
        transaction.execute(store.HOLD_PERSON, {"number": number})


def is_blocked(transaction: Transaction, owner: int, viewer: int) -> bool:
    """Whether `owner` has blocked `viewer`."""
    return bool(transaction.execute(store_more.IS_BLOCKED, {"owner": owner, "viewer": viewer}))


def strangers_of(rows: Iterable[Row]) -> list[Stranger]:
    """`person_id, name, display_name, at_ms` of each."""
    return [Stranger(row[0], row[1], row[2], row[3]) for row in rows]


class Friendships:
    """The caller's friends. One for each server."""

    def __init__(
        self,
        people: People,
        changes: FriendChanges,
        database: Database,
        clock: Clock,
        settings: FriendsSettings,
    ) -> None:
        self._people = people
        self._changes = changes
        self._database = database
        self._clock = clock
        self._settings = settings

    async def all(self, caller: Caller) -> list[Friend]:
        """By display name. Raises PortError."""
        me = {"person_id": caller.person_id}
        names = await self._database.read(store.SELECT_NAMES, me)
        given = await self._people.ties_from(caller.person_id)
        got = await self._people.ties_to(caller.person_id)
        groups: dict[str, list[str]] = {}
        for group_id, person_id in await self._database.read(
            store_more.SELECT_MEMBERS, {"owner": caller.number}
        ):
            groups.setdefault(str(person_id), []).append(str(group_id))
        owner, now_ms = await self._people.owner(caller.person_id), self._clock.now_ms()
        # Read one after the other: whoever was removed in between is in none of the answers' friends.
        return [
            _friend(row, owner, given[row[0]], got[row[0]], groups.get(row[0], []), now_ms)
            for row in names
            if row[0] in given and row[0] in got
        ]

    async def remove(self, caller: Caller, person_id: str) -> None:
        """End a friendship, at once and for both. Raises LookupError, PortError."""

        def work(transaction: Transaction, changed: set[str]) -> None:
            if not _part(transaction, changed, caller, person_id, number_of(transaction, person_id)):
                raise LookupError(NO_FRIEND)

        await self._changes.write(work)

    async def block(self, caller: Caller, person_id: str) -> None:
        """Be no friends, and not be asked or found again; the other is told nothing. Done again: nothing.

        Raises LookupError (whom the caller has never met), ValueError (oneself), FriendsConflict, PortError.
        """
        if person_id == caller.person_id:
            raise ValueError("one cannot block oneself")
        now_ms = self._clock.now_ms()

        def work(transaction: Transaction, changed: set[str]) -> None:
            other = number_of(transaction, person_id)
            pair = {"owner": caller.number, "viewer": other, "now_ms": now_ms}
            hold(transaction, caller.number, other)
            if is_blocked(transaction, caller.number, other):
                return
            if int(transaction.execute(store_more.COUNT_BLOCKS, pair)[0][0]) >= MAX_BLOCKED:
                raise FriendsConflict(f"one may block {MAX_BLOCKED} people")
            _part(transaction, changed, caller, person_id, other)
            _withdraw(transaction, caller, person_id)
            transaction.execute(store_more.INSERT_BLOCK, pair)

        await self._changes.write(work)

    async def unblock(self, caller: Caller, person_id: str) -> None:
        """May ask and be asked again; friends they are not. Done again: nothing. Raises PortError."""

        def work(transaction: Transaction, changed: set[str]) -> None:
            rows = transaction.execute(store.SELECT_NUMBER, {"person_id": person_id})
            if rows:
                pair = {"owner": caller.number, "viewer": rows[0][0]}
                transaction.execute(store_more.DELETE_BLOCK, pair)

        await self._changes.write(work)

    async def blocked(self, caller: Caller) -> list[Stranger]:
        """Whom the caller has blocked, newest first. Raises PortError."""
        rows = await self._database.read(store_more.SELECT_BLOCKED, {"owner": caller.number})
        return strangers_of(rows)


def _part(transaction: Transaction, changed: set[str], caller: Caller, person_id: str, other: int) -> bool:
    """Both directions, and the memberships of groups; whether they were friends."""
    pairs: list[dict[str, Any]] = [
        {"owner": caller.number, "viewer": other},
        {"owner": other, "viewer": caller.number},
    ]
    if not transaction.execute(store.ARE_FRIENDS, pairs[0]):
        return False
    for pair in pairs:
        transaction.execute(store.DELETE_TIE, pair)
        transaction.execute(store_more.DELETE_MEMBERSHIPS, pair)
    changed |= {caller.person_id, person_id}
    return True


def _withdraw(transaction: Transaction, caller: Caller, person_id: str) -> None:
    """The caller's own request goes; the other's stays where it is seen, in the other's list of requests."""
    found = store.caller_of(transaction.execute(store.SELECT_PERSON, {"person_id": person_id})[0])
    transaction.execute(store_more.DELETE_REQUEST_TO, {"asker": caller.number, "name": found.name})
    transaction.execute(store_more.DECLINE_REQUEST, {"asker": found.number, "name": caller.name})


def _friend(
    row: Row, owner: Owner, given: Tie, got: tuple[Owner, Tie], groups: list[str], now_ms: int
) -> Friend:
    person_id, name, display_name, made_ms = row
    return Friend(
        person_id,
        name,
        display_name,
        made_ms,
        gives=_shown(seen(owner, given, now_ms)),
        gets=told(seen(*got, now_ms)),
        sharing=given.sharing if given.sharing and holds(given.sharing, now_ms) else None,
        groups=groups,
    )


def _shown(found: Seen) -> Shown:
    return Shown(found.mode, found.precision, found.history_from_ms, found.until_ms)


def told(found: Seen) -> Shown:
    """What a viewer may know of what it sees: of somebody who shows nothing not even until when."""
    return Shown(Mode.OFF) if found.mode is Mode.OFF else _shown(found)
