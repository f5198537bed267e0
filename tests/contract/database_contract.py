"""What every `Database` promises. The suite of an implementation inherits and gives two fixtures:

`database`: an open one with its tables up to date; `reopen`: closes it and opens the same data again.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from majung.ports import Conflict, Database, PortError, Transaction

Reopen = Callable[[], Awaitable[Database]]


def make_table(tx: Transaction) -> None:
    tx.execute("CREATE TABLE thing (name TEXT PRIMARY KEY, amount BIGINT NOT NULL)")


def put(name: str, amount: int) -> Callable[[Transaction], str]:
    def work(tx: Transaction) -> str:
        tx.execute("INSERT INTO thing (name, amount) VALUES (?, ?)", (name, amount))
        return name

    return work


ALL = "SELECT name, amount FROM thing ORDER BY name"


class DatabaseContract:
    async def test_write_returns_what_the_work_returns_and_reads_see_it(self, database: Database) -> None:
        await database.write(make_table)
        assert await database.write(put("a", 1)) == "a"
        assert await database.read(ALL) == [("a", 1)]

    async def test_written_is_still_there_after_reopening(self, database: Database, reopen: Reopen) -> None:
        await database.write(make_table)
        await database.write(put("마중", 2**62))
        again = await reopen()
        assert await again.read(ALL) == [("마중", 2**62)]

    async def test_work_that_raises_leaves_nothing(self, database: Database) -> None:
        await database.write(make_table)

        def work(tx: Transaction) -> None:
            put("a", 1)(tx)
            raise KeyError("changed my mind")

        with pytest.raises(KeyError, match="changed my mind"):
            await database.write(work)
        assert await database.read(ALL) == []

    async def test_of_works_that_come_together_one_that_raises_fails_alone(self, database: Database) -> None:
        await database.write(make_table)
        names = [f"{i:03}" for i in range(200)]

        def work(name: str) -> Callable[[Transaction], str]:
            def run(tx: Transaction) -> str:
                put(name, 1)(tx)
                if name.endswith("7"):
                    raise ValueError(name)
                return name

            return run

        answers = await asyncio.gather(
            *(database.write(work(name)) for name in names), return_exceptions=True
        )
        for name, answer in zip(names, answers, strict=True):
            if name.endswith("7"):
                assert isinstance(answer, ValueError)
            else:
                assert answer == name
        assert [row[0] for row in await database.read(ALL)] == [n for n in names if not n.endswith("7")]

    async def test_concurrent_read_modify_write_loses_no_update(self, database: Database) -> None:
        await database.write(make_table)
        await database.write(put("counter", 0))

        def increment(tx: Transaction) -> int:
            [(amount,)] = tx.execute("SELECT amount FROM thing WHERE name = 'counter'")
            tx.execute("UPDATE thing SET amount = ? WHERE name = 'counter'", (amount + 1,))
            return int(amount)

        seen = await asyncio.gather(*(database.write(increment) for _ in range(100)))
        assert sorted(seen) == list(range(100))
        assert await database.read(ALL) == [("counter", 100)]

    async def test_named_parameters_and_returning(self, database: Database) -> None:
        await database.write(make_table)
        rows = await database.write(
            lambda tx: tx.execute(
                "INSERT INTO thing (name, amount) VALUES (:name, :amount) RETURNING amount, name",
                {"name": "it's; --", "amount": 7},
            )
        )
        assert rows == [(7, "it's; --")]
        assert await database.read("SELECT amount FROM thing WHERE name = :name", {"name": "it's; --"}) == [
            (7,)
        ]

    async def test_execute_many_counts_changed_rows(self, database: Database) -> None:
        await database.write(make_table)
        many = [(f"n{i}", i) for i in range(50)]
        insert = "INSERT INTO thing (name, amount) VALUES (?, ?)"
        assert await database.write(lambda tx: tx.execute_many(insert, many)) == 50
        update = "UPDATE thing SET amount = amount + 1 WHERE name = :name"
        names = [{"name": "n1"}, {"name": "n2"}, {"name": "nobody"}]
        assert await database.write(lambda tx: tx.execute_many(update, names)) == 2

    async def test_second_row_of_a_key_is_a_conflict(self, database: Database) -> None:
        await database.write(make_table)
        await database.write(put("a", 1))
        with pytest.raises(Conflict):
            await database.write(put("a", 2))
        assert await database.read(ALL) == [("a", 1)]

    async def test_transaction_is_over_once_a_statement_failed_even_when_the_work_swallows_it(
        self, database: Database
    ) -> None:
        await database.write(make_table)

        def work(tx: Transaction) -> None:
            put("a", 1)(tx)
            try:
                put("a", 2)(tx)
            except Conflict:
                return

        with pytest.raises(Conflict):
            await database.write(work)
        assert await database.read(ALL) == []

    async def test_wrong_sql_is_a_port_error(self, database: Database) -> None:
        with pytest.raises(PortError):
            await database.read("SELECT nothing FROM nowhere")
        with pytest.raises(PortError):
            await database.write(lambda tx: tx.execute("SELEKT"))

    async def test_read_may_not_write(self, database: Database) -> None:
        await database.write(make_table)
        with pytest.raises(PortError):
            await database.read("INSERT INTO thing (name, amount) VALUES ('a', 1)")
        assert await database.read(ALL) == []

    async def test_reader_does_not_see_what_is_not_committed_and_does_not_wait_for_it(
        self, database: Database
    ) -> None:
        await database.write(make_table)
        loop = asyncio.get_running_loop()

        def work(tx: Transaction) -> list[object]:
            put("a", 1)(tx)
            reading = asyncio.run_coroutine_threadsafe(database.read(ALL), loop)
            return list(reading.result(timeout=60))

        assert await database.write(work) == []
        assert await database.read(ALL) == [("a", 1)]

    async def test_caller_that_goes_away_does_not_disturb_the_others(self, database: Database) -> None:
        await database.write(make_table)
        first = asyncio.ensure_future(database.write(put("a", 1)))
        gone = asyncio.ensure_future(database.write(put("b", 2)))
        last = asyncio.ensure_future(database.write(put("c", 3)))
        await asyncio.sleep(0)
        gone.cancel()
        assert await first == "a"
        assert await last == "c"
        assert {"a", "c"} <= {row[0] for row in await database.read(ALL)}

    async def test_tables_of_the_domains_are_there(self, database: Database) -> None:
        assert await database.read("SELECT COUNT(*) FROM account") == [(0,)]
        row = ("osmand", b"\x00\xff")
        insert = (
            "INSERT INTO quarantine (received_at_ms, rider_id, principal, door, reason, detail, payload) "
            "VALUES (1, 'r', 'p', ?, 'malformed', 'd', ?) RETURNING id"
        )
        first = await database.write(lambda tx: tx.execute(insert, row))
        second = await database.write(lambda tx: tx.execute(insert, row))
        assert second > first
        assert await database.read("SELECT door, payload FROM quarantine") == [row, row]
