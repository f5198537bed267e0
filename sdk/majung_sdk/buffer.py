"""The buffer on disk: one SQLite file for one device or a whole fleet, written by one thread.

Writes that come together share one commit (group commit). With `sync` a commit is on the platter when
it returns, so that not even a flat battery makes a seq be given out twice; without it, it survives the
death of the app but not of the machine (right for a simulator).

`device` holds for each rider the session and the next seq, `position` what is not acknowledged. The
session is made when a rider is first seen in the file: a new file is a new session from 1.
"""

import asyncio
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from majung_sdk.retry import Problem

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS device (
  id INTEGER PRIMARY KEY, rider_id TEXT NOT NULL UNIQUE, session_id TEXT NOT NULL, next_seq INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS position (
  device INTEGER NOT NULL, seq INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (device, seq)
) WITHOUT ROWID;
"""
_ADOPT = "INSERT INTO device (rider_id, session_id, next_seq) VALUES (?, ?, 1) ON CONFLICT DO NOTHING"
_DEVICE = "SELECT id, session_id, next_seq FROM device WHERE rider_id = ?"
# Runs of consecutive seqs: seq minus its rank is the same number all along a run.
_HELD = """
SELECT MIN(seq), MAX(seq) FROM (
  SELECT seq, seq - ROW_NUMBER() OVER (ORDER BY seq) AS run FROM position WHERE device = ?
) GROUP BY run ORDER BY 1
"""
_INSERT = "INSERT INTO position (device, seq, payload) VALUES (?, ?, ?)"
_PAGE = "SELECT seq, payload FROM position WHERE device = ? AND seq BETWEEN ? AND ? ORDER BY seq"
_DELETE = "DELETE FROM position WHERE device = ? AND seq BETWEEN ? AND ?"
_ADVANCE = "UPDATE device SET next_seq = MAX(next_seq, ?) WHERE id = ?"


class BufferFull(Exception):
    """The disk does not keep up or is full, and the bound on what waits for it is reached. Not taken."""


class BufferInUse(Exception):
    """Another process has the buffer file open: it would give out the same seqs."""


@dataclass(frozen=True)
class Session:
    """What the file knows of one rider: ranges that are held, both ends included."""

    key: int
    session_id: str
    next_seq: int
    held: list[tuple[int, int]]


Saved = Callable[[int, bytes], None]


class Buffer:
    """Call its methods on the event loop that opened it. One thread does the work on disk."""

    def __init__(
        self,
        path: Path,
        *,
        sync: bool = True,
        linger_s: float = 0.0,
        max_unsaved: int = 10_000,
        on_problem: Callable[[Problem], None] | None = None,
    ) -> None:
        """`linger_s`: how long a commit waits for company. `max_unsaved`: bound on what waits for disk."""
        self._path = path
        self._sync = sync
        self._linger_s = linger_s
        self._max_unsaved = max_unsaved
        self._on_problem = on_problem
        self._new: list[tuple[int, int, bytes, Saved]] = []
        self._settled: list[tuple[int, int, int]] = []
        self._jobs: list[Callable[[], None]] = []
        self._unsaved = 0
        self._saved = asyncio.Event()
        self._saved.set()
        self._lock = threading.Condition()
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._db: sqlite3.Connection | None = None
        self.set_aside: Path | None = None

    async def open(self) -> None:
        """Open the file, or make it. A damaged one is set aside (`set_aside` names it) and begun anew.

        Raises `BufferInUse`, or `sqlite3.OperationalError` when the place cannot be written.
        """
        self._loop = asyncio.get_running_loop()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, args=(opened,), name="majung-buffer", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(opened)

    async def adopt(self, rider_ids: Sequence[str]) -> list[Session]:
        """The session of each rider, made where there is none, and what is still held of it."""

        def question(db: sqlite3.Connection) -> list[Session]:
            db.execute("BEGIN IMMEDIATE")
            return [_adopt(db, rider_id) for rider_id in rider_ids]

        return await self._ask(question)

    def put(self, key: int, seq: int, payload: bytes, saved: Saved) -> None:
        """Write one position; `saved(seq, payload)` is called when it is on disk. Raises `BufferFull`."""
        if self._unsaved >= self._max_unsaved:
            raise BufferFull(f"{self._unsaved} positions wait for {self._path}")
        self._unsaved += 1
        self._saved.clear()
        with self._lock:
            self._new.append((key, seq, payload, saved))
            self._lock.notify()

    async def saved(self) -> None:
        """Return when everything that was put is on disk."""
        await self._saved.wait()

    async def page(self, key: int, first: int, last: int) -> list[tuple[int, bytes]]:
        """The positions `first`…`last` of a session that are held, ascending."""
        return await self._ask(lambda db: db.execute(_PAGE, (key, first, last)).fetchall())

    def settle(self, key: int, first: int, last: int) -> None:
        """Erase these; soon, not now: at worst they are sent once more after a kill."""
        with self._lock:
            self._settled.append((key, first, last))
            self._lock.notify()

    async def close(self) -> None:
        """Write what waits, then close the file."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with self._lock:
            self._closing = True
            self._lock.notify()
        await asyncio.to_thread(thread.join)

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        answer: Future[T] = Future()

        def job() -> None:
            assert self._db is not None
            if not answer.set_running_or_notify_cancel():
                return  # whoever asked has gone
            try:
                with self._db:
                    result = question(self._db)
            except Exception as error:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        with self._lock:
            if self._closing:
                raise RuntimeError("the buffer is closed")
            self._jobs.append(job)
            self._lock.notify()
        return await asyncio.wrap_future(answer)

    # ---- in the thread

    def _work(self, opened: "Future[None]") -> None:
        try:
            self._db = self._connect()
        except Exception as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        try:
            while self._turn():
                pass
        finally:
            self._db.close()

    def _turn(self) -> bool:
        with self._lock:
            self._lock.wait_for(lambda: self._new or self._jobs or self._settled or self._closing)
            closing, jobs, self._jobs = self._closing, self._jobs, []
        for job in jobs:
            job()
        if self._linger_s and not closing and not jobs:
            time.sleep(self._linger_s)
        with self._lock:
            new, self._new = self._new, []
            settled, self._settled = self._settled, []
        if new or settled:
            self._store(new, settled)
        with self._lock:
            return not closing or bool(self._new or self._jobs)

    def _store(self, new: list[tuple[int, int, bytes, Saved]], settled: list[tuple[int, int, int]]) -> None:
        """One transaction; tried again each second for as long as the disk refuses it."""
        while True:
            try:
                self._commit(new, settled)
            except sqlite3.Error as error:
                self._tell(Problem("BUFFER", f"{self._path}: {error}"))
                with self._lock:
                    if self._lock.wait_for(lambda: self._closing, timeout=1.0):
                        return
            else:
                break
        if new:
            self._post(self._were_saved, new)

    def _commit(self, new: list[tuple[int, int, bytes, Saved]], settled: list[tuple[int, int, int]]) -> None:
        assert self._db is not None
        with self._db as db:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(_INSERT, [row[:3] for row in new])
            db.executemany(_DELETE, settled)
            # What is erased no longer shows which seqs are spent: remember it in the same transaction.
            highest = {key: last for key, _, last in sorted(settled, key=lambda range_: range_[2])}
            db.executemany(_ADVANCE, [(last + 1, key) for key, last in highest.items()])

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._open_file()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise BufferInUse(f"{self._path} is open in another process") from error
            raise
        except sqlite3.DatabaseError as error:
            self.set_aside = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns() // 1_000_000}")
            self._path.rename(self.set_aside)
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._tell(Problem("BUFFER", f"{error}; set aside as {self.set_aside}, a new session begins"))
            return self._open_file()

    def _open_file(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=0.0, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {'FULL' if self._sync else 'NORMAL'}")
            db.executescript(_SCHEMA)
            damage = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                raise sqlite3.DatabaseError(damage)
        except BaseException:
            db.close()
            raise
        return db

    def _tell(self, problem: Problem) -> None:
        if self._on_problem is not None:
            self._post(self._on_problem, problem)

    def _post(self, function: Callable[[T], None], argument: T) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:
            return  # the loop has closed; the positions are on disk all the same

    # ---- on the loop

    def _were_saved(self, new: list[tuple[int, int, bytes, Saved]]) -> None:
        self._unsaved -= len(new)
        for _, seq, payload, saved in new:
            saved(seq, payload)
        if not self._unsaved:
            self._saved.set()


def _adopt(db: sqlite3.Connection, rider_id: str) -> Session:
    db.execute(_ADOPT, (rider_id, uuid.uuid4().hex))
    key, session_id, next_seq = db.execute(_DEVICE, (rider_id,)).fetchone()
    held = db.execute(_HELD, (key,)).fetchall()
    return Session(key, session_id, max([next_seq, *(last + 1 for _, last in held)]), held)
