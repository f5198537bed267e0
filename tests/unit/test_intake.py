"""Waiting for commits that are shared with others."""

import asyncio

import pytest

from majung.ports import StorageFull
from majung.serve.http.intake import durable


async def test_a_request_that_goes_away_does_not_take_the_commit_from_the_others() -> None:
    commit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gone, stays = asyncio.create_task(durable([commit])), asyncio.create_task(durable([commit]))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    assert gone.cancelled()
    assert not commit.cancelled()
    assert not stays.done()
    commit.set_result(None)
    await stays


async def test_all_must_be_durable_and_a_failure_is_told() -> None:
    loop = asyncio.get_running_loop()
    good, bad = loop.create_future(), loop.create_future()
    waiting = asyncio.create_task(durable([good, bad]))
    good.set_result(None)
    await asyncio.sleep(0)
    assert not waiting.done()
    bad.set_exception(StorageFull("no room"))
    with pytest.raises(StorageFull, match="no room"):
        await waiting


async def test_nothing_is_durable_at_once() -> None:
    await durable([])
