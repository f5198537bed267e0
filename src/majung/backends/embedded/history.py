"""`History` in SQLite files: one an hour of device time with every position, later one by the minute.

The writer thread (`history_writer.py`) owns what changes; two threads read; one does retention and erasure,
in steps between which the writer serves others. What a file looks like is in `history_file.py`, why in
docs/decisions/0003-history.md.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import structlog

from majung.backends.embedded import history_codec as codec
from majung.backends.embedded._sqlite import translate
from majung.backends.embedded.history_codec import HOUR_MS, Chunk
from majung.backends.embedded.history_folder import Folder, Form, Key, hour_of, path_of, problem_of
from majung.backends.embedded.history_reader import Readers, rider_chunks
from majung.backends.embedded.history_rows import CHUNKS_OF_RIDERS, ChunkRow, count, good_chunks
from majung.backends.embedded.history_writer import HistoryWriter
from majung.clock import Clock
from majung.ports import Overloaded, PortError
from majung.positions.model import StoredPosition, TrackPoint
from majung.settings import HistorySettings

log = structlog.get_logger("majung.history")
T = TypeVar("T")

MAX_WAITING = 1000
_SLICE_RIDERS = 100
_MAX_DAMAGE = 1000


class EmbeddedHistory:
    """The `History` port in `folder`. `await open()` before use, `await close()` after.

    Beyond the port: an identity is looked for in the hour of its device time, so the same identity must
    come with the same time, as a resend does. A position older than all that is kept is not stored and
    reported as not new. In a thinned hour the first position of a minute is kept (one marked as a jump or
    inaccurate only if there is no other); late data competes by the same rule, and what loses is not new.
    At most `MAX_WAITING` calls wait; more raise `Overloaded`.
    """

    def __init__(self, folder: Path, settings: HistorySettings, clock: Clock) -> None:
        self._folder = Folder(folder)
        self._readers = Readers(self._folder)
        self._writer = HistoryWriter(self._folder, self._readers, settings, clock, self._report)
        self._detail_ms = round(settings.detail_for.total_seconds() * 1000)
        self._keep_ms = max(self._detail_ms, round(settings.minutes_for.total_seconds() * 1000))
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="history-write")
        self._read_threads = ThreadPoolExecutor(2, thread_name_prefix="history-read")
        self._care_thread = ThreadPoolExecutor(1, thread_name_prefix="history-care")
        self._caring = asyncio.Lock()
        self._waiting = 0
        self._closing = threading.Event()
        self._damage: dict[str, None] = {}
        self._amounts: dict[Key, tuple[int, int]] = {}  # of closed files: how often opened, positions

    async def open(self) -> Self:
        """List the files and look at each one's first page. Raises `PortError`."""
        await self._run(self._write_thread, self._look_over)
        return self

    async def append(self, positions: Sequence[StoredPosition]) -> list[bool]:
        """Store each once; for each, whether it was new. Durable when it returns.

        When it raises (`StorageFull`, …) it can be repeated and then answers as if it had not been called.
        """
        return await self._run(self._write_thread, partial(self._writer.append, positions))

    async def track(
        self, rider_id: str, from_ms: int, to_ms: int, limit: int, include_marked: bool = False
    ) -> list[TrackPoint]:
        """Positions with `from_ms <= device_time_ms < to_ms`, in device time, the first `limit`.

        Without `include_marked` "jump" and "inaccurate" are left out; "late" ones are in their place.
        """
        work = partial(self._track, rider_id, from_ms, to_ms, limit, include_marked)
        return await self._run(self._read_threads, work)

    async def count(self) -> int:
        """How many positions are stored (while an hour is being thinned, those in both forms twice)."""
        return await self._run(self._care_thread, self._count)

    async def drop_old(self, now_ms: int) -> int:
        """Drop what is older than all, thin what is older than detail; files touched.

        Every file is tried, then the first error is raised.
        """
        async with self._caring:
            return await self._run(self._care_thread, partial(self._drop_old, now_ms))

    async def erase(self, rider_id: str) -> int:
        """Remove everything of one rider; how many positions went. Not from files that were set aside."""
        async with self._caring:
            return await self._run(self._care_thread, partial(self._erase, rider_id))

    def damage(self) -> list[str]:
        """What was found damaged since start, in words for an operator."""
        return list(self._damage)

    async def close(self) -> None:
        """Stop; thinning that runs goes on after the next start. May be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        await asyncio.to_thread(self._care_thread.shutdown)
        await asyncio.to_thread(self._read_threads.shutdown)
        self._write_thread.submit(self._writer.close)
        await asyncio.to_thread(self._write_thread.shutdown)
        self._readers.close()

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closing.is_set():
            raise PortError("history is closed")
        if self._waiting >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} calls wait for history already")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        finally:
            self._waiting -= 1

    # ------------------------------------------------------------------ in the threads

    def _report(self, problem: str) -> None:
        if problem not in self._damage and len(self._damage) < _MAX_DAMAGE:
            self._damage[problem] = None
            log.error("history_damaged", problem=problem)

    def _look_over(self) -> None:
        for key in self._folder.scan():
            problem = problem_of(path_of(self._folder.path, key))
            if problem:
                self._writer.repair(key, problem)

    def _in_writer(self, work: Callable[[], T]) -> T:
        return self._write_thread.submit(work).result()

    def _read(self, hour_ms: int, form: Form, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Run `work` on a file that may go or turn out damaged at this moment; None if there is none."""
        first_error: sqlite3.Error | None = None
        while (key := self._folder.get(hour_ms, form)) is not None:
            try:
                return self._readers.use(key, work)
            except sqlite3.Error as error:
                if first_error is not None:
                    raise translate(error, path_of(self._folder.path, key)) from error
                first_error = error
                self._in_writer(partial(self._writer.mend, key, error))
        return None

    def _track(
        self, rider_id: str, from_ms: int, to_ms: int, limit: int, include_marked: bool
    ) -> list[TrackPoint]:
        points: list[TrackPoint] = []
        for hour_ms in self._hours(from_ms, to_ms):
            if len(points) >= limit:
                break
            chunks: list[Chunk] = []
            # Detail first: when it is dropped just before it is read, the minutes are complete.
            for form in (Form.DETAIL, Form.MINUTES):
                chunks += self._chunks(hour_ms, form, rider_id, from_ms, to_ms)
            points += codec.track(chunks, hour_ms, from_ms, to_ms, include_marked)
        return points[:limit]

    def _hours(self, from_ms: int, to_ms: int) -> list[int]:
        first = hour_of(from_ms)
        return sorted({key.hour_ms for key in self._folder.all() if first <= key.hour_ms < to_ms})

    def _chunks(self, hour_ms: int, form: Form, rider_id: str, from_ms: int, to_ms: int) -> list[Chunk]:
        key = self._folder.get(hour_ms, form)
        if key is None:
            return []
        tail = self._writer.tail_of(key, rider_id)
        name = path_of(self._folder.path, key).name

        def work(connection: sqlite3.Connection) -> list[Chunk]:
            return rider_chunks(connection, name, rider_id, from_ms, to_ms, tail, self._report)

        return self._read(hour_ms, form, work) or []

    def _count(self) -> int:
        total = 0
        known: dict[Key, tuple[int, int]] = {}
        for key in self._folder.all():
            opened, is_open = self._writer.opened(key)
            before = self._amounts.get(key)
            if before is not None and not is_open and before[0] == opened:
                amount = before[1]
            else:
                amount = self._read(key.hour_ms, key.form, count) or 0
            if not is_open:
                known[key] = (opened, amount)
            total += amount
        self._amounts = known
        return total

    def _drop_old(self, now_ms: int) -> int:
        touched = self._folder.drop_damaged(now_ms - self._keep_ms - HOUR_MS)
        first_error: PortError | None = None
        for key in list(self._folder.all()):
            age_ms = now_ms - key.hour_ms - HOUR_MS
            try:
                if age_ms >= self._keep_ms:
                    self._in_writer(partial(self._writer.drop, key))
                elif age_ms >= self._detail_ms and key.form is Form.DETAIL:
                    self._thin(key)
                else:
                    continue
                touched += 1
            except PortError as error:
                first_error = first_error or error
            self._stop_when_closing()
        if first_error is not None:
            raise first_error
        return touched

    def _thin(self, key: Key) -> None:
        self._in_writer(partial(self._writer.begin_thin, key.hour_ms))
        for riders in self._thinned(key):
            self._in_writer(partial(self._writer.put_thinned, key.hour_ms, riders))
            self._stop_when_closing()
        detail = self._folder.get(key.hour_ms, Form.DETAIL)
        if detail is not None:
            self._in_writer(partial(self._writer.drop, detail))

    def _thinned(self, key: Key) -> Iterator[dict[str, list[Chunk]]]:
        """The positions that stay, a hundred riders at a time."""
        name = path_of(self._folder.path, key).name
        riders = self._read(key.hour_ms, key.form, _riders) or []
        for start in range(0, len(riders), _SLICE_RIDERS):
            some = riders[start : start + _SLICE_RIDERS]
            by_rider: dict[str, list[Chunk]] = {}

            def read(connection: sqlite3.Connection, some: list[str] = some) -> list[ChunkRow]:
                return connection.execute(CHUNKS_OF_RIDERS, (some[0], some[-1])).fetchall()

            found = self._read(key.hour_ms, key.form, read) or []
            for rider_id, chunk in good_chunks(name, found, self._report):
                by_rider.setdefault(rider_id, []).append(chunk)
            yield {rider: codec.thin(chunks) for rider, chunks in by_rider.items()}

    def _erase(self, rider_id: str) -> int:
        gone = 0
        for key in list(self._folder.all()):
            if self._chunks(key.hour_ms, key.form, rider_id, 0, 2**62):
                gone += self._in_writer(partial(self._writer.erase, key, rider_id))
        return gone

    def _stop_when_closing(self) -> None:
        if self._closing.is_set():
            raise PortError("history is closing; retention goes on after the next start")


def _riders(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT DISTINCT rider_id FROM chunk ORDER BY rider_id")]
