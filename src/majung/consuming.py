"""What every consumer of a topic does alike: take in order, commit what was taken, pass over what is no message."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

import msgspec
import structlog

from majung.ports import Log, LogRecord

log = structlog.get_logger("majung.consuming")

T = TypeVar("T")


def decoded(
    topic: str, records: Iterable[LogRecord], decode: Callable[[bytes], T]
) -> Iterator[tuple[LogRecord, T]]:
    """Each record with what it says; one that cannot be decoded is reported, and holds up nothing behind it."""
    for record in records:
        try:
            message = decode(record.value)
        except msgspec.DecodeError as problem:
            where = {"topic": topic, "partition": record.partition, "offset": record.offset}
            log.error("undecodable", **where, problem=str(problem))
        else:
            yield record, message


async def follow(
    log_port: Log,
    topic: str,
    group: str,
    take: Callable[[list[LogRecord]], Awaitable[None]],
    batch: int,
    linger_s: float,
) -> None:
    """Give `take` the records in their order, until cancelled; what is committed has been taken.

    When it raises, calling it again gives what was not committed once more. Raises what `take` raises, PortError.
    """
    consumer = log_port.consumer(topic, group)
    try:
        while True:
            await take(await consumer.poll(batch, linger_s))
            await consumer.commit()
    finally:
        await consumer.close()
