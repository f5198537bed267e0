"""What happened to orders lately, as the messages that go out, in bounded memory: viewers resume from it.

Each change is filed under the keys it concerns (`view_policy.keys_of`), so that ten thousand viewers who
come back at once cost what they missed.
"""

from collections import deque

import msgspec

from majung.orders.model import Order, OrderEvent
from majung.orders.view_policy import Scope, carrier, keys_of, without_code

OVERHEAD_BYTES = 700  # of a change beside its bodies: the struct, its keys, its places in the indexes

_json = msgspec.json.Encoder().encode


class Change(msgspec.Struct, frozen=True, weakref=False):
    """One published change, encoded once and shared by everybody who has to hear of it.

    `full` is the message with the delivery code, `plain` without. `left_key` is the key of the rider who had
    the order before and has it no more; that rider gets `left`, which names nothing but the order.
    """

    offset: int
    at_s: float
    order_id: str
    version: int
    carrier: str
    keys: tuple[str, ...]
    left_key: str
    full: bytes
    plain: bytes

    def body_for(self, scope: Scope) -> bytes:
        """The message as this scope may read it."""
        if self.left_key and self.left_key == scope.key:
            return left(self.offset, self.order_id, self.version)
        if scope.shared:
            return _for_strangers(self.plain, scope)
        return self.full if scope.sees_code else self.plain

    def size(self) -> int:
        """Bytes that it holds."""
        bodies = len(self.full) if self.plain is self.full else len(self.full) + len(self.plain)
        return bodies + OVERHEAD_BYTES


class Ring:
    """The last changes, by time and bytes. Everything with `offset > floor` is held."""

    def __init__(self, max_bytes: int, keep_s: float, offset: int = 1) -> None:
        self.max_bytes = max_bytes
        self.keep_s = keep_s
        self.offset = offset  # 0 is the offset that nobody can resume from
        self.floor = offset
        self.bytes = 0
        self._changes: deque[Change] = deque()
        self._by_key: dict[str, deque[Change]] = {}

    def happened(self, event: OrderEvent, was_rider_id: str, now_s: float) -> Change:
        """The next change: what this event says, and whom it concerns."""
        self.offset += 1
        order = event.order
        left_key = f"rider:{was_rider_id}" if was_rider_id and was_rider_id != order.rider_id else ""
        full = changed(self.offset, event, order)
        plain = changed(self.offset, event, without_code(order)) if order.delivery_code else full
        change = Change(
            offset=self.offset,
            at_s=now_s,
            order_id=event.order_id,
            version=event.version,
            carrier=carrier(order),
            keys=keys_of(order),
            left_key=left_key,
            full=full,
            plain=plain,
        )
        self._changes.append(change)
        self.bytes += change.size()
        for key in filed_under(change):
            self._by_key.setdefault(key, deque()).append(change)
        return change

    def trim(self, now_s: float) -> None:
        """Forget what is past the bounds."""
        oldest_s = now_s - self.keep_s
        while self._changes and (self.bytes > self.max_bytes or self._changes[0].at_s < oldest_s):
            change = self._changes.popleft()
            self.bytes -= change.size()
            self.floor = change.offset
            for key in filed_under(change):
                filed = self._by_key[key]
                filed.popleft()  # the order within a key is the same, so the oldest of all is its oldest
                if not filed:
                    del self._by_key[key]

    def reaches(self, after: int) -> bool:
        """Whether everything after that offset is still held."""
        return self.floor <= after <= self.offset

    def missed(self, key: str, after: int) -> list[Change]:
        """What concerns this key after that offset, oldest first."""
        found: list[Change] = []
        for change in reversed(self._by_key.get(key, ())):
            if change.offset <= after:
                break
            found.append(change)
        return found[::-1]


def filed_under(change: Change) -> tuple[str, ...]:
    """Every key that hears of it."""
    return (*change.keys, change.left_key) if change.left_key else change.keys


# ----------------------------------------------------------------------------------------- messages


class _Changed(msgspec.Struct):
    """The message `order`, read back: share links are few, so nothing is encoded for them beforehand."""

    offset: int
    command: str
    at_ms: int
    order: Order


_read_changed = msgspec.json.Decoder(_Changed).decode


def _for_strangers(body: bytes, scope: Scope) -> bytes:
    """Who did it is not said: a rider's or a store's doing is theirs."""
    change = _read_changed(body)
    message = {"type": "order", "offset": change.offset, "command": change.command, "actor": ""}
    return _json({**message, "at_ms": change.at_ms, "order": scope.show(change.order)})


def changed(offset: int, event: OrderEvent, order: Order) -> bytes:
    """What happened, as what kind of actor did it, and the order after it."""
    message = {
        "type": "order",
        "offset": offset,
        "command": event.command,
        "actor": str(event.actor),
        "at_ms": event.at_ms,
        "order": order,
    }
    return _json(message)


def left(offset: int, order_id: str, version: int) -> bytes:
    """This order is not yours any more."""
    return _json({"type": "left", "offset": offset, "order_id": order_id, "version": version})


def snapshot(epoch: str, offset: int, orders: list[Order], complete: bool) -> bytes:
    """The open orders of the scope, newest first; `complete` is false when there are more than fit."""
    message = {"type": "snapshot", "epoch": epoch, "offset": offset, "complete": complete, "orders": orders}
    return _json(message)


def resync() -> bytes:
    """Something may have been missed: forget what is shown, a snapshot follows."""
    return b'{"type":"resync"}'


def resumed(epoch: str, offset: int) -> bytes:
    """What was missed since that offset follows, and nothing else was."""
    return _json({"type": "resumed", "epoch": epoch, "offset": offset})


def rider(order_id: str, position: bytes) -> bytes:
    """Where the rider is who carries this order; `position` is the JSON of a LivePosition."""
    return b'{"type":"rider","order_id":%b,"position":%b}' % (_json(order_id), position)
