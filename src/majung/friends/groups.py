"""Groups: some friends under a name, and what they see. Whoever is in several sees the least of them."""

from typing import Annotated, Any

import msgspec

from majung.auth.credentials import new_id
from majung.clock import Clock
from majung.friends import store, store_more
from majung.friends.changes import FriendChanges
from majung.friends.consent import Sharing, holds
from majung.friends.friendships import FriendsConflict
from majung.friends.me import MAX_NAME_CHARS, checked_name
from majung.friends.model import Caller, Group
from majung.friends.sharing import SharingWish, decided, friend_number, number_of, same
from majung.ports import Database, Row, Transaction
from majung.settings import FriendsSettings

_NO_GROUP = "you have no such group"
_NOTHING = {"mode": None, "precision": 0, "until_ms": None, "history": 0, "since_ms": 0}

GroupName = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]


class NewGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A group without members yet; with `sharing`, what they will see."""

    name: GroupName
    sharing: SharingWish | None = None


class GroupChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to change; what is not given stays. `no_sharing`: nothing is decided for the group any more."""

    name: GroupName | None = None
    sharing: SharingWish | None = None
    no_sharing: bool = False


class Groups:
    """The caller's groups. One for each server."""

    def __init__(
        self, changes: FriendChanges, database: Database, clock: Clock, settings: FriendsSettings
    ) -> None:
        self._changes = changes
        self._database = database
        self._clock = clock
        self._settings = settings

    async def all(self, caller: Caller) -> list[Group]:
        """By name, with the ids of their members. Raises PortError."""
        params = {"owner": caller.number}
        rows = await self._database.read(store_more.SELECT_GROUPS, params)
        members: dict[str, list[str]] = {}
        for group_id, person_id in await self._database.read(store_more.SELECT_MEMBERS, params):
            members.setdefault(str(group_id), []).append(str(person_id))
        now_ms = self._clock.now_ms()
        return [Group(row[0], row[1], members.get(row[0], []), _holding(row[2:], now_ms)) for row in rows]

    async def create(self, caller: Caller, new: NewGroup) -> Group:
        """A group with nobody in it. Raises ValueError, FriendsConflict (too many), PortError."""
        now_ms = self._clock.now_ms()
        name = checked_name("name", new.name)
        sharing = decided(new.sharing, now_ms) if new.sharing else None
        row = {
            "group_id": new_id(),
            "owner": caller.number,
            "name": name,
            "now_ms": now_ms,
            **_params(sharing),
        }

        def work(transaction: Transaction) -> None:
            if int(transaction.execute(store_more.COUNT_GROUPS, row)[0][0]) >= self._settings.max_groups:
                raise FriendsConflict(f"one may have {self._settings.max_groups} groups")
            transaction.execute(store_more.INSERT_GROUP, row)

        await self._database.write(work)
        return Group(str(row["group_id"]), name, [], sharing)

    async def change(self, caller: Caller, group_id: str, change: GroupChange) -> None:
        """A name, what its members see, or that nothing is decided. Raises LookupError, ValueError, PortError."""
        if change.sharing is not None and change.no_sharing:
            raise ValueError("give sharing or no_sharing, not both")
        now_ms = self._clock.now_ms()
        name = checked_name("name", change.name) if change.name is not None else ""
        wish = decided(change.sharing, now_ms) if change.sharing else None

        def work(transaction: Transaction, changed: set[str]) -> None:
            key = {"group_id": group_id, "owner": caller.number, "now_ms": now_ms}
            rows = transaction.execute(store_more.SELECT_GROUP, key)
            if not rows:
                raise LookupError(_NO_GROUP)
            old = store.sharing_of(rows[0][1:])
            new = None if change.no_sharing else old if wish is None or same(old, wish) else wish
            transaction.execute(store_more.SET_GROUP, {**key, "name": name or rows[0][0], **_params(new)})
            if new != old:
                # What was decided until now is gone from the row: the friends' ties remember the moment.
                transaction.execute(store_more.TOUCH_MEMBERS, key)
                changed.add(caller.person_id)

        await self._changes.write(work)

    async def delete(self, caller: Caller, group_id: str) -> None:
        """What was decided for it counts no more. Done again: nothing. Raises PortError."""
        key = {"group_id": group_id, "owner": caller.number, "now_ms": self._clock.now_ms()}

        def work(transaction: Transaction, changed: set[str]) -> None:
            if transaction.execute(store_more.SELECT_GROUP, key):
                transaction.execute(store_more.TOUCH_MEMBERS, key)
                transaction.execute(store_more.DELETE_MEMBERS, key)
                transaction.execute(store_more.DELETE_GROUP, key)
                changed.add(caller.person_id)

        await self._changes.write(work)

    async def add(self, caller: Caller, group_id: str, person_id: str) -> None:
        """Put a friend into a group. Done again: nothing. Raises LookupError, PortError."""

        def work(transaction: Transaction, changed: set[str]) -> None:
            key = self._key(transaction, caller, group_id, friend_number(transaction, caller, person_id))
            if not transaction.execute(store_more.SELECT_MEMBER, key):
                transaction.execute(store_more.INSERT_MEMBER, key)
                transaction.execute(store.TOUCH_TIE, key)
                changed |= {caller.person_id, person_id}

        await self._changes.write(work)

    async def take_out(self, caller: Caller, group_id: str, person_id: str) -> None:
        """Take a friend out of a group. Done again: nothing. Raises LookupError, PortError."""

        def work(transaction: Transaction, changed: set[str]) -> None:
            key = self._key(transaction, caller, group_id, number_of(transaction, person_id))
            if transaction.execute(store_more.SELECT_MEMBER, key):
                transaction.execute(store_more.DELETE_MEMBER, key)
                transaction.execute(store.TOUCH_TIE, key)
                changed |= {caller.person_id, person_id}

        await self._changes.write(work)

    def _key(self, transaction: Transaction, caller: Caller, group_id: str, viewer: int) -> dict[str, Any]:
        key = {
            "group_id": group_id,
            "owner": caller.number,
            "viewer": viewer,
            "now_ms": self._clock.now_ms(),
        }
        if not transaction.execute(store_more.SELECT_GROUP, key):
            raise LookupError(_NO_GROUP)
        return key


def _holding(row: Row, now_ms: int) -> Sharing | None:
    """What is decided for the group; what has run out is not told."""
    sharing = store.sharing_of(row)
    return sharing if sharing and holds(sharing, now_ms) else None


def _params(sharing: Sharing | None) -> dict[str, Any]:
    if sharing is None:
        return dict(_NOTHING)
    return {**store.sharing_params(sharing), "since_ms": sharing.since_ms}
