"""A batch of messages for one viewer, made into bytes one by one while the socket takes them.

Positions that wait here are references to what the hub holds anyway; only the frame that is being sent
exists as bytes of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from majung.live import messages
from majung.live.changes import GONE, POSITION, Change

PART_BYTES = 65_536  # a frame is cut at about this size

Mailbox = dict[str, Change | None]  # None: left the area
Piece = Callable[[bytes, int], bytes]


class Frame(NamedTuple):
    """One message for the socket, and the offset that it brings the viewer to (0: not resumable yet).

    An empty body asks the door for its sign of life.
    """

    body: bytes
    offset: int


def render(pieces: Sequence[Piece], epoch: bytes, before: int, after: int) -> Iterator[Frame]:
    """The frames; only the last one brings the viewer to `after`: with fewer it has not got everything."""
    last = len(pieces) - 1
    for number, piece in enumerate(pieces):
        offset = after if number == last else before
        yield Frame(piece(epoch, offset), offset)


def plain(body: bytes) -> Piece:
    """A message that has no offset."""
    return lambda _epoch, _offset: body


def snapshot(name: str, changes: list[Change]) -> list[Piece]:
    """A snapshot message; what does not fit into it follows as positions."""
    first, *others = _parts(changes)
    head: Piece = lambda epoch, offset: messages.positions(messages.snapshot_head(name, epoch, offset), first)  # noqa: E731
    return [head, *(_positions(part) for part in others)]


def mailbox(box: Mailbox, events: Sequence[Change]) -> list[Piece]:
    """Positions, then who is gone, then events in order."""
    newest = [change for change in box.values() if change is not None and change.kind == POSITION]
    pieces = [_positions(part) for part in _parts(newest)] if newest else []
    if len(newest) < len(box):
        left = [rider_id for rider_id, change in box.items() if change is None]
        offline = [rider_id for rider_id, change in box.items() if change is not None and change.kind == GONE]
        pieces += [_gone(reason, ids) for reason, ids in (("left", left), ("offline", offline)) if ids]
    return pieces + [_event(change) for change in events]


def nothing() -> Piece:
    """A positions message without positions: it carries the offset."""
    return _positions([])


def _positions(changes: list[Change]) -> Piece:
    return lambda epoch, offset: messages.positions(messages.positions_head(epoch, offset), changes)


def _gone(reason: str, rider_ids: list[str]) -> Piece:
    return lambda _epoch, offset: messages.gone(reason, rider_ids, offset)


def _event(change: Change) -> Piece:
    return lambda _epoch, offset: messages.event(change, offset)


def _parts(changes: list[Change]) -> list[list[Change]]:
    """Cut at about PART_BYTES; at least one part, which may be empty."""
    if len(changes) < 64:
        return [changes]
    parts: list[list[Change]] = [[]]
    size = 0
    for change in changes:
        if size > PART_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(change)
        size += len(change.body) + 1
    return parts
