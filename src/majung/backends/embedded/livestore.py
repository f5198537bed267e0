"""`LiveStore` in the memory of one process, with its checkpoint in `live.db`.

What is live (positions, cells) is in memory and answered on the event loop without a thread between:
a search takes microseconds, a hop to a thread takes more. What the pipeline needs to go on after a
restart (`save_states`) is in a SQLite file, in a thread of its own.
"""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from majung.backends.embedded.livestore_states import StateFile
from majung.backends.embedded.livestore_table import LiveTable
from majung.clock import Clock
from majung.ports import CellLoad
from majung.positions.geodesy import EARTH_RADIUS_M, Box
from majung.positions.model import LivePosition, Nearby
from majung.settings import CellSettings

_HALF_GLOBE_M = math.pi * EARTH_RADIUS_M * 1.000001
MOVE_MEMBERS = 1_000
"""How many members change cells in one step of a split or merge (one to two milliseconds)."""


class EmbeddedLiveStore:
    """The port `LiveStore`. Made by `open`.

    Owned by one event loop. A call that changes positions has happened when it returns; none waits for
    another. Reading raises ValueError for a place that is not on Earth.
    """

    def __init__(
        self, folder: Path, settings: CellSettings, clock: Clock, *, move_members: int = MOVE_MEMBERS
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._move_members = move_members
        self._tables: dict[str, LiveTable] = {}
        self._states = StateFile(folder)

    @classmethod
    async def open(
        cls, folder: Path, settings: CellSettings, clock: Clock, *, move_members: int = MOVE_MEMBERS
    ) -> Self:
        """Open the checkpoint in `folder`; a damaged one is put aside (see `damage`), a missing one made."""
        store = cls(folder, settings, clock, move_members=move_members)
        await store._states.open()
        return store

    def damage(self) -> list[str]:
        """What was found damaged since start, in words for an operator; empty when all is well."""
        return list(self._states.damage)

    # ------------------------------------------------------------------------------------ what is live

    async def put(self, positions: Sequence[LivePosition]) -> None:
        """Set the newest position of each, all or none. Raises ValueError for a place not on Earth."""
        kinds = {position.kind for position in positions}
        for kind in kinds:
            table = self._tables.get(kind)
            if table is None:
                table = self._tables[kind] = LiveTable(self._settings, self._clock, self._move_members)
            table.put(
                positions
                if len(kinds) == 1
                else [position for position in positions if position.kind == kind]
            )

    async def remove(self, ids: Sequence[str], kind: str = "rider") -> None:
        """Forget these. Unknown ids are ignored."""
        if table := self._tables.get(kind):
            table.remove(ids)

    async def get(self, ids: Sequence[str], kind: str = "rider") -> list[LivePosition | None]:
        """The newest position of each id, in the order asked."""
        table = self._tables.get(kind)
        return [None] * len(ids) if table is None else table.get(ids)

    async def nearest(
        self, latitude: float, longitude: float, radius_m: float, limit: int, kind: str = "rider"
    ) -> list[Nearby]:
        """The `limit` nearest within `radius_m` metres (great circle), nearest first, ties by id."""
        _check_place(latitude, longitude)
        if not radius_m >= 0:
            raise ValueError(f"radius_m must be 0 or more, not {radius_m}")
        table = self._tables.get(kind)
        if not table or limit <= 0:
            return []
        return table.nearest(latitude, longitude, min(radius_m, _HALF_GLOBE_M), limit)

    async def in_area(
        self, south: float, west: float, north: float, east: float, limit: int, kind: str = "rider"
    ) -> list[LivePosition]:
        """Up to `limit` positions inside the box (west > east: across the antimeridian)."""
        _check_place(south, west)
        _check_place(north, east)
        table = self._tables.get(kind)
        if not table or limit <= 0 or south > north:
            return []
        return table.in_area(Box(south, west, north, east), limit)

    async def expire(self, before_ms: int, kind: str = "rider") -> list[LivePosition]:
        """Remove and return everyone whose `received_at_ms` is older than `before_ms`."""
        table = self._tables.get(kind)
        return table.expire(before_ms) if table else []

    async def cells(self, kind: str = "rider") -> list[CellLoad]:
        """Every occupied cell with its load, in the order of its geohash."""
        table = self._tables.get(kind)
        return table.cells() if table else []

    async def count(self, kind: str = "rider") -> int:
        """How many are in the index."""
        return len(self._tables.get(kind, ()))

    # ---------------------------------------------------------------------------------- the checkpoint

    async def save_states(self, states: Mapping[str, bytes], meta: Mapping[str, bytes]) -> None:
        """Checkpoint states and `meta` (which replaces the last one) in one atomic write.

        Raises `StorageFull` or another `PortError`: then nothing was stored. A file that turns out to be
        damaged is put aside (see `damage`); nothing more is kept until the next start, which rebuilds
        what is live from the log.
        """
        await self._states.save(states, meta)

    async def load_states(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The checkpointed state of each id that has one."""
        return await self._states.load(ids)

    def all_states(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Every checkpointed state, in chunks."""
        return self._states.all()

    async def load_meta(self) -> dict[str, bytes]:
        """The `meta` of the last checkpoint, or {}."""
        return await self._states.load_meta()

    async def forget_states(self, ids: Sequence[str]) -> None:
        """Erase the checkpointed state of these riders."""
        await self._states.forget(ids)

    async def close(self) -> None:
        """Stop; what was checkpointed stays."""
        await self._states.close()
        self._tables.clear()


def _check_place(latitude: float, longitude: float) -> None:
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ValueError(f"({latitude}, {longitude}) is not within -90…90, -180…180 degrees")
