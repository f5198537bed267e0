"""Whose friendships or decisions have changed: told in this process at once, in others within a second.

Each write that changes something takes the next version and files the people whom it concerns, in its own
transaction. The row of the counter is locked until the commit, so versions are committed in order and a reader
who has seen one has seen all before it. Who follows asks twice a second, one small read a server.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import structlog

from majung.clock import Clock
from majung.friends import store
from majung.ports import Database, PortError, Transaction

T = TypeVar("T")

LOOK_EVERY_S = 0.5
KEEP_MS = 10 * 60_000
_AT_ONCE = 5_000

log = structlog.get_logger("majung.friends")


class FriendChanges:
    """Writes of friends, and who hears of them. One for each server; of its event loop.

    `listeners` are called with the id of every person whose friendships or decisions have changed, after the
    commit; with "" when so much happened elsewhere that everybody's may have.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self.listeners: list[Callable[[str], None]] = []
        self._database = database
        self._clock = clock
        self._own: set[int] = set()
        self._seen = -1

    async def write(self, work: Callable[[Transaction, set[str]], T]) -> T:
        """Run `work`, which adds the ids of those whom it concerns to the set; durable when it returns.

        Raises what `work` raises, PortError.
        """
        # A caller who goes away leaves the write behind: others must hear of it all the same.
        return await asyncio.shield(asyncio.ensure_future(self._write(work)))

    async def _write(self, work: Callable[[Transaction, set[str]], T]) -> T:
        now_ms = self._clock.now_ms()

        def whole(transaction: Transaction) -> tuple[T, set[str], int]:
            changed: set[str] = set()
            result = work(transaction, changed)
            version = 0
            if changed:
                version = int(transaction.execute(store.NEXT_VERSION)[0][0])
                rows = [{"version": version, "person_id": id_, "now_ms": now_ms} for id_ in sorted(changed)]
                transaction.execute_many(store.INSERT_CHANGE, rows)
            return result, changed, version

        result, changed, version = await self._database.write(whole)
        if 0 <= self._seen < version:
            self._own.add(version)
        for person_id in sorted(changed):
            self._tell(person_id)
        return result

    async def load(self) -> None:
        """Begin with what is there now. Raises PortError."""
        self._seen = int((await self._database.read(store.SELECT_VERSION))[0][0])

    async def follow(self) -> None:
        """Hear of what other servers change, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except PortError as problem:
                log.warning("friend_changes_not_read", problem=str(problem))

    async def look(self) -> None:
        """Tell what was changed elsewhere since the last look. Raises PortError."""
        if self._seen < 0:
            await self.load()
            return
        version = int((await self._database.read(store.SELECT_VERSION))[0][0])
        if version == self._seen:
            return
        oldest = (await self._database.read(store.OLDEST_CHANGE))[0][0]
        params = {"after": self._seen, "limit": _AT_ONCE}
        rows = await self._database.read(store.SELECT_CHANGES, params)
        if oldest is None or oldest > self._seen + 1 or len(rows) == _AT_ONCE:
            self._seen = version
            self._tell("")
        else:
            told = {str(person_id) for number, person_id in rows if number not in self._own}
            self._seen = max([version, *(int(row[0]) for row in rows)])
            for person_id in sorted(told):
                self._tell(person_id)
        self._own = {number for number in self._own if number > self._seen}

    async def drop_old(self, now_ms: int) -> None:
        """Forget changes that every server has heard of long since."""
        params = {"before_ms": now_ms - KEEP_MS}
        await self._database.write(lambda transaction: transaction.execute(store.DELETE_CHANGES, params))

    def _tell(self, person_id: str) -> None:
        for listener in self.listeners:
            try:
                listener(person_id)
            except Exception:
                log.exception("friend_listener_failed")
