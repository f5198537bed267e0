"""A task that dies is seen, and runs again."""

import asyncio

import pytest

from majung.tasks import Supervisor


async def test_a_task_that_dies_is_counted_and_runs_again() -> None:
    supervisor = Supervisor()
    runs = 0
    alive = asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise RuntimeError("planted")
        alive.set()
        await asyncio.Event().wait()

    supervisor.start("worker", work)
    await asyncio.wait_for(alive.wait(), 60)
    assert supervisor.deaths == {"worker": 2}
    assert supervisor.down == set()
    await supervisor.stop_all()


async def test_what_is_down_is_named_while_it_is() -> None:
    supervisor = Supervisor()
    died = asyncio.Event()

    async def work() -> None:
        died.set()
        raise RuntimeError("planted")

    supervisor.start("worker", work)
    await died.wait()
    async with asyncio.timeout(60):
        while "worker" not in supervisor.down:
            await asyncio.sleep(0)
    await supervisor.stop_all()


async def test_work_that_returns_is_finished() -> None:
    supervisor = Supervisor()
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1

    supervisor.start("once", work)
    for _ in range(5):
        await asyncio.sleep(0)
    assert runs == 1
    await supervisor.stop_all()


async def test_a_name_is_given_once() -> None:
    supervisor = Supervisor()
    supervisor.start("one", asyncio.Event().wait)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one"):
        supervisor.start("one", asyncio.Event().wait)  # type: ignore[arg-type]
    await supervisor.stop_all()
