"""What all consumers share: nothing is committed before it was taken, and what is no message holds up nobody."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from majung.backends.embedded.log import EmbeddedLog
from majung.clock import SystemClock
from majung.consuming import decoded, follow
from majung.ports import LogRecord
from majung.settings import LogSettings

TOPIC, GROUP = "order.events.v1", "some"
VALUES = [b'{"n":1}', b"{", b'{"n":"two"}', b'{"n":3}']


class Message(msgspec.Struct):
    n: int


decode = msgspec.json.Decoder(Message).decode


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    opened = await EmbeddedLog.open(tmp_path / "log", LogSettings(), SystemClock())
    await opened.append(TOPIC, [("one-key", value) for value in VALUES])
    yield opened
    await opened.close()


async def taken(
    log: EmbeddedLog, take: Callable[[list[LogRecord]], Awaitable[None]], until: asyncio.Event
) -> None:
    following = asyncio.create_task(follow(log, TOPIC, GROUP, take, 100, 0.0))
    reached = asyncio.create_task(until.wait())
    await asyncio.wait({following, reached}, return_when=asyncio.FIRST_COMPLETED, timeout=60)
    reached.cancel()
    if following.done():
        following.result()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_what_is_no_message_is_reported_and_passed_over(log: EmbeddedLog) -> None:
    numbers: list[int] = []
    done = asyncio.Event()

    async def take(records: list[LogRecord]) -> None:
        numbers.extend(message.n for _, message in decoded(TOPIC, records, decode))
        if 3 in numbers:
            done.set()

    with capture_logs() as said:
        await taken(log, take, done)
    assert numbers == [1, 3]
    reported = [(entry["event"], entry["topic"], entry["offset"]) for entry in said]
    assert reported == [("undecodable", TOPIC, 1), ("undecodable", TOPIC, 2)]


async def test_what_was_not_taken_comes_again(log: EmbeddedLog) -> None:
    seen: list[int] = []
    done = asyncio.Event()

    async def fail(records: list[LogRecord]) -> None:
        seen.extend(record.offset for record in records)
        raise OSError("the disk is away")

    async def take(records: list[LogRecord]) -> None:
        seen.extend(record.offset for record in records)
        done.set()

    with pytest.raises(OSError, match="the disk is away"):
        await taken(log, fail, done)
    first = list(seen)
    await taken(log, take, done)
    assert seen == [*first, 0, 1, 2, 3]
