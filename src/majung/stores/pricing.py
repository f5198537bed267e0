"""What an order costs, and why it cannot be had: one pure function.

Checked in the order in which a customer can do something about it: the store is open, it delivers there,
everything is still on the menu, prices are what was seen, it is enough.
"""

from collections import Counter
from collections.abc import Sequence

from majung.orders.model import Address, Line
from majung.positions.geodesy import distance_m
from majung.stores.hours import is_open
from majung.stores.model import (
    MAX_KRW,
    MAX_LINES,
    MAX_QUANTITY,
    Item,
    Menu,
    Option,
    Priced,
    Store,
    WishedLine,
)


class StoreProblem(ValueError):
    """Why an order cannot be priced. `str()` is for the customer."""


class StoreClosed(StoreProblem):
    """By its hours, or by hand."""


class OutOfArea(StoreProblem):
    """The store does not deliver there."""


class ItemGone(StoreProblem):
    """An item or option is sold out, or no longer on the menu. `item_id`: of the line that cannot be had."""

    def __init__(self, message: str, item_id: str) -> None:
        super().__init__(message)
        self.item_id = item_id


class PriceChanged(StoreProblem):
    """The price is not the one that the customer saw. `priced`: what it costs now, to ask with."""

    def __init__(self, message: str, priced: Priced) -> None:
        super().__init__(message)
        self.priced = priced


class TooSmall(StoreProblem):
    """Less than the store's minimum."""


def is_open_now(store: Store, now_ms: int) -> bool:
    """Hours and the closing by hand together."""
    return now_ms >= store.closed_until_ms and is_open(store.hours, store.tz, now_ms)


def price_order(store: Store, menu: Menu, wished: Sequence[WishedLine], at: Address, now_ms: int) -> Priced:
    """The lines at today's prices.

    Raises StoreClosed, OutOfArea, ItemGone, PriceChanged, TooSmall, and ValueError for lines that the menu
    does not allow (a required choice that is missing).
    """
    if not 1 <= len(wished) <= MAX_LINES:
        raise ValueError(f"an order has 1 to {MAX_LINES} lines")
    if not is_open_now(store, now_ms):
        raise StoreClosed(f"{store.name} is closed now")
    away_m = distance_m(store.latitude, store.longitude, at.latitude, at.longitude)
    if not away_m <= store.radius_m:
        raise OutOfArea(
            f"{store.name} delivers within {store.radius_m:.0f} m; that place is {away_m:.0f} m away"
        )
    items = {item.item_id: item for item in menu.items}
    lines = tuple(_line(items.get(line.item_id), line) for line in wished)
    items_krw = sum(line.price_krw * line.quantity for line in lines)
    priced = Priced(store, lines, items_krw, store.fee_krw, items_krw + store.fee_krw)
    for line, seen in zip(lines, wished, strict=True):
        if seen.price_krw not in (None, line.price_krw):
            message = f"{line.name} now costs {line.price_krw} KRW, not {seen.price_krw} KRW"
            raise PriceChanged(message, priced)
    if items_krw < store.minimum_krw:
        raise TooSmall(f"{store.name} delivers from {store.minimum_krw} KRW; these are {items_krw} KRW")
    if items_krw > MAX_KRW:
        raise ValueError(f"an order is of at most {MAX_KRW} KRW")
    return priced


def _line(item: Item | None, wished: WishedLine) -> Line:
    if item is None:
        raise ItemGone(f"{wished.item_id!r} is no longer on the menu", wished.item_id)
    if item.sold_out:
        raise ItemGone(f"{item.name} is sold out", item.item_id)
    if not 1 <= wished.quantity <= MAX_QUANTITY:
        raise ValueError(f"{item.name}: 1 to {MAX_QUANTITY} of one item")
    chosen = _chosen(item, wished.options)
    price_krw = max(0, item.price_krw + sum(option.price_krw for option in chosen))
    return Line(item.item_id, item.name, wished.quantity, price_krw, tuple(option.name for option in chosen))


def _chosen(item: Item, option_ids: Sequence[str]) -> list[Option]:
    """The options in the order of the menu. Raises ItemGone, ValueError."""
    for option_id, times in Counter(option_ids).items():
        if times > 1:
            raise ValueError(f"{item.name}: the option {option_id[:64]!r} stands twice")
    left = set(option_ids)
    chosen: list[Option] = []
    for group in item.groups:
        mine = [option for option in group.options if option.option_id in left]
        if group.required and not mine:
            raise ValueError(f"{item.name}: choose one of {group.name!r}")
        if len(mine) > 1 and not group.multiple:
            raise ValueError(f"{item.name}: choose only one of {group.name!r}")
        for option in mine:
            if option.sold_out:
                raise ItemGone(f"{item.name}: {option.name} is sold out", item.item_id)
        left.difference_update(option.option_id for option in mine)
        chosen += mine
    if left:
        raise ItemGone(f"{item.name}: the option {min(left)[:64]!r} is no longer on the menu", item.item_id)
    return chosen
