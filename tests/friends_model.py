"""What a friend may see, told a second time and slowly: the judge of every test of sharing.

Imports nothing of Majung. A `World` is one person and one friend of it; it keeps every decision with its
moment, so that what was visible at any moment can be asked afterwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

HIDDEN, PLAIN = 0, 99
"""Levels of sight: 0 nothing, 3 to 7 a cell of that precision, 99 the place itself."""


@dataclass(frozen=True)
class Decision:
    """`level` until `until_ms` (None: for good)."""

    level: int
    until_ms: int | None = None
    history: bool = False

    def holds(self, at_ms: int) -> bool:
        return self.until_ms is None or at_ms < self.until_ms


@dataclass(frozen=True)
class State:
    """All that a person decided that bears on one friend."""

    friends: bool = False
    default: Decision | None = None
    own: Decision | None = None
    groups: tuple[tuple[str, Decision | None], ...] = ()
    member_of: frozenset[str] = frozenset()
    ghost: bool = False
    ghost_until_ms: int | None = None

    def deciding(self, at_ms: int) -> Decision | None:
        """The decision that counts at that moment, ghost mode aside."""
        if self.own is not None and self.own.holds(at_ms):
            return self.own
        of_groups = [
            d for name, d in self.groups if name in self.member_of and d is not None and d.holds(at_ms)
        ]
        if of_groups:
            return sorted(of_groups, key=lambda d: (d.level, d.history))[0]
        return self.default if self.default is not None and self.default.holds(at_ms) else None

    def ghosted(self, at_ms: int) -> bool:
        return self.ghost and (self.ghost_until_ms is None or at_ms < self.ghost_until_ms)

    def level(self, at_ms: int) -> int:
        """What the friend sees live at that moment."""
        decision = self.deciding(at_ms)
        if not self.friends or self.ghosted(at_ms) or decision is None:
            return HIDDEN
        return decision.level

    def ends(self) -> Iterator[int]:
        """Moments at which something may change by itself."""
        member = [decision for name, decision in self.groups if name in self.member_of]
        for decision in (self.default, self.own, *member):
            if decision is not None and decision.until_ms is not None:
                yield decision.until_ms
        if self.ghost and self.ghost_until_ms is not None:
            yield self.ghost_until_ms


@dataclass
class World:
    """States in the order of time; the last one of a millisecond is the one of that millisecond."""

    changes: list[tuple[int, State]] = field(default_factory=lambda: [(0, State())])

    @property
    def now(self) -> State:
        return self.changes[-1][1]

    def change(self, at_ms: int, **fields: object) -> None:
        self.changes.append((at_ms, replace(self.now, **fields)))  # type: ignore[arg-type]

    def set_group(self, at_ms: int, name: str, decision: Decision | None) -> None:
        groups = dict(self.now.groups) | {name: decision}
        self.change(at_ms, groups=tuple(groups.items()))

    def at(self, at_ms: int) -> State:
        return [state for changed_ms, state in self.changes if changed_ms <= at_ms][-1]

    def level(self, at_ms: int) -> int:
        return self.at(at_ms).level(at_ms)

    def readable(self, now_ms: int, moment_ms: int) -> bool:
        """Whether history may show that moment now as precisely as the friend sees live now.

        Only if it was visible then at least as precisely. (A stricter answer is right as well.)
        """
        return HIDDEN < self.level(now_ms) <= self.level(moment_ms)
