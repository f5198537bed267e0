"""What an order is, what can be done to it, and what is told about it.

Money is in whole Korean won (`_krw`), times are Unix milliseconds, UTC (`_ms`), places WGS 84 degrees.
"""

import secrets
from enum import StrEnum

import msgspec

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread


def new_id(prefix: str, now_ms: int) -> str:
    """An id that sorts by time: `prefix-` + 10 digits of milliseconds + 8 random ones (40 bits)."""
    number = (now_ms << 40) | secrets.randbits(40)
    digits = "".join(_ALPHABET[number >> shift & 31] for shift in range(85, -1, -5))
    return f"{prefix}-{digits}"


class OrderState(StrEnum):
    """Where an order stands. Korean names are what people read: see `KOREAN`."""

    RECEIVED = "RECEIVED"
    COOKING = "COOKING"
    READY = "READY"
    PICKED_UP = "PICKED_UP"
    DELIVERING = "DELIVERING"
    DELIVERED = "DELIVERED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


KOREAN: dict[OrderState, str] = {
    OrderState.RECEIVED: "주문접수",
    OrderState.COOKING: "조리중",
    OrderState.READY: "픽업대기",
    OrderState.PICKED_UP: "픽업완료",
    OrderState.DELIVERING: "배달중",
    OrderState.DELIVERED: "배달완료",
    OrderState.REJECTED: "주문거절",
    OrderState.CANCELLED: "주문취소",
    OrderState.FAILED: "배달실패",
}

FINAL = frozenset({OrderState.DELIVERED, OrderState.REJECTED, OrderState.CANCELLED, OrderState.FAILED})


class Command(StrEnum):
    """What somebody wants to happen to an order (imperative)."""

    ACCEPT = "accept"
    REJECT = "reject"
    SET_COOKING_TIME = "set_cooking_time"
    READY = "ready"
    ASSIGN = "assign"
    UNASSIGN = "unassign"
    PICK_UP = "pick_up"
    DEPART = "depart"
    DELIVER = "deliver"
    FAIL = "fail"
    CANCEL = "cancel"


class Actor(StrEnum):
    """As whom."""

    CUSTOMER = "customer"
    STORE = "store"
    RIDER = "rider"
    DISPATCH = "dispatch"
    ADMIN = "admin"


class Precision(StrEnum):
    """How well the place of an address is known; the page says it."""

    POINT = "point"  # GPS or a pin that somebody set
    BUILDING = "building"
    STREET = "street"  # somewhere along it
    DONG = "dong"  # 법정동: the centre of a neighbourhood
    DISTRICT = "district"  # 시·군·구, or wider


class Address(msgspec.Struct, frozen=True):
    """Where to bring it. `detail` is what no map knows: 동, 호, the door code."""

    latitude: float
    longitude: float
    text: str
    detail: str = ""
    precision: Precision = Precision.POINT
    precision_m: float = 20.0


class Line(msgspec.Struct, frozen=True):
    """One line of an order, priced when it was placed; `price_krw` is of one piece, options included."""

    item_id: str
    name: str
    quantity: int
    price_krw: int
    options: tuple[str, ...] = ()


class Proof(msgspec.Struct, frozen=True):
    """That it was handed over: `kind` is photo, signature or code; `ref` names what was stored."""

    kind: str
    ref: str


class Order(msgspec.Struct, frozen=True):
    """An order as of `version` (1 when placed, then one more for each change)."""

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
    assigned_at_ms: int = 0  # to the rider it has now
    cooking_minutes: int = 0
    accepted_at_ms: int = 0
    ready_at_ms: int = 0
    picked_up_at_ms: int = 0
    departed_at_ms: int = 0
    ended_at_ms: int = 0
    reason: str = ""
    delivery_code: str = ""
    proof: Proof | None = None


class CommandArgs(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a command needs: minutes for accept and set_cooking_time, a reason for reject, cancel and fail …"""

    cooking_minutes: int | None = None
    reason: str = ""
    rider_id: str = ""
    proof: Proof | None = None


class ActorRef(msgspec.Struct, frozen=True):
    """Who acts: the kind, and who exactly (account, store_id or rider_id)."""

    kind: Actor
    id: str


class OrderEvent(msgspec.Struct, frozen=True):
    """What happened (past tense): the outbox row, the record of `order.events.v1`, the line of the audit.

    `command` is empty for the placing. `order` is the whole order after the change, so that a consumer
    needs no other source; consumers drop versions that they have seen.
    """

    event_id: str
    order_id: str
    version: int
    command: str
    actor: Actor
    actor_id: str
    at_ms: int
    order: Order
