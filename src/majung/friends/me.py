"""Who the caller is among friends: names, radius, what all friends see, ghost mode."""

import unicodedata
from typing import Annotated, Any

import msgspec

from majung.auth.model import Forbidden, Principal
from majung.auth.policy import Action, Policy
from majung.clock import Clock
from majung.friends import store
from majung.friends.changes import FriendChanges
from majung.friends.consent import Sharing, holds
from majung.friends.model import Caller, Profile
from majung.friends.people import People
from majung.friends.sharing import For, Moment, SharingWish, decided, end_of, same
from majung.ports import Transaction
from majung.settings import FriendsSettings
from majung.text import check_text

MAX_NAME_CHARS = 64
MAX_RADIUS_M = 500_000.0
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"  # letters and signs by category, and empty to look at


class ProfileChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to change; what is not given stays.

    `ghost`: nobody sees anything, until it is switched off, for a time (`ghost_for`: `1h`) or until
    `ghost_until_ms`. `sharing`: what friends see for whom nothing else was decided.
    """

    display_name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)] | None = None
    radius_m: Annotated[float, msgspec.Meta(gt=0, le=MAX_RADIUS_M)] | None = None
    ghost: bool | None = None
    ghost_for: For = ""
    ghost_until_ms: Moment | None = None
    sharing: SharingWish | None = None


def checked_name(what: str, name: str) -> str:
    """A name that people write for people: in one line, to be seen, composed (NFC). Raises ValueError."""
    check_text(what, name)
    name = unicodedata.normalize("NFC", " ".join(name.split()))
    if not 1 <= len(name) <= MAX_NAME_CHARS:
        raise ValueError(f"{what}: 1 to {MAX_NAME_CHARS} characters")
    if not any(unicodedata.category(char)[0] in "LNPS" and char not in _BLANK for char in name):
        raise ValueError(f"{what}: nothing of it can be seen")
    return name


class Me:
    """The caller's own person. One for each server."""

    def __init__(
        self, people: People, changes: FriendChanges, policy: Policy, clock: Clock, settings: FriendsSettings
    ) -> None:
        self._people = people
        self._changes = changes
        self._policy = policy
        self._clock = clock
        self._settings = settings

    async def caller(self, principal: Principal) -> Caller:
        """Whoever calls, made a person at the first call. Raises Forbidden (no person), PortError."""
        self._policy.allow(principal, Action.FRIENDS)
        person = await self._people.person(principal.rider_id)
        return person or await self._made(principal.rider_id)

    async def _made(self, person_id: str) -> Caller:
        now_ms = self._clock.now_ms()

        def work(transaction: Transaction, changed: set[str]) -> Caller:
            there = transaction.execute(store.SELECT_PERSON, {"person_id": person_id})
            if there:
                return store.caller_of(there[0])
            named = transaction.execute(store.SELECT_ACCOUNT_NAME, {"person_id": person_id})
            if not named:
                raise Forbidden("this account is no more")
            row = {
                "number": transaction.execute(store.NEXT_NUMBER)[0][0],
                "person_id": person_id,
                "display_name": named[0][0],
                "radius_m": self._settings.radius_m,
                "now_ms": now_ms,
            }
            transaction.execute(store.FREE_NAME, {"name": named[0][0], "person_id": person_id})
            transaction.execute(store.INSERT_PERSON, row)
            changed.add(person_id)
            return store.caller_of(transaction.execute(store.SELECT_PERSON, {"person_id": person_id})[0])

        return await self._changes.write(work)

    async def change(self, caller: Caller, change: ProfileChange) -> Caller:
        """Change what is given, all or nothing. Raises ValueError, PortError."""
        now_ms = self._clock.now_ms()
        name = checked_name("display_name", change.display_name) if change.display_name is not None else ""
        ghost = _ghost(change, now_ms)
        sharing = decided(change.sharing, now_ms) if change.sharing else None

        def work(transaction: Transaction, changed: set[str]) -> Caller:
            found = transaction.execute(store.SELECT_PERSON, {"person_id": caller.person_id})
            if not found:
                raise Forbidden("this account is no more")
            old = store.caller_of(found[0])
            number: dict[str, Any] = {"number": old.number, "now_ms": now_ms}
            if name and name != old.display_name:
                transaction.execute(store.SET_DISPLAY_NAME, {**number, "display_name": name})
            if change.radius_m is not None:
                transaction.execute(store.SET_RADIUS, {**number, "radius_m": change.radius_m})
            if ghost is not None and (ghost["ghost"], ghost["ghost_until_ms"]) != (
                int(old.owner.ghost),
                old.owner.ghost_until_ms,
            ):
                transaction.execute(store.SET_GHOST, {**number, **ghost})
            if sharing is not None and not same(old.owner.sharing, sharing):
                transaction.execute(store.SET_DEFAULT, {**number, **store.sharing_params(sharing)})
            new = store.caller_of(
                transaction.execute(store.SELECT_PERSON, {"person_id": caller.person_id})[0]
            )
            if new != old:
                changed.add(caller.person_id)
            return new

        return await self._changes.write(work)


def profile(caller: Caller, now_ms: int) -> Profile:
    """The caller as it sees itself; what has run out is not told."""
    owner = caller.owner
    ghost = owner.ghost and (owner.ghost_until_ms is None or owner.ghost_until_ms > now_ms)
    return Profile(
        caller.person_id,
        caller.name,
        caller.display_name,
        caller.radius_m,
        owner.sharing if holds(owner.sharing, now_ms) else Sharing(since_ms=owner.sharing.until_ms or 0),
        ghost,
        owner.ghost_until_ms if ghost else None,
    )


def _ghost(change: ProfileChange, now_ms: int) -> dict[str, Any] | None:
    """What to set; None: ghost mode stays as it is. Raises ValueError."""
    until_ms = end_of(change.ghost_for, change.ghost_until_ms, now_ms)
    if change.ghost is False and until_ms is not None:
        raise ValueError("ghost: false has no end")
    if change.ghost is None and until_ms is None:
        return None
    return {"ghost": int(change.ghost is not False), "ghost_until_ms": until_ms}
