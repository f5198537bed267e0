"""Between servers: where somebody is, told to those servers that have somebody who sees it.

The way it goes (`PersonChannels`: a channel a person) can be changed without anything else: `Nearby` says whom it
follows, what it has heard and who came, and hears of the rest. At most once, and the newest counts: what a slow
bus does not take is dropped, and the next position is as good.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from majung.ports import Fanout, PortError
from majung.positions.model import LivePosition

MAX_WAITING = 100_000
CAME = "friends.came.v1"

_encode = msgspec.msgpack.Encoder().encode


class Told(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What one server tells the others: a position, or that the person is gone, or (with friends) has come."""

    sender: str
    person_id: str
    position: LivePosition | None = None
    friends: list[str] = []


_decode = msgspec.msgpack.Decoder(Told).decode


class Ears(Protocol):
    """Who hears what other servers tell."""

    def heard(self, position: LivePosition) -> None:
        """Somebody who is followed has moved."""
        ...

    def heard_gone(self, person_id: str) -> None:
        """Somebody who is followed is silent."""
        ...

    def heard_came(self, person_id: str, friends: Sequence[str]) -> None:
        """Somebody has begun to report who has these friends."""
        ...


class Channels(Protocol):
    """How servers tell each other."""

    dropped: int

    @property
    def followed(self) -> int:
        """How many people this server hears of."""
        ...

    async def follow(self, person_ids: Sequence[str]) -> None:
        """Hear of these from now on: what is told after this returns is heard. Raises PortError."""
        ...

    async def unfollow(self, person_ids: Sequence[str]) -> None:
        """Hear of these no more."""
        ...

    def tell(self, position: LivePosition) -> None:
        """Somebody who reports to this server has moved."""
        ...

    def tell_gone(self, person_id: str) -> None:
        """Somebody who reported to this server is silent."""
        ...

    def tell_came(self, person_id: str, friends: Sequence[str]) -> None:
        """Somebody begins to report to this server."""
        ...

    async def run(self, ears: Ears) -> None:
        """Carry what is told, until cancelled."""
        ...


class PersonChannels:
    """A channel a person, and one on which those are announced who come."""

    def __init__(self, fanout: Fanout) -> None:
        self.dropped = 0
        self._fanout = fanout
        self._own = secrets.token_hex(8)
        self._ears: Ears | None = None
        self._leaves: dict[str, Callable[[], Awaitable[None]]] = {}
        self._turn = asyncio.Lock()
        self._waiting: deque[tuple[str, Told]] = deque(maxlen=MAX_WAITING)
        self._some = asyncio.Event()

    @property
    def followed(self) -> int:
        """How many people this server hears of."""
        return len(self._leaves)

    async def follow(self, person_ids: Sequence[str]) -> None:
        """Subscribe to those that are not yet. Raises PortError."""
        async with self._turn:
            for person_id in person_ids:
                if person_id not in self._leaves:
                    self._leaves[person_id] = await self._fanout.subscribe(_channel(person_id), self._receive)

    async def unfollow(self, person_ids: Sequence[str]) -> None:
        """Unsubscribe."""
        async with self._turn:
            for person_id in person_ids:
                leave = self._leaves.pop(person_id, None)
                if leave is not None:
                    await leave()

    def tell(self, position: LivePosition) -> None:
        """To the person's channel."""
        self._put(_channel(position.rider_id), Told(self._own, position.rider_id, position))

    def tell_gone(self, person_id: str) -> None:
        """To the person's channel."""
        self._put(_channel(person_id), Told(self._own, person_id))

    def tell_came(self, person_id: str, friends: Sequence[str]) -> None:
        """To every server."""
        if friends:
            self._put(CAME, Told(self._own, person_id, None, list(friends)))

    def _put(self, channel: str, told: Told) -> None:
        if len(self._waiting) == MAX_WAITING:
            self.dropped += 1
        self._waiting.append((channel, told))
        self._some.set()

    async def run(self, ears: Ears) -> None:
        """Carry what is told, until cancelled."""
        self._ears = ears
        leave = await self._fanout.subscribe(CAME, self._receive)
        try:
            while True:
                await self._some.wait()
                self._some.clear()
                await self._send()
        finally:
            await leave()

    async def _send(self) -> None:
        while self._waiting:
            channel, told = self._waiting.popleft()
            try:
                await self._fanout.publish(channel, _encode(told))
            except PortError:
                self.dropped += 1

    def _receive(self, message: bytes) -> None:
        told = _decode(message)
        if told.sender == self._own or self._ears is None:
            return
        if told.position is not None:
            self._ears.heard(told.position)
        elif told.friends:
            self._ears.heard_came(told.person_id, told.friends)
        else:
            self._ears.heard_gone(told.person_id)


def _channel(person_id: str) -> str:
    return f"friends.v1.{person_id}"
