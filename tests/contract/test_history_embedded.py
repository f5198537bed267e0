"""`EmbeddedHistory` keeps the contract, and what files on a disk can suffer."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung.backends.embedded import history, history_file, history_writer
from majung.backends.embedded.history import EmbeddedHistory
from majung.clock import ManualClock
from tests.contract.history_contract import HOUR_MS, START_MS, HistoryContract, Reopen, settings_of


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
