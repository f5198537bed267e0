"""Finding stores: the nearest by the cell index, names and categories by the database."""

import math
from collections.abc import Sequence

import msgspec

from majung.clock import Clock
from majung.ports import Database, LiveStore, Row
from majung.positions.geodesy import distance_m, distances_m
from majung.stores import store as sql
from majung.stores.hours import LOOK_AHEAD_MS, opens_next_ms
from majung.stores.model import LIVE_KIND, NewStore, Store, StoreCard
from majung.stores.names import are_initials, folded, like
from majung.stores.pricing import is_open_now

MAX_FOUND = 200
MAX_RADIUS_M = 100_000.0
_MAX_CANDIDATES = 20_000
_M_PER_DEGREE = 111_195.0
_GLOBE = {"south": -90.0, "north": 90.0, "west": -180.0, "east": 180.0}


_decode = msgspec.json.Decoder(NewStore).decode


class Search(msgspec.Struct, frozen=True):
    """What is looked for; whatever is empty or None does not matter. Degrees and metres."""

    latitude: float | None = None
    longitude: float | None = None
    radius_m: float = 5000.0
    text: str = ""
    category: str = ""
    open_only: bool = False
    limit: int = 50


class Category(msgspec.Struct, frozen=True):
    """A category that stores have, and how many have it."""

    category: str
    stores: int


class StoreSearch:
    """Reads; `service.py` adds what changes."""

    def __init__(self, database: Database, live: LiveStore, clock: Clock) -> None:
        self._database = database
        self._live = live
        self._clock = clock

    async def search(self, wish: Search) -> list[StoreCard]:
        """Nearest first when a place is given, else by name. Raises ValueError, PortError."""
        if (wish.latitude is None) != (wish.longitude is None):
            raise ValueError("lat and lon come together")
        ids = await self._find(wish)
        now_ms = self._clock.now_ms()
        cards = [_card(store, wish, now_ms) for store in await self._stores(ids)]
        return [card for card in cards if card.is_open or not wish.open_only][: wish.limit]

    async def categories(self) -> list[Category]:
        """The categories that there are, the commonest first. Raises PortError."""
        return [Category(*row) for row in await self._database.read(sql.SELECT_CATEGORIES)]

    async def _find(self, wish: Search) -> list[str]:
        # Who wants only open ones gets them out of more: which are open is not in the database.
        limit = MAX_FOUND * 5 if wish.open_only else wish.limit
        if wish.latitude is None or wish.longitude is None:
            params = {**_text(wish), **_GLOBE, "limit": limit}
            return [row[0] for row in await self._database.read(sql.SEARCH_NAMES, params)]
        if not wish.text and not wish.category:
            found = await self._live.nearest(
                wish.latitude, wish.longitude, wish.radius_m, limit, kind=LIVE_KIND
            )
            return [near.rider_id for near in found]
        box = _box(wish.latitude, wish.longitude, wish.radius_m)
        params = {**_text(wish), **box, "limit": _MAX_CANDIDATES}
        rows = await self._database.read(sql.SEARCH_PLACES, params)
        return _nearest(rows, wish.latitude, wish.longitude, wish.radius_m)[:limit]

    async def _stores(self, ids: Sequence[str]) -> list[Store]:
        """These stores, in this order; one that is gone is left out."""
        if not ids:
            return []
        names = {f"s{number}": store_id for number, store_id in enumerate(ids)}
        statement = sql.SELECT_STORES.format(ids=", ".join(f":{name}" for name in names))
        by_id = {row[1]: store_of(row) for row in await self._database.read(statement, names)}
        return [by_id[store_id] for store_id in ids if store_id in by_id]


def store_of(row: Row) -> Store:
    """From a row that begins as `store.SELECT_STORE` gives it."""
    return stored(_decode(row[0]), *row[1:6])


def stored(
    wish: NewStore, store_id: str, version: int, created_at_ms: int, updated_at_ms: int, closed_until_ms: int
) -> Store:
    """What was asked for, with what makes it a store that exists."""
    return Store(
        **msgspec.structs.asdict(wish),
        store_id=store_id,
        version=version,
        created_at_ms=created_at_ms,
        updated_at_ms=updated_at_ms,
        closed_until_ms=closed_until_ms,
    )


def opens_at_ms(store: Store, now_ms: int) -> int | None:
    """When it opens again, by its hours, after the closing by hand; None when that is over eight days away."""
    if store.closed_until_ms > now_ms + LOOK_AHEAD_MS:
        return None
    return opens_next_ms(store.hours, store.tz, max(now_ms, store.closed_until_ms))


def _card(store: Store, wish: Search, now_ms: int) -> StoreCard:
    away_m = None
    if wish.latitude is not None and wish.longitude is not None:
        away_m = distance_m(wish.latitude, wish.longitude, store.latitude, store.longitude)
    open_now = is_open_now(store, now_ms)
    return StoreCard(
        store.store_id,
        store.name,
        store.category,
        store.latitude,
        store.longitude,
        store.address,
        open_now,
        store.radius_m,
        store.minimum_krw,
        store.fee_krw,
        None if open_now else opens_at_ms(store, now_ms),
        None if away_m is None else round(away_m, 1),
        None if away_m is None else away_m <= store.radius_m,
    )


def _text(wish: Search) -> dict[str, str]:
    name = folded(wish.text)
    initials = like("".join(wish.text.split())) if are_initials(wish.text) else ""
    return {"category": wish.category, "name_like": like(name) if name else "", "initials_like": initials}


def _nearest(rows: Sequence[Row], latitude: float, longitude: float, radius_m: float) -> list[str]:
    if not rows:
        return []
    import numpy as np

    ids, latitudes, longitudes = zip(*rows, strict=True)
    away = distances_m(latitude, longitude, np.array(latitudes), np.array(longitudes))
    order = np.argsort(away, kind="stable")
    return [ids[index] for index in order if away[index] <= radius_m]


def _box(latitude: float, longitude: float, radius_m: float) -> dict[str, float]:
    """Degrees that hold the circle; every longitude when a pole is in it. `west > east`: across 180°."""
    height = radius_m / _M_PER_DEGREE * 1.001
    south, north = latitude - height, latitude + height
    if south <= -90 or north >= 90:
        return {**_GLOBE, "south": max(south, -90.0), "north": min(north, 90.0)}
    # The circle is widest where its tangent is a meridian, a little to the pole's side of its centre.
    width = math.degrees(
        math.asin(min(1.0, math.sin(math.radians(height)) / math.cos(math.radians(latitude))))
    )
    if width >= 180:
        return {**_GLOBE, "south": south, "north": north}
    west, east = longitude - width, longitude + width
    return {
        "south": south,
        "north": north,
        "west": west + 360 if west < -180 else west,
        "east": east - 360 if east > 180 else east,
    }
