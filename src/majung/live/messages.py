"""What viewers and server say to each other, as JSON. `docs/live.md` has the grammar with examples.

Positions come in as bytes that were encoded once and are only joined here.
"""

import math
from collections.abc import Sequence

import msgspec

from majung.live.changes import Change
from majung.positions.geodesy import Box

MAX_MESSAGE_BYTES = 65_536
MAX_NAME_CHARS = 64

_json = msgspec.json.Encoder().encode


class Viewport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An area that a viewer looks at, in degrees, edges included. `west > east` crosses the antimeridian."""

    south: float
    west: float
    north: float
    east: float

    def contains(self, latitude: float, longitude: float) -> bool:
        """Whether the point lies in it."""
        if not self.south <= latitude <= self.north:
            return False
        if self.west <= self.east:
            return self.west <= longitude <= self.east
        return longitude >= self.west or longitude <= self.east

    def check(self) -> None:
        """Raises ValueError when this is no area on Earth."""
        if not all(math.isfinite(edge) for edge in (self.south, self.west, self.north, self.east)):
            raise ValueError("the edges of an area must be finite numbers")
        if not -90 <= self.south <= self.north <= 90:
            raise ValueError("an area needs -90 <= south <= north <= 90")
        if not (-180 <= self.west <= 180 and -180 <= self.east <= 180):
            raise ValueError("an area needs west and east within -180…180")

    def box(self) -> Box:
        """The same as a plain box."""
        return Box(self.south, self.west, self.north, self.east)


class Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to watch: riders, an area or a fence (exactly one), under a name of the viewer's choice.

    With `epoch` and `offset` of the last message received under the same subscription, it is resumed.
    """

    id: str
    riders: list[str] | None = None
    area: Viewport | None = None
    fence: str | None = None
    epoch: str = ""
    offset: int = 0


class ClientMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{"subscribe": {…}}` or `{"unsubscribe": "id"}`."""

    subscribe: Subscribe | None = None
    unsubscribe: str | None = None


_decode = msgspec.json.Decoder(ClientMessage).decode


def parse(data: bytes | str) -> ClientMessage:
    """Read one message. Raises ValueError saying what is wrong with it."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise ValueError(f"a message is at most {MAX_MESSAGE_BYTES} bytes")
    try:
        message = _decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise ValueError(f"not a live message: {problem}") from None
    if (message.subscribe is None) == (message.unsubscribe is None):
        raise ValueError("a message is either subscribe or unsubscribe")
    if message.subscribe is not None:
        check_subscribe(message.subscribe)
    return message


def check_subscribe(wish: Subscribe) -> None:
    """Raises ValueError when the wish is none that can be served."""
    if not 0 < len(wish.id) <= MAX_NAME_CHARS:
        raise ValueError(f"the id of a subscription has 1-{MAX_NAME_CHARS} characters")
    if sum(part is not None for part in (wish.riders, wish.area, wish.fence)) != 1:
        raise ValueError("a subscription names riders, an area or a fence: exactly one of them")
    if wish.riders is not None and not wish.riders:
        raise ValueError("a subscription by riders names at least one")
    if wish.area is not None:
        wish.area.check()


def snapshot_head(name: str, epoch: bytes, offset: int) -> bytes:
    """Everything of a snapshot before its positions."""
    return b'{"type":"snapshot","id":%b,"epoch":"%b","offset":%d,"positions":[' % (_json(name), epoch, offset)


def positions_head(epoch: bytes, offset: int) -> bytes:
    """Everything of a positions message before its positions."""
    return b'{"type":"positions","epoch":"%b","offset":%d,"positions":[' % (epoch, offset)


def positions(head: bytes, changes: Sequence[Change]) -> bytes:
    """A head with positions."""
    return head + b",".join([change.body for change in changes]) + b"]}"


def gone(reason: str, rider_ids: list[str], offset: int) -> bytes:
    """Riders who are no longer to be shown: `left` the area, or went `offline`."""
    return b'{"type":"gone","reason":"%b","offset":%d,"rider_ids":%b}' % (
        reason.encode(),
        offset,
        _json(rider_ids),
    )


def event(change: Change, offset: int) -> bytes:
    """Enter, exit, dwell, near, silent or back."""
    return b'{"type":"event","offset":%d,"event":%b}' % (offset, change.body)


def resync(name: str) -> bytes:
    """Something may have been missed: forget what is shown for this subscription, a snapshot follows."""
    return b'{"type":"resync","id":%b}' % _json(name)


def resumed(name: str, epoch: bytes, offset: int) -> bytes:
    """What was missed since that offset follows, and nothing else was."""
    return b'{"type":"resumed","id":%b,"epoch":"%b","offset":%d}' % (_json(name), epoch, offset)


def error(status: int, title: str, detail: str, kind: str = "about:blank", name: str = "") -> bytes:
    """Problem details (RFC 9457) inside the stream; `id` names the subscription that it is about."""
    problem = {"type": kind, "title": title, "status": status, "detail": detail}
    return _json({"type": "error", **({"id": name} if name else {}), "error": problem})
