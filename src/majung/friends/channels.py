"""Between servers: where somebody is, told to those servers that have somebody who sees it.

People are spread over four channels by their id; a server subscribes to those in which it follows somebody, and
passes over everybody else as it reads. What the pipeline hands over together (what came in 40 ms) goes in one
message a channel. Viewers who come and go cost the bus nothing, it keeps no tables, and up to some tens of servers
it is the cheapest way by far (measured: `docs/decisions/0009-friends-channels.md`).

`Nearby` says whom it follows, what it has heard and who came, and hears of the rest; another way is another
`Channels`. At most once, and the newest counts: while the bus is slow, a person's next position takes the place
of the one that waits.
"""

import asyncio
import secrets
import struct
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeVar

import msgspec

from majung.ports import Fanout, PortError
from majung.positions.model import PERSON, LivePosition

BUCKETS = 4
"""Every server must have the same: with another number, another name (`_channel`)."""
MAX_WAITING = 100_000
MAX_AT_ONCE = 500
"""People in one message: about 40 kB."""
CAME = "friends.v1.came"
_CAME_AT_ONCE = 50
_OWN_BYTES = 16

T = TypeVar("T")


class Moved(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A position on its way; half the bytes of a LivePosition, whose field names would travel too."""

    person_id: str
    latitude: float
    longitude: float
    device_time_ms: int
    received_at_ms: int
    accuracy_m: float | None
    speed_mps: float | None
    heading_deg: float | None


class Came(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Somebody begins to report, who has friends with these marks (32 bits each, little-endian).

    Names of 400 friends would be 8 kB, a hundred times a position, and take four times as long to look through.
    """

    person_id: str
    marks: bytes


class Told(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message, behind the 16 letters of its sender: nobody is in both lists."""

    moved: list[Moved]
    gone: list[str]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Told).decode
_decode_came = msgspec.msgpack.Decoder(list[Came]).decode


class Ears(Protocol):
    """Who hears what other servers tell."""

    def heard(self, position: LivePosition) -> None:
        """Somebody who is followed has moved."""
        ...

    def heard_gone(self, person_id: str) -> None:
        """Somebody who is followed is silent."""
        ...

    def heard_came(self, person_id: str, marks: Sequence[int]) -> None:
        """Somebody has begun to report whose friends have these marks (others may have them too)."""
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
        """Somebody begins to report to this server who has these friends."""
        ...

    async def run(self, ears: Ears) -> None:
        """Carry what is told, until cancelled."""
        ...


class BucketChannels:
    """A channel for a quarter of the people, and one on which those are announced who come."""

    def __init__(self, fanout: Fanout) -> None:
        self.dropped = 0
        self._fanout = fanout
        self._own = secrets.token_hex(_OWN_BYTES // 2).encode()
        self._ears: Ears | None = None
        self._followed: set[str] = set()
        self._followed_in: Counter[int] = Counter()
        self._leaves: dict[int, Callable[[], Awaitable[None]]] = {}
        self._turn = asyncio.Lock()
        self._waiting: dict[str, LivePosition | None] = {}  # None: gone
        self._coming: dict[str, Sequence[str]] = {}
        self._some = asyncio.Event()

    @property
    def followed(self) -> int:
        """How many people this server hears of."""
        return len(self._followed)

    async def follow(self, person_ids: Sequence[str]) -> None:
        """Subscribe to their channels, as far as that is not done yet. Raises PortError."""
        async with self._turn:
            for person_id in person_ids:
                if person_id in self._followed:
                    continue
                bucket = bucket_of(person_id)
                if bucket not in self._leaves:
                    self._leaves[bucket] = await self._fanout.subscribe(_channel(bucket), self._receive)
                self._followed.add(person_id)
                self._followed_in[bucket] += 1

    async def unfollow(self, person_ids: Sequence[str]) -> None:
        """Pass over these; leave a channel in which nobody is followed any more."""
        async with self._turn:
            for person_id in person_ids:
                if person_id not in self._followed:
                    continue
                bucket = bucket_of(person_id)
                self._followed.discard(person_id)
                self._followed_in[bucket] -= 1
                if not self._followed_in[bucket]:
                    await self._leaves.pop(bucket)()

    def tell(self, position: LivePosition) -> None:
        """To the channel of the person, in place of what waits to be told of it."""
        self._put(self._waiting, position.rider_id, position)

    def tell_gone(self, person_id: str) -> None:
        """To the channel of the person, in place of what waits to be told of it."""
        self._put(self._waiting, person_id, None)

    def tell_came(self, person_id: str, friends: Sequence[str]) -> None:
        """To every server."""
        if friends:
            self._put(self._coming, person_id, friends)

    def _put(self, waiting: dict[str, T], person_id: str, what: T) -> None:
        if len(waiting) >= MAX_WAITING and person_id not in waiting:
            self.dropped += 1
            return
        waiting[person_id] = what
        self._some.set()

    async def run(self, ears: Ears) -> None:
        """Carry what is told, until cancelled."""
        self._ears = ears
        leave = await self._fanout.subscribe(CAME, self._receive_came)
        try:
            while True:
                await self._some.wait()
                self._some.clear()
                await self._send()
        finally:
            await leave()

    async def _send(self) -> None:
        """Everything that waits. What comes meanwhile waits for the next time."""
        coming, self._coming = self._coming, {}
        waiting, self._waiting = self._waiting, {}
        for people in _portions(coming.items(), _CAME_AT_ONCE):
            came = [Came(person_id, _marks(friends)) for person_id, friends in people]
            await self._publish(CAME, came, len(came))
        by_bucket: dict[int, list[str]] = {}
        for person_id in waiting:
            by_bucket.setdefault(bucket_of(person_id), []).append(person_id)
        for bucket, person_ids in by_bucket.items():
            for portion in _portions(person_ids, MAX_AT_ONCE):
                positions = [waiting[person_id] for person_id in portion]
                moved = [_moved(position) for position in positions if position is not None]
                gone = [person_id for person_id in portion if waiting[person_id] is None]
                await self._publish(_channel(bucket), Told(moved, gone), len(portion))

    async def _publish(self, channel: str, what: object, people: int) -> None:
        try:
            await self._fanout.publish(channel, self._own + _encode(what))
        except PortError:
            self.dropped += people

    def _receive(self, message: bytes) -> None:
        if self._ears is None or message.startswith(self._own):
            return
        told, followed = _decode(memoryview(message)[_OWN_BYTES:]), self._followed
        for moved in told.moved:
            if moved.person_id in followed:
                self._ears.heard(_position(moved))
        for person_id in told.gone:
            if person_id in followed:
                self._ears.heard_gone(person_id)

    def _receive_came(self, message: bytes) -> None:
        if self._ears is None or message.startswith(self._own):
            return
        for came in _decode_came(memoryview(message)[_OWN_BYTES:]):
            self._ears.heard_came(came.person_id, struct.unpack(f"<{len(came.marks) // 4}I", came.marks))


def mark_of(person_id: str) -> int:
    """32 bits that stand for a person where a mistake costs no more than a look."""
    return zlib.crc32(person_id.encode())


def bucket_of(person_id: str) -> int:
    """Which of the channels tells of this person."""
    return mark_of(person_id) % BUCKETS


def _channel(bucket: int) -> str:
    return f"friends.v1.{bucket}-of-{BUCKETS}"


def _portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while portion := list(islice(rest, size)):
        yield portion


def _marks(person_ids: Sequence[str]) -> bytes:
    return struct.pack(f"<{len(person_ids)}I", *map(mark_of, person_ids))


def _moved(position: LivePosition) -> Moved:
    return Moved(
        position.rider_id,
        position.latitude,
        position.longitude,
        position.device_time_ms,
        position.received_at_ms,
        position.accuracy_m,
        position.speed_mps,
        position.heading_deg,
    )


def _position(moved: Moved) -> LivePosition:
    return LivePosition(
        moved.person_id,
        moved.latitude,
        moved.longitude,
        moved.device_time_ms,
        moved.received_at_ms,
        moved.accuracy_m,
        moved.speed_mps,
        moved.heading_deg,
        PERSON,
    )
