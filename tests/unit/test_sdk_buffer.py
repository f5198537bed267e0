import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from majung_sdk.buffer import Buffer, BufferFull, BufferInUse
from majung_sdk.retry import Problem


def ignore(seq: int, payload: bytes) -> None:
    """Nobody waits for this one."""


async def opened(path: Path, **options: Any) -> Buffer:
    buffer = Buffer(path, **options)
    await buffer.open()
    return buffer


@pytest.fixture
async def buffer(tmp_path: Path) -> AsyncIterator[Buffer]:
    buffer = await opened(tmp_path / "b.db")
    yield buffer
    await buffer.close()


async def put(buffer: Buffer, key: int, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        buffer.put(key, seq, b"p%d" % seq, ignore)
    await buffer.saved()


async def test_a_position_is_on_disk_when_saved_returns(tmp_path: Path) -> None:
    buffer = await opened(tmp_path / "b.db")
    [session] = await buffer.adopt(["r"])
    heard: list[tuple[int, bytes]] = []
    buffer.put(session.key, 1, b"one", lambda seq, payload: heard.append((seq, payload)))
    await buffer.saved()
    assert heard == [(1, b"one")]
    copy = tmp_path / "copy.db"
    for suffix in ("", "-wal"):  # what a kill would leave behind
        copy.with_name(copy.name + suffix).write_bytes((tmp_path / f"b.db{suffix}").read_bytes())
    rows = sqlite3.connect(copy).execute("SELECT seq, payload FROM position").fetchall()
    assert rows == [(1, b"one")]
    await buffer.close()


async def test_the_session_and_the_counter_outlive_the_app(tmp_path: Path) -> None:
    first = await opened(tmp_path / "b.db")
    [before] = await first.adopt(["r"])
    await put(first, before.key, 1, 5)
    first.settle(before.key, 1, 3)
    await first.close()
    second = await opened(tmp_path / "b.db")
    [after] = await second.adopt(["r"])
    await second.close()
    assert (before.next_seq, before.held) == (1, [])
    assert (after.session_id, after.next_seq, after.held) == (before.session_id, 6, [(4, 5)])


async def test_no_seq_is_given_out_again_when_all_were_erased(tmp_path: Path) -> None:
    first = await opened(tmp_path / "b.db")
    [session] = await first.adopt(["r"])
    await put(first, session.key, 1, 5)
    first.settle(session.key, 5, 5)
    first.settle(session.key, 1, 4)
    await first.close()
    second = await opened(tmp_path / "b.db")
    [after] = await second.adopt(["r"])
    await second.close()
    assert (after.next_seq, after.held) == (6, [])


async def test_a_new_file_is_a_new_session(tmp_path: Path) -> None:
    sessions = []
    for name in ("a.db", "b.db"):
        buffer = await opened(tmp_path / name)
        [session] = await buffer.adopt(["r"])
        await put(buffer, session.key, 1, 1)
        await buffer.close()
        sessions.append(session)
    assert sessions[0].session_id != sessions[1].session_id
    assert [session.next_seq for session in sessions] == [1, 1]


async def test_riders_of_a_file_do_not_see_each_other(buffer: Buffer) -> None:
    one, two = await buffer.adopt(["one", "two"])
    await put(buffer, one.key, 1, 3)
    await put(buffer, two.key, 1, 2)
    buffer.settle(one.key, 1, 3)
    assert [seq for seq, _ in await buffer.page(two.key, 1, 9)] == [1, 2]
    assert one.session_id != two.session_id


async def test_gaps_in_what_is_held_are_found(buffer: Buffer) -> None:
    [session] = await buffer.adopt(["r"])
    await put(buffer, session.key, 1, 9)
    buffer.settle(session.key, 3, 4)
    await put(buffer, session.key, 10, 10)  # a later commit: the erasure is behind it
    [again] = await buffer.adopt(["r"])
    assert again.held == [(1, 2), (5, 10)]


async def test_a_second_process_may_not_open_the_file(tmp_path: Path) -> None:
    holder = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom majung_sdk.buffer import Buffer\n"
        "async def main():\n    b = Buffer(Path(sys.argv[1]))\n    await b.open()\n    await b.adopt(['r'])\n"
        "    print('open', flush=True)\n    sys.stdin.read()\nasyncio.run(main())\n"
    )
    path = tmp_path / "b.db"
    command = [sys.executable, "-c", holder, str(path)]
    env = {"PYTHONPATH": ":".join(sys.path)}
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        assert await asyncio.to_thread(other.stdout.readline) == b"open\n"
        with pytest.raises(BufferInUse, match="another process"):
            await Buffer(path).open()
        other.kill()
        other.wait()
        buffer = await opened(path)  # a kill frees it at once
        await buffer.close()
    finally:
        other.kill()
        other.wait()
        other.stdin.close()
        other.stdout.close()


async def test_a_damaged_file_is_set_aside_and_a_new_session_begins(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    path.write_bytes(b"this is no database, " * 1000)
    problems: list[Problem] = []
    buffer = Buffer(path, on_problem=problems.append)
    await buffer.open()
    [session] = await buffer.adopt(["r"])
    await buffer.close()
    assert session.next_seq == 1
    assert buffer.set_aside is not None
    assert buffer.set_aside.read_bytes().startswith(b"this is no database")
    assert [problem.code for problem in problems] == ["BUFFER"]


async def test_what_waits_for_the_disk_is_bounded(tmp_path: Path) -> None:
    buffer = await opened(tmp_path / "b.db", max_unsaved=2)
    [session] = await buffer.adopt(["r"])
    buffer.put(session.key, 1, b"x", ignore)
    buffer.put(session.key, 2, b"x", ignore)  # the loop has not run: nothing is known to be on disk
    with pytest.raises(BufferFull):
        buffer.put(session.key, 3, b"x", ignore)
    await buffer.saved()
    buffer.put(session.key, 3, b"x", ignore)
    await buffer.close()


async def test_a_disk_that_refuses_is_reported_and_tried_again(tmp_path: Path) -> None:
    problems: list[Problem] = []
    heard = asyncio.Event()

    def on_problem(problem: Problem) -> None:
        problems.append(problem)
        heard.set()

    buffer = Buffer(tmp_path / "b.db", on_problem=on_problem)
    await buffer.open()
    [session] = await buffer.adopt(["r"])
    pages = await buffer._ask(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await buffer._ask(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchall())  # a full disk
    buffer.put(session.key, 1, b"x" * 100_000, ignore)
    await heard.wait()
    assert "full" in problems[0].detail
    # Room again: the thread is between two tries, and nothing of the batch was lost meanwhile.
    assert buffer._db is not None
    buffer._db.execute("PRAGMA max_page_count = 1000000")
    await buffer.saved()
    assert [seq for seq, _ in await buffer.page(session.key, 1, 1)] == [1]
    await buffer.close()


async def test_a_question_that_nobody_waits_for_any_more_does_no_harm(buffer: Buffer) -> None:
    [session] = await buffer.adopt(["r"])
    await put(buffer, session.key, 1, 3)
    for _ in range(50):
        asked = asyncio.ensure_future(buffer.page(session.key, 1, 3))
        await asyncio.sleep(0)
        asked.cancel()
    assert len(await buffer.page(session.key, 1, 3)) == 3
