"""How long photos and signatures lie there: until their order has ended long enough ago, or nobody named them.

Works through a bounded part of the folder at a time, so that no amount of files holds anything up.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from majung.orders import store
from majung.orders.model import FINAL, Order
from majung.ports import Database

UNUSED_FOR_MS = 24 * 3_600_000
_AT_ONCE = 1_000


class _Found(NamedTuple):
    """The folder of an order, and when each file in it was written (Unix ms)."""

    folder: Path
    written_at_ms: dict[str, int]


class ProofKeeping:
    """Retention of `ProofStore`'s folder; call `drop_old` every minute or so."""

    def __init__(self, folder: Path, database: Database, keep_for: timedelta | None) -> None:
        """`keep_for`: how long after the end of its order a proof is kept; None: for ever."""
        self._folder = folder
        self._database = database
        self._keep_ms = None if keep_for is None else int(keep_for.total_seconds() * 1000)
        self._orders: Iterator[Path] = iter(())

    async def drop_old(self, now_ms: int) -> int:
        """Look at the next orders' files; how many were removed. Raises PortError."""
        removed = 0
        for found in await asyncio.to_thread(self._next):
            rows = await self._database.read(store.SELECT, (found.folder.name,))
            order = store.decode_order(rows[0][0]) if rows else None
            if order is not None and order.state not in FINAL:
                continue  # it may still be named at the door, however long that takes
            over = self._over(found, order, now_ms)
            await asyncio.to_thread(_remove, found.folder, over)
            removed += len(over)
        return removed

    def _over(self, found: _Found, order: Order | None, now_ms: int) -> list[str]:
        over = [name for name, at_ms in found.written_at_ms.items() if now_ms - at_ms > UNUSED_FOR_MS]
        if order is None or order.proof is None or order.proof.ref not in found.written_at_ms:
            return over
        others = [name for name in over if name != order.proof.ref]
        if self._keep_ms is None or now_ms - order.changed_at_ms <= self._keep_ms:
            return others
        return [*others, order.proof.ref]

    def _next(self) -> list[_Found]:
        batch = list(islice(self._orders, _AT_ONCE))
        if not batch:  # the round is over: begin the next
            self._orders = self._folder.iterdir() if self._folder.is_dir() else iter(())
            batch = list(islice(self._orders, _AT_ONCE))
        return [_look(folder) for folder in batch if folder.is_dir()]


def _look(folder: Path) -> _Found:
    written: dict[str, int] = {}
    for file in folder.iterdir():
        try:
            written[file.name] = int(file.stat().st_mtime * 1000)
        except FileNotFoundError:
            continue  # renamed meanwhile: it has just been written
    return _Found(folder, written)


def _remove(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something is left in it
        folder.rmdir()
