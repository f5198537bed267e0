"""`EmbeddedDatabase` keeps the contract, and what a file on a disk can suffer."""

import asyncio
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung import migrations
from majung.backends.embedded.database import EmbeddedDatabase, migrate
from majung.ports import Damaged, Overloaded, PortError, StorageFull
from tests.contract.database_contract import ALL, DatabaseContract, Reopen, make_table, put


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "majung.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[EmbeddedDatabase]:
    database = await EmbeddedDatabase(path).open()
    yield database
    await database.close()


@pytest.fixture
async def reopen(database: EmbeddedDatabase, path: Path) -> AsyncIterator[Reopen]:
    opened: list[EmbeddedDatabase] = []

    async def again() -> EmbeddedDatabase:
        await database.close()
        opened.append(await EmbeddedDatabase(path).open())
        return opened[-1]

    yield again
    for one in opened:
        await one.close()


class TestEmbeddedDatabase(DatabaseContract):
    pass


async def test_close_finishes_what_waits_and_may_be_called_twice(
    database: EmbeddedDatabase, path: Path
) -> None:
    await database.write(make_table)
    waiting = [asyncio.ensure_future(database.write(put(f"{i:03}", i))) for i in range(100)]
    await asyncio.sleep(0)
    await database.close()
    await database.close()
    assert len(await asyncio.gather(*waiting)) == 100
    with pytest.raises(PortError, match="not open"):
        await database.write(put("late", 1))
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT COUNT(*) FROM thing").fetchone() == (100,)
    connection.close()


async def test_second_process_writes_while_the_first_is_open(database: EmbeddedDatabase, path: Path) -> None:
    await database.write(make_table)
    script = """
        import asyncio, sys
        from pathlib import Path
        from majung.backends.embedded.database import EmbeddedDatabase

        async def main():
            database = await EmbeddedDatabase(Path(sys.argv[1])).open()
            for i in range(20):
                row = (f"other{i}", i)
                await database.write(lambda tx: tx.execute("INSERT INTO thing VALUES (?, ?)", row))
            await database.close()
            assert "alembic" not in sys.modules, "nothing was to migrate"

        asyncio.run(main())
    """
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", textwrap.dedent(script), str(path))
    mine = 0
    while other.returncode is None:
        await database.write(put(f"mine{mine}", mine))
        mine += 1
        if mine % 50 == 0:
            await asyncio.wait([asyncio.ensure_future(other.wait())], timeout=0.01)
    assert other.returncode == 0
    assert len(await database.read(ALL)) == mine + 20


def test_processes_that_start_together_migrate_once(path: Path) -> None:
    script = (
        "import sys, pathlib; from majung.backends.embedded.database import migrate; "
        "migrate(pathlib.Path(sys.argv[1]))"
    )
    starters = [subprocess.Popen([sys.executable, "-c", script, str(path)]) for _ in range(3)]
    assert [starter.wait(60) for starter in starters] == [0, 0, 0]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
            (migrations.head(),)
        ]
    connection.close()


async def test_file_of_a_newer_majung_is_refused(database: EmbeddedDatabase, path: Path) -> None:
    await database.write(lambda tx: tx.execute("UPDATE alembic_version SET version_num = '9999_future'"))
    with pytest.raises(PortError, match="newer Majung"):
        await EmbeddedDatabase(path).open()


def test_file_is_readable_by_its_owner_alone(path: Path) -> None:
    migrate(path)
    assert path.stat().st_mode & 0o077 == 0


async def test_file_that_is_no_database_is_damaged(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(Damaged, match="restore"):
        await EmbeddedDatabase(path).open()


async def test_damaged_page_is_said_in_words(database: EmbeddedDatabase, path: Path) -> None:
    await database.write(make_table)
    await database.write(
        lambda tx: tx.execute_many("INSERT INTO thing VALUES (?, ?)", ((f"{i:0500}", i) for i in range(999)))
    )
    await database.close()
    content = bytearray(path.read_bytes())
    content[-40_000:-4_096] = b"\xee" * (40_000 - 4_096)
    path.write_bytes(content)
    again = await EmbeddedDatabase(path).open()
    with pytest.raises(Damaged, match=r"majung\.db is damaged"):
        await again.read(ALL)
    await again.close()


async def test_disk_full_is_said_nothing_is_half_stored_and_service_resumes(
    database: EmbeddedDatabase,
) -> None:
    await database.write(make_table)
    [(pages,)] = await database.read("PRAGMA page_count")
    await database.write(lambda tx: tx.execute(f"PRAGMA max_page_count = {pages}"))
    big = "x" * 100_000
    answers = await asyncio.gather(
        *(database.write(put(f"{big}{i}", i)) for i in range(10)), return_exceptions=True
    )
    assert all(isinstance(answer, StorageFull) for answer in answers)
    assert await database.read(ALL) == []
    await database.write(lambda tx: tx.execute("PRAGMA max_page_count = 1000000"))
    await database.write(put(big, 1))
    assert await database.read("SELECT COUNT(*) FROM thing") == [(1,)]


async def test_too_many_callers_are_told(database: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("majung.backends.embedded.database.MAX_WAITING", 0)
    with pytest.raises(Overloaded):
        await database.write(make_table)
    with pytest.raises(Overloaded):
        await database.read(ALL)


def test_revisions_form_one_chain() -> None:
    chain = migrations.known()
    assert chain[:2] == ["0001_accounts", "0002_quarantine"]
    assert len(set(chain)) == len(chain)


def test_chain_with_a_fork_is_refused(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    for name in ("0001_a", "0002_b", "0003_c"):
        previous = None if name == "0001_a" else "0001_a"
        (tmp_path / "versions" / f"{name}.py").write_text(
            f"revision = {name!r}\ndown_revision = {previous!r}\n"
        )
    with pytest.raises(ValueError, match="second revision"):
        migrations.known(tmp_path)


async def test_failed_revision_leaves_the_tables_as_they_were(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for name in ("env.py", "script.py.mako"):
        (folder / name).write_text((migrations.FOLDER / name).read_text())
    body = "from alembic import op\nrevision = {0!r}\ndown_revision = {1!r}\ndef upgrade():\n    {2}\n"
    good = body.format("0001_a", None, "op.execute('CREATE TABLE one (a INTEGER)')")
    (folder / "versions" / "0001_a.py").write_text(good)
    bad = body.format(
        "0002_b", "0001_a", "op.execute('CREATE TABLE two (a INTEGER)'); op.execute('nonsense')"
    )
    (folder / "versions" / "0002_b.py").write_text(bad)
    with pytest.raises(PortError, match="nonsense"):
        migrate(path, folder)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
