"""What a way is. Degrees are WGS 84, lengths metres, times seconds."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

STRAIGHT = "straight"
VALHALLA = "valhalla"


class NoRoute(Exception):
    """This router knows no way between these places. `str()` says why."""


class Place(NamedTuple):
    """Somewhere."""

    latitude: float
    longitude: float


class Way(NamedTuple):
    """How far and how long, without saying where along."""

    distance_m: float
    duration_s: float


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing to do on the way, at `points[begin]`; then `distance_m` and `duration_s` until the next.

    `kind` chooses the arrow (start, straight, right, left, slight_right, …, arrive), `text` is for people.
    """

    kind: str
    text: str
    distance_m: float
    duration_s: float
    begin: int
    street: str = ""


class Route(msgspec.Struct, frozen=True, omit_defaults=True):
    """A way that can be drawn: `points` are [longitude, latitude], as GeoJSON has them.

    `source` is `valhalla` (streets) or `straight` (a line, its length and time by what was learned).
    `steps` are empty for a straight line.
    """

    distance_m: float
    duration_s: float
    points: tuple[tuple[float, float], ...]
    source: str
    steps: tuple[Step, ...] = ()


class Router(Protocol):
    """Finds ways. Raises NoRoute, Overloaded."""

    async def route(self, start: Place, end: Place, language: str = "en-US") -> Route:
        """The best way, with turns in `language`."""
        ...

    async def many(self, starts: Sequence[Place], ends: Sequence[Place]) -> list[list[Way]]:
        """From each to each, shape (starts, ends)."""
        ...

    def close(self) -> None:
        """Stop; nothing is asked any more."""
        ...
