"""The router that needs no map: the great circle times what riders really needed lately (`ways.py`)."""

from collections.abc import Sequence

from majung.clock import Clock
from majung.positions.geodesy import distance_m
from majung.routing.model import STRAIGHT, Place, Route, Way
from majung.routing.ways import Ways


class StraightRouter:
    """Never fails, never waits: `way` costs some microseconds."""

    def __init__(self, ways: Ways, clock: Clock) -> None:
        self._ways = ways
        self._clock = clock

    def way(self, start: Place, end: Place) -> Way:
        """Length and time, at once."""
        return self._ways.estimate(start, distance_m(*start, *end), self._clock.now_ms())

    async def route(self, start: Place, end: Place, language: str = "en-US") -> Route:
        """A line from here to there, without steps."""
        way = self.way(start, end)
        points = ((start.longitude, start.latitude), (end.longitude, end.latitude))
        return Route(round(way.distance_m, 1), round(way.duration_s, 1), points, STRAIGHT)

    async def many(self, starts: Sequence[Place], ends: Sequence[Place]) -> list[list[Way]]:
        """From each to each."""
        return [[self.way(start, end) for end in ends] for start in starts]

    def close(self) -> None:
        """Nothing runs here."""
