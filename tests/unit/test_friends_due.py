"""The queue of reads: decisions first, each thing once, again when the storage did not answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from majung.friends import due as due_module
from majung.friends.due import AT_ONCE, Due, Key
from majung.ports import PortError


class Reader:
    """Does what is wanted, and notes it; `failing` are refused as long as they are in there."""

    def __init__(self) -> None:
        self.done: list[tuple[Key, bool]] = []
        self.failing: set[Key] = set()
        self.due = Due(self._do)

    async def _do(self, key: Key, flag: bool) -> None:
        if key in self.failing:
            self.failing.discard(key)
            raise PortError("the disk sleeps")
        self.done.append((key, flag))

    async def idle(self) -> None:
        async with asyncio.timeout(60):
            while len(self.due):
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def running(reader: Reader) -> AsyncIterator[None]:
    task = asyncio.create_task(reader.due.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_decisions_do_not_wait_behind_a_mass_of_connects() -> None:
    reader = Reader()
    for number in range(10 * AT_ONCE):
        reader.due.want("watcher", str(number))
    reader.due.want("subject", "hidden", flag=True, first=True)
    async with running(reader):
        await reader.idle()
    assert reader.done[0] == (("subject", "hidden"), True)
    assert len(reader.done) == 10 * AT_ONCE + 1


async def test_what_is_wanted_twice_is_done_once_and_first_if_either_is() -> None:
    reader = Reader()
    reader.due.want("watcher", "other")
    reader.due.want("watcher", "ann", flag=True)
    reader.due.want("watcher", "ann", first=True)
    reader.due.want("watcher", "ann")
    async with running(reader):
        await reader.idle()
    assert reader.done == [(("watcher", "ann"), True), (("watcher", "other"), False)]


async def test_what_the_storage_refused_is_done_again_in_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_module, "_RETRY_S", 0.0)
    reader = Reader()
    reader.failing.add(("subject", "ann"))
    for number in range(2 * AT_ONCE):
        reader.due.want("watcher", str(number))
    reader.due.want("subject", "ann", first=True)
    async with running(reader):
        await reader.idle()
    assert reader.done[0] == (("subject", "ann"), False)
    assert len(reader.done) == 2 * AT_ONCE + 1
