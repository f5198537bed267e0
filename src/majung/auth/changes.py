"""Whether what a process remembers about rights still holds.

Every removal of a right raises the counter in `auth_change` within its own transaction, whichever
process does it. Who remembers something keeps the version it was read under, and asks here. One read
every half second for the whole server replaces one for each credential, and a removal is still
noticed within a second.
"""

import asyncio

from majung.auth import store
from majung.clock import Clock
from majung.ports import Database

LOOK_EVERY_S = 0.5


class Changes:
    """The counter as last seen. Belongs to one event loop."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._version = 0
        self._fresh_until_s = -1.0
        self._looking: asyncio.Task[int] | None = None

    def seen(self) -> int:
        """The version if it was read less than half a second ago, else 0 (which no version is)."""
        return self._version if self._clock.monotonic_s() < self._fresh_until_s else 0

    async def version(self) -> int:
        """The version, read again when it is older than half a second. Raises PortError.

        Read it *before* the data that is to be remembered under it: then a change between the two
        reads makes the memory look old, never new.
        """
        if seen := self.seen():
            return seen
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    def expire(self) -> None:
        """Look again at the next question: this process has just changed something itself."""
        self._fresh_until_s = -1.0
        self._looking = None

    async def _look(self) -> int:
        started_s = self._clock.monotonic_s()
        me = asyncio.current_task()
        rows = await self._database.read(store.SELECT_VERSION)
        version = int(rows[0][0])
        if self._looking is me:  # else somebody changed something meanwhile: this may be the old value
            self._version = version
            self._fresh_until_s = started_s + LOOK_EVERY_S
        return version
