"""What a share link lets through of the live stream of its order.

The stream (`orders/order_live.py`) is one for everybody. Here each of its messages is read into a struct
that has nothing but what may be seen, and written anew: a message or a field that is not known here does not
get out.
"""

from typing import Literal

import msgspec

from majung.orders.model import Command, Order
from majung.orders.view_policy import CARRYING
from majung.positions.model import LivePosition
from majung.share.model import SharedEta, shared_order, shared_position

_encode = msgspec.json.Encoder().encode


class _Snapshot(msgspec.Struct, tag="snapshot"):
    orders: list[Order]


class _Changed(msgspec.Struct, tag="order"):
    order: Order
    command: str = ""


class _Rider(msgspec.Struct, tag="rider"):
    order_id: str
    position: LivePosition


class _Eta(msgspec.Struct, tag="eta"):
    order_id: str
    at_ms: int
    earliest_ms: int
    latest_ms: int
    late: bool = False


_decode = msgspec.json.Decoder(_Snapshot | _Changed | _Rider | _Eta).decode

Kind = Literal["track", "order", "rider", "eta"]


class Narrowing:
    """From the messages of one order to those of a share link. `order` is all of it, as it was at the start."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.ended_at_ms = order.ended_at_ms

    def narrowed(self, body: bytes) -> list[bytes]:
        """The message as a stranger may see it, with what follows from it; nothing when it is not for them."""
        try:
            message = _decode(body)
        except msgspec.DecodeError:
            return []  # of another kind
        match message:
            case _Snapshot(orders=[order]):
                return self._changed(order, hides_rider=True)
            case _Changed(order=order, command=command):
                hides_rider = command == Command.ASSIGN or order.state not in CARRYING
                return self._changed(order, hides_rider)
            case _Rider(order_id=order_id, position=position) if order_id == self._order.order_id:
                return [said("rider", shared_position(self._order, position))]
            case _Eta(order_id=order_id) if order_id == self._order.order_id:
                eta = SharedEta(message.at_ms, message.earliest_ms, message.latest_ms, message.late)
                return [said("eta", eta)]
            case _:
                return []

    def _changed(self, order: Order, hides_rider: bool) -> list[bytes]:
        """`hides_rider`: it is another one or none now, and where the one before was is over at once."""
        if order.order_id != self._order.order_id:
            return []
        self.ended_at_ms = order.ended_at_ms
        bodies = [said("order", shared_order(order))]
        return [*bodies, said("rider", None)] if hides_rider else bodies


def said(kind: Kind, body: msgspec.Struct | None) -> bytes:
    """`{"type": kind, kind: body}`."""
    return _encode({"type": kind, kind: body})


def over(detail: str) -> bytes:
    """The last message: the link shows nothing any more."""
    return _encode({"type": "over", "detail": detail})
