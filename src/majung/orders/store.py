"""Orders in the database: the statements, and what belongs together in one transaction."""

import zlib

import msgspec

from majung.orders.model import FINAL, Order, OrderEvent
from majung.ports import Row, Transaction

LANES = 16

SELECT = "SELECT document, wrong_codes, proofs FROM orders WHERE order_id = ?"
SELECT_BY_KEY = """
SELECT document, request_digest FROM orders WHERE customer = :customer AND request_key = :request_key
"""
SELECT_BUSY = "SELECT order_id FROM orders WHERE busy_rider_id = ?"
INSERT = """
INSERT INTO orders (order_id, version, state, customer, store_id, busy_rider_id, changed_at_ms, document,
                    wrong_codes, proofs, request_key, request_digest)
VALUES (?, ?, ?, ?, ?, NULL, ?, ?, 0, 0, ?, ?)
"""
UPDATE = """
UPDATE orders SET version = ?, state = ?, busy_rider_id = ?, changed_at_ms = ?, document = ?
WHERE order_id = ? AND version = ? RETURNING version
"""
COUNT_WRONG_CODE = "UPDATE orders SET wrong_codes = wrong_codes + 1 WHERE order_id = ?"
COUNT_PROOF = "UPDATE orders SET proofs = proofs + 1 WHERE order_id = ? AND proofs < ? RETURNING proofs"
INSERT_EVENT = "INSERT INTO order_event (order_id, version, payload) VALUES (?, ?, ?)"
INSERT_OUTBOX = """
INSERT INTO outbox (event_id, order_id, version, lane, made_at_ms, status, payload)
VALUES (?, ?, ?, ?, ?, 'pending', ?)
"""
SELECT_EVENTS = "SELECT payload FROM order_event WHERE order_id = ? ORDER BY version"

_encode = msgspec.json.Encoder().encode
_decode_order = msgspec.json.Decoder(Order).decode
_decode_event = msgspec.json.Decoder(OrderEvent).decode


def decode_event(payload: bytes | str) -> OrderEvent:
    """A record of `order.events.v1`: JSON. Raises msgspec.DecodeError."""
    return _decode_event(payload)


def decode_order(document: bytes | str) -> Order:
    """The column `document`. Raises msgspec.DecodeError."""
    return _decode_order(document)


def lane_of(order_id: str) -> int:
    """The part of the outbox that an order belongs to, the same for all its life."""
    return zlib.crc32(order_id.encode()) % LANES


class Held(msgspec.Struct, frozen=True):
    """An order inside a transaction, with how many wrong codes were tried and proofs stored."""

    order: Order
    wrong_codes: int
    proofs: int


def held(tx: Transaction, order_id: str) -> Held:
    """Raises LookupError."""
    rows = tx.execute(SELECT, (order_id,))
    if not rows:
        raise LookupError(f"there is no order {order_id[:64]!r}")
    document, wrong_codes, proofs = rows[0]
    return Held(decode_order(document), int(wrong_codes), int(proofs))


def by_key(rows: list[Row]) -> tuple[Order, str] | None:
    """What `SELECT_BY_KEY` found: the order, and the digest of the wish it was made of."""
    return (decode_order(rows[0][0]), str(rows[0][1])) if rows else None


def insert(tx: Transaction, event: OrderEvent, request_key: str | None, request_digest: str) -> None:
    """A new order, its event and its outbox row."""
    order = event.order
    tx.execute(
        INSERT,
        (
            order.order_id,
            order.version,
            order.state.value,
            order.customer,
            order.store_id,
            order.changed_at_ms,
            _encode(order).decode(),
            request_key,
            request_digest,
        ),
    )
    _record(tx, event)


def update(tx: Transaction, event: OrderEvent) -> bool:
    """The order as the event says, if nobody was faster (False: somebody was, and nothing is done)."""
    order = event.order
    busy = order.rider_id if order.rider_id and order.state not in FINAL else None
    changed = tx.execute(
        UPDATE,
        (
            order.version,
            order.state.value,
            busy,
            order.changed_at_ms,
            _encode(order).decode(),
            order.order_id,
            order.version - 1,
        ),
    )
    if changed:
        _record(tx, event)
    return bool(changed)


def _record(tx: Transaction, event: OrderEvent) -> None:
    payload = _encode(event).decode()
    tx.execute(INSERT_EVENT, (event.order_id, event.version, payload))
    tx.execute(
        INSERT_OUTBOX,
        (event.event_id, event.order_id, event.version, lane_of(event.order_id), event.at_ms, payload),
    )
