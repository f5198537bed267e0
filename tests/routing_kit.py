"""What tests of ways share: tiles of the middle of São Paulo, built once."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from majung.positions.geodesy import distance_m
from majung.routing.model import Place
from majung.routing.tiles import build

SE = Place(-23.5500, -46.6300)
LIBERDADE = Place(-23.5550, -46.6400)
SEA = Place(-24.3, -46.2)


def built_tiles(source: Path, folder: Path) -> Path:
    target = folder / "routing" / "tiles.tar"
    build(source, target, lambda stage: None, threads=1)
    return target


def length_m(points: Sequence[tuple[float, float]]) -> float:
    """Metres along a line of (longitude, latitude) points."""
    return math.fsum(distance_m(a[1], a[0], b[1], b[0]) for a, b in pairwise(points))
