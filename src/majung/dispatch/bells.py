"""Who is to be told that a rider's standing has changed: a bell for each open connection.

A bell says that there is something new, not what: whoever hears it reads the standing as it is then, so a
slow phone gets the newest and there is never a queue.
"""

import asyncio

from majung.ports import Overloaded

MAX_A_RIDER = 8


class Bells:
    """All bells of one server; at most MAX_A_RIDER for each rider."""

    def __init__(self) -> None:
        self._bells: dict[str, list[asyncio.Event]] = {}

    def open(self, rider_id: str) -> asyncio.Event:
        """A bell that rings first at the next change. Raises Overloaded."""
        bells = self._bells.setdefault(rider_id, [])
        if len(bells) >= MAX_A_RIDER:
            raise Overloaded(f"{rider_id} has {MAX_A_RIDER} live connections already")
        bell = asyncio.Event()
        bells.append(bell)
        return bell

    def close(self, rider_id: str, bell: asyncio.Event) -> None:
        """No longer."""
        bells = self._bells.get(rider_id, [])
        if bell in bells:
            bells.remove(bell)
        if not bells:
            self._bells.pop(rider_id, None)

    def ring(self, rider_id: str) -> None:
        """Something of this rider has changed."""
        for bell in self._bells.get(rider_id, ()):
            bell.set()
