"""What a store is, and its menu. Money is whole Korean won (`_krw`), lengths are metres."""

from enum import StrEnum
from typing import Annotated

import msgspec

from majung.orders.model import Line

LIVE_KIND = "store"
MAX_ITEMS = 500
MAX_LINES = 50
MAX_QUANTITY = 99
MAX_KRW = 100_000_000

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Text = Annotated[str, msgspec.Meta(max_length=400)]
OptionalId = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[\w.:-]*$")]
Krw = Annotated[int, msgspec.Meta(ge=0, le=MAX_KRW)]
Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]


class Weekday(StrEnum):
    """As hours are written down; in the order of `datetime.weekday()`."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


Hours = dict[Weekday, list[str]]


class NewStore(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A store as it is registered.

    `hours` lists the open spans of each weekday, local time of `tz`: `{"mon": ["11:00-15:00",
    "17:00-02:00"]}` is a break in the afternoon and an end at two in the night; `"00:00-24:00"` is the
    whole day; a weekday that is not there is a day off. It delivers within `radius_m` (straight line).
    """

    name: Name
    category: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    latitude: Latitude
    longitude: Longitude
    address: Text
    hours: Hours
    phone: Annotated[str, msgspec.Meta(max_length=40)] = ""
    description: Text = ""
    tz: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "Asia/Seoul"
    radius_m: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 3000.0
    minimum_krw: Krw = 0
    fee_krw: Krw = 0


class Store(NewStore, frozen=True, kw_only=True, omit_defaults=True):
    """A store that exists. `version` grows with each change of it (its menu has its own).

    `closed_until_ms`: closed by hand before this time, whatever the hours say.
    """

    store_id: str
    version: int
    created_at_ms: int
    updated_at_ms: int
    closed_until_ms: int = 0


class Option(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One choice; `price_krw` is added to the item's. Without an `option_id`, one is given."""

    name: Name
    price_krw: Annotated[int, msgspec.Meta(ge=-MAX_KRW, le=MAX_KRW)] = 0
    option_id: OptionalId = ""
    sold_out: bool = False


class OptionGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A question about an item. `required`: at least one choice; `multiple`: more than one may be."""

    name: Name
    options: Annotated[tuple[Option, ...], msgspec.Meta(min_length=1, max_length=50)]
    required: bool = False
    multiple: bool = False


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something on the menu. Without an `item_id`, one is given."""

    name: Name
    price_krw: Krw
    item_id: OptionalId = ""
    category: Annotated[str, msgspec.Meta(max_length=40)] = ""
    description: Text = ""
    groups: Annotated[tuple[OptionGroup, ...], msgspec.Meta(max_length=20)] = ()
    sold_out: bool = False


class NewMenu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole menu, in the order in which it is shown."""

    items: Annotated[tuple[Item, ...], msgspec.Meta(max_length=MAX_ITEMS)]


class Menu(msgspec.Struct, frozen=True):
    """The menu as of `version` (0: there never was one)."""

    version: int
    items: tuple[Item, ...]


class StoreCard(msgspec.Struct, frozen=True, omit_defaults=True):
    """A store in a list. `distance_m` when a place was asked for; `delivers`: that place is in its area.

    `opens_at_ms`: of a store that is closed, when it opens again, if it does within eight days.
    """

    store_id: str
    name: str
    category: str
    latitude: float
    longitude: float
    address: str
    is_open: bool
    radius_m: float
    minimum_krw: int = 0
    fee_krw: int = 0
    opens_at_ms: int | None = None
    distance_m: float | None = None
    delivers: bool | None = None


class StorePage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A store with its menu, as of now."""

    store: Store
    menu: Menu
    is_open: bool
    opens_at_ms: int | None = None


class WishedLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a customer wants of an item: `options` are option_ids.

    `price_krw` is the price of one piece, options included, that the customer saw: another one now is
    refused. None: any price.
    """

    item_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    quantity: Annotated[int, msgspec.Meta(ge=1, le=MAX_QUANTITY)] = 1
    options: Annotated[tuple[str, ...], msgspec.Meta(max_length=50)] = ()
    price_krw: int | None = None


class Priced(msgspec.Struct, frozen=True):
    """An order's lines at today's prices. `total_krw` = `items_krw` + `fee_krw`."""

    store: Store
    lines: tuple[Line, ...]
    items_krw: int
    fee_krw: int
    total_krw: int
