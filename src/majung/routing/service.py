"""Who asks for a way gets one: along streets when that works, else the straight line, and it says which."""

from collections import Counter
from collections.abc import Sequence

import structlog

from majung.clock import Clock
from majung.ports import Overloaded
from majung.routing.model import STRAIGHT, VALHALLA, NoRoute, Place, Route, Router, Way
from majung.routing.straight import StraightRouter
from majung.routing.valhalla import MISSING, ValhallaRouter, installed
from majung.routing.ways import Ways
from majung.settings import Settings

log = structlog.get_logger("majung.routing")

AUTO = "auto"


class Routing:
    """One for each server; `ways` is what it learns. `asked` counts answers by their source."""

    def __init__(self, clock: Clock, ways: Ways, streets: Router | None = None) -> None:
        self.ways = ways
        self.asked: Counter[str] = Counter()
        self._straight = StraightRouter(ways, clock)
        self._streets = streets

    @property
    def source(self) -> str:
        """Which router is asked first."""
        return VALHALLA if self._streets is not None else STRAIGHT

    @property
    def has_streets(self) -> bool:
        """Whether ways can follow streets at all."""
        return self._streets is not None

    def way(self, start: Place, end: Place) -> Way:
        """Length and time by the straight line and what was learned: at once, never fails."""
        return self._straight.way(start, end)

    async def route(self, start: Place, end: Place, language: str = "en-US") -> Route:
        """A way that can be drawn; `source` says which router found it."""
        found = None
        if self._streets is not None:
            try:
                found = await self._streets.route(start, end, language)
            except (NoRoute, Overloaded) as problem:
                log.debug("straight_instead", problem=str(problem))
        found = found or await self._straight.route(start, end)
        self.asked[found.source] += 1
        return found

    async def street_ways(self, starts: Sequence[Place], ends: Sequence[Place]) -> list[list[Way]] | None:
        """From each to each along streets, shape (starts, ends); None when that cannot be had now."""
        if self._streets is None:
            return None
        try:
            return await self._streets.many(starts, ends)
        except (NoRoute, Overloaded):
            return None

    async def many(self, starts: Sequence[Place], ends: Sequence[Place]) -> list[list[Way]]:
        """From each to each, shape (starts, ends)."""
        found = await self.street_ways(starts, ends)
        return found if found is not None else await self._straight.many(starts, ends)

    def close(self) -> None:
        """Stop."""
        if self._streets is not None:
            self._streets.close()


def open_routing(settings: Settings, clock: Clock) -> Routing:
    """The router that the settings ask for. Raises ValueError, saying what to do."""
    streets = None
    tiles, wish = settings.tiles_path, settings.routing
    if wish.engine == VALHALLA or (wish.engine == AUTO and tiles.is_file() and installed()):
        streets = ValhallaRouter(tiles, wish.profile)
    elif wish.engine == AUTO and tiles.is_file():
        log.warning("straight_lines", problem=f"there are tiles, but {MISSING}")
    return Routing(clock, Ways(), streets)
