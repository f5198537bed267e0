"""Requests: asking somebody by name to be friends.

Who asks learns nothing by it: a request is kept by the name that was asked for, whether there is such a person
or not, and stands in the asker's own list until it is taken back, answered with yes, or a month old. Whom it
concerns finds it by the name; declined it is seen no more, and asking again does not bring it back.
"""

from typing import Any

from majung.auth.credentials import new_id
from majung.auth.limits import RateLimiter
from majung.auth.names import check_name
from majung.clock import Clock
from majung.friends import store, store_more
from majung.friends.changes import FriendChanges
from majung.friends.friendships import FriendsConflict, befriend, hold, is_blocked, strangers_of
from majung.friends.model import Asked, Caller, Requests
from majung.ports import Database, Transaction
from majung.settings import FriendsSettings

KEEP_MS = 30 * 24 * 3600 * 1000
MAX_SHOWN = 200
_NO_REQUEST = "nobody of this id asks to be your friend"


class Requesting:
    """Requests by name. One for each server; of its event loop."""

    def __init__(
        self, changes: FriendChanges, database: Database, clock: Clock, settings: FriendsSettings
    ) -> None:
        self._changes = changes
        self._database = database
        self._clock = clock
        self._settings = settings
        self._asking = RateLimiter(1 / 60, 30, clock, exempt=())

    async def ask(self, caller: Caller, name: str) -> None:
        """Ask for `name` to be friends; when they ask already, that is a yes. Asked again: nothing.

        Raises ValueError (not a name, one's own, or of somebody the caller has blocked), RateLimited,
        FriendsConflict, PortError.
        """
        self._asking.demand(caller.person_id)
        check_name(name)
        if name == caller.name:
            raise ValueError("this is your own name")
        row: dict[str, Any] = {
            "request_id": new_id(),
            "asker": caller.number,
            "name": name,
            "now_ms": self._clock.now_ms(),
        }

        def work(transaction: Transaction, changed: set[str]) -> None:
            found = transaction.execute(store.SELECT_PERSON_NAMED, {"name": name})
            other = store.caller_of(found[0]) if found else None
            hold(transaction, caller.number, other.number if other else 0)
            if other is not None and is_blocked(transaction, caller.number, other.number):
                raise ValueError("you have blocked this person: unblock them first")
            if other is not None and self._answered(transaction, changed, caller, other, row["now_ms"]):
                return
            if (
                int(transaction.execute(store_more.COUNT_REQUESTS, row)[0][0])
                >= self._settings.max_invitations
            ):
                raise FriendsConflict("you have asked for many already: take a request back first")
            transaction.execute(store_more.INSERT_REQUEST, row)
            changed.add(caller.person_id)  # always: whoever asks cannot tell by the time it takes
            if other is not None and not is_blocked(transaction, other.number, caller.number):
                changed.add(other.person_id)

        await self._changes.write(work)

    def _answered(
        self, transaction: Transaction, changed: set[str], caller: Caller, other: Caller, now_ms: int
    ) -> bool:
        """Whether they are friends now: they were, or the other asks and the caller says yes by asking."""
        pair = {"owner": caller.number, "viewer": other.number}
        if transaction.execute(store.ARE_FRIENDS, pair):
            return True
        asked = {"asker": other.number, "name": caller.name, "since_ms": now_ms - KEEP_MS}
        if is_blocked(transaction, other.number, caller.number) or not transaction.execute(
            store_more.SELECT_REQUEST_OF, asked
        ):
            return False
        befriend(transaction, changed, caller, other, now_ms, self._settings.max_friends)
        return True

    async def all(self, caller: Caller) -> Requests:
        """Who asks, the newest 200, and whom the caller asked. Raises PortError."""
        mine: dict[str, Any] = {
            "owner": caller.number,
            "asker": caller.number,
            "name": caller.name,
            "since_ms": self._clock.now_ms() - KEEP_MS,
            "limit": MAX_SHOWN,
        }
        incoming = await self._database.read(store_more.SELECT_INCOMING, mine)
        outgoing = await self._database.read(store_more.SELECT_OUTGOING, mine)
        return Requests(strangers_of(incoming), [Asked(*row) for row in outgoing])

    async def accept(self, caller: Caller, person_id: str) -> None:
        """Be friends with somebody who asks; with a friend: nothing.

        Raises LookupError (they do not ask), FriendsConflict (too many friends), PortError.
        """
        now_ms = self._clock.now_ms()

        def work(transaction: Transaction, changed: set[str]) -> None:
            found = transaction.execute(store.SELECT_PERSON, {"person_id": person_id})
            other = store.caller_of(found[0]) if found else None
            hold(transaction, caller.number, other.number if other else 0)
            if other is None or not self._asks(transaction, other, caller, now_ms):
                raise LookupError(_NO_REQUEST)
            befriend(transaction, changed, caller, other, now_ms, self._settings.max_friends)

        await self._changes.write(work)

    @staticmethod
    def _asks(transaction: Transaction, other: Caller, caller: Caller, now_ms: int) -> bool:
        pair = {"owner": caller.number, "viewer": other.number}
        if transaction.execute(store.ARE_FRIENDS, pair):
            return True
        asked = {"asker": other.number, "name": caller.name, "since_ms": now_ms - KEEP_MS}
        rows = transaction.execute(store_more.SELECT_REQUEST_OF, asked)
        return bool(rows) and not rows[0][0] and not is_blocked(transaction, caller.number, other.number)

    async def decline(self, caller: Caller, person_id: str) -> None:
        """Say no; who asked is not told. Done again, or where nobody asks: nothing. Raises PortError."""

        def work(transaction: Transaction, changed: set[str]) -> None:
            rows = transaction.execute(store.SELECT_NUMBER, {"person_id": person_id})
            if rows:
                asked = {"asker": rows[0][0], "name": caller.name}
                transaction.execute(store_more.DECLINE_REQUEST, asked)
                changed.add(caller.person_id)

        await self._changes.write(work)

    async def take_back(self, caller: Caller, request_id: str) -> None:
        """Ask no longer. Done again: nothing. Raises PortError."""
        params = {"request_id": request_id, "asker": caller.number}

        def work(transaction: Transaction) -> None:
            for statement in store_more.TAKE_REQUEST_BACK:
                transaction.execute(statement, params)

        await self._database.write(work)

    async def drop_old(self, now_ms: int) -> None:
        """Forget what was not answered for a month. Raises PortError."""
        params = {"before_ms": now_ms - KEEP_MS}
        await self._database.write(
            lambda transaction: transaction.execute(store_more.DELETE_OLD_REQUESTS, params)
        )
