"""The same lives of decisions through the database: what is stored says what the judge says."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung.clock import ManualClock
from majung.compose import open_services
from majung.friends import bulk, store
from majung.friends.consent import Sharing
from majung.friends.groups import GroupChange, NewGroup
from majung.friends.me import ProfileChange
from majung.friends.model import Caller
from majung.friends.service import Friends
from majung.friends.sharing import SharingWish
from majung.ports import Database
from majung.settings import Settings
from tests.friends_model import HIDDEN, PLAIN, Decision, World
from tests.unit.test_friends_consent import DOINGS, Step, as_sharing, level

LIVES = 40


class Kept:
    """One life in the database: a person, and the friend who asks."""

    def __init__(self, database: Database, friends: Friends, clock: ManualClock, number: int) -> None:
        self.database, self.friends, self.clock = database, friends, clock
        self.owner_id, self.viewer_id = f"person-owner-{number}", f"person-viewer-{number}"
        self.groups: dict[str, str] = {}
        self.world = World([(clock.now_ms(), World().now)])

    async def begin(self) -> None:
        names = [(id_, id_.removeprefix("person-")) for id_ in (self.owner_id, self.viewer_id)]
        self.numbers = await bulk.add_people(self.database, names, Sharing(), 1_000.0, self.clock.now_ms())
        await self.befriend()
        for name in ("work", "home"):
            made = await self.friends.groups.create(await self.me(), NewGroup(name))
            self.groups[name] = made.group_id

    async def me(self) -> Caller:
        found = await self.friends.people.person(self.owner_id)
        assert found is not None
        return found

    async def befriend(self) -> None:
        if not await self.database.read(
            store.ARE_FRIENDS, {"owner": self.numbers[0], "viewer": self.numbers[1]}
        ):
            await bulk.add_friendships(
                self.database, [(self.numbers[0], self.numbers[1])], self.clock.now_ms()
            )
            self.world.change(self.clock.now_ms(), friends=True, own=None, member_of=frozenset())

    async def do(self, what: str, decision: Decision | None, group: str) -> None:
        """One decision of the owner; those that the doors refuse change nothing."""
        now_ms, me, friends = self.clock.now_ms(), await self.me(), self.friends
        wish = None if decision is None else as_wish(decision)
        group_id = self.groups[group]
        try:
            match what:
                case "befriend":
                    await self.befriend()
                case "remove":
                    await friends.friendships.remove(me, self.viewer_id)
                    self.world.change(now_ms, friends=False)
                case "default" if wish is not None:
                    await friends.me.change(me, ProfileChange(sharing=wish))
                    self.world.change(now_ms, default=decision)
                case "own" if wish is not None:
                    await friends.deciding.put(me, self.viewer_id, wish)
                    self.world.change(now_ms, own=decision)
                case "own":
                    await friends.deciding.clear(me, self.viewer_id)
                    self.world.change(now_ms, own=None)
                case "group":
                    await friends.groups.change(
                        me, group_id, GroupChange(sharing=wish, no_sharing=wish is None)
                    )
                    self.world.set_group(now_ms, group, decision)
                case "join":
                    await friends.groups.add(me, group_id, self.viewer_id)
                    self.world.change(now_ms, member_of=self.world.now.member_of | {group})
                case "leave":
                    await friends.groups.take_out(me, group_id, self.viewer_id)
                    self.world.change(now_ms, member_of=self.world.now.member_of - {group})
                case "ghost":
                    until_ms = decision.until_ms if decision is not None else None
                    await friends.me.change(me, ProfileChange(ghost=True, ghost_until_ms=until_ms))
                    self.world.change(now_ms, ghost=True, ghost_until_ms=until_ms)
                case "seen again":
                    await friends.me.change(me, ProfileChange(ghost=False))
                    self.world.change(now_ms, ghost=False, ghost_until_ms=None)
        except (LookupError, ValueError):  # no friends now; an end that has passed
            pass

    async def look(self) -> int:
        """Every way of asking gives the same, and it is right; how many moments can be read back."""
        people, now_ms = self.friends.people, self.clock.now_ms()
        answer = await people.sees(self.viewer_id, self.owner_id)
        assert level(answer) == self.world.level(now_ms)
        to, from_ = await people.ties_to(self.viewer_id), await people.ties_from(self.owner_id)
        assert (self.owner_id in to) == (self.viewer_id in from_) == self.world.now.friends
        if self.world.now.friends:
            assert to[self.owner_id] == (await people.owner(self.owner_id), from_[self.viewer_id])
        if answer.history_from_ms is None:
            return 0
        for moment_ms in range(answer.history_from_ms, now_ms + 1):
            assert self.world.readable(now_ms, moment_ms), f"{moment_ms} may not be read at {now_ms}"
        return now_ms + 1 - answer.history_from_ms


def as_wish(decision: Decision) -> SharingWish:
    sharing = as_sharing(decision, 0)
    return SharingWish(sharing.mode, sharing.precision, "", sharing.until_ms, sharing.history)


def script(rng: random.Random) -> list[Step]:
    steps: list[Step] = [("join", 1, None, "work"), ("join", 0, None, "home")]
    for _ in range(14):
        until_ms = rng.choice([None, None, rng.randint(1, 30)])
        level = rng.choice([HIDDEN, 3, 5, 7, PLAIN])
        decision = rng.choice([None, *[Decision(level, until_ms, rng.random() < 0.7)] * 5])
        steps.append((rng.choice(DOINGS), rng.randint(0, 8), decision, rng.choice(["work", "home"])))
    return steps


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[tuple[Database, Friends, ManualClock]]:
    clock = ManualClock()
    async with open_services(Settings(data=tmp_path), clock) as services:
        yield services.database, services.friends, clock


async def test_what_is_stored_is_what_was_decided(kept: tuple[Database, Friends, ManualClock]) -> None:
    read = 0
    for number in range(LIVES):
        clock = kept[2]
        life = Kept(*kept, number)
        await life.begin()
        for what, wait_ms, decision, group in [*script(random.Random(number)), ("", 40, None, "work")]:
            for _ in range(wait_ms):
                read += await life.look()
                clock.advance(0.001)
            if decision is not None and decision.until_ms is not None:
                until_ms = clock.now_ms() + decision.until_ms
                decision = Decision(decision.level, until_ms, decision.history)
            await life.do(what, decision, group)
    assert read > 500
