"""A server with a consumer of the tests' own: effect, version and offset in one transaction, killed with it.

As somebody outside would write one from docs/orders.md: what was seen is dropped by its version, and what was
done is never undone by a crash, because the offset stands beside it.
"""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from majung import server
from majung.orders.store import decode_event
from majung.outbox.relay import ORDER_EVENTS_TOPIC
from majung.services import Services

NAME = "own.db"
ENTRY = (
    "-c",
    f"import sys; sys.path[:0] = [{str(Path(__file__).parents[2])!r}]; import {__name__} as o; o.main()",
)
TABLES = """
CREATE TABLE IF NOT EXISTS effect (n INTEGER PRIMARY KEY, order_id TEXT, version INTEGER);
CREATE TABLE IF NOT EXISTS newest (order_id TEXT PRIMARY KEY, version INTEGER);
CREATE TABLE IF NOT EXISTS next (part INTEGER PRIMARY KEY, offset INTEGER);
"""
NEWEST = (
    "INSERT INTO newest VALUES (?1, ?2) ON CONFLICT DO UPDATE SET version = ?2 WHERE version < ?2 RETURNING 1"
)


async def consume(services: Services) -> None:
    """Until killed."""
    with closing(sqlite3.connect(services.settings.data / NAME, isolation_level=None)) as own:
        own.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; {TABLES}")
        consumer = services.log.consumer(ORDER_EVENTS_TOPIC, "own")
        consumer.seek(dict(own.execute("SELECT part, offset FROM next").fetchall()))
        while True:
            records = await consumer.poll(50, 0)
            own.execute("BEGIN")
            for event in (decode_event(record.value) for record in records):
                if own.execute(NEWEST, (event.order_id, event.version)).fetchone():
                    own.execute("INSERT INTO effect VALUES (NULL, ?, ?)", (event.order_id, event.version))
                    await asyncio.sleep(0)  # so that a kill comes in the middle
            own.executemany("INSERT OR REPLACE INTO next VALUES (?, ?)", consumer.position().items())
            own.execute("COMMIT")


def main() -> None:
    """`majung` with one more task."""
    start_work = server._start_work

    async def with_own_consumer(services: Services) -> None:
        await start_work(services)
        services.supervisor.start("own-consumer", lambda: consume(services))

    server._start_work = with_own_consumer
    from majung.cli import main as run

    run()


def effects(data: Path) -> list[tuple[str, int]]:
    """Every effect, in the order in which it was done."""
    with closing(sqlite3.connect(data / NAME)) as own:
        return [(str(o), int(v)) for o, v in own.execute("SELECT order_id, version FROM effect ORDER BY n")]
