"""`EmbeddedLiveStore` keeps the contract, and what its checkpoint file can suffer."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung.backends.embedded.livestore import EmbeddedLiveStore
from majung.backends.embedded.livestore_states import StateFile
from majung.clock import Clock, ManualClock
from majung.ports import PortError, StorageFull
from majung.settings import CellSettings
from tests.contract.livestore_contract import SEOUL, LiveStoreContract, OpenStore, at


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[OpenStore]:
    opened: list[EmbeddedLiveStore] = []

    async def open_it(settings: CellSettings, clock: Clock) -> EmbeddedLiveStore:
        if opened:
            await opened[-1].close()
        # So few that a change is seldom finished when the next search comes.
        opened.append(await EmbeddedLiveStore.open(tmp_path / "data", settings, clock, move_members=2))
        return opened[-1]

    yield open_it
    for store in opened:
        await store.close()


class TestEmbeddedLiveStore(LiveStoreContract):
    pass


@pytest.fixture
async def states(tmp_path: Path) -> AsyncIterator[StateFile]:
    file = StateFile(tmp_path)
    await file.open()
    yield file
    await file.close()


async def reopened(folder: Path) -> StateFile:
    file = StateFile(folder)
    await file.open()
    return file


async def all_of(file: StateFile) -> dict[str, bytes]:
    return {name: value async for chunk in file.all() for name, value in chunk}


def flip(path: Path, content: bytes) -> None:
    """Turn one bit of the first place in a file that has this content."""
    data = bytearray(path.read_bytes())
    data[data.index(content)] ^= 1
    path.write_bytes(data)


async def test_the_file_is_private(tmp_path: Path, states: StateFile) -> None:
    assert (tmp_path / "live.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["garbage", "cut short", "flipped state", "flipped id", "flipped meta"])
async def test_a_damaged_file_is_put_aside_and_begun_anew(
    tmp_path: Path, states: StateFile, damage: str
) -> None:
    path = tmp_path / "live.db"
    await states.save({f"rider-{i}": b"state %d" % i * 20 for i in range(200)}, {"offsets": b"the meta"})
    await states.close()
    if damage == "garbage":
        path.write_bytes(os.urandom(10_000))
    elif damage == "cut short":
        os.truncate(path, path.stat().st_size // 2)
    else:
        content = {"flipped state": b"state 77", "flipped id": b"rider-77", "flipped meta": b"the meta"}
        flip(path, content[damage])
    broken = path.read_bytes()
    again = await reopened(tmp_path)
    assert (await all_of(again), await again.load_meta()) == ({}, {})
    (told,) = again.damage
    (aside,) = tmp_path.glob("live.db.damaged-*")
    assert aside.name in told
    assert aside.read_bytes() == broken
    await again.save({"a": b"1"}, {"offsets": b"2"})
    await again.close()
    last = await reopened(tmp_path)
    assert (await all_of(last), await last.load_meta(), last.damage) == ({"a": b"1"}, {"offsets": b"2"}, [])
    await last.close()


async def test_damage_that_shows_later_ends_checkpointing_until_the_next_start(
    tmp_path: Path, states: StateFile
) -> None:
    many = {f"rider-{i:04d}": os.urandom(4_000) for i in range(2_000)}  # more than SQLite keeps in memory
    await states.save(many, {"offsets": b"1"})
    with sqlite3.connect(tmp_path / "live.db") as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    other.close()
    with (tmp_path / "live.db").open("r+b") as file:
        for page in range(1, 2_000, 2):
            file.seek(4096 * page + 1000)
            file.write(os.urandom(100))
    read = await all_of(states)
    assert all(many[name] == value for name, value in read.items())
    assert len(read) < len(many)
    (told,) = states.damage
    assert "rebuilt from the log" in told
    # Not a part of the states beside a meta that speaks for all of them:
    await states.save({"rider-0001": b"new"}, {"offsets": b"2"})
    assert (await states.load(["rider-0001"]), await states.load_meta()) == ({}, {})
    await states.close()
    again = await reopened(tmp_path)
    assert (await all_of(again), await again.load_meta(), again.damage) == ({}, {}, [])
    await again.close()


async def test_positions_are_served_whatever_the_checkpoint_suffers(tmp_path: Path) -> None:
    (tmp_path / "live.db").write_bytes(b"not a database, for longer than a header of one hundred bytes" * 9)
    store = await EmbeddedLiveStore.open(tmp_path, CellSettings.model_validate({}), ManualClock())
    assert len(store.damage()) == 1
    await store.put([at("a")])
    assert [hit.rider_id for hit in await store.nearest(*SEOUL, 10, 1)] == ["a"]
    await store.close()


async def test_a_full_disk_is_said_and_nothing_of_the_save_is_there(states: StateFile) -> None:
    await states.save({"a": b"1"}, {"offsets": b"1"})

    def limit(db: sqlite3.Connection, pages: int) -> None:
        db.execute(f"PRAGMA max_page_count = {pages}")

    await states._run(lambda db: limit(db, 20), None)
    with pytest.raises(StorageFull):
        await states.save({"a": b"2", **{f"r{i}": bytes(5_000) for i in range(100)}}, {"offsets": b"2"})
    assert (await all_of(states), await states.load_meta()) == ({"a": b"1"}, {"offsets": b"1"})
    await states._run(lambda db: limit(db, 1_000_000), None)
    await states.save({"a": b"2"}, {"offsets": b"2"})
    assert (await all_of(states), await states.load_meta()) == ({"a": b"2"}, {"offsets": b"2"})


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await EmbeddedLiveStore.open(tmp_path, CellSettings.model_validate({}), ManualClock())
    await store.close()
    await store.close()
    with pytest.raises(PortError, match="closed"):
        await store.save_states({}, {})


SAVE_FOR_EVER = """
    import asyncio, sys
    from pathlib import Path
    from majung.backends.embedded.livestore_states import StateFile

    async def main() -> None:
        file = StateFile(Path(sys.argv[1]))
        await file.open()
        round = int((await file.load_meta()).get("round", b"0"))
        while True:
            round += 1
            await file.save({f"r{i}": b"%d" % round for i in range(300)}, {"round": b"%d" % round})
            print(round, flush=True)

    asyncio.run(main())
"""


async def test_a_killed_process_leaves_whole_saves(tmp_path: Path) -> None:
    last_said = 0
    for saves in (3, 11, 6):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SAVE_FOR_EVER), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        for _ in range(saves):
            last_said = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split("\n")
        child.wait()
        child.stdout.close()
        last_said = max([last_said, *(int(line) for line in rest[:-1])])
        file = await reopened(tmp_path)
        assert file.damage == []
        saved_round = (await file.load_meta())["round"]
        assert int(saved_round) >= last_said
        assert set((await all_of(file)).values()) == {saved_round}
        await file.close()
