"""What is told: CloudEvents 1.0 in structured JSON (https://github.com/cloudevents/spec, json-format §3).

What leaves the house is listed here field by field: a new field of an order is told to nobody until it stands
in `OrderData`. The delivery code and the names of who acted never do.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from majung.orders.model import Actor, Address, Command, Line, Order, OrderEvent, OrderState, Proof
from majung.orders.store import decode_event
from majung.orders.view_policy import keys_of
from majung.outbox.relay import ORDER_EVENTS_TOPIC
from majung.positions.pipeline import EVENTS_TOPIC
from majung.positions.triggers import EventKind, RiderEvent

MEDIA_TYPE = "application/cloudevents+json"
PING = "majung.ping.v1"
EVERYTHING = "all:"
_PATTERN = re.compile(r"[a-z0-9_.*]+")

_PAST: dict[str, str] = {
    "": "placed",
    Command.ACCEPT: "accepted",
    Command.REJECT: "rejected",
    Command.SET_COOKING_TIME: "cooking_time_set",
    Command.READY: "ready",
    Command.ASSIGN: "assigned",
    Command.UNASSIGN: "unassigned",
    Command.PICK_UP: "picked_up",
    Command.DEPART: "departed",
    Command.DELIVER: "delivered",
    Command.FAIL: "failed",
    Command.CANCEL: "cancelled",
}
ORDER_TYPES = {command: f"majung.order.{past}.v1" for command, past in _PAST.items()}
RIDER_TYPES = {str(kind): f"majung.rider.{kind}.v1" for kind in EventKind}
TYPES = (*ORDER_TYPES.values(), *RIDER_TYPES.values())


class OrderData(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order as receivers get it: `Order` without the delivery code. Defaults are left out."""

    order_id: str
    version: int
    state: OrderState
    customer: str
    store_id: str
    store_name: str
    store_latitude: float
    store_longitude: float
    address: Address
    lines: tuple[Line, ...]
    total_krw: int
    placed_at_ms: int
    changed_at_ms: int
    note: str = ""
    rider_id: str = ""
    assigned_at_ms: int = 0
    cooking_minutes: int = 0
    accepted_at_ms: int = 0
    ready_at_ms: int = 0
    picked_up_at_ms: int = 0
    departed_at_ms: int = 0
    ended_at_ms: int = 0
    reason: str = ""
    proof: Proof | None = None


class OrderChanged(msgspec.Struct, frozen=True):
    """`data` of `majung.order.*`. `command` is empty for the placing."""

    order_id: str
    version: int
    command: str
    actor: Actor
    at_ms: int
    order: OrderData


class Event(msgspec.Struct, frozen=True):
    """One event, ready to send. `keys`: the `Scope.key`s of those who may be told."""

    event_id: str
    type: str
    subject: str
    at_ms: int
    keys: tuple[str, ...]
    body: str


_encode = msgspec.json.Encoder().encode
_decode_rider_event = msgspec.msgpack.Decoder(RiderEvent).decode
_data_fields = OrderData.__struct_fields__


def order_data(order: Order) -> OrderData:
    """Only what is listed."""
    proof = order.proof
    if proof is not None and proof.kind == "code":
        proof = Proof("code", "")  # what was typed at the door is nobody else's
    values = {name: getattr(order, name) for name in _data_fields}
    return OrderData(**{**values, "proof": proof})


def of_order(event: OrderEvent, source: str) -> Event:
    """For the administrator and the store that the order came to; customers and riders have no endpoints."""
    data = OrderChanged(
        event.order_id, event.version, event.command, event.actor, event.at_ms, order_data(event.order)
    )
    kind = ORDER_TYPES.get(event.command, f"majung.order.{event.command}.v1")
    body = cloud_event(event.event_id, kind, event.order_id, event.at_ms, source, data)
    return Event(event.event_id, kind, event.order_id, event.at_ms, keys_of(event.order), body)


def of_rider(event: RiderEvent, source: str) -> Event:
    """For who may see every rider."""
    kind = RIDER_TYPES.get(event.kind, f"majung.rider.{event.kind}.v1")
    body = cloud_event(event.event_id, kind, event.rider_id, event.at_ms, source, event)
    return Event(event.event_id, kind, event.rider_id, event.at_ms, (EVERYTHING,), body)


def cloud_event(event_id: str, kind: str, subject: str, at_ms: int, source: str, data: Any) -> str:
    """The JSON that is sent, and signed as it is."""
    time = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    document = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": kind,
        "subject": subject,
        "time": time.replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": data,
    }
    return _encode(document).decode()


def read_order_event(value: bytes, source: str) -> Event:
    """A record of `order.events.v1`. Raises msgspec.DecodeError."""
    return of_order(decode_event(value), source)


def read_rider_event(value: bytes, source: str) -> Event:
    """A record of `loc.events.v1`. Raises msgspec.DecodeError."""
    return of_rider(_decode_rider_event(value), source)


READERS = {ORDER_EVENTS_TOPIC: read_order_event, EVENTS_TOPIC: read_rider_event}


def chosen_types(patterns: Iterable[str], of_store: bool) -> frozenset[str]:
    """The types that any of the patterns (`majung.order.*`) names. Raises ValueError for one that names none."""
    known = [kind for kind in TYPES if not of_store or kind in ORDER_TYPES.values()]
    found: set[str] = set()
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError("events: a pattern is a type of event, * for any part of it")
        wanted = re.compile(".*".join(re.escape(part) for part in pattern.split("*")))
        matched = {kind for kind in known if wanted.fullmatch(kind)}
        if not matched:
            raise ValueError(f"events: {pattern!r} names none of {', '.join(known)}")
        found |= matched
    return frozenset(found)
