"""Stores: find, register, change, close by hand; their menus; what a basket costs now.

Reading needs an account of a customer, store or rider. A store's account changes the one store that it
registered (or was given); an administrator changes any. `If-Match` carries the version that was read:
somebody who changed it meanwhile is not overwritten, and 412 says so.
"""

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from litestar import Response, get, post, put
from litestar.params import HeaderParameter, Parameter

from majung.auth.model import Forbidden, Principal, Role
from majung.auth.policy import Action, may
from majung.orders.model import Address
from majung.serve.http.accounts import After
from majung.services import Services
from majung.stores.model import (
    MAX_LINES,
    Latitude,
    Longitude,
    Menu,
    NewMenu,
    NewStore,
    Priced,
    Store,
    StoreCard,
    StorePage,
    WishedLine,
)
from majung.stores.search import MAX_FOUND, MAX_RADIUS_M, Category, Search

_TAGS = ["stores"]
_FOR_EVER_MS = 2**53
_T = TypeVar("_T", Store, Menu)

Id = Annotated[str, Parameter(min_length=1, max_length=128)]
Lat = Annotated[float | None, Parameter(ge=-90, le=90)]
Lon = Annotated[float | None, Parameter(ge=-180, le=180)]
Radius = Annotated[float, Parameter(gt=0, le=MAX_RADIUS_M)]
Query = Annotated[str, Parameter(max_length=80, description="Part of the name, or its initials: ㄱㄴ.")]
Kind = Annotated[
    str, Parameter(max_length=40, description="A category, as GET /v1/store-categories lists it.")
]
Limit = Annotated[int, Parameter(ge=1, le=MAX_FOUND)]
Version = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        max_length=24,
        description="The version that was read, as its ETag: 412 when it is older.",
    ),
]


class Stores(msgspec.Struct, frozen=True):
    """What was found, nearest first (by name without a place)."""

    stores: list[StoreCard]


class Categories(msgspec.Struct, frozen=True):
    """Categories, the commonest first."""

    categories: list[Category]


class Closing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`closed`: by hand, `until` a time (RFC 3339 with offset) or until it is opened again."""

    closed: bool
    until: datetime | None = None


class SoldOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item that is sold out, or there again."""

    item_id: str
    sold_out: bool


class Basket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What would be ordered, and where to (degrees)."""

    lines: Annotated[tuple[WishedLine, ...], msgspec.Meta(min_length=1, max_length=MAX_LINES)]
    latitude: Latitude
    longitude: Longitude


@get("/v1/stores", summary="Find stores", tags=_TAGS)
async def find_stores(
    services: Services,
    principal: Principal,
    lat: Lat = None,
    lon: Lon = None,
    radius_m: Radius = 5000.0,
    q: Query = "",
    category: Kind = "",
    open_only: bool = False,
    limit: Limit = 50,
) -> Stores:
    """By name, category and distance. With `lat` and `lon`: within `radius_m`, nearest first."""
    services.policy.allow(principal, Action.STORE_READ)
    return Stores(await services.stores.search(Search(lat, lon, radius_m, q, category, open_only, limit)))


@get("/v1/store-categories", summary="Categories of stores", tags=_TAGS)
async def store_categories(services: Services, principal: Principal) -> Categories:
    """Those that there are, and how many stores have each."""
    services.policy.allow(principal, Action.STORE_READ)
    return Categories(await services.stores.categories())


@post("/v1/stores", summary="Register a store", tags=_TAGS)
async def register_store(
    data: NewStore, services: Services, principal: Principal, owner: After = ""
) -> Response[Store]:
    """A store's account registers its one store; an administrator any, for the account `owner` or nobody."""
    services.policy.allow(principal, Action.STORE_MANAGE)
    if principal.role is Role.STORE:
        name = principal.subject.partition(":")[2]
        if owner not in ("", name):
            raise Forbidden("a store's account registers its own store alone")
        owner = name
    return _tagged(await services.stores.register(data, owner))


@get("/v1/stores/{store_id:str}", summary="A store and its menu", tags=_TAGS)
async def get_store(store_id: Id, services: Services, principal: Principal) -> Response[StorePage]:
    """With whether it is open now. The ETag is the store's version; the menu has its own in `menu`."""
    services.policy.allow(principal, Action.STORE_READ)
    page = await services.stores.page(store_id)
    return Response(page, headers={"ETag": f'"{page.store.version}"'})


@put("/v1/stores/{store_id:str}", summary="Change a store", tags=_TAGS)
async def replace_store(
    store_id: Id, data: NewStore, services: Services, principal: Principal, if_match: Version = None
) -> Response[Store]:
    """Replaces everything that is said of it; its menu stays."""
    _allow(services, principal, store_id)
    return _tagged(await services.stores.change(store_id, data, _version(if_match)))


@put("/v1/stores/{store_id:str}/closed", summary="Close by hand, or open again", tags=_TAGS)
async def close_store(
    store_id: Id, data: Closing, services: Services, principal: Principal
) -> Response[Store]:
    """Whatever the hours say. Orders that were taken stay."""
    _allow(services, principal, store_id)
    return _tagged(await services.stores.close_until(store_id, _until_ms(data)))


@put("/v1/stores/{store_id:str}/menu", summary="Replace the menu", tags=_TAGS)
async def replace_menu(
    store_id: Id, data: NewMenu, services: Services, principal: Principal, if_match: Version = None
) -> Response[Menu]:
    """Items and options without an id get one; the answer has them. The ETag is the menu's version."""
    _allow(services, principal, store_id)
    return _tagged(await services.stores.put_menu(store_id, data, _version(if_match)))


@put("/v1/stores/{store_id:str}/sold-out", summary="An item is sold out, or there again", tags=_TAGS)
async def sold_out(store_id: Id, data: SoldOut, services: Services, principal: Principal) -> Response[Menu]:
    """Customers see it with their next look; an order with it is refused at once."""
    _allow(services, principal, store_id)
    return _tagged(await services.stores.set_sold_out(store_id, data.item_id, data.sold_out))


@post("/v1/stores/{store_id:str}/price", status_code=200, summary="What a basket costs now", tags=_TAGS)
async def price_basket(store_id: Id, data: Basket, services: Services, principal: Principal) -> Priced:
    """As an order would be priced now, and refused as it would be.

    409 `store-closed`, `item-gone` or `price-changed`; 400 `out-of-area` or `too-small`.
    """
    services.policy.allow(principal, Action.STORE_READ)
    return await services.stores.price(store_id, data.lines, Address(data.latitude, data.longitude, ""))


HANDLERS = [
    find_stores,
    store_categories,
    register_store,
    get_store,
    replace_store,
    close_store,
    replace_menu,
    sold_out,
    price_basket,
]


def _allow(services: Services, principal: Principal, store_id: str) -> None:
    services.policy.allow(principal, Action.STORE_MANAGE)
    if not may(principal, Action.MANAGE_ANY_STORE) and principal.store_id != store_id:
        raise Forbidden("this is not your store")


def _tagged(thing: _T) -> Response[_T]:
    return Response(thing, headers={"ETag": f'"{thing.version}"'})


def _version(if_match: str | None) -> int | None:
    """`"3"`, `W/"3"` and 3 are version 3; `*` and nothing are any. Raises ValueError."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit()):
        raise ValueError("If-Match is the version that was read, as the ETag gave it")
    return int(text)


def _until_ms(closing: Closing) -> int:
    if not closing.closed:
        return 0
    if closing.until is None:
        return _FOR_EVER_MS
    if closing.until.tzinfo is None:
        raise ValueError("until needs an offset: 2026-05-01T18:00:00+09:00")
    return round(closing.until.timestamp() * 1000)
