"""What a customer wishes for, what it costs, and what each of the four may see of an order."""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Protocol

import msgspec

from majung.orders.model import Actor, Address, Order
from majung.stores.model import Priced, WishedLine
from majung.text import check_text

MAX_LINES = 50

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Text = Annotated[str, msgspec.Meta(max_length=500)]


class NewOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order to be placed. `total_krw`: what the customer was shown; another total refuses the order."""

    store_id: _Id
    lines: Annotated[tuple[WishedLine, ...], msgspec.Meta(min_length=1, max_length=MAX_LINES)]
    address: Address
    note: _Text = ""
    total_krw: int | None = None


class PriceList(Protocol):
    """Whoever knows menus and prices (`stores/`)."""

    async def price(
        self, store_id: str, wished: Sequence[WishedLine], at: Address, now_ms: int | None = None
    ) -> Priced:
        """Price the lines for delivery to `at` at this time.

        Raises LookupError (no such store) or a ValueError: item gone, price changed, closed, too far away.
        """
        ...


def check(wish: NewOrder) -> None:
    """What the types do not say. Raises ValueError."""
    place = wish.address
    if not (-90 <= place.latitude <= 90 and -180 <= place.longitude <= 180):
        raise ValueError("address: latitude is from -90 to 90, longitude from -180 to 180")
    if not 0 <= place.precision_m <= 1_000_000:
        raise ValueError("address: precision_m is from 0 to 1000000")
    if not place.text.strip() or len(place.text) > 300 or len(place.detail) > 300:
        raise ValueError("address: text has 1 to 300 characters, detail at most 300")
    for what, text in (("address", place.text), ("address: detail", place.detail), ("note", wish.note)):
        check_text(what, text)


def digest(wish: NewOrder) -> str:
    """The same wish gives the same digest: to tell a repeated request from another one under its key."""
    return hashlib.sha256(msgspec.json.encode(wish)).hexdigest()


def as_seen_by(order: Order, actor: Actor) -> Order:
    """The order as this kind of actor may see it: the delivery code is the customer's own secret.

    The rider asks for it at the door, and giving it is the proof; so neither rider nor store may read it.
    """
    if actor in (Actor.CUSTOMER, Actor.ADMIN) or not order.delivery_code:
        return order
    return msgspec.structs.replace(order, delivery_code="")
