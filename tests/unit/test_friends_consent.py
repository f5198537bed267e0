"""Who sees what of a person: the written table, and a judge that knows nothing of the code."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from majung.friends import consent
from majung.friends.consent import Mode, Owner, Seen, Sharing, Tie, seen
from tests.friends_model import HIDDEN, PLAIN, Decision, World

NOW = 1_000
PAST, COMING = NOW - 100, NOW + 100
OFF = Sharing(Mode.OFF, since_ms=10)
EXACT = Sharing(Mode.EXACT, since_ms=20)
KEPT = Sharing(Mode.EXACT, history=True, since_ms=30)
CITY, STREET = (Sharing(Mode.BLURRED, p, since_ms=40) for p in (4, 6))
CITY_KEPT = Sharing(Mode.BLURRED, 4, history=True, since_ms=50)


def until(sharing: Sharing, until_ms: int) -> Sharing:
    return msgspec.structs.replace(sharing, until_ms=until_ms)


def own(sharing: Sharing, changed_ms: int = 5) -> Tie:
    return Tie(sharing, changed_ms=changed_ms)


def groups(*sharings: Sharing) -> Tie:
    return Tie(None, sharings, 5)


def everybody(sharing: Sharing) -> Owner:
    return Owner("person-a", sharing)


def ghost(until_ms: int | None, sharing: Sharing = KEPT) -> Owner:
    return Owner("person-a", sharing, True, until_ms, 60)


FRIENDS = Tie(changed_ms=5)
SILENT = Owner("person-a")
NOBODY = Seen(Mode.OFF)


def hidden_until(until_ms: int) -> Seen:
    return Seen(Mode.OFF, until_ms=until_ms)


# What was decided; what the friend sees; from when on it may read back; when it may change by itself.
TABLE: dict[str, tuple[Owner, Tie | None, Seen]] = {
    "no friends, whatever is decided": (everybody(KEPT), None, NOBODY),
    "no friends, in ghost mode with an end": (ghost(COMING), None, NOBODY),
    "friends, nobody decided": (SILENT, FRIENDS, NOBODY),
    # for everybody
    "everybody: off": (everybody(OFF), FRIENDS, NOBODY),
    "everybody: exact, live alone": (everybody(EXACT), FRIENDS, Seen(Mode.EXACT)),
    "everybody: exact with history": (everybody(KEPT), FRIENDS, Seen(Mode.EXACT, 0, 30)),
    "everybody: a cell, live alone": (everybody(STREET), FRIENDS, Seen(Mode.BLURRED, 6)),
    "everybody: a cell with history": (everybody(CITY_KEPT), FRIENDS, Seen(Mode.BLURRED, 4, 50)),
    "everybody: until later": (everybody(until(KEPT, COMING)), FRIENDS, Seen(Mode.EXACT, 0, 30, COMING)),
    "everybody: it has passed": (everybody(until(KEPT, PAST)), FRIENDS, NOBODY),
    "everybody: it passes now": (everybody(until(KEPT, NOW)), FRIENDS, NOBODY),
    "everybody: off until later": (everybody(until(OFF, COMING)), FRIENDS, hidden_until(COMING)),
    "friends after it was decided": (everybody(KEPT), Tie(changed_ms=70), Seen(Mode.EXACT, 0, 70)),
    # by group
    "group over everybody, wider": (everybody(OFF), groups(EXACT), Seen(Mode.EXACT)),
    "group over everybody, narrower": (everybody(KEPT), groups(OFF), NOBODY),
    "group's history begins with it": (everybody(OFF), groups(KEPT), Seen(Mode.EXACT, 0, 30)),
    "two groups: off is the most private": (everybody(KEPT), groups(EXACT, OFF), NOBODY),
    "two groups: the larger cell": (everybody(KEPT), groups(STREET, CITY, EXACT), Seen(Mode.BLURRED, 4)),
    "two groups: without history first": (SILENT, groups(CITY_KEPT, CITY), Seen(Mode.BLURRED, 4)),
    "two groups: exact, without history first": (SILENT, groups(KEPT, EXACT), Seen(Mode.EXACT)),
    "two groups: history from the later one": (
        SILENT,
        groups(CITY_KEPT, msgspec.structs.replace(KEPT, since_ms=90)),
        Seen(Mode.BLURRED, 4, 90),
    ),
    "two groups: the private one has passed": (
        SILENT,
        groups(KEPT, until(OFF, PAST)),
        Seen(Mode.EXACT, 0, PAST),
    ),
    "two groups: the private one will pass": (SILENT, groups(KEPT, until(OFF, COMING)), hidden_until(COMING)),
    "all groups have passed: everybody's": (
        everybody(CITY_KEPT),
        groups(until(EXACT, PAST)),
        Seen(Mode.BLURRED, 4, PAST),
    ),
    "group until later": (everybody(OFF), groups(until(KEPT, COMING)), Seen(Mode.EXACT, 0, 30, COMING)),
    # for this friend
    "own over group and everybody, narrower": (everybody(KEPT), Tie(OFF, (KEPT,), 5), NOBODY),
    "own over group and everybody, wider": (everybody(OFF), Tie(KEPT, (OFF,), 5), Seen(Mode.EXACT, 0, 30)),
    "own: a cell": (everybody(KEPT), own(STREET), Seen(Mode.BLURRED, 6)),
    "own: made when the tie changed": (SILENT, own(KEPT, 80), Seen(Mode.EXACT, 0, 80)),
    "own until later": (everybody(OFF), own(until(KEPT, COMING)), Seen(Mode.EXACT, 0, 30, COMING)),
    "own has passed: the group's": (
        everybody(OFF),
        Tie(until(EXACT, PAST), (CITY_KEPT,), 5),
        Seen(Mode.BLURRED, 4, PAST),
    ),
    "own has passed: everybody's": (everybody(KEPT), own(until(OFF, PAST)), Seen(Mode.EXACT, 0, PAST)),
    "own has passed: nothing is left": (everybody(OFF), own(until(KEPT, PAST)), NOBODY),
    "own off until later": (everybody(KEPT), own(until(OFF, COMING)), hidden_until(COMING)),
    "the first of several ends": (
        everybody(until(OFF, COMING + 50)),
        Tie(until(KEPT, COMING + 9), (until(OFF, COMING),), 5),
        Seen(Mode.EXACT, 0, 30, COMING),
    ),
    # ghost mode
    "ghost for good": (ghost(None), FRIENDS, NOBODY),
    "ghost over an own decision": (ghost(None), own(KEPT), NOBODY),
    "ghost until later": (ghost(COMING), own(KEPT), hidden_until(COMING)),
    "ghost has passed": (ghost(PAST), FRIENDS, Seen(Mode.EXACT, 0, PAST)),
    "ghost passes now": (ghost(NOW), FRIENDS, Seen(Mode.EXACT, 0, NOW)),
    "ghost was taken back": (
        Owner("person-a", KEPT, False, None, 600),
        FRIENDS,
        Seen(Mode.EXACT, 0, 600),
    ),
    "ghost for good, a decision ends": (ghost(None), own(until(KEPT, COMING)), hidden_until(COMING)),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_table(case: str) -> None:
    owner, tie, expected = TABLE[case]
    assert seen(owner, tie, NOW) == expected


# --------------------------------------------------------------------------------- a whole life of decisions


@dataclass
class Life:
    """The same decisions, kept as the store keeps them (`Owner`, `Tie`) and as the judge does (`World`)."""

    world: World = field(default_factory=World)
    owner: Owner = field(default_factory=lambda: Owner("person-a"))
    friends: bool = False
    own: Sharing | None = None
    groups: dict[str, Sharing | None] = field(default_factory=dict)
    member_of: set[str] = field(default_factory=set)
    changed_ms: int = 0

    @property
    def tie(self) -> Tie | None:
        decided = tuple(s for name in sorted(self.member_of) if (s := self.groups.get(name)) is not None)
        return Tie(self.own, decided, self.changed_ms) if self.friends else None

    def do(self, what: str, at_ms: int, decision: Decision | None, group: str) -> None:
        sharing = None if decision is None else as_sharing(decision, at_ms)
        match what:
            case "befriend":
                # What was decided for somebody who was a friend once is forgotten.
                self.friends, self.own, self.member_of, self.changed_ms = True, None, set(), at_ms
                self.world.change(at_ms, friends=True, own=None, member_of=frozenset())
            case "remove":
                self.friends = False
                self.world.change(at_ms, friends=False)
            case "default":
                self.owner = msgspec.structs.replace(self.owner, sharing=sharing or Sharing(since_ms=at_ms))
                self.world.change(at_ms, default=decision)
            case "own":
                self.own, self.changed_ms = sharing, at_ms
                self.world.change(at_ms, own=decision)
            case "group":
                self.groups[group] = sharing
                if group in self.member_of:
                    self.changed_ms = at_ms
                self.world.set_group(at_ms, group, decision)
            case "join" | "leave":
                (self.member_of.add if what == "join" else self.member_of.discard)(group)
                self.changed_ms = at_ms
                self.world.change(at_ms, member_of=frozenset(self.member_of))
            case "ghost" | "seen again":
                until_ms = decision.until_ms if decision is not None and what == "ghost" else None
                self.owner = msgspec.structs.replace(
                    self.owner, ghost=what == "ghost", ghost_until_ms=until_ms, changed_ms=at_ms
                )
                self.world.change(at_ms, ghost=what == "ghost", ghost_until_ms=until_ms)


def as_sharing(decision: Decision, at_ms: int) -> Sharing:
    modes = {HIDDEN: Mode.OFF, PLAIN: Mode.EXACT}
    mode = modes.get(decision.level, Mode.BLURRED)
    precision = decision.level if mode is Mode.BLURRED else 5
    return Sharing(mode, precision, decision.until_ms, decision.history, at_ms)


def level(answer: Seen) -> int:
    return {Mode.OFF: HIDDEN, Mode.EXACT: PLAIN}.get(answer.mode, answer.precision)


Ask = Callable[[Owner, Tie | None, int], Seen]
Step = tuple[str, int, Decision | None, str]
DOINGS = ("befriend", "remove", "default", "own", "group", "join", "leave", "ghost", "seen again")
AFTER = 40
"""So long after the last decision every answer is asked for; ends lie up to 30 ms ahead."""

decisions = st.builds(
    Decision, st.sampled_from([0, 3, 5, 7, 99]), st.none() | st.integers(-5, 30), st.booleans()
)
steps = st.tuples(
    st.sampled_from(DOINGS), st.integers(0, 8), st.none() | decisions, st.sampled_from(["work", "home"])
)


def live(script: list[Step], ask: Ask) -> int:
    """Live through the script, asking at every millisecond; how many moments could be read back in all."""
    life, now_ms, read = Life(), 0, 0
    life.do("befriend", 0, None, "")
    for what, wait_ms, decision, group in [*script, ("", AFTER, None, "")]:
        for at_ms in range(now_ms, now_ms + wait_ms):
            read += look(life, at_ms, ask)
        now_ms += wait_ms
        if decision is not None and decision.until_ms is not None:
            decision = Decision(decision.level, now_ms + decision.until_ms, decision.history)
        life.do(what, now_ms, decision, group)
    return read


def look(life: Life, now_ms: int, ask: Ask) -> int:
    """One question, judged."""
    answer = ask(life.owner, life.tie, now_ms)
    assert level(answer) == life.world.level(now_ms)
    if answer.until_ms is not None:
        assert answer.until_ms > now_ms
    last_ms = now_ms + AFTER if answer.until_ms is None else answer.until_ms - 1
    for later_ms in range(now_ms, last_ms + 1):
        assert ask(life.owner, life.tie, later_ms) == answer, "nothing changes before until_ms"
    if answer.history_from_ms is None:
        return 0
    decision = life.world.at(now_ms).deciding(now_ms)
    assert decision is not None
    assert decision.history
    for moment_ms in range(answer.history_from_ms, now_ms + 1):
        assert life.world.readable(now_ms, moment_ms), f"{moment_ms} may not be read at {now_ms}"
    return now_ms + 1 - answer.history_from_ms


@given(st.lists(steps, max_size=12))
@settings(max_examples=200, deadline=None)
def test_whatever_is_decided_history_shows_nothing_that_was_hidden(script: list[Step]) -> None:
    live(script, seen)


def random_script(rng: random.Random) -> list[Step]:
    def decision() -> Decision | None:
        until_ms = rng.choice([None, None, rng.randint(-5, 30)])
        return rng.choice(
            [None, *[Decision(rng.choice([0, 3, 5, 7, 99]), until_ms, rng.random() < 0.7) for _ in range(5)]]
        )

    begin: list[Step] = [("join", 1, None, name) for name in ("work", "home")]
    return begin + [
        (rng.choice(DOINGS), rng.randint(0, 8), decision(), rng.choice(["work", "home"])) for _ in range(12)
    ]


SCRIPTS = [random_script(random.Random(seed)) for seed in range(300)]


def test_the_scripts_do_read_something_back() -> None:
    assert sum(live(script, seen) for script in SCRIPTS[:100]) > 1_000


# ------------------------------------------------------------------------------------ judging the judge


def forget(**kept: object) -> Ask:
    """`seen` as it would be without one of the things that it reckons with."""

    def ask(owner: Owner, tie: Tie | None, now_ms: int) -> Seen:
        return seen(msgspec.structs.replace(owner, **kept), tie, now_ms)

    return ask


def forget_of_tie(**kept: object) -> Ask:
    def ask(owner: Owner, tie: Tie | None, now_ms: int) -> Seen:
        return seen(owner, None if tie is None else msgspec.structs.replace(tie, **kept), now_ms)

    return ask


def forget_what_has_passed(owner: Owner, tie: Tie | None, now_ms: int) -> Seen:
    """History that goes on across an end."""
    answer = seen(owner, tie, now_ms)
    if answer.history_from_ms is None or tie is None:
        return answer
    since = [owner.changed_ms, owner.sharing.since_ms, tie.changed_ms, *[g.since_ms for g in tie.groups]]
    return msgspec.structs.replace(answer, history_from_ms=max(since))


def forget_the_first_end(owner: Owner, tie: Tie | None, now_ms: int) -> Seen:
    """The last end instead of the first."""
    answer = seen(owner, tie, now_ms)
    if tie is None or answer.until_ms is None:
        return answer
    return msgspec.structs.replace(answer, until_ms=max(consent._ends(owner, tie)))


def wake_a_millisecond_early(owner: Owner, tie: Tie | None, now_ms: int) -> Seen:
    """An end that counts one millisecond too soon."""
    return seen(owner, tie, now_ms + 1)


def take_the_most_open_group(owner: Owner, tie: Tie | None, now_ms: int) -> Seen:
    if tie is None or len(tie.groups) < 2:
        return seen(owner, tie, now_ms)
    group = max(tie.groups, key=consent._openness)
    return seen(owner, msgspec.structs.replace(tie, groups=(group,)), now_ms)


PLANTED: dict[str, Ask] = {
    "ghost mode is not looked at": forget(ghost=False),
    "history over a time as a ghost": forget(changed_ms=0),
    "ghost mode never ends": forget(ghost_until_ms=None),
    "history from before they were friends": forget_of_tie(changed_ms=0),
    "groups are not looked at": forget_of_tie(groups=()),
    "own decisions are not looked at": forget_of_tie(sharing=None),
    "history across an end": forget_what_has_passed,
    "the last end": forget_the_first_end,
    "an end too early": wake_a_millisecond_early,
    "the most open group": take_the_most_open_group,
}


@pytest.mark.parametrize("fault", PLANTED)
def test_the_judge_finds_what_was_planted(fault: str) -> None:
    with pytest.raises(AssertionError):
        for script in SCRIPTS:
            live(script, PLANTED[fault])
