"""Two and three servers on one bus: who hears what of whom, what waits, what is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from majung.backends.embedded.fanout import EmbeddedFanout
from majung.friends.channels import BUCKETS, MAX_AT_ONCE, BucketChannels, bucket_of, mark_of
from majung.ports import PortError
from majung.positions.model import PERSON, LivePosition

ANN, BEN, CHO = "person-ann", "person-ben", "person-cho"
SAME_BUCKET = [f"person-{n}" for n in range(200) if bucket_of(f"person-{n}") == bucket_of(ANN)][:2]


class Heard:
    """What a server has heard, in order."""

    def __init__(self) -> None:
        self.all: list[object] = []

    def heard(self, position: LivePosition) -> None:
        self.all.append(position)

    def heard_gone(self, person_id: str) -> None:
        self.all.append(("gone", person_id))

    def heard_came(self, person_id: str, marks: Sequence[int]) -> None:
        self.all.append(("came", person_id, *marks))


class Bus(EmbeddedFanout):
    """Counts, and fails while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[str, int]] = []
        self.channels: list[str] = []
        self.broken = False

    async def publish(self, channel: str, message: bytes) -> None:
        if self.broken:
            raise PortError("no bus")
        self.messages.append((channel, len(message)))
        await super().publish(channel, message)

    @property
    def listened_to(self) -> set[str]:
        return {channel for channel in self._receivers if not channel.endswith("came")}


@contextlib.asynccontextmanager
async def server(bus: Bus) -> AsyncIterator[tuple[BucketChannels, Heard]]:
    channels, heard = BucketChannels(bus), Heard()
    task = asyncio.create_task(channels.run(heard))
    await settled()
    try:
        yield channels, heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def settled() -> None:
    """The embedded bus hands over at once: a few turns of the loop, and everything told is heard."""
    for _ in range(20):
        await asyncio.sleep(0)


def at(person_id: str, time_ms: int = 1_000) -> LivePosition:
    return LivePosition(person_id, 37.4979, 127.0276, time_ms, time_ms + 120, 8.0, None, 90.0, PERSON)


async def test_a_server_hears_those_whom_it_follows_as_they_were_told() -> None:
    bus = Bus()
    async with server(bus) as (first, own), server(bus) as (second, heard), server(bus) as (_, nobody):
        await second.follow([ANN])
        await first.follow([ANN])
        first.tell(at(ANN))
        first.tell(at(BEN))
        await settled()
        assert heard.all == [at(ANN)]
        assert own.all == [], "nobody hears itself"
        assert nobody.all == [], "who follows nobody hears nothing"


async def test_others_in_the_same_channel_are_passed_over() -> None:
    bus = Bus()
    async with server(bus) as (first, _), server(bus) as (second, heard):
        await second.follow([ANN])
        for person_id in (*SAME_BUCKET, ANN):
            first.tell(at(person_id))
            first.tell_gone(SAME_BUCKET[0])
        await settled()
        assert heard.all == [at(ANN)]
        assert len(bus.messages) == 1, "one message for all of them"


async def test_gone_and_come() -> None:
    bus = Bus()
    async with server(bus) as (first, _), server(bus) as (second, heard):
        await second.follow([ANN])
        first.tell_gone(ANN)
        first.tell_gone(BEN)
        first.tell_came(CHO, [ANN, BEN])
        first.tell_came(BEN, [])
        await settled()
        assert heard.all == [("came", CHO, mark_of(ANN), mark_of(BEN)), ("gone", ANN)], (
            "coming is told to everybody"
        )


async def test_the_newest_takes_the_place_of_what_waits() -> None:
    bus = Bus()
    async with server(bus) as (first, _), server(bus) as (second, heard):
        await second.follow([ANN, BEN])
        first.tell(at(ANN, 1_000))
        first.tell(at(ANN, 2_000))
        first.tell(at(BEN))
        first.tell_gone(BEN)
        await settled()
        assert sorted(heard.all, key=str) == sorted([at(ANN, 2_000), ("gone", BEN)], key=str)


async def test_channels_are_left_when_nobody_in_them_is_followed() -> None:
    bus = Bus()
    async with server(bus) as (first, _), server(bus) as (second, heard):
        await second.follow([ANN, *SAME_BUCKET, ANN])
        assert (second.followed, len(bus.listened_to)) == (3, 1)
        await second.unfollow([ANN, ANN, "person-unknown"])
        first.tell(at(ANN))
        first.tell(at(SAME_BUCKET[0]))
        await settled()
        assert heard.all == [at(SAME_BUCKET[0])]
        await second.unfollow(SAME_BUCKET)
        assert (second.followed, bus.listened_to) == (0, set())
        await second.follow([ANN])
        first.tell(at(ANN))
        await settled()
        assert heard.all == [at(SAME_BUCKET[0]), at(ANN)]


async def test_thousands_at_once_go_in_few_bounded_messages_through_every_channel() -> None:
    bus, people = Bus(), [f"person-{number:012}" for number in range(20_000)]
    async with server(bus) as (first, _), server(bus) as (second, heard):
        await second.follow(people)
        assert len(bus.listened_to) == BUCKETS
        for person_id in people:
            first.tell(at(person_id))
        await settled()
        assert {one.rider_id for one in heard.all if isinstance(one, LivePosition)} == set(people)
        assert len(heard.all) == len(people)
        assert len({channel for channel, _ in bus.messages}) == BUCKETS
        assert len(bus.messages) < 2 * BUCKETS + len(people) / MAX_AT_ONCE
        assert max(size for _, size in bus.messages) < 100 * MAX_AT_ONCE


async def test_what_a_broken_bus_does_not_take_is_counted_and_the_next_goes() -> None:
    bus = Bus()
    async with server(bus) as (first, _), server(bus) as (second, heard):
        await second.follow([ANN])
        bus.broken = True
        first.tell(at(ANN, 1_000))
        first.tell_came(BEN, [ANN])
        await settled()
        assert (first.dropped, heard.all) == (2, [])
        bus.broken = False
        first.tell(at(ANN, 2_000))
        await settled()
        assert heard.all == [at(ANN, 2_000)]
