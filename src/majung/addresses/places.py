"""Provinces, districts, neighbourhoods and villages of South Korea: by name, and the one that is nearest.

A code is that of the 법정동: 2 digits 시·도, 5 시·군·구, 8 읍·면·동, 10 리; the longer one begins with the shorter.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from importlib.resources import files

import msgspec
import numpy as np

from majung.orders.model import Precision
from majung.positions.geodesy import distances_m
from majung.stores.names import are_initials, folded, initials

TABLE = "places.tsv"
_NUMBERED_DONG = re.compile(r"(\D{2,})\d+동$")  # 역삼1동: of the administration; the law knows 역삼동
_LAST = "\U0010ffff"


class Place(msgspec.Struct, frozen=True, gc=False):
    """An area: its own name, a point well within it, and how far its border goes from there."""

    code: str
    name: str
    latitude: float
    longitude: float
    radius_m: float


def short_province(name: str) -> str:
    """`"서울특별시"` → `"서울"`, `"충청북도"` → `"충북"`: as people say, and the same through renamings."""
    return name[0] + name[2] if len(name) == 4 and name.endswith("도") else name[:2]


def read_table() -> list[Place] | None:
    """The table that comes along: down to 읍·면·동. None when this installation has none."""
    try:
        text = (files("majung.addresses") / TABLE).read_text("utf-8")
    except FileNotFoundError:
        return None
    return [
        Place(code, name, float(latitude), float(longitude), float(radius_m))
        for code, name, latitude, longitude, radius_m in (line.split("\t") for line in text.splitlines())
    ]


def write_table(places: Iterable[Place]) -> str:
    """What `read_table` reads."""
    rows = (f"{p.code}\t{p.name}\t{p.latitude:.5f}\t{p.longitude:.5f}\t{p.radius_m:.0f}" for p in places)
    return "\n".join(rows) + "\n"


class Places:
    """All of them. Made once, then only read."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.by_code = {place.code: place for place in places}
        self._names = sorted((folded(p.name.split()[-1]), p.code) for p in self.by_code.values() if p.name)
        self._initials = sorted((initials(name), code) for name, code in self._names)
        self._exact: dict[tuple[str, str], str] = {}
        self._in_province: dict[tuple[str, str], str | None] = {}
        for place in self.by_code.values():
            self._index(place)
        self.provinces = [place for place in self.by_code.values() if len(place.code) == 2]
        dongs = [place for place in self.by_code.values() if len(place.code) == 8]
        self._dongs = [place.code for place in dongs]
        self._latitudes = np.array([place.latitude for place in dongs])
        self._longitudes = np.array([place.longitude for place in dongs])
        self._radii_m = np.array([place.radius_m for place in dongs])

    def _index(self, place: Place) -> None:
        if len(place.code) < 8:
            return
        parents = self.chain(place.code)
        province, own = short_province(parents[0].name), "".join(p.name for p in parents[2:])
        self._exact.setdefault((province + _last_word(parents[1].name), own), place.code)
        key = (province, own)
        self._in_province[key] = None if key in self._in_province else place.code  # None: not the only one

    def chain(self, code: str) -> list[Place]:
        """Province, district, neighbourhood, village, as far down as this code goes."""
        return [self.by_code[code[:n]] for n in (2, 5, 8, 10) if n <= len(code) and code[:n] in self.by_code]

    def text(self, code: str) -> str:
        """`"서울특별시 강남구 역삼동"`."""
        return " ".join(place.name for place in self.chain(code) if place.name)

    def named(self, province: str, district: str, rest: str) -> Place | None:
        """The place that a street address names, e.g. 강원도, 강릉시, "주문진읍 교항리".

        Where names have changed since: the neighbourhood, the only one of that name, or the district.
        """
        short, own = short_province(province), rest.split()
        for parts in (own, own[:1]):
            joined = "".join(parts)
            code = self._exact.get((short + _last_word(district), joined)) or self._in_province.get(
                (short, joined)
            )
            if parts and code:
                return self.by_code[code]
        return self._district(short, district)

    def _district(self, short: str, district: str) -> Place | None:
        for _, code in self._range(self._names, folded(_last_word(district))):
            place = self.by_code[code]
            if len(code) == 5 and short_province(self.by_code[code[:2]].name) == short:
                return place
        return None

    # -------------------------------------------------------------------------------------- search

    def beginning_with(self, typed: str, limit: int) -> Iterator[Place]:
        """Places whose own name begins so; by initials when only those were typed."""
        by_initials = are_initials(typed)
        index, key = (self._initials, typed) if by_initials else (self._names, folded(typed))
        if found := _NUMBERED_DONG.fullmatch(key):
            key = f"{found[1]}동"
        for number, (_, code) in enumerate(self._range(index, key)):
            if number == limit:
                return
            yield self.by_code[code]

    @staticmethod
    def _range(index: list[tuple[str, str]], key: str) -> Iterator[tuple[str, str]]:
        if not key:
            return
        for i in range(bisect_left(index, (key, "")), bisect_left(index, (key + _LAST, ""))):
            yield index[i]

    def matches(self, code: str, hint: str) -> bool:
        """Whether this place is in something that is called so: 서울, 서울시, 강남, 강남구, 수원, 역삼."""
        if are_initials(hint):
            return any(initials(place.name).startswith(hint) for place in self.chain(code))
        key = folded(hint)
        return any(key in called(place) or folded(place.name).startswith(key) for place in self.chain(code))

    def nearest(self, latitude: float, longitude: float) -> Place | None:
        """The neighbourhood that a place is likeliest in, by the centres alone; None: far from all of them."""
        if not self._dongs:
            return None
        away_m = distances_m(latitude, longitude, self._latitudes, self._longitudes)
        best = int(np.argmin(away_m / self._radii_m))
        return self.by_code[self._dongs[best]] if away_m[best] <= self._radii_m[best] else None


def precision_of(place: Place) -> Precision:
    """A district says little of where."""
    return Precision.DONG if len(place.code) >= 8 else Precision.DISTRICT


def called(place: Place) -> tuple[str, ...]:
    """What people call it."""
    words = [folded(word) for word in place.name.split()]
    if len(place.code) == 2:
        short = short_province(place.name)
        return (short, f"{short}시", f"{short}특별시", f"{short}광역시")
    return (*words, *(word[:-1] for word in words if len(word) > 2))


def _last_word(name: str) -> str:
    return name.split()[-1] if name else ""
