"""A database whose rows can be made again from elsewhere: found damaged, its file is put away and begun anew.

The damaged file stays beside it as `NAME.damaged-TIME` (the newest two), for whoever wants to know why.
"""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self, TypeVar

import structlog

from majung.backends.embedded.database import EmbeddedDatabase
from majung.ports import Damaged, Overloaded, Params, Row, Transaction

T = TypeVar("T")
log = structlog.get_logger("majung.storage")

_KEPT = 2
_TOLD = 20
_WORDS = "this part of the storage is being rebuilt"


class RemadeDatabase:
    """The `Database` port in the file `path`, without migrations. `await open()` first, `await close()` last.

    Whoever meets damage gets `Overloaded`, as everybody does until `start_over` has been called; the
    `listeners` are told, in the event loop, once for each file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = EmbeddedDatabase(path, folder=None)
        self._damaged = False
        self._found: list[str] = []
        self.listeners: list[Callable[[], None]] = []

    async def open(self) -> Self:
        """A file that is damaged at once is put away. Raises `StorageFull`, `PortError`."""
        try:
            await self._database.open()
        except Damaged as problem:
            self._tell(problem)
            await self.start_over()
        return self

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """As `EmbeddedDatabase.write`."""
        return await self._guarded(lambda database: database.write(work))

    async def read(self, sql: str, params: Params = ()) -> list[Row]:
        """As `EmbeddedDatabase.read`."""
        return await self._guarded(lambda database: database.read(sql, params))

    async def start_over(self) -> None:
        """Put the file away and begin an empty one. Raises `StorageFull`, `PortError`; may be called again."""
        self._damaged = True
        await self._database.close()
        _put_away(self._path)
        self._database = await EmbeddedDatabase(self._path, folder=None).open()
        self._damaged = False

    async def close(self) -> None:
        """As `EmbeddedDatabase.close`."""
        await self._database.close()

    def damage(self) -> list[str]:
        """What was found since start, in words."""
        return list(self._found)

    async def _guarded(self, work: Callable[[EmbeddedDatabase], Awaitable[T]]) -> T:
        if self._damaged:
            raise Overloaded(_WORDS)
        database = self._database
        try:
            return await work(database)
        except Damaged as problem:
            if database is self._database and not self._damaged:
                self._damaged = True
                self._tell(problem)
                for listener in self.listeners:
                    listener()
            raise Overloaded(_WORDS) from problem

    def _tell(self, problem: Damaged) -> None:
        log.error("damaged_file_put_away", file=self._path.name, problem=str(problem.__cause__ or problem))
        why = f"{self._path.name} was damaged ({problem.__cause__}); it is put away and made again"
        self._found = [*self._found, why][-_TOLD:]


def _put_away(path: Path) -> None:
    if path.exists():
        path.rename(path.with_name(f"{path.name}.damaged-{time.time_ns() // 1_000_000}"))
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    for old in sorted(path.parent.glob(f"{path.name}.damaged-*"))[:-_KEPT]:
        old.unlink(missing_ok=True)
