"""`EmbeddedHistory` keeps the contract, and what files on a disk can suffer."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung.backends.embedded import history, history_file, history_writer
from majung.backends.embedded.history import EmbeddedHistory
from majung.clock import ManualClock
from tests.contract.history_contract import (
    DAY_MS,
    HOUR_MS,
    START_MS,
    HistoryContract,
    Reopen,
    fix,
    settings_of,
    whole_track,
)


class Maker:
    """Opens histories; each in a folder of its own, or the newest one's once more."""

    def __init__(self, root: Path, clock: ManualClock) -> None:
        self._root = root
        self._clock = clock
        self._settings: dict[str, object] = {}
        self.opened: list[EmbeddedHistory] = []
        self.folder = root

    async def __call__(self, **settings: object) -> EmbeddedHistory:
        self.folder = self._root / f"history-{len(self.opened)}"
        self._settings = settings
        return await self.open()

    async def open(self) -> EmbeddedHistory:
        self.opened.append(EmbeddedHistory(self.folder, settings_of(**self._settings), self._clock))
        return await self.opened[-1].open()

    async def again(self) -> EmbeddedHistory:
        await self.opened[-1].close()
        return await self.open()

    def files(self, pattern: str = "*.db") -> list[Path]:
        return sorted(self.folder.glob(pattern))


@pytest.fixture
async def make(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Maker]:
    maker = Maker(tmp_path, clock)
    yield maker
    for one in maker.opened:
        await one.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS + 2 * HOUR_MS)


@pytest.fixture
def reopen(make: Maker) -> Reopen:
    return make.again


class TestEmbeddedHistory(HistoryContract):
    pass


class TestEmbeddedHistoryWithTinyBounds(HistoryContract):
    """The same with a merge, an eviction and a forgotten `seen` every few positions."""

    @pytest.fixture(autouse=True)
    def tiny(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(history_writer, "MERGE_AT", 7)
        monkeypatch.setattr(history_writer, "MAX_OPEN", 2)
        monkeypatch.setattr(history_file, "MAX_SEEN", 3)
        monkeypatch.setattr(history, "_SLICE_RIDERS", 1)


async def test_bytes_of_an_erased_rider_are_gone_from_the_disk(make: Maker, clock: ManualClock) -> None:
    kept = await make()
    for hour_ms in (START_MS, START_MS + HOUR_MS):
        for seq in range(1, 6):
            at_ms = hour_ms + seq * 1000
            await kept.append([fix(rider, seq, at_ms, f"{rider}'s phone") for rider in ("whom", "others")])
    clock.set_wall_ms(START_MS + HOUR_MS + DAY_MS)
    await kept.drop_old(clock.now_ms())
    assert await kept.erase("whom") == 1 + 5
    content = b"".join(file.read_bytes() for file in make.files("*"))
    assert b"others's phone" in content
    assert b"whom" not in content


async def test_dropped_hours_leave_no_file(make: Maker, clock: ManualClock) -> None:
    history = await make()
    await history.append([fix(seq=n, at_ms=START_MS + n * HOUR_MS) for n in range(2)])
    await whole_track(history)
    assert len(make.files()) == 2
    clock.set_wall_ms(START_MS + HOUR_MS + 7 * DAY_MS)
    assert await history.drop_old(clock.now_ms()) == 2
    assert [file.name for file in make.files()] == ["minutes-20260528T21.db"]
    clock.advance(HOUR_MS / 1000)
    assert await history.drop_old(clock.now_ms()) == 1
    assert make.files("*") == []


async def test_detail_that_is_kept_for_longest_is_never_thinned(make: Maker, clock: ManualClock) -> None:
    history = await make(detail_for="10d")
    await history.append([fix(seq=n, at_ms=START_MS + n * 1000) for n in range(100)])
    clock.set_wall_ms(START_MS + HOUR_MS + 10 * DAY_MS - 1)
    assert await history.drop_old(clock.now_ms()) == 0
    assert len(await whole_track(history)) == 100
    clock.advance(0.001)
    assert await history.drop_old(clock.now_ms()) == 1
    assert await whole_track(history) == []
