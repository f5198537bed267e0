"""People, friendships, invitations, requests, blocks and groups: what holds, whoever comes first."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung.auth.limits import RateLimited
from majung.auth.model import Forbidden, Principal, Role
from majung.friends.consent import Mode
from majung.friends.erase import erase_named
from majung.friends.friendships import FriendsConflict
from majung.friends.groups import GroupChange, NewGroup
from majung.friends.invitations import InvitationOver
from majung.friends.me import ProfileChange, profile
from majung.friends.sharing import SharingWish
from majung.ports import Conflict
from tests.people_kit import BASE, Town, open_town

EXACT = SharingWish(Mode.EXACT, history=True)
OFF = SharingWish(Mode.OFF)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with open_town(tmp_path, max_friends=3, max_groups=2, max_invitations=4) as found:
        yield found


# ------------------------------------------------------------------------------------------- oneself


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.PERSON])
async def test_only_people_have_friends(town: Town, role: Role) -> None:
    with pytest.raises(Forbidden):
        await town.here.me.caller(Principal(f"{role}:mina", role, "person-stolen"))
    assert await town.rows("friend_person") == 0


async def test_a_person_is_made_once_and_shows_nothing(town: Town) -> None:
    principal = await town.principal("mina")
    first = await asyncio.gather(*(town.here.me.caller(principal) for _ in range(5)))
    assert len(set(map(str, first))) == 1 == await town.rows("friend_person")
    me = profile(first[0], town.clock.now_ms())
    assert (me.name, me.display_name, me.sharing.mode) == ("mina", "mina", Mode.OFF)
    assert me.radius_m == 8_046.72


async def test_who_was_revoked_is_made_no_person_by_a_remembered_token(town: Town) -> None:
    principal = await town.principal("mina")
    await town.kit.accounts.revoke_user("mina")
    with pytest.raises(Forbidden):
        await town.here.me.caller(principal)
    assert await town.rows("friend_person") == 0


async def test_a_name_that_an_administrator_gives_again_is_somebody_else(town: Town) -> None:
    old = await town.person("mina")
    joon = await town.person("joon")
    await town.befriend(old, joon)
    await town.kit.accounts.revoke_user("mina")
    new = await town.person("mina")
    assert new.person_id != old.person_id
    assert await town.here.people.friends_of(new.person_id) == []


@pytest.mark.parametrize("name", ["", " ", "\u200b", "a\u202eb", "a\x00b", "x" * 65, "\u3164"])
async def test_names_that_cannot_be_read_are_refused(town: Town, name: str) -> None:
    mina = await town.person("mina")
    with pytest.raises(ValueError):
        await town.here.me.change(mina, ProfileChange(display_name=name))


async def test_a_display_name_is_kept_in_one_line_and_composed(town: Town) -> None:
    mina = await town.person("mina")
    changed = await town.here.me.change(mina, ProfileChange(display_name=" 미나\n  김 "))
    assert changed.display_name == "미나 김"


async def test_ghost_mode_for_a_time_runs_out_by_itself(town: Town) -> None:
    mina = await town.person("mina")
    mina = await town.here.me.change(mina, ProfileChange(ghost_for="1h"))
    assert profile(mina, town.clock.now_ms()).ghost
    town.clock.advance(3601)
    assert not profile(mina, town.clock.now_ms()).ghost
    for wrong in (ProfileChange(ghost=False, ghost_for="1h"), ProfileChange(ghost_for="soon")):
        with pytest.raises(ValueError):
            await town.here.me.change(mina, wrong)
    with pytest.raises(ValueError):
        await town.here.me.change(mina, ProfileChange(ghost_until_ms=town.clock.now_ms()))


async def test_saying_again_what_holds_changes_nothing(town: Town) -> None:
    mina, joon = await town.person("mina"), await town.person("joon")
    await town.befriend(mina, joon)
    mina = await town.here.me.change(mina, ProfileChange(sharing=EXACT, ghost=False))
    await town.here.deciding.put(mina, joon.person_id, EXACT)
    before = await town.here.people.sees(joon.person_id, mina.person_id)
    town.told_here.clear()
    town.clock.advance(60)
    assert await town.here.me.change(mina, ProfileChange(sharing=EXACT, ghost=False)) == mina
    await town.here.deciding.put(mina, joon.person_id, EXACT)
    assert await town.here.people.sees(joon.person_id, mina.person_id) == before
    assert town.told_here == []


# --------------------------------------------------------------------------------------- invitations


async def test_an_invitation_makes_one_friendship_and_shows_nothing(town: Town) -> None:
    mina, joon = await town.person("mina"), await town.person("joon")
    made = await town.here.invitations.create(mina, BASE)
    assert made.url == f"https://ex.am/friends#/invite/{made.token}"
    assert (await town.here.invitations.who(joon, made.token)).name == "mina"
    assert await town.here.invitations.accept(joon, made.token) == mina.person_id
    assert await town.here.invitations.accept(joon, made.token) == mina.person_id, "done again: the same"
    for one, other in ((mina, joon), (joon, mina)):
        assert await town.here.people.friends_of(one.person_id) == [other.person_id]
        assert (await town.here.people.sees(one.person_id, other.person_id)).mode is Mode.OFF
    assert await town.here.invitations.all(mina) == []
    stored = str(await town.kit.database.read("SELECT * FROM friend_invitation"))
    assert made.token not in stored


async def test_of_two_who_accept_at_once_one_becomes_a_friend(town: Town) -> None:
    mina, joon, eve = [await town.person(name) for name in ("mina", "joon", "eve")]
    made = await town.here.invitations.create(mina, BASE)
    done = await asyncio.gather(
        town.here.invitations.accept(joon, made.token),
        town.there.invitations.accept(eve, made.token),
        return_exceptions=True,
    )
    assert sorted(map(type, done), key=str) == sorted([str, InvitationOver], key=str)
    assert len(await town.here.people.friends_of(mina.person_id)) == 1


async def test_a_used_invitation_does_not_bring_back_who_was_removed(town: Town) -> None:
    mina, joon = await town.person("mina"), await town.person("joon")
    made = await town.here.invitations.create(mina, BASE)
    await town.here.invitations.accept(joon, made.token)
    await town.here.friendships.remove(mina, joon.person_id)
    with pytest.raises(InvitationOver):
        await town.here.invitations.accept(joon, made.token)


async def test_invitations_end(town: Town) -> None:
    mina, joon = await town.person("mina"), await town.person("joon")
    taken_back, expired = [await town.here.invitations.create(mina, BASE) for _ in range(2)]
    await town.here.invitations.take_back(joon, taken_back.invitation_id)
    assert len(await town.here.invitations.all(mina)) == 2, "only its maker takes it back"
    await town.here.invitations.take_back(mina, taken_back.invitation_id)
    await town.here.invitations.take_back(mina, taken_back.invitation_id)
    with pytest.raises(LookupError):
        await town.here.invitations.accept(joon, taken_back.token)
    town.clock.advance(7 * 86400)
    with pytest.raises(InvitationOver):
        await town.here.invitations.accept(joon, expired.token)
    town.clock.advance(8 * 86400)
    await town.here.drop_old(town.clock.now_ms())
    assert await town.rows("friend_invitation") == 0


async def test_ones_own_invitation_and_wrong_tokens(town: Town) -> None:
    mina = await town.person("mina")
    made = await town.here.invitations.create(mina, BASE)
    with pytest.raises(ValueError, match="your own"):
        await town.here.invitations.accept(mina, made.token)
    for _ in range(30):
        with pytest.raises(LookupError):
            await town.here.invitations.accept(mina, made.token + "x")
    with pytest.raises(RateLimited):
        await town.here.invitations.who(mina, made.token)


async def test_bounds_of_invitations_and_friends(town: Town) -> None:
    mina = await town.person("mina")
    made = [await town.here.invitations.create(mina, BASE) for _ in range(4)]
    with pytest.raises(FriendsConflict):
        await town.here.invitations.create(mina, BASE)
    for number in range(3):
        await town.here.invitations.accept(await town.person(f"friend-{number}"), made[number].token)
    late = await town.person("late")
    with pytest.raises(FriendsConflict):
        await town.here.invitations.accept(late, made[3].token)
    assert await town.here.people.friends_of(late.person_id) == []


# ----------------------------------------------------------------------------------------- requests


async def test_a_request_is_answered_with_yes(town: Town) -> None:
    mina, joon = await town.person("mina"), await town.person("joon")
    for _ in range(2):
        await town.here.requests.ask(mina, "joon")
    asked = await town.here.requests.all(joon)
    assert [one.person_id for one in asked.incoming] == [mina.person_id]
    for _ in range(2):
        await town.here.requests.accept(joon, mina.person_id)
    assert await town.here.people.friends_of(joon.person_id) == [mina.person_id]
    assert await town.rows("friend_request") == 0


async def test_asking_who_asks_is_a_yes(town: Town) -> None:
    mina, joon = await town.person("mina"), await town.person("joon")
    await town.here.requests.ask(mina, "joon")
    await town.here.requests.ask(joon, "mina")
    assert await town.here.people.friends_of(joon.person_id) == [mina.person_id]


async def test_whoever_asks_cannot_tell_nobody_from_no(town: Town) -> None:
    """No such person, one who declines, and one who has blocked: the same to see, whatever one does."""
    mina, joon, eve = [await town.person(name) for name in ("mina", "joon", "eve")]
    await town.here.friendships.block(eve, mina.person_id)

    async def seen() -> list[str]:
        return sorted(one.name for one in (await town.here.requests.all(mina)).outgoing)

    names = ["eve", "joon", "nobody"]
    for name in names:
        await town.here.requests.ask(mina, name)
    assert await seen() == names
    await town.here.requests.decline(joon, mina.person_id)
    assert await seen() == names
    for one in (await town.here.requests.all(mina)).outgoing:
        await town.here.requests.take_back(mina, one.request_id)
    assert await seen() == []
    town.clock.advance(1)
    for name in names:
        await town.here.requests.ask(mina, name)
    assert await seen() == names
    assert {one.at_ms for one in (await town.here.requests.all(mina)).outgoing} == {town.clock.now_ms()}
    for person in (joon, eve):
        assert (await town.here.requests.all(person)).incoming == [], "a no stays a no"
        with pytest.raises(LookupError):
            await town.here.requests.accept(person, mina.person_id)


async def test_requests_end_after_a_month_and_are_bounded(town: Town) -> None:
    mina, joon = await town.person("mina"), await town.person("joon")
    for name in ("joon", "b", "c", "d"):
        await town.here.requests.ask(mina, name)
    await town.here.requests.ask(mina, "joon")
    with pytest.raises(FriendsConflict):
        await town.here.requests.ask(mina, "e")
    town.clock.advance(30 * 86400)
    assert (await town.here.requests.all(joon)).incoming == []
    with pytest.raises(LookupError):
        await town.here.requests.accept(joon, mina.person_id)
    await town.here.drop_old(town.clock.now_ms())
    assert await town.rows("friend_request") == 0


async def test_asking_is_rate_limited(town: Town) -> None:
    mina = await town.person("mina")
    with pytest.raises(ValueError, match="your own"):
        await town.here.requests.ask(mina, "mina")
    for _ in range(29):
        await town.here.requests.ask(mina, "nobody")
    with pytest.raises(RateLimited):
        await town.here.requests.ask(mina, "nobody")


# ------------------------------------------------------------------------------- removing and blocking


async def test_removing_and_blocking_end_both_ways_at_once(town: Town) -> None:
    mina, joon, eve = [await town.person(name) for name in ("mina", "joon", "eve")]
    for friend in (joon, eve):
        await town.befriend(mina, friend)
        await town.here.me.change(friend, ProfileChange(sharing=EXACT))
    await town.here.me.change(mina, ProfileChange(sharing=EXACT))
    group = await town.here.groups.create(mina, NewGroup("family", EXACT))
    await town.here.groups.add(mina, group.group_id, joon.person_id)
    await town.here.friendships.remove(mina, joon.person_id)
    await town.here.friendships.block(eve, mina.person_id)
    for friend in (joon, eve):
        assert (await town.here.people.sees(mina.person_id, friend.person_id)).mode is Mode.OFF
        assert (await town.here.people.sees(friend.person_id, mina.person_id)).mode is Mode.OFF
        assert await town.here.people.ties_to(friend.person_id) == {}
    assert await town.rows("friend_tie") == await town.rows("friend_member") == 0
    with pytest.raises(LookupError):
        await town.here.friendships.remove(mina, joon.person_id)


async def test_a_blocked_person_neither_asks_nor_accepts(town: Town) -> None:
    mina, eve = await town.person("mina"), await town.person("eve")
    made = await town.here.invitations.create(mina, BASE)
    back = await town.here.invitations.create(eve, BASE)
    for _ in range(2):
        await town.here.friendships.block(mina, eve.person_id)
    for call in (town.here.invitations.who, town.here.invitations.accept):
        with pytest.raises(InvitationOver):
            await call(eve, made.token)
    with pytest.raises(FriendsConflict, match="unblock"):
        await town.here.invitations.accept(mina, back.token)
    with pytest.raises(ValueError, match="unblock"):
        await town.here.requests.ask(mina, "eve")
    assert [one.name for one in await town.here.friendships.blocked(mina)] == ["eve"]
    for _ in range(2):
        await town.here.friendships.unblock(mina, eve.person_id)
    assert await town.here.invitations.accept(eve, made.token) == mina.person_id


async def test_who_blocks_while_the_other_accepts_is_no_friend(town: Town) -> None:
    for round_ in range(8):
        mina, eve = await town.person(f"mina-{round_}"), await town.person(f"eve-{round_}")
        made = await town.here.invitations.create(mina, BASE)
        works = [
            town.there.invitations.accept(eve, made.token),
            town.here.friendships.block(mina, eve.person_id),
        ]
        await asyncio.gather(*(works if round_ % 2 else reversed(works)), return_exceptions=True)
        assert await town.here.people.friends_of(mina.person_id) == []
        assert await town.here.people.friends_of(eve.person_id) == []


async def test_one_cannot_block_oneself_or_somebody_unknown(town: Town) -> None:
    mina = await town.person("mina")
    with pytest.raises(ValueError):
        await town.here.friendships.block(mina, mina.person_id)
    with pytest.raises(LookupError):
        await town.here.friendships.block(mina, "person-unknown")


# ------------------------------------------------------------------------------------------- deciding


async def test_groups_decide_and_are_forgotten(town: Town) -> None:
    mina, joon = await town.person("mina"), await town.person("joon")
    await town.befriend(mina, joon)
    await town.here.me.change(mina, ProfileChange(sharing=EXACT))

    async def seen() -> Mode:
        return (await town.here.people.sees(joon.person_id, mina.person_id)).mode

    one = await town.here.groups.create(mina, NewGroup("work", OFF))
    two = await town.here.groups.create(mina, NewGroup("club"))
    for group in (one, two, one):
        await town.here.groups.add(mina, group.group_id, joon.person_id)
    assert await seen() is Mode.OFF, "the least of all groups"
    await town.here.groups.change(mina, one.group_id, GroupChange(no_sharing=True))
    assert await seen() is Mode.EXACT
    await town.here.groups.change(mina, two.group_id, GroupChange("둘", SharingWish(Mode.BLURRED, 4)))
    assert await seen() is Mode.BLURRED
    for _ in range(2):
        await town.here.groups.take_out(mina, two.group_id, joon.person_id)
    assert await seen() is Mode.EXACT
    assert [(g.name, g.members) for g in await town.here.groups.all(mina)] == [
        ("work", [joon.person_id]),
        ("둘", []),
    ]
    for group in (one, two, one):
        await town.here.groups.delete(mina, group.group_id)
    assert await town.here.groups.all(mina) == []


async def test_groups_are_their_owners_alone_and_bounded(town: Town) -> None:
    mina, joon, eve = [await town.person(name) for name in ("mina", "joon", "eve")]
    await town.befriend(mina, joon)
    group = await town.here.groups.create(mina, NewGroup("family"))
    await town.here.groups.create(mina, NewGroup("work"))
    with pytest.raises(FriendsConflict):
        await town.here.groups.create(mina, NewGroup("club"))
    with pytest.raises(LookupError):
        await town.here.groups.add(mina, group.group_id, eve.person_id)
    with pytest.raises(LookupError):
        await town.here.groups.add(joon, group.group_id, mina.person_id)
    with pytest.raises(LookupError):
        await town.here.groups.change(joon, group.group_id, GroupChange("mine"))
    await town.here.groups.delete(joon, group.group_id)
    assert len(await town.here.groups.all(mina)) == 2


async def test_nothing_is_decided_for_strangers(town: Town) -> None:
    mina, eve = await town.person("mina"), await town.person("eve")
    for person_id in (eve.person_id, "person-unknown", mina.person_id):
        with pytest.raises(LookupError):
            await town.here.deciding.put(mina, person_id, EXACT)


@pytest.mark.parametrize(
    "wish",
    [
        SharingWish(Mode.EXACT, for_="0s"),
        SharingWish(Mode.EXACT, for_="often"),
        SharingWish(Mode.EXACT, for_="20y"),
        SharingWish(Mode.EXACT, until_ms=1),
        SharingWish(Mode.EXACT, for_="1h", until_ms=1_780_000_100_000),
    ],
)
async def test_an_end_that_makes_no_sense_is_refused(town: Town, wish: SharingWish) -> None:
    mina, joon = await town.person("mina"), await town.person("joon")
    await town.befriend(mina, joon)
    with pytest.raises(ValueError):
        await town.here.deciding.put(mina, joon.person_id, wish)


async def test_the_list_tells_both_sides_and_never_why_nothing_is_seen(town: Town) -> None:
    mina, joon = await town.person("mina"), await town.person("joon")
    await town.befriend(mina, joon)
    await town.here.deciding.put(mina, joon.person_id, SharingWish(Mode.EXACT, for_="1h"))
    (mine,), (his,) = [await town.here.friendships.all(person) for person in (mina, joon)]
    assert (mine.gives.mode, mine.gets.mode, mine.sharing and mine.sharing.mode) == ("exact", "off", "exact")
    assert (his.gets.mode, his.gets.until_ms) == ("exact", town.clock.now_ms() + 3_600_000)
    assert his.sharing is None
    await town.here.me.change(mina, ProfileChange(ghost_for="30m"))
    (ghost,) = await town.here.friendships.all(joon)
    await town.here.me.change(mina, ProfileChange(ghost=False))
    await town.here.deciding.put(mina, joon.person_id, OFF)
    (off,) = await town.here.friendships.all(joon)
    assert ghost.gets == off.gets


async def test_what_has_run_out_is_not_told(town: Town) -> None:
    mina, joon = await town.person("mina"), await town.person("joon")
    await town.befriend(mina, joon)
    hour = SharingWish(Mode.EXACT, for_="1h")
    await town.here.me.change(mina, ProfileChange(sharing=hour))
    await town.here.deciding.put(mina, joon.person_id, hour)
    await town.here.groups.create(mina, NewGroup("family", hour))

    async def told() -> list[Mode]:
        person = await town.here.people.person(mina.person_id)
        assert person is not None
        (friend,), (group,) = await town.here.friendships.all(mina), await town.here.groups.all(mina)
        sharings = (profile(person, town.clock.now_ms()).sharing, friend.sharing, group.sharing)
        return [sharing.mode if sharing else Mode.OFF for sharing in sharings]

    assert await told() == [Mode.EXACT] * 3
    town.clock.advance(3600)
    assert await told() == [Mode.OFF] * 3


# ------------------------------------------------------------------------------------------- changes


async def test_every_server_hears_whose_friendships_and_decisions_changed(town: Town) -> None:
    mina, joon = await town.person("mina"), await town.person("joon")
    both = sorted([mina.person_id, joon.person_id])
    await town.there.changes.look()
    town.told_here.clear()
    town.told_there.clear()
    await town.befriend(mina, joon)
    assert sorted(town.told_here) == both, "at once in the same process"
    await town.there.changes.look()
    await town.here.changes.look()
    assert sorted(town.told_there) == sorted(town.told_here) == both, "and once"
    await town.there.me.change(mina, ProfileChange(ghost=True))
    await town.here.changes.look()
    assert town.told_here[2:] == [mina.person_id]


async def test_who_was_away_too_long_hears_that_all_may_have_changed(town: Town) -> None:
    mina = await town.person("mina")
    await town.here.me.change(mina, ProfileChange(ghost=True))
    town.clock.advance(3600)
    await town.here.changes.drop_old(town.clock.now_ms())
    await town.here.me.change(mina, ProfileChange(ghost=False))
    await town.there.changes.look()
    assert town.told_there == [""]
    await town.there.changes.look()
    assert town.told_there == [""]


# ------------------------------------------------------------------------------------------- erasing


async def test_an_administrator_erases_a_person_and_nothing_else(town: Town) -> None:
    mina, joon, eve = [await town.person(name) for name in ("mina", "joon", "eve")]
    await town.befriend(mina, joon)
    await town.befriend(joon, eve)
    group = await town.here.groups.create(joon, NewGroup("club", EXACT))
    for friend in (mina, eve):
        await town.here.groups.add(joon, group.group_id, friend.person_id)
    await town.here.requests.ask(mina, "eve")
    await town.here.friendships.block(mina, eve.person_id)
    await town.here.invitations.create(mina, BASE)
    town.told_there.clear()
    database, clock, accounts = town.kit.database, town.clock, town.kit.accounts
    await erase_named(database, clock, accounts, "mina")
    await town.there.changes.look()
    assert {mina.person_id, joon.person_id} <= set(town.told_there)
    assert await town.here.people.friends_of(joon.person_id) == [eve.person_id]
    assert [group.members for group in await town.here.groups.all(joon)] == [[eve.person_id]]
    assert (await town.here.requests.all(eve)).incoming == []
    dump = [await database.read(f"SELECT * FROM friend_{table}") for table in TABLES]
    assert mina.person_id not in str(dump)
    assert "mina" not in str(dump)
    with pytest.raises(LookupError):
        await erase_named(database, clock, accounts, "mina")
    with pytest.raises(Conflict, match="not given again"):
        await accounts.add_user("mina", Role.ADMIN)
    await accounts.add_user("boss", Role.OPERATOR)
    with pytest.raises(ValueError):
        await erase_named(database, clock, accounts, "boss")


TABLES = ("person", "tie", "group", "member", "invitation", "request", "block")
