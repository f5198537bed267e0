"""`Database` in one SQLite file.

One thread writes: works that wait together run in one transaction, each inside a savepoint of its
own, and share the one `fsync` that makes them durable. A few threads read, each on a connection of
its own, and never wait for the writer. A second process may open the same file at any time.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from majung import migrations
from majung.backends.embedded._sqlite import connect, make_private, translate
from majung.ports import Overloaded, Params, PortError, Row, Transaction

T = TypeVar("T")

MAX_WAITING = 10_000
_MAX_SHARED = 256
_LINGER_S = 0.002
_ENOUGH = 32
_READERS = 3


def migrate(path: Path, folder: Path = migrations.FOLDER) -> None:
    """Make the file if missing and bring its tables up to date. Blocks; safe while a server runs.

    Raises `Damaged`, `StorageFull`, or `PortError` when the file was made by a newer Majung.
    """
    try:
        make_private(path)
        with closing(connect(path)) as connection:
            version = _version(connection)
    except sqlite3.Error as error:
        raise translate(error, path) from error
    chain = migrations.known(folder)
    if version and version not in chain:
        raise PortError(
            f"{path} was made by a newer Majung (revision {version}; this one ends at {chain[-1:]}); update"
        )
    if chain and version != chain[-1]:
        _upgrade(path, folder)


def _version(connection: sqlite3.Connection) -> str:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return ""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def _upgrade(path: Path, folder: Path) -> None:
    from sqlalchemy import Connection, create_engine, event
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def lock_out_others(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        migrations.upgrade(engine, folder)
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise translate(error.orig, path) from error
        raise
    finally:
        engine.dispose()


class _SqliteTransaction:
    """What a work gets. After a statement failed, nothing more can be done in it, as in PostgreSQL."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self.failed: PortError | None = None

    def execute(self, sql: str, params: Params = ()) -> list[Row]:
        """Run one statement; the rows, if it returns any. Raises `PortError` (`Conflict`, …)."""
        if self.failed is not None:
            raise self.failed
        try:
            return self._connection.execute(sql, params).fetchall()
        except sqlite3.Error as error:
            self.failed = translate(error, self._path)
            raise self.failed from error

    def execute_many(self, sql: str, params: Iterable[Params]) -> int:
        """Run one statement for each set of parameters; how many rows changed."""
        if self.failed is not None:
            raise self.failed
        try:
            return self._connection.executemany(sql, params).rowcount
        except sqlite3.Error as error:
            self.failed = translate(error, self._path)
            raise self.failed from error


class _Job:
    """One work on its way through the writer, and what became of it."""

    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Callable[[Transaction], Any], future: "asyncio.Future[Any]") -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, connection: sqlite3.Connection, path: Path) -> None:
        """Do the work inside a savepoint; keep the result, or roll back to there and keep the error."""
        connection.execute("SAVEPOINT work")
        transaction = _SqliteTransaction(connection, path)
        try:
            self.result = self.work(transaction)
            self.error = transaction.failed
        except Exception as error:
            self.error = error
        if self.error is not None and connection.in_transaction:
            connection.execute("ROLLBACK TO work")
        if connection.in_transaction:
            connection.execute("RELEASE work")

    def settle(self) -> None:
        """Tell the caller, in the event loop; it may have gone away meanwhile."""
        if self.future.done():
            return
        if isinstance(self.error, StopIteration):  # a future refuses it
            self.error = RuntimeError("the work raised StopIteration")
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class EmbeddedDatabase:
    """The `Database` port in the file `path`. `await open()` before use, `await close()` after.

    At most `MAX_WAITING` works and as many reads wait; more raise `Overloaded`. Errors of SQLite come
    as `PortError`s: `StorageFull`, `Damaged`, `Conflict` (a constraint), `Overloaded` (locked for 10 s).
    """

    def __init__(self, path: Path, folder: Path | None = migrations.FOLDER) -> None:
        """`folder` holds the chain of migrations; None: whoever uses the file makes its tables itself."""
        self._path = path
        self._folder = folder
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._reading = 0

    async def open(self) -> Self:
        """Bring the tables up to date and start the threads. Raises `Damaged`, `StorageFull`, `PortError`."""
        self._loop = asyncio.get_running_loop()
        if self._folder is None:
            await asyncio.to_thread(make_private, self._path)
        else:
            await asyncio.to_thread(migrate, self._path, self._folder)
        try:
            connection = connect(self._path)
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
        self._connections.append(connection)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="database-read")
        self._thread = threading.Thread(target=self._write_all, args=(connection,), name="database-write")
        self._thread.daemon = True  # a forgotten close must not keep the process alive; commits are durable
        self._thread.start()
        return self

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one durable transaction, in the writer thread; rolled back when it raises."""
        if self._loop is None or self._thread is None:
            raise PortError(f"{self._path} is not open")
        if self._jobs.qsize() >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} transactions are waiting already")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(work, future))
        return await future

    async def read(self, sql: str, params: Params = ()) -> list[Row]:
        """Run one read-only statement on a snapshot: what was committed when it began."""
        if self._loop is None or self._readers is None:
            raise PortError(f"{self._path} is not open")
        if self._reading >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} reads are waiting already")
        self._reading += 1
        try:
            return await self._loop.run_in_executor(self._readers, self._read, sql, params)
        finally:
            self._reading -= 1

    async def close(self) -> None:
        """Finish what is running and waiting, then stop. May be called twice."""
        thread, readers = self._thread, self._readers
        self._thread = self._readers = None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)
        if readers is not None:
            await asyncio.to_thread(readers.shutdown)
        while self._connections:
            self._connections.pop().close()

    # ------------------------------------------------------------------ in the threads

    def _read(self, sql: str, params: Params) -> list[Row]:
        try:
            connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
            if connection is None:
                connection = self._own.connection = connect(self._path)
                connection.execute("PRAGMA query_only = ON")
                self._connections.append(connection)
            return connection.execute(sql, params).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self._path) from error

    def _write_all(self, connection: sqlite3.Connection) -> None:
        ended, company = False, False
        while not ended:
            group, ended = self._next_group(company)
            company = len(group) > 1
            group = [job for job in group if not job.future.cancelled()]
            if group:
                self._commit(connection, group)
                self._settle(group)

    def _next_group(self, company: bool) -> tuple[list[_Job], bool]:
        # Wait for one, then take whoever has come meanwhile. Where several came together the last time, more
        # are on their way: waiting 2 ms for them saves a third of the CPU of each (docs/decisions/0008). Who
        # writes alone is not held up.
        group: list[_Job] = []
        job = self._jobs.get()
        if company and job is not None and self._jobs.qsize() < _ENOUGH:
            time.sleep(_LINGER_S)
        while job is not None:
            group.append(job)
            if len(group) == _MAX_SHARED or self._jobs.empty():
                return group, False
            job = self._jobs.get()
        return group, True

    def _commit(self, connection: sqlite3.Connection, group: list[_Job]) -> None:
        try:
            _roll_back(connection)  # what a failing disk may have left of the group before
            connection.execute("BEGIN IMMEDIATE")
            for job in group:
                job.run(connection, self._path)
                if not connection.in_transaction:
                    # SQLite itself rolled everything back (disk full, I/O error): all of them failed.
                    raise job.error or PortError(f"{self._path}: the transaction was lost")
            connection.execute("COMMIT")
        except Exception as error:
            _roll_back(connection)
            failed = translate(error, self._path) if isinstance(error, sqlite3.Error) else error
            for job in group:
                job.error = job.error or failed

    def _settle(self, group: list[_Job]) -> None:
        assert self._loop is not None

        def tell() -> None:
            for job in group:
                job.settle()

        try:
            self._loop.call_soon_threadsafe(tell)
        except RuntimeError:
            return  # the loop is gone, and with it everybody who could be told


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with suppress(sqlite3.Error):  # the thread has to live on, whatever the disk does
            connection.execute("ROLLBACK")
