"""Two recorded people as friends, reckoned by hand: who is near whom, point for point. Imports nothing of Majung.

    python tests/independent/friends_reference.py geolife_sample.txt.gz 001=500 005=1000 \
        2008-10-29T11:05:00 2008-10-29T11:36:00

Distances are geodesics on the WGS 84 ellipsoid by GeographicLib (Karney, J. Geodesy 87, 2013). A friend has come
near at a distance of the viewer's radius or less, and has left at more than the radius and 2 % of it.
"""

import csv
import gzip
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from geographiclib.geodesic import Geodesic

HYSTERESIS = 0.02
Metres = Callable[[float, float, float, float], float]


@dataclass(frozen=True)
class Fix:
    """One row of the file."""

    uid: str
    time_ms: int
    latitude: float
    longitude: float


@dataclass(frozen=True)
class Told:
    """What `viewer` is told of the only friend when `moved` was at a new place: "enter", "in" or "left"."""

    viewer: str
    moved: str
    time_ms: int
    what: str
    distance_m: float


def read(file: Path, uids: Sequence[str], begin: str, end: str) -> list[Fix]:
    """The fixes of these people between two moments (UTC), in order of time; ties in order of `uids`."""
    first, last = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (begin, end))
    fixes = []
    with gzip.open(file, "rt", newline="") as rows:
        for row in csv.DictReader(rows):
            moment = datetime.strptime(row["datetime"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
            if row["uid"] in uids and first <= moment <= last:
                time_ms = round(moment.timestamp()) * 1000
                fixes.append(Fix(row["uid"], time_ms, float(row["lat"]), float(row["lng"])))
    return sorted(fixes, key=lambda fix: (fix.time_ms, uids.index(fix.uid)))


def geodesic_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """The shortest way on the ellipsoid."""
    return float(Geodesic.WGS84.Inverse(lat1, lon1, lat2, lon2, Geodesic.DISTANCE)["s12"])


def follow(
    fixes: Sequence[Fix],
    radius_m: Mapping[str, float],
    metres: Metres = geodesic_m,
    hysteresis: float = HYSTERESIS,
) -> Iterator[list[Told]]:
    """For each fix what both are told because of it; nothing while only one of them has been heard of."""
    newest: dict[str, Fix] = {}
    near = dict.fromkeys(radius_m, False)
    for fix in fixes:
        newest[fix.uid] = fix
        if len(newest) < len(radius_m):
            yield []
            continue
        one, other = newest.values()
        apart_m = metres(one.latitude, one.longitude, other.latitude, other.longitude)
        told = []
        for viewer, limit_m in radius_m.items():
            was = near[viewer]
            near[viewer] = apart_m <= (limit_m * (1 + hysteresis) if was else limit_m)
            if was or near[viewer]:
                what = "left" if not near[viewer] else "in" if was else "enter"
                told.append(Told(viewer, fix.uid, fix.time_ms, what, apart_m))
        yield told


def main(arguments: Sequence[str]) -> None:
    """One JSON line for each thing that somebody is told."""
    file, *people, begin, end = arguments
    radius_m = {uid: float(radius) for uid, radius in (text.split("=") for text in people)}
    for told in follow(read(Path(file), list(radius_m), begin, end), radius_m):
        for one in told:
            print(json.dumps(asdict(one)))


if __name__ == "__main__":
    main(sys.argv[1:])
