"""What the pipeline remembers of every rider: in memory, and in the checkpoint behind it.

Guarantee: a state that was changed since the last `save` is never dropped from memory; one that was saved
may be, and is fetched again. Neighbours: `pipeline` changes states, `ports.LiveStore` keeps the checkpoint.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

import msgspec

from majung.ports import LiveStore
from majung.positions.model import PERSON_PREFIX, Position
from majung.positions.state import RiderState
from majung.positions.triggers import Triggers

MAX_STATES = 500_000
_CHUNK = 500

_decode = msgspec.msgpack.Decoder(RiderState).decode
_encode = msgspec.msgpack.Encoder().encode


class RiderMemory:
    """States by rider_id. Call `recall` before `states[rider_id]`, and `touch` after changing one."""

    def __init__(self, live: LiveStore, triggers: Triggers) -> None:
        self._live = live
        self._triggers = triggers
        self._changed: set[str] = set()
        self.states: dict[str, RiderState] = {}

    def touch(self, rider_id: str) -> None:
        """This state was changed."""
        self._changed.add(rider_id)

    def forget(self, rider_id: str) -> None:
        """Drop the state of one who was erased; the checkpoint is the caller's to clear."""
        self.states.pop(rider_id, None)
        self._changed.discard(rider_id)

    async def recall(self, rider_ids: Iterable[str]) -> None:
        """Have these at hand: from the checkpoint where they are not in memory, new ones for strangers."""
        missing = [rider_id for rider_id in set(rider_ids) if rider_id not in self.states]
        if not missing:
            return
        found = await self._live.load_states(missing)
        for rider_id in missing:
            data = found.get(rider_id)
            self.states[rider_id] = self._revive(rider_id, data) if data else RiderState(sessions={})

    async def restore(self) -> AsyncIterator[list[Position]]:
        """Forget what is in memory and read the checkpoint; yields the newest positions, in chunks."""
        self.states.clear()
        self._changed.clear()
        async for chunk in self._live.all_states():
            states = [(rider_id, self._revive(rider_id, data)) for rider_id, data in chunk]
            self.states.update(states[: max(0, MAX_STATES - len(self.states))])
            yield [state.newest for _, state in states if state.newest is not None]

    async def save(self, write: Callable[[Mapping[str, bytes]], Awaitable[object]]) -> None:
        """Hand the changed states to `write`; then they may leave memory, oldest first."""
        encoded: dict[str, bytes] = {}
        for count, rider_id in enumerate(self._changed, 1):
            encoded[rider_id] = _encode(self.states[rider_id])
            if count % _CHUNK == 0:  # 50,000 riders take 0.1 s to encode; doors must not wait for it
                await asyncio.sleep(0)
        await write(encoded)
        self._changed.clear()
        while len(self.states) > MAX_STATES:
            del self.states[next(iter(self.states))]

    def _revive(self, rider_id: str, data: bytes) -> RiderState:
        state = _decode(data)
        if rider_id.startswith(PERSON_PREFIX):
            state.fences = (
                None  # of a rider who had such a name before it was a person's: people raise no events
            )
        if state.fences is not None:
            self._triggers.remember(rider_id, state.fences)
        return state
