"""Deciding: what one friend sees, and what a decision may say."""

from datetime import timedelta
from typing import Annotated

import msgspec

from majung.clock import Clock
from majung.friends import store
from majung.friends.changes import FriendChanges
from majung.friends.consent import MAX_PRECISION, MIN_PRECISION, Mode, Sharing
from majung.friends.model import NO_FRIEND, Caller
from majung.ports import Transaction
from majung.settings import parse_duration

_DAY_MS = 86_400_000
MAX_FOR_MS = 3_660 * _DAY_MS

For = Annotated[str, msgspec.Meta(max_length=20)]
Moment = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class SharingWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A decision: `off`, `blurred` to a geohash cell of `precision` characters, or `exact`.

    Until it is changed, or for a time: `for` (`30m`, `1h`) or `until_ms`. `history`: the track as well, from now.
    """

    mode: Mode
    precision: Annotated[int, msgspec.Meta(ge=MIN_PRECISION, le=MAX_PRECISION)] = 5
    for_: For = msgspec.field(default="", name="for")
    until_ms: Moment | None = None
    history: bool = False


def end_of(lasts: str, until_ms: int | None, now_ms: int) -> int | None:
    """When something that lasts `lasts`, or until `until_ms`, ends. Raises ValueError."""
    if lasts and until_ms is not None:
        raise ValueError("give for or until_ms, not both")
    if lasts:
        duration = parse_duration(lasts)
        if not isinstance(duration, timedelta):
            raise ValueError("for: a duration such as 30m or 2h")
        until_ms = now_ms + round(duration.total_seconds() * 1000)
    if until_ms is not None and not now_ms < until_ms <= now_ms + MAX_FOR_MS:
        raise ValueError("it would end before it begins, or in more than ten years")
    return until_ms


def decided(wish: SharingWish, now_ms: int) -> Sharing:
    """The decision that a body asks for, made now. Raises ValueError."""
    precision = wish.precision if wish.mode is Mode.BLURRED else Sharing().precision
    return Sharing(wish.mode, precision, end_of(wish.for_, wish.until_ms, now_ms), wish.history, now_ms)


def same(old: Sharing | None, new: Sharing | None) -> bool:
    """Whether a decision says again what holds already, so that nothing has changed."""
    if old is None or new is None:
        return old is new
    return msgspec.structs.replace(old, since_ms=0) == msgspec.structs.replace(new, since_ms=0)


class Deciding:
    """What the caller decides for one friend alone. One for each server."""

    def __init__(self, changes: FriendChanges, clock: Clock) -> None:
        self._changes = changes
        self._clock = clock

    async def put(self, caller: Caller, person_id: str, wish: SharingWish) -> None:
        """Decide for this friend; said again, nothing changes. Raises LookupError, ValueError, PortError."""
        now_ms = self._clock.now_ms()
        await self._set(caller, person_id, decided(wish, now_ms), now_ms)

    async def clear(self, caller: Caller, person_id: str) -> None:
        """Decide nothing for this friend alone: groups and the default count again.

        Raises LookupError, PortError.
        """
        await self._set(caller, person_id, None, self._clock.now_ms())

    async def _set(self, caller: Caller, person_id: str, sharing: Sharing | None, now_ms: int) -> None:
        def work(transaction: Transaction, changed: set[str]) -> None:
            pair = {"owner_id": caller.person_id, "viewer_id": person_id}
            tie = store.ties_of(
                (row[0], *row[9:]) for row in transaction.execute(store.SELECT_TIE, pair)
            ).get(caller.person_id)
            if tie is None:
                raise LookupError(NO_FRIEND)
            if same(tie.sharing, sharing):
                return
            viewer = number_of(transaction, person_id)
            params = {"owner": caller.number, "viewer": viewer, "now_ms": now_ms}
            if sharing is None:
                transaction.execute(store.CLEAR_TIE, params)
            else:
                transaction.execute(store.SET_TIE, {**params, **store.sharing_params(sharing)})
            changed |= {caller.person_id, person_id}

        await self._changes.write(work)


def number_of(transaction: Transaction, person_id: str) -> int:
    """The key of a person. Raises LookupError."""
    rows = transaction.execute(store.SELECT_NUMBER, {"person_id": person_id})
    if not rows:
        raise LookupError(NO_FRIEND)
    return int(rows[0][0])


def friend_number(transaction: Transaction, caller: Caller, person_id: str) -> int:
    """The key of a friend of the caller's. Raises LookupError: whoever else it is, it is nobody here."""
    number = number_of(transaction, person_id)
    if not transaction.execute(store.ARE_FRIENDS, {"owner": caller.number, "viewer": number}):
        raise LookupError(NO_FRIEND)
    return number
