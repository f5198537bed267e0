"""What history files can suffer: cut short, flipped bits, a full disk, a process killed at any point."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from majung.backends.embedded import history_codec as codec
from majung.backends.embedded import history_file
from majung.backends.embedded.history import EmbeddedHistory
from majung.backends.embedded.history_folder import Folder, Form, path_of
from majung.clock import ManualClock
from majung.ports import Overloaded, PortError, StorageFull
from majung.positions.model import StoredPosition
from tests.contract.history_contract import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    START_MS,
    fix,
    settings_of,
    whole_track,
)
from tests.contract.test_history_embedded import Maker, clock, make

__all__ = ["clock", "make"]  # fixtures


def hour(n_riders: int = 40, each: int = 50, at_ms: int = START_MS) -> list[StoredPosition]:
    return [
        fix(f"rider-{r}", n, at_ms + n * 1000, accuracy_m=r) for n in range(each) for r in range(n_riders)
    ]


async def filled(make: Maker, riders: int = 40) -> EmbeddedHistory:
    """Two hours, closed and opened again: the first is the one to be damaged."""
    history = await make()
    await history.append(hour(riders))
    await history.append(hour(riders, 2, START_MS + HOUR_MS))
    return await make.again()


def flip(file: Path, at: int, length: int = 1) -> None:
    content = bytearray(file.read_bytes())
    for i in range(at, at + length):
        content[i] ^= 0xFF
    file.write_bytes(content)


def break_a_leaf(file: Path) -> None:
    """Turn a page of the chunks' tree, one of those in the middle, into noise."""
    content = file.read_bytes()
    leaves = [at for at in range(0, len(content), 4096) if content[at] == 0x0A]
    flip(file, leaves[len(leaves) // 2], 4096)


async def test_truncated_file_is_found_at_start_set_aside_and_the_hour_goes_on(make: Maker) -> None:
    history = await filled(make)
    await history.close()
    file = make.files()[0]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    history = await make.open()
    [problem] = history.damage()
    assert file.name in problem
    assert "truncated" in problem
    assert [f.name for f in (make.folder / "damaged").iterdir()] == [f"{file.name}.1"]
    assert len(await whole_track(history, "rider-7")) >= 2  # the other hour, and what could be saved
    assert await history.append([fix("rider-7", 99, START_MS + HOUR_MS - 1)]) == [True]
    assert 99 in [p.seq for p in await whole_track(history, "rider-7")]
    history = await make.again()
    assert history.damage() == []


async def test_flipped_bit_in_a_chunk_costs_that_chunk_alone(make: Maker) -> None:
    history = await filled(make)
    await history.close()
    file = make.files()[0]
    points = b"".join(codec.encode(one, START_MS) for one in hour()[7::40])
    content = file.read_bytes()
    assert points[:400] in content
    file.write_bytes(content.replace(points[:400], points[:122] + b"~" + points[123:400]))
    history = await make.open()
    assert len(await whole_track(history, "rider-7")) == 2
    assert len(await whole_track(history, "rider-8")) == 52
    [problem] = history.damage()
    assert "'rider-7' fails its checksum" in problem
    assert await history.append([fix("rider-7", 60, START_MS + 60_000)]) == [True]
    assert len(await whole_track(history, "rider-7")) == 3


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        ("zeroblob(length(content))", "batch fails its checksum"),
        ("CAST(content AS TEXT)", "1 positions of it are served"),  # a text now, and not even that
    ],
)
async def test_flipped_bit_in_a_batch_costs_that_batch_alone(make: Maker, damaged: str, words: str) -> None:
    history = await make()
    await history.append([fix(seq=1)])
    await history.append([fix(seq=2, at_ms=START_MS + 1)])
    snapshot = {file.name: file.read_bytes() for file in make.files("*.db*")}  # as after a kill
    await history.close()
    history = await make()
    for name, content in snapshot.items():
        (make.folder / name).write_bytes(content)
    [file] = make.files()
    with sqlite3.connect(file) as connection:
        connection.execute(f"UPDATE batch SET content = {damaged} WHERE id = 1")
    connection.close()
    history = await make.again()
    assert [p.seq for p in await whole_track(history)] == [2]
    assert any(words in problem for problem in history.damage())


async def test_broken_pages_are_set_aside_when_a_reader_meets_them(make: Maker) -> None:
    history = await filled(make, riders=400)
    await history.close()
    file = make.files()[0]
    break_a_leaf(file)
    history = await make.open()
    tracks = [len(await whole_track(history, f"rider-{r}")) for r in range(400)]
    assert tracks.count(52) > 350
    assert len(history.damage()) == 1
    assert "moved to" in history.damage()[0]
    assert (make.folder / "damaged" / f"{file.name}.1").exists()
    assert await history.append([fix("rider-7", 60, START_MS + 60_000)]) == [True]


async def test_file_that_is_garbage_is_replaced_while_it_is_in_use(make: Maker) -> None:
    history = await make()
    await history.append(hour())
    for file in make.files("*.db*"):
        if not file.name.endswith("-shm"):
            flip(file, 0, file.stat().st_size)
    extra = fix("rider-7", 60, START_MS + 60_000)
    assert await history.append([extra, *hour()[7::40]]) == [True] + [False] * 50
    assert len(await whole_track(history, "rider-7")) == 51  # what the writer remembered is there
    history = await make.again()
    assert len(await whole_track(history, "rider-7")) == 51


async def test_thinning_a_damaged_hour_keeps_what_is_readable(make: Maker, clock: ManualClock) -> None:
    history = await filled(make, riders=400)
    await history.close()
    file = make.files()[0]
    break_a_leaf(file)
    history = await make.open()
    clock.set_wall_ms(START_MS + HOUR_MS + DAY_MS)
    await history.drop_old(clock.now_ms())
    assert [f.name[:7] for f in make.files()] == ["detail-", "minutes"]
    tracks = [len(await whole_track(history, f"rider-{r}")) for r in range(400)]
    assert tracks.count(3) > 350  # one of the first hour's only minute, two of the second hour
    clock.advance(9 * DAY_MS / 1000)
    await history.drop_old(clock.now_ms())
    assert make.files() == make.files("damaged/*") == []


@contextmanager
def full_disk(history: EmbeddedHistory, but: int | None = None) -> Iterator[None]:
    """No file that is open for writing may grow, except that of the hour `but`."""
    files = [file for file in history._writer._files.values() if file.hour_ms != but]
    for file in files:
        [(pages,)] = file.connection.execute("PRAGMA page_count").fetchall()
        file.connection.execute(f"PRAGMA max_page_count = {pages}")
    yield
    for file in files:
        file.connection.execute("PRAGMA max_page_count = 1000000")


async def test_full_disk_is_said_nothing_is_half_stored_and_service_resumes(make: Maker) -> None:
    history = await make()
    await history.append([fix(seq=1), fix(seq=2, at_ms=START_MS + HOUR_MS)])
    batch = [fix(seq=n, at_ms=START_MS + n) for n in range(3, 500)]
    with full_disk(history):
        for _ in range(2):
            with pytest.raises(StorageFull, match="free some space"):
                await history.append(batch)
        assert [p.seq for p in await whole_track(history)] == [1, 2]
        assert await history.count() == 2
    assert all(await history.append(batch))
    assert len(await whole_track(history)) == 499


async def test_call_repeated_after_it_failed_in_its_second_hour_answers_as_if_it_were_the_first(
    make: Maker,
) -> None:
    history = await make()
    later_ms = START_MS + HOUR_MS
    await history.append([fix(seq=1), fix(seq=2, at_ms=later_ms)])
    first = [fix(seq=n, at_ms=START_MS + n) for n in range(3, 500)]
    second = [fix(seq=n, at_ms=later_ms + n) for n in range(500, 1000)]
    with full_disk(history, but=START_MS), pytest.raises(StorageFull):
        await history.append([*first, *second])
    assert all(await history.append([*first, *second]))
    assert not any(await history.append([*first, *second]))
    assert await history.count() == 999


async def test_full_disk_while_a_run_is_written(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("majung.backends.embedded.history_writer.MERGE_AT", 1000)
    monkeypatch.setattr(history_file, "_PORTION_RIDERS", 10)
    history = await make()
    await history.append(hour())
    await history.append([fix("rider-1", 100, START_MS + 100_000)])  # starts the run
    with full_disk(history):
        for _ in range(5):
            with pytest.raises(StorageFull):
                await history.append([fix("rider-1", 101, START_MS + 101_000, tags={"note": "x" * 90_000})])
        assert len(await whole_track(history, "rider-1")) == 51
    for n in range(101, 110):
        assert await history.append([fix("rider-1", n, START_MS + n * 1000)]) == [True]
    assert len(await whole_track(history, "rider-1")) == 60
    assert await history.count() == 2010


async def test_killed_at_any_point_of_a_merge_nothing_is_lost_or_doubled(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("majung.backends.embedded.history_writer.MERGE_AT", 500)
    monkeypatch.setattr(history_file, "_PORTION_RIDERS", 7)
    history = await make()
    stored = hour()
    for start in range(0, len(stored), 100):
        await history.append(stored[start : start + 100])
        snapshot = {file.name: file.read_bytes() for file in make.files("*.db*")}
        folder = make.folder.parent / f"killed-{start}"
        folder.mkdir()
        for name, content in snapshot.items():
            if not name.endswith("-shm"):
                (folder / name).write_bytes(content)
        survivor = EmbeddedHistory(folder, settings_of(), ManualClock(START_MS + HOUR_MS))
        await survivor.open()
        assert await survivor.count() == start + 100
        sure = [one.position.seq for one in stored[: start + 100] if one.position.rider_id == "rider-7"]
        assert [p.seq for p in await whole_track(survivor, "rider-7")] == sure
        assert not any(await survivor.append(stored[: start + 100]))
        assert survivor.damage() == []
        await survivor.close()


async def test_thinning_that_was_interrupted_is_done_again(make: Maker, clock: ManualClock) -> None:
    history = await filled(make)
    clock.set_wall_ms(START_MS + HOUR_MS + DAY_MS)
    history._writer.begin_thin(START_MS)  # and then the process was killed
    late = fix("rider-7", 200, START_MS + 30 * MINUTE_MS)
    assert await history.append([late, fix("rider-7", 3, START_MS + 3000)]) == [True, False]
    assert len(await whole_track(history, "rider-7")) == 53
    history = await make.again()
    assert await history.drop_old(clock.now_ms()) == 1
    assert [p.seq for p in await whole_track(history, "rider-7")][:2] == [0, 200]
    assert [f.name[:7] for f in make.files()] == ["detail-", "minutes"]


async def test_log_whose_file_is_gone_is_not_played_into_a_new_one(make: Maker) -> None:
    history = await make()
    await history.append([fix()])
    [wal] = make.files("*.db-wal")
    content = wal.read_bytes()
    await history.close()
    for file in make.files("*.db*"):
        file.unlink()
    wal.write_bytes(content)
    history = await make.open()
    assert await history.count() == 0
    await history.append([fix(seq=2)])
    assert [p.seq for p in await whole_track(history)] == [2]


async def test_open_files_are_bounded(make: Maker) -> None:
    history = await make(detail_for="1y")
    for n in range(100):
        await history.append([fix(seq=n, at_ms=START_MS - n * HOUR_MS)])
    assert len(history._writer._files) <= 16
    assert len(await whole_track(history)) == 100
    assert len(history._readers._idle) <= 48
    assert await history.count() == await history.count() == 100
    await history.append([fix(seq=1000, at_ms=START_MS - 99 * HOUR_MS)])
    assert await history.count() == 101


async def test_too_many_callers_are_told(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    history = await make()
    monkeypatch.setattr("majung.backends.embedded.history.MAX_WAITING", 0)
    with pytest.raises(Overloaded):
        await history.append([fix()])


async def test_closed_history_says_so(make: Maker) -> None:
    history = await make()
    await history.close()
    await history.close()
    with pytest.raises(PortError, match="closed"):
        await history.append([fix()])


def test_names_of_files_are_utc_hours(tmp_path: Path) -> None:
    key = Folder(tmp_path).add(START_MS, Form.DETAIL)
    assert path_of(tmp_path, key).name == "detail-20260528T20.db"
