"""Who may do what: every role × every action, and which riders each may see."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung.auth import policy as policy_module
from majung.auth import store
from majung.auth.model import Forbidden, Principal, Role
from majung.auth.policy import RIDES, TABLE, Action, Policy, may, may_report
from tests.auth_kit import PASSWORD, Kit, open_kit

# Written out by hand, so that a slip in the table is a difference and not a new truth.
EXPECTED = """
                   admin operator viewer gateway device customer rider store person share
report_own           x       .       .      x       x       .      x     .     x     .
report_any           x       .       .      x       .       .      .     .     .     .
read_riders          x       x       x      .       x       .      x     .     x     .
read_any_rider       x       x       .      .       .       .      .     .     .     .
live                 x       x       x      .       x       .      x     .     x     .
read_events          x       x       x      .       x       .      x     .     x     .
read_fences          x       x       .      .       .       .      .     .     .     .
write_fences         x       x       .      .       .       .      .     .     .     .
read_cells           x       x       .      .       .       .      .     .     .     .
read_quarantine      x       x       .      .       .       .      .     .     .     .
read_status          x       x       .      .       .       .      .     .     .     .
read_metrics         x       x       .      .       .       .      .     .     .     .
manage_accounts      x       .       .      .       .       .      .     .     .     .
order_place          x       .       .      .       .       x      .     .     .     .
order_read           x       x       .      .       .       x      x     x     .     .
read_any_order       x       x       .      .       .       .      .     .     .     .
read_shared_order    .       .       .      .       .       .      .     .     .     x
order_command        x       .       .      .       .       x      x     x     .     .
command_any_order    x       .       .      .       .       .      .     .     .     .
store_read           x       x       .      .       .       x      x     x     .     .
store_manage         x       .       .      .       .       .      .     x     .     .
manage_any_store     x       .       .      .       .       .      .     .     .     .
webhooks             x       .       .      .       .       .      .     x     .     .
manage_any_webhook   x       .       .      .       .       .      .     .     .     .
duty                 x       .       .      .       .       .      x     .     .     .
have_friends         .       .       .      .       .       .      .     .     x     .
"""


def expected() -> dict[tuple[Role, Action], bool]:
    head, *lines = EXPECTED.strip().splitlines()
    roles = [Role(name) for name in head.split()]
    return {
        (role, Action(line.split()[0])): mark == "x"
        for line in lines
        for role, mark in zip(roles, line.split()[1:], strict=True)
    }


def caller(role: Role) -> Principal:
    return Principal(f"{role}:somebody", role, "rider-1" if role in RIDES else "")


def test_the_written_table_is_complete() -> None:
    assert set(expected()) == {(role, action) for role in Role for action in Action}
    assert set(TABLE) == set(Role)


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with open_kit(tmp_path) as kit:
        yield kit


@pytest.fixture
def policy(kit: Kit) -> Policy:
    return Policy(kit.database, kit.clock)


@pytest.mark.parametrize(("role", "action"), list(expected()))
def test_every_role_and_action(role: Role, action: Action, policy: Policy) -> None:
    principal = caller(role)
    allowed = expected()[role, action]
    assert may(principal, action) is allowed
    if allowed:
        policy.allow(principal, action)
    else:
        with pytest.raises(Forbidden, match=role):
            policy.allow(principal, action)


@pytest.mark.parametrize(
    ("role", "own", "others"),
    [
        (Role.ADMIN, True, True),
        (Role.OPERATOR, False, False),
        (Role.VIEWER, False, False),
        (Role.GATEWAY, True, True),
        (Role.DEVICE, True, False),
        (Role.CUSTOMER, False, False),
        (Role.RIDER, True, False),
        (Role.STORE, False, False),
        (Role.PERSON, True, False),
    ],
)
def test_who_reports_for_whom(role: Role, own: bool, others: bool) -> None:
    assert may_report(caller(role), "rider-1") is own
    assert may_report(caller(role), "rider-2") is others


def test_a_device_without_a_rider_reports_for_nobody() -> None:
    assert not may_report(Principal("device:x", Role.DEVICE), "")
    assert not may_report(Principal("rider:x", Role.RIDER), "")


@pytest.mark.parametrize("role", list(Role))
def test_nobody_reports_for_a_person_but_itself_and_its_devices(role: Role) -> None:
    """Gateways and administrators report for every rider, and for no person."""
    own = Principal(f"{role}:x", role, "person-1")
    assert not may_report(own, "person-2")
    assert not may_report(caller(role), "person-1")
    assert may_report(own, "person-1") is may(own, Action.REPORT_OWN)


@pytest.mark.parametrize("role", list(Role))
async def test_nobody_sees_a_person_as_a_rider_but_itself_and_its_devices(role: Role, policy: Policy) -> None:
    for principal in (caller(role), Principal(f"{role}:x", role, "person-2")):
        assert not await policy.may_see_rider(principal, "person-1")
        with pytest.raises(Forbidden):
            await policy.check_rider(principal, "person-1")
    own = Principal(f"{role}:x", role, "person-1")
    assert await policy.may_see_rider(own, "person-1") is (role in RIDES)


async def test_a_rider_without_a_rider_id_sees_nobody(policy: Policy) -> None:
    assert await policy.visible(Principal("rider:x", Role.RIDER)) == frozenset()


async def test_an_account_of_a_rider_is_its_own_rider(kit: Kit, policy: Policy) -> None:
    await kit.auth.add_user("minsu", Role.RIDER, PASSWORD)
    minsu = await kit.auth.authenticate_bearer(await kit.sign_in("minsu"))
    assert (minsu.role, minsu.rider_id, minsu.store_id) == (Role.RIDER, "minsu", "")
    assert await policy.visible(minsu) == frozenset({"minsu"})
    assert may_report(minsu, "minsu")
    assert not may_report(minsu, "rider-1")


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        (Role.ADMIN, None),
        (Role.OPERATOR, None),
        (Role.VIEWER, frozenset[str]()),
        (Role.GATEWAY, frozenset[str]()),
        (Role.DEVICE, frozenset({"rider-1"})),
        (Role.CUSTOMER, frozenset[str]()),
        (Role.RIDER, frozenset({"rider-1"})),
        (Role.STORE, frozenset[str]()),
        (Role.PERSON, frozenset({"rider-1"})),
    ],
)
async def test_whom_a_role_sees(policy: Policy, role: Role, sees: frozenset[str] | None) -> None:
    principal = caller(role)
    assert await policy.visible(principal) == sees
    for rider_id in ("rider-1", "rider-2"):
        may_see = sees is None or rider_id in sees
        assert await policy.may_see_rider(principal, rider_id) is may_see
        if may_see:
            await policy.check_rider(principal, rider_id)
        else:
            with pytest.raises(Forbidden):
                await policy.check_rider(principal, rider_id)


async def viewer(kit: Kit, name: str = "kim") -> Principal:
    await kit.auth.add_user(name, Role.VIEWER, PASSWORD)
    return await kit.auth.authenticate_bearer(await kit.sign_in(name))


async def test_a_grant_ends_at_its_millisecond(kit: Kit, policy: Policy) -> None:
    kim = await viewer(kit)
    await kit.accounts.grant("kim", "라이더 1", kit.clock.now_ms() + 10_000)
    await kit.accounts.grant("kim", "rider-2")
    assert await policy.visible(kim) == frozenset({"라이더 1", "rider-2"})
    kit.clock.advance(9.999)
    assert await policy.may_see_rider(kim, "라이더 1")
    kit.clock.advance(0.001)
    assert await policy.visible(kim) == frozenset({"rider-2"})


async def test_an_end_is_kept_to_without_looking_again(kit: Kit, policy: Policy) -> None:
    kim = await viewer(kit)
    await kit.accounts.grant("kim", "rider-1", kit.clock.now_ms() + 100)
    assert await policy.may_see_rider(kim, "rider-1")
    kit.clock.advance(0.1)  # the counter was read a moment ago and is not read again
    assert not await policy.may_see_rider(kim, "rider-1")


async def test_another_process_takes_a_grant_away(kit: Kit, policy: Policy) -> None:
    kim = await viewer(kit)
    await kit.accounts.grant("kim", "rider-1")
    assert await policy.may_see_rider(kim, "rider-1")
    await kit.other().accounts.remove_grant("kim", "rider-1")
    kit.clock.advance(1.0)
    assert not await policy.may_see_rider(kim, "rider-1")


async def test_another_process_gives_a_grant(kit: Kit, policy: Policy) -> None:
    kim = await viewer(kit)
    assert await policy.visible(kim) == frozenset()
    await kit.other().accounts.grant("kim", "rider-1")
    kit.clock.advance(1.0)
    assert await policy.visible(kim) == frozenset({"rider-1"})


async def test_the_same_process_notices_at_once(kit: Kit) -> None:
    policy = Policy(kit.database, kit.clock, kit.auth.changes)
    kim = await viewer(kit)
    assert await policy.visible(kim) == frozenset()
    await kit.accounts.grant("kim", "rider-1")
    assert await policy.visible(kim) == frozenset({"rider-1"})
    await kit.accounts.remove_grant("kim", "rider-1")
    assert await policy.visible(kim) == frozenset()


async def test_grants_of_one_are_not_grants_of_another(kit: Kit, policy: Policy) -> None:
    kim, lee = await viewer(kit, "kim"), await viewer(kit, "lee")
    await kit.accounts.grant("kim", "rider-1")
    assert await policy.may_see_rider(kim, "rider-1")
    assert not await policy.may_see_rider(lee, "rider-1")


async def test_a_grant_for_a_person_is_refused_and_an_old_one_shows_nothing(kit: Kit, policy: Policy) -> None:
    kim = await viewer(kit)
    with pytest.raises(ValueError, match="people"):
        await kit.accounts.grant("kim", "person-1")
    old = {"account": "kim", "rider_id": "person-1", "until_ms": None, "now_ms": 1}  # of a rider of that name
    await kit.database.write(lambda transaction: transaction.execute(store.PUT_GRANT, old))
    await kit.accounts.grant("kim", "rider-1")
    assert await policy.visible(kim) == frozenset({"rider-1"})


async def test_what_is_remembered_is_bounded(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "MAX_REMEMBERED_ACCOUNTS", 3)
    policy = Policy(kit.database, kit.clock)
    for number in range(10):
        await policy.visible(Principal(f"viewer:{number}", Role.VIEWER))
    assert len(policy._remembered) == 3
