"""The ways in which a friend's position can reach the other servers.

Each way says what a server subscribes to and what it writes into tables, what changes when one person comes or
goes, and how a batch of updates is published. Channels have names as long as real ones.
"""

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from bench.friends_bus import Connection, command
from bench.friends_world import Ints, World
from majung.positions.geodesy import EARTH_RADIUS_M


class Update(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a message carries."""

    person_id: str
    latitude: float
    longitude: float
    device_time_ms: int
    received_at_ms: int
    accuracy_m: float | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None


def person_id(number: int) -> str:
    return f"person-{number:012d}"


def update(world: World, row: int) -> Update:
    """The update of one person; like a phone's, with everything in it."""
    place = (float(world.latitude[row]), float(world.longitude[row]))
    now_ms = 1_780_000_000_000 + row
    return Update(person_id(int(world.online[row])), *place, now_ms, now_ms + 120, 8.0, 1.4, 90.0)


encode = msgspec.msgpack.encode


class Sent(NamedTuple):
    """Messages to Redis, messages out of it, and updates in these: several in each when they go in batches."""

    published: int = 0
    delivered: int = 0
    heard: int = 0

    def plus(self, other: "Sent") -> "Sent":
        return Sent(*(mine + its for mine, its in zip(self, other, strict=True)))


def send(control: Connection, word: bytes, by_channel: Mapping[bytes, Sequence[Update]]) -> Sent:
    """One message for each channel, with all its updates."""
    batch = [command(word, channel, encode(updates)) for channel, updates in by_channel.items()]
    receivers = control.ask(batch)
    heard = sum(n * len(updates) for n, updates in zip(receivers, by_channel.values(), strict=True))
    return Sent(len(batch), sum(receivers), heard)


def send_singly(control: Connection, word: bytes, updates: Sequence[tuple[bytes, Update]]) -> Sent:
    """A message for each update."""
    batch = [command(word, channel, encode(one)) for channel, one in updates]
    delivered = sum(control.ask(batch))
    return Sent(len(batch), delivered, delivered)


class Way:
    """What all ways have: without anything else, nobody hears anything."""

    name = ""
    subscribe, unsubscribe, publish_word = b"SUBSCRIBE", b"UNSUBSCRIBE", b"PUBLISH"

    def __init__(self, world: World) -> None:
        self.world = world
        self._counted: tuple[int, Ints] = (-1, np.zeros(0, dtype=np.int64))

    def channels(self, server: int) -> list[bytes]:
        """What a server is subscribed to."""
        raise NotImplementedError

    def table(self, server: int) -> list[bytes]:
        """What a server has written into tables of Redis, as commands."""
        return []

    def without(self, row: int) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """When this person alone goes: channels the server leaves, rows it takes out; and puts back again."""
        return [], [], []

    def publish(self, control: Connection, rows: Ints) -> Sent:
        """Publish a batch of updates."""
        updates = [(self.channel_of(row), update(self.world, row)) for row in rows.tolist()]
        return send_singly(control, self.publish_word, updates)

    def channel_of(self, row: int) -> bytes:
        """Where the update of this person goes, when each goes by itself."""
        raise NotImplementedError

    def _by_channel(self, rows: Ints) -> dict[bytes, list[Update]]:
        by_channel: dict[bytes, list[Update]] = defaultdict(list)
        for row in rows.tolist():
            by_channel[self.channel_of(row)].append(update(self.world, row))
        return by_channel

    def _only_for(self, row: int) -> list[int]:
        """Friends whom nobody else on this person's server has."""
        server = int(self.world.server[row])
        if server != self._counted[0]:
            self._counted = (server, self.world.counts_on(server))
        friends = np.unique(self.world.friends[row])
        return [int(friend) for friend in friends if friend >= 0 and self._counted[1][friend] == 1]


def _person(number: int) -> bytes:
    return b"friends:person-%012d" % number


class ByPerson(Way):
    """A channel a person: a server hears everybody who has an online friend on it, away or not."""

    name = "person"

    def channels(self, server: int) -> list[bytes]:
        return [_person(number) for number in self.world.persons_on(server).tolist()]

    def channel_of(self, row: int) -> bytes:
        return _person(int(self.world.online[row]))

    def without(self, row: int) -> tuple[list[bytes], list[bytes], list[bytes]]:
        return [_person(number) for number in self._only_for(row)], [], []


class ByPersonSharded(ByPerson):
    """The same with sharded pub/sub, which a cluster needs."""

    name = "person, sharded"
    subscribe, unsubscribe, publish_word = b"SSUBSCRIBE", b"SUNSUBSCRIBE", b"SPUBLISH"


class ByPersonOnline(ByPerson):
    """Only those who are online. Somebody else must then tell that a friend has come (not measured here)."""

    name = "person, online only"

    def channels(self, server: int) -> list[bytes]:
        persons = self.world.persons_on(server)
        return [_person(number) for number in persons[self.world.row_of[persons] >= 0].tolist()]

    def without(self, row: int) -> tuple[list[bytes], list[bytes], list[bytes]]:
        return [_person(n) for n in self._only_for(row) if self.world.row_of[n] >= 0], [], []


class ByCell(Way):
    """A channel a cell (geohash 5: 4.9 km): a server hears the cells that its people's radius touches."""

    name = "cell of 5 km"
    precision = 5

    def channels(self, server: int) -> list[bytes]:
        rows = self.world.rows_on(server)
        return [b"friends:cell:%08d" % cell for cell in self._touched(rows)]

    def channel_of(self, row: int) -> bytes:
        return b"friends:cell:%08d" % self._cell(self.world.latitude[row], self.world.longitude[row])

    def without(self, row: int) -> tuple[list[bytes], list[bytes], list[bytes]]:
        others = self.world.rows_on(int(self.world.server[row]))
        kept = set(self._touched(others[others != row]))
        return [b"friends:cell:%08d" % c for c in self._touched(np.array([row])) if c not in kept], [], []

    def _grid(self) -> tuple[int, int]:
        return 1 << 5 * self.precision // 2, 1 << (5 * self.precision + 1) // 2

    def _cell(self, latitude: float, longitude: float) -> int:
        rows, columns = self._grid()
        return int((latitude + 90) * rows / 180) * columns + int((longitude + 180) * columns / 360) % columns

    def _touched(self, rows: Ints) -> list[int]:
        """Cells that the box about the radius of any of these people touches."""
        world, (down, across) = self.world, self._grid()
        up = np.degrees(world.radius_m / EARTH_RADIUS_M)
        wide = up / np.cos(np.radians(world.latitude[rows]))
        south = ((world.latitude[rows] - up + 90) * down / 180).astype(np.int64)
        north = ((world.latitude[rows] + up + 90) * down / 180).astype(np.int64)
        west = np.floor((world.longitude[rows] - wide + 180) * across / 360).astype(np.int64)
        east = np.floor((world.longitude[rows] + wide + 180) * across / 360).astype(np.int64)
        found: set[int] = set()
        for rise in range(int((north - south).max(initial=0)) + 1):
            for right in range(int((east - west).max(initial=0)) + 1):
                inside = (south + rise <= north) & (west + right <= east)
                cells = (south + rise) * across + (west + right) % across
                found.update(np.unique(cells[inside]).tolist())
        return sorted(found)


class ByWideCellInBatches(ByCell):
    """A channel a cell of geohash 3 (156 km), and one message a cell for the whole batch."""

    name = "cell of 156 km, in batches"
    precision = 3

    def publish(self, control: Connection, rows: Ints) -> Sent:
        return send(control, self.publish_word, self._by_channel(rows))


class ByServer(Way):
    """A channel a server. A table in Redis says for each person which servers have online friends of it."""

    name = "server"

    def channels(self, server: int) -> list[bytes]:
        return [b"friends:server:%d" % server]

    def table(self, server: int) -> list[bytes]:
        mine = b"%d" % server
        return [command(b"SADD", _person(n), mine) for n in self.world.persons_on(server).tolist()]

    def without(self, row: int) -> tuple[list[bytes], list[bytes], list[bytes]]:
        mine, persons = b"%d" % int(self.world.server[row]), [_person(n) for n in self._only_for(row)]
        out = [command(b"SREM", person, mine) for person in persons]
        return [], out, [command(b"SADD", person, mine) for person in persons]

    def publish(self, control: Connection, rows: Ints) -> Sent:
        """Ask for the servers of the whole batch, then a message for each update and server."""
        found = control.ask([command(b"SMEMBERS", _person(int(self.world.online[row]))) for row in rows])
        return self._send(control, rows, found)

    def _send(self, control: Connection, rows: Ints, found: list[list[bytes]]) -> Sent:
        updates = []
        for row, servers in zip(rows.tolist(), found, strict=True):
            one = update(self.world, row)
            updates += [(b"friends:server:" + server, one) for server in servers]
        return send_singly(control, self.publish_word, updates)


class ByServerInBatches(ByServer):
    """The same, with one message a server for the whole batch."""

    name = "server, in batches"

    def _send(self, control: Connection, rows: Ints, found: list[list[bytes]]) -> Sent:
        by_server: dict[bytes, list[Update]] = defaultdict(list)
        for row, servers in zip(rows.tolist(), found, strict=True):
            one = update(self.world, row)
            for server in servers:
                by_server[b"friends:server:" + server].append(one)
        return send(control, self.publish_word, by_server)


def bucket_of(person: str, buckets: int) -> int:
    return zlib.crc32(person.encode()) % buckets


class ByBucket(Way):
    """A channel for 1/1024 of the people. A server hears those in which somebody has an online friend on it."""

    name = "1,024 buckets"
    buckets = 1024

    def channels(self, server: int) -> list[bytes]:
        persons = self.world.persons_on(server).tolist()
        wanted: set[int] = set()
        for number in persons:
            wanted.add(bucket_of(person_id(number), self.buckets))
            if len(wanted) == self.buckets:
                break
        return [b"friends:bucket:%d" % bucket for bucket in sorted(wanted)]

    def channel_of(self, row: int) -> bytes:
        return b"friends:bucket:%d" % bucket_of(person_id(int(self.world.online[row])), self.buckets)


class ByBucketInBatches(ByBucket):
    """Few buckets, and one message a bucket for the whole batch."""

    name = "4 buckets, in batches"
    buckets = 4

    def publish(self, control: Connection, rows: Ints) -> Sent:
        return send(control, self.publish_word, self._by_channel(rows))


WAYS: Sequence[Sequence[type[Way]]] = (
    (ByPerson,),
    (ByPersonOnline,),
    (ByPersonSharded,),
    (ByCell,),
    (ByWideCellInBatches,),
    (ByServer, ByServerInBatches),
    (ByBucket,),
    (ByBucketInBatches,),
)
"""Those in one row differ in publishing alone, and share what is built."""
WAYS_BY_REGION: Sequence[Sequence[type[Way]]] = ((ByCell,), (ByWideCellInBatches,), (ByBucketInBatches,))
