"""From what was typed to the addresses that may be meant, the likeliest first. Pure but for the index on disk."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from majung.addresses.model import Candidate
from majung.addresses.places import Place, Places, called, precision_of
from majung.addresses.query import Wish, loosened, parse, unglued
from majung.addresses.streets import Number, Street, Streets
from majung.orders.model import Precision
from majung.positions.geodesy import distance_m
from majung.stores.names import are_initials, folded

_MOST_STREETS = 60
_MOST_PLACES = 300
_AROUND_M = 30_000
_EXACT, _WHOLE, _NUMBER_BEGUN, _BEGUN, _ALLEY = range(5)  # better before worse


class _Found(NamedTuple):
    rank: int
    away_m: float
    candidate: Candidate


class Near(NamedTuple):
    """What is near is likelier meant."""

    latitude: float
    longitude: float


class Search:
    """Over places, and over streets when there are any."""

    def __init__(self, places: Places, streets: Streets | None) -> None:
        self._places = places
        self._streets = streets

    def find(self, text: str, near: Near, limit: int) -> list[Candidate]:
        """At most `limit`; as it was typed, else with names parted, else without the end that nobody knows."""
        tries = (text, unglued(text, self._is_place), loosened(text))
        for tried in tries:
            wish = parse(tried) if tried else Wish()
            found = [*self._of_streets(wish, near), *self._of_places(wish, near)]
            if found:
                if any(one.rank == _EXACT for one in found):
                    found = [one for one in found if one.rank == _EXACT]
                found.sort(key=lambda one: (one.rank, one.away_m))  # stable: numbers stay in their order
                return list({one.candidate.text: one.candidate for one in reversed(found)}.values())[::-1][
                    :limit
                ]
        return []

    def _is_place(self, name: str) -> bool:
        """Whether it is the whole name of one, as people say it."""
        key = folded(name)
        return any(
            folded(place.name.split()[-1]) == key for place in self._places.beginning_with(name, 1)
        ) or (any(self._places.matches(place.code, name) for place in self._places.provinces))

    # ------------------------------------------------------------------------------------- places

    def _of_places(self, wish: Wish, near: Near) -> Iterator[_Found]:
        if wish.is_whole_road or not wish.words:
            return
        *hints, last = wish.words
        for place in self._places.beginning_with(last, _MOST_PLACES):
            if all(self._places.matches(place.code, hint) for hint in hints):
                whole = self._is_meant(place, last, near)
                text = f"{self._places.text(place.code)} {wish.lot if whole else ''}".rstrip()
                yield self._found(_WHOLE if whole else _BEGUN, near, place, text, "", 0.0)

    @staticmethod
    def _is_meant(place: Place, typed: str, near: Near) -> bool:
        """By its whole name, or as people around there call it: 역삼 for 역삼동."""
        name = folded(typed)
        if name == folded(place.name.split()[-1]):
            return True
        away_m = distance_m(near.latitude, near.longitude, place.latitude, place.longitude)
        return name in called(place) and (len(place.code) == 2 or away_m < _AROUND_M)

    # ------------------------------------------------------------------------------------- streets

    def _of_streets(self, wish: Wish, near: Near) -> Iterator[_Found]:
        if self._streets is None or not wish.road:
            return
        hints = wish.words if wish.is_whole_road else wish.words[:-1]
        by_initials = are_initials(wish.road)
        whole = bool(wish.number) and wish.is_whole_road
        limit = _MOST_STREETS if not hints else 10 * _MOST_STREETS
        for street in self._streets.find(wish.road, near, limit, whole, by_initials):
            place = self._places.named(street.province, street.district, street.neighbourhoods[0])
            if place is not None and self._hinted(place, street, hints):
                is_whole = folded(street.road) == folded(wish.road)
                yield from self._of_street(wish, near, street, is_whole)

    def _hinted(self, place: Place, street: Street, hints: tuple[str, ...]) -> bool:
        return all(
            self._places.matches(place.code, hint)
            or any(name.startswith(hint) for name in street.neighbourhoods)
            for hint in hints
        )

    def _of_street(self, wish: Wish, near: Near, street: Street, is_whole: bool) -> Iterator[_Found]:
        matching = street.matching(wish.number) if wish.number else []
        for number, is_exact in matching:
            yield from self._building(near, street, number, _EXACT if is_exact else _NUMBER_BEGUN)
        if not matching:
            begun = _ALLEY if any(character.isdigit() for character in street.road) else _BEGUN
            yield from self._whole_street(near, street, _WHOLE if is_whole else begun)

    def _building(self, near: Near, street: Street, number: Number, rank: int) -> Iterator[_Found]:
        name = street.neighbourhoods[number.of]
        place = self._places.named(street.province, street.district, name)
        if place is not None:
            text = f"{_road(street)} {number.number} ({name})"
            yield self._found(rank, near, place, text, number.postcode, 0.0)

    def _whole_street(self, near: Near, street: Street, rank: int) -> Iterator[_Found]:
        """Somewhere in the neighbourhoods that it goes through; of a long one, the one with most of it is shown."""
        through = [
            place
            for name in street.neighbourhoods
            if (place := self._places.named(street.province, street.district, name)) is not None
        ]
        if through:
            yield self._found(
                rank, near, through[0], _road(street), "", max(_reach_m(through[0], p) for p in through)
            )

    def _found(
        self, rank: int, near: Near, place: Place, text: str, postcode: str, at_least_m: float
    ) -> _Found:
        away_m = distance_m(near.latitude, near.longitude, place.latitude, place.longitude)
        reach_m = max(at_least_m, place.radius_m)
        precision = precision_of(place) if reach_m <= place.radius_m else Precision.DISTRICT
        # The wider an area is, the less it is what somebody means who types an address.
        blur_m = away_m if precision is Precision.DONG else away_m + reach_m
        where = Candidate(
            text, place.latitude, place.longitude, precision, math.ceil(reach_m / 10) * 10, postcode
        )
        return _Found(rank, blur_m, where)


def _road(street: Street) -> str:
    return " ".join(part for part in (street.province, street.district, street.road) if part)


def _reach_m(place: Place, other: Place) -> float:
    """How far the far end of another area is from the middle of this one."""
    apart_m = distance_m(place.latitude, place.longitude, other.latitude, other.longitude)
    return apart_m + other.radius_m
