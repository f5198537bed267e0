"""What a viewer may see of a person now: the one function that every read path asks.

The most specific decision counts: ghost mode over everything; then what was decided for this friend; then
the groups that the friend is in (the most private of them); then what was decided for all friends. A decision
with an end that has passed counts no more, and the next one speaks. Nobody decided: nothing is seen.

History goes back to the last change of any of these, never beyond: what was hidden once stays hidden.
"""

from enum import StrEnum

import msgspec

MIN_PRECISION, MAX_PRECISION = 3, 7
"""Characters of a geohash cell: 3 is 156 km wide, 4 is 39 km, 5 is 4.9 km, 6 is 1.2 km, 7 is 153 m."""


class Mode(StrEnum):
    """How much of a position is shown."""

    OFF = "off"
    BLURRED = "blurred"
    EXACT = "exact"


class Sharing(msgspec.Struct, frozen=True):
    """One decision: how, until when, with or without history; `since_ms` is when it was made."""

    mode: Mode = Mode.OFF
    precision: int = 5
    until_ms: int | None = None
    history: bool = False
    since_ms: int = 0


class Owner(msgspec.Struct, frozen=True):
    """What a person decided for everybody. `changed_ms`: when ghost mode was last switched."""

    person_id: str
    sharing: Sharing = Sharing()
    ghost: bool = False
    ghost_until_ms: int | None = None
    changed_ms: int = 0


class Tie(msgspec.Struct, frozen=True):
    """What a person decided for one friend: itself, and by groups (with the decision of each that has one).

    `changed_ms`: when they became friends, when the friend's own decision was made or cleared, or when the
    friend was put into a group or taken out of one, whichever came last.
    """

    sharing: Sharing | None = None
    groups: tuple[Sharing, ...] = ()
    changed_ms: int = 0


class Seen(msgspec.Struct, frozen=True):
    """The answer. `history_from_ms` None: no history. `until_ms`: it may change by itself then; None: never."""

    mode: Mode
    precision: int = 0
    history_from_ms: int | None = None
    until_ms: int | None = None


NOTHING = Seen(Mode.OFF)


def seen(owner: Owner, tie: Tie | None, now_ms: int) -> Seen:
    """What the friend behind `tie` sees of `owner`; without a tie (no friends, or blocked) nothing."""
    if tie is None:
        return NOTHING
    ends = _ends(owner, tie)
    until_ms = min((end for end in ends if end > now_ms), default=None)
    if owner.ghost and (owner.ghost_until_ms is None or owner.ghost_until_ms > now_ms):
        return Seen(Mode.OFF, until_ms=until_ms)
    decision = _decision(owner, tie, now_ms)
    if decision.mode is Mode.OFF:
        return Seen(Mode.OFF, until_ms=until_ms)
    changes = [owner.changed_ms, owner.sharing.since_ms, tie.changed_ms, decision.since_ms]
    changes += [group.since_ms for group in tie.groups]
    changes += [end for end in ends if end <= now_ms]
    return Seen(
        decision.mode,
        decision.precision if decision.mode is Mode.BLURRED else 0,
        max(changes) if decision.history else None,
        until_ms,
    )


def _ends(owner: Owner, tie: Tie) -> list[int]:
    """When each decision ends, or ended."""
    decisions = [owner.sharing, *tie.groups, *([tie.sharing] if tie.sharing else [])]
    found = [decision.until_ms for decision in decisions if decision.until_ms is not None]
    if owner.ghost and owner.ghost_until_ms is not None:
        found.append(owner.ghost_until_ms)
    return found


def holds(decision: Sharing, now_ms: int) -> bool:
    """Whether the end of this decision, if it has one, is still to come."""
    return decision.until_ms is None or decision.until_ms > now_ms


def _decision(owner: Owner, tie: Tie, now_ms: int) -> Sharing:
    """The one that counts now."""
    if tie.sharing is not None and holds(tie.sharing, now_ms):
        return tie.sharing
    groups = [group for group in tie.groups if holds(group, now_ms)]
    if groups:
        return min(groups, key=_openness)
    return owner.sharing if holds(owner.sharing, now_ms) else Sharing()


def _openness(decision: Sharing) -> tuple[int, int, bool]:
    """Less is more private: off, the larger cell, the smaller cell, the place itself; without history first."""
    rank = {Mode.OFF: 0, Mode.BLURRED: 1, Mode.EXACT: 2}[decision.mode]
    return rank, decision.precision if decision.mode is Mode.BLURRED else 0, decision.history
