"""Forgetting a person, or where it was, for good.

Guarantees
- Once an erasure is noted (in the caller's own transaction, if it likes) it happens, whatever crashes: it is
  finished by the call, by the housekeeping, or by the next start.
- What the log still holds of it is neither stored nor shown again, not even when history and the live view are
  made anew from the log. The log itself drops its records after `log.keep_for`.
- An erasure stays noted: an id that nobody has any more, and a time.

Neighbours: `pipeline` asks `Erasures.covers` of every record; `friends/erase.py` notes that a person goes, with its
account and friendships in one transaction, and calls `finish_erasures`; for history alone it calls `erase_history`.
"""

import asyncio
from typing import TYPE_CHECKING

from majung.clock import Clock
from majung.ports import Database, Transaction
from majung.positions.model import PERSON, Position

if TYPE_CHECKING:
    from majung.positions.pipeline import Pipeline

FOR_GOOD = 2**63 - 1

_SELECT = "SELECT person_id, before_ms, finished FROM erased_person"
# Of two the wider one holds: who is erased for good does not come back.
_NOTE = """
INSERT INTO erased_person (person_id, before_ms, finished) VALUES (:person_id, :before_ms, 0)
ON CONFLICT (person_id) DO UPDATE SET finished = 0, before_ms =
    CASE WHEN excluded.before_ms > erased_person.before_ms THEN excluded.before_ms ELSE erased_person.before_ms END
"""
_FINISHED = "UPDATE erased_person SET finished = 1 WHERE person_id = :person_id AND before_ms = :before_ms"


class Erasures:
    """Who was erased, and up to when. One for each server; belongs to its event loop."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._before_ms: dict[str, int] = {}
        self._reading = asyncio.Lock()

    def note(self, transaction: Transaction, person_id: str, *, keep: bool = False) -> None:
        """Part of a transaction: from its commit on the erasure is certain. `keep`: what comes later stays."""
        before_ms = self._clock.now_ms() + 1 if keep else FOR_GOOD
        transaction.execute(_NOTE, {"person_id": person_id, "before_ms": before_ms})

    def covers(self, position: Position) -> bool:
        """Whether this position is among what was erased."""
        before_ms = self._before_ms.get(position.rider_id)
        return before_ms is not None and position.received_at_ms < before_ms

    async def load(self) -> list[tuple[str, int]]:
        """Read what is noted; the erasures that are not finished: whose, and up to when. Raises PortError."""
        async with self._reading:  # an older reading must not come after a newer one
            rows = await self._database.read(_SELECT)
            self._before_ms = {str(person_id): int(before_ms) for person_id, before_ms, _ in rows}
        return [(str(person_id), int(before_ms)) for person_id, before_ms, finished in rows if not finished]

    async def write_note(self, person_id: str) -> None:
        """That history goes until now, in a transaction of its own. Raises PortError."""
        await self._database.write(lambda transaction: self.note(transaction, person_id, keep=True))

    async def finished(self, person_id: str, before_ms: int) -> None:
        """Nothing is left of it."""
        params = {"person_id": person_id, "before_ms": before_ms}
        await self._database.write(lambda transaction: transaction.execute(_FINISHED, params))


async def erase_history(core: "Pipeline", person_id: str) -> None:
    """Forget where a person was until now; where it is now stays live.

    Should it only be finished later, what has come meanwhile goes as well. Raises PortError.
    """
    await core.erasures.write_note(person_id)
    await finish_erasures(core)


async def finish_erasures(core: "Pipeline") -> None:
    """Do what is noted and not finished: history, and for good also newest position and processing state.

    Credentials must have ended before. May be repeated. Raises PortError: then the housekeeping goes on.
    """
    for person_id, before_ms in await core.erasures.load():
        gone = before_ms == FOR_GOOD
        async with core.turn:  # the batch at work has been stored; those that follow ask `covers`
            if gone:
                core.memory.forget(person_id)
                await core.live.forget_states([person_id])
                await core.live.remove([person_id], PERSON)
        if gone:
            core.tell_gone([person_id])
        await core.history.erase(person_id)
        await core.erasures.finished(person_id, before_ms)
