"""The one thread that writes history: which file a position goes to, and what happens to whole files.

Every method runs in the writer thread, but `tail_of` and `is_open`. Errors are `PortError`s.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from majung.backends.embedded import history_codec as codec
from majung.backends.embedded._sqlite import translate
from majung.backends.embedded.history_codec import HOUR_MS, Chunk
from majung.backends.embedded.history_file import MERGE_AT, HistoryFile, Identity
from majung.backends.embedded.history_folder import Folder, Form, Key, hour_of, path_of, salvage
from majung.backends.embedded.history_reader import Readers
from majung.clock import Clock
from majung.positions.model import StoredPosition
from majung.settings import HistorySettings

T = TypeVar("T")

MAX_OPEN = 16
MAX_BYTES = 200_000_000
_MAX_UNSAID = 20_000


class HistoryWriter:
    """Keeps at most `MAX_OPEN` files open, which together remember about `MAX_BYTES` at most."""

    def __init__(
        self,
        folder: Folder,
        readers: Readers,
        settings: HistorySettings,
        clock: Clock,
        report: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._readers = readers
        self._clock = clock
        self._report = report
        self._detail_ms = round(settings.detail_for.total_seconds() * 1000)
        self._keep_ms = max(self._detail_ms, round(settings.minutes_for.total_seconds() * 1000))
        self._files: dict[Key, HistoryFile] = {}  # the one used last stands last
        self._opened: dict[Key, int] = {}
        # Stored by a call that then failed in another file: the call that repeats it is told "new".
        self._unsaid: set[Identity] = set()

    # ------------------------------------------------------------------ append

    def append(self, positions: Sequence[StoredPosition]) -> list[bool]:
        """As `History.append`."""
        hours: dict[int, list[int]] = {}
        for i, stored in enumerate(positions):
            hours.setdefault(hour_of(stored.position.device_time_ms), []).append(i)
        flags = [False] * len(positions)
        now_ms = self._clock.now_ms()
        try:
            for hour_ms, indexes in hours.items():
                part = [positions[i] for i in indexes]
                for i, flag in zip(indexes, self._append_hour(hour_ms, part, now_ms), strict=True):
                    flags[i] = flag
        except BaseException:
            if len(self._unsaid) < _MAX_UNSAID:
                self._unsaid.update(_identity(p) for p, flag in zip(positions, flags, strict=True) if flag)
            raise
        if self._unsaid:
            for i, stored in enumerate(positions):
                if not flags[i] and (identity := _identity(stored)) in self._unsaid:
                    self._unsaid.discard(identity)
                    flags[i] = True
        return flags

    def _append_hour(self, hour_ms: int, positions: Sequence[StoredPosition], now_ms: int) -> list[bool]:
        if hour_ms + HOUR_MS + self._keep_ms <= now_ms:
            return [False] * len(positions)
        if self._form(hour_ms, now_ms) is Form.MINUTES:
            return self._append_minutes(hour_ms, positions)

        def work(file: HistoryFile) -> list[bool]:
            if file.tail_amount >= MERGE_AT:
                if file.merging:  # portions were smaller than what came: finish the run before, now
                    file.merge_all()
                file.start_merge()
            return file.append(positions)

        return self._with(hour_ms, Form.DETAIL, work)

    def _form(self, hour_ms: int, now_ms: int) -> Form:
        if self._folder.get(hour_ms, Form.MINUTES):
            return Form.MINUTES  # thinned, or being thinned
        past = hour_ms + HOUR_MS + self._detail_ms <= now_ms
        return Form.MINUTES if past and not self._folder.get(hour_ms, Form.DETAIL) else Form.DETAIL

    def _append_minutes(self, hour_ms: int, positions: Sequence[StoredPosition]) -> list[bool]:
        """Late data for a thinned hour competes for its minute; what loses is not stored, hence not new."""
        fresh = [True] * len(positions)
        if self._folder.get(hour_ms, Form.DETAIL):  # being thinned now
            fresh = self._with(hour_ms, Form.DETAIL, lambda file: file.are_new(positions))
        riders: dict[str, dict[str, Chunk]] = {}
        for stored in positions:
            position = stored.position
            sessions = riders.setdefault(position.rider_id, {})
            chunk = sessions.setdefault(
                position.session_id, Chunk(position.session_id, position.door, bytearray())
            )
            chunk.add(codec.encode(stored, hour_ms), position.door, position.tags)
        new = self.put_thinned(
            hour_ms, {rider: list(sessions.values()) for rider, sessions in riders.items()}
        )
        flags = []
        for stored, was_fresh in zip(positions, fresh, strict=True):
            identity = _identity(stored)
            flags.append(was_fresh and identity in new)
            new.discard(identity)
        return flags

    # ------------------------------------------------------------------ files

    def _with(self, hour_ms: int, form: Form, work: Callable[[HistoryFile], T]) -> T:
        """Run `work` on the file of this hour; when that shows damage, mend the file and run it once more."""
        path = path_of(self._folder.path, Key(hour_ms, form))
        try:
            try:
                return work(self._file(hour_ms, form))
            except sqlite3.Error as error:
                key = self._folder.get(hour_ms, form)
                if key is None or not is_damage(error):
                    raise
                self.repair(key, str(error))
                return work(self._file(hour_ms, form))
        except sqlite3.Error as error:
            raise translate(error, path) from error

    def _file(self, hour_ms: int, form: Form) -> HistoryFile:
        key = self._folder.get(hour_ms, form)
        file = self._files.pop(key, None) if key else None
        if file is None:
            path = path_of(self._folder.path, Key(hour_ms, form))
            file = HistoryFile(path, hour_ms, self._report)
            key = self._folder.add(hour_ms, form)
            self._opened[key] = self._opened.get(key, 0) + 1
        assert key is not None
        self._files[key] = file
        self._let_go()
        return file

    def _let_go(self) -> None:
        while len(self._files) > 1 and (
            len(self._files) > MAX_OPEN or sum(file.memory_bytes for file in self._files.values()) > MAX_BYTES
        ):
            key = next(iter(self._files))
            self._close(key)

    def _close(self, key: Key, merge: bool = True) -> None:
        file = self._files.pop(key, None)
        if file is not None:
            # When it cannot be merged (disk full), what is in `batch` stays there: it is durable.
            with suppress(sqlite3.Error):
                file.close(merge)

    def close(self) -> None:
        """Close every file."""
        for key in list(self._files):
            self._close(key)

    def repair(self, key: Key, why: str) -> None:
        """Move a damaged file aside and copy what can be read of it into a fresh one."""
        if not self._folder.has(key):
            return  # done already
        file = self._files.pop(key, None)
        if file is not None:
            with suppress(sqlite3.Error):
                file.connection.close()
        path = path_of(self._folder.path, key)
        self._readers.forget(key)
        aside = self._folder.set_aside(key)
        try:
            saved = salvage(aside, path)
            self._folder.renew(key)
            if file is not None:
                saved += self._restore_tail(file, key.form)
        except sqlite3.Error as error:
            raise translate(error, path) from error
        self._report(f"{path.name}: {why}; moved to {aside}, {saved} positions of it are served")

    def mend(self, key: Key, error: sqlite3.Error) -> None:
        """After a reader met `error`: repair a damaged file, finish one that was left half made."""
        if is_damage(error):
            self.repair(key, str(error))
        elif self._folder.has(key):
            self._with(key.hour_ms, key.form, HistoryFile.amount)

    def _restore_tail(self, lost: HistoryFile, form: Form) -> int:
        """What the writer remembers of a damaged file may be more than can be read of it."""
        fresh = self._file(lost.hour_ms, form)
        positions = [
            stored
            for rider_id, chunks in lost.tail().items()
            for chunk in chunks
            for stored in codec.decode(rider_id, lost.hour_ms, chunk)
        ]
        return sum(fresh.append(positions))

    # ------------------------------------------------------------------ retention and erasure

    def begin_thin(self, hour_ms: int) -> None:
        """From now on late data of this hour goes by the minute; the detail file is complete and closed."""
        self._with(hour_ms, Form.DETAIL, HistoryFile.merge_all)
        key = self._folder.get(hour_ms, Form.DETAIL)
        if key is not None:
            self._close(key)
        self._with(hour_ms, Form.MINUTES, HistoryFile.amount)

    def put_thinned(self, hour_ms: int, riders: Mapping[str, Sequence[Chunk]]) -> set[Identity]:
        """Merge these into the minutes of an hour; the identities that are stored now and were not."""
        return self._with(hour_ms, Form.MINUTES, lambda file: file.put_thinned(riders))

    def drop(self, key: Key) -> None:
        """Unlink a file."""
        self._close(key, merge=False)
        self._folder.drop(key, self._readers.forget)
        self._opened.pop(key, None)

    def erase(self, key: Key, rider_id: str) -> int:
        """Remove one rider from a file; how many positions went."""
        if not self._folder.has(key):
            return 0
        return self._with(key.hour_ms, key.form, lambda file: file.erase(rider_id))

    # ------------------------------------------------------------------ from any thread

    def opened(self, key: Key) -> tuple[int, bool]:
        """How often the file was opened, and whether it is open: when neither changed, nor did the file."""
        is_open = key in self._files
        return self._opened.get(key, 0), is_open

    def tail_of(self, key: Key, rider_id: str) -> list[Chunk] | None:
        """A copy of what is not in a run yet; None when the file is not open (then it is in the file)."""
        file = self._files.get(key)
        return None if file is None else file.tail_of(rider_id)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault."""
    if str(error).startswith("Could not decode"):  # a text that is none: the driver's word, not SQLite's
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _identity(stored: StoredPosition) -> Identity:
    position = stored.position
    return position.rider_id, position.session_id, position.seq
