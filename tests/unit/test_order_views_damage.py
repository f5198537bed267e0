"""`views.db` with damaged pages in its middle: put away, made again, and the server goes on."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from majung.orders.model import OrderEvent
from majung.orders.view_policy import Part, Scope
from majung.orders.views import Search
from majung.ports import Overloaded
from tests.order_views_kit import Kit, event, opened, story, take

ORDERS = 120
PAGE_BYTES = 4096


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with opened(tmp_path) as kit:
        told: list[OrderEvent] = []

        async def source(after_order_id: str, after_version: int, limit: int) -> Sequence[OrderEvent]:
            after = (after_order_id, after_version)
            rest = sorted((e.order_id, e.version, n) for n, e in enumerate(told))
            return [told[n] for order_id, version, n in rest if (order_id, version) > after][:limit]

        kit.source = source
        await kit.end_life()
        await kit.start()
        for number in range(ORDERS):
            told.extend(story(number, number % 7 + 1))
        await kit.happen(told)
        yield kit


def damage(path: Path) -> None:
    """Overwrite every page but the first twenty, as a failing disk might."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    pages = path.stat().st_size // PAGE_BYTES
    assert pages > 40
    with path.open("r+b") as file:
        file.seek(20 * PAGE_BYTES)
        file.write(random.Random(7).randbytes((pages - 20) * PAGE_BYTES))


def put_away(kit: Kit) -> list[str]:
    return sorted(file.name for file in kit.folder.glob("views.db.damaged-*"))


async def all_is_there(kit: Kit) -> None:
    await asyncio.wait_for(kit.views.restored.wait(), 60)
    found = await kit.views.search(Search(), 200)
    assert {order.order_id: order.version for order in found} == {
        f"ord-{number:04d}": number % 7 + 1 for number in range(ORDERS)
    }
    assert len(await kit.views.audit("ord-0006")) == 7
    assert len(put_away(kit)) == 1
    [words] = kit.database.damage()
    assert "views.db" in words and "put away" in words


async def test_a_read_that_meets_damage_has_the_views_made_again(kit: Kit) -> None:
    damage(kit.folder / "views.db")
    epoch = kit.live.epoch
    viewer = kit.viewer(Scope(Part.ALL, sees_code=True))
    with pytest.raises(Overloaded):
        await kit.views.search(Search(), 200)
    with pytest.raises(Overloaded):
        await take(viewer)
    await all_is_there(kit)
    assert kit.live.epoch != epoch
    messages = await take(viewer)
    assert [message["type"] for message in messages][:2] == ["resync", "snapshot"]
    assert len(messages[1]["orders"]) == sum(number % 7 < 6 for number in range(ORDERS))
    await kit.happen([event(500, 1)])
    assert (await kit.views.order("ord-0500", 1)).version == 1


async def test_a_write_that_meets_damage_loses_no_event(kit: Kit) -> None:
    damage(kit.folder / "views.db")
    news = [e for number in range(200, 260) for e in story(number, 2)]
    await kit.happen(news)
    await asyncio.wait_for(kit.views.restored.wait(), 60)
    for number in range(200, 260):
        assert (await kit.views.order(f"ord-{number:04d}", 2)).version == 2
    assert len(put_away(kit)) == 1


async def test_a_start_on_a_damaged_file(kit: Kit) -> None:
    await kit.end_life()
    damage(kit.folder / "views.db")
    with closing(sqlite3.connect(kit.folder / "views.db")) as connection:
        connection.execute(
            "UPDATE view_meta SET value = 'no' WHERE name = 'complete'"
        )  # the start empties it
        connection.commit()
    await asyncio.wait_for(kit.start(), 60)
    await all_is_there(kit)


async def test_a_start_on_a_file_that_is_none(kit: Kit) -> None:
    await kit.end_life()
    (kit.folder / "views.db").write_bytes(random.Random(8).randbytes(100_000))
    await asyncio.wait_for(kit.start(), 60)
    await all_is_there(kit)


async def test_the_newest_two_damaged_files_are_kept(kit: Kit) -> None:
    for _ in range(4):
        await kit.database.start_over()
        await asyncio.sleep(0.002)  # their names tell the millisecond
    assert len(put_away(kit)) == 2
    kit.views.lost()
    await asyncio.wait_for(kit.views.restored.wait(), 60)
