"""Whose positions the user of a broker brings."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung.auth import reporters
from majung.auth.model import Role
from majung.auth.reporters import Reporters, UnknownReporter
from tests.auth_kit import PASSWORD, Kit, open_kit

AGAIN_S = 5


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with open_kit(tmp_path) as kit:
        yield kit


@pytest.fixture
def who(kit: Kit) -> Reporters:
    return Reporters(kit.database, kit.clock, kit.auth.changes)


async def test_a_person_and_a_rider_by_the_account(kit: Kit, who: Reporters) -> None:
    person = await kit.accounts.add_user("지우", Role.PERSON, PASSWORD)
    await kit.accounts.add_user("r1", Role.RIDER, PASSWORD, rider_id="truck 7")
    found = await who.named("지우")
    assert (found.role, found.rider_id) == (Role.PERSON, person.rider_id)
    assert (await who.named("r1")).rider_id == "truck 7"


async def test_a_rider_by_the_device_or_by_its_id(kit: Kit, who: Reporters) -> None:
    device = await kit.accounts.add_device("truck 8")
    await kit.accounts.add_device("truck 8")
    for name in (device.device_id, "truck 8"):
        found = await who.named(name)
        assert (found.role, found.rider_id) == (Role.DEVICE, "truck 8")


async def test_a_person_by_its_device_and_never_by_its_id(kit: Kit, who: Reporters) -> None:
    person = await kit.accounts.add_user("지우", Role.PERSON, PASSWORD)
    device = await kit.accounts.add_device(person.rider_id, of_person=True)
    assert (await who.named(device.device_id)).rider_id == person.rider_id
    with pytest.raises(UnknownReporter):
        await who.named(person.rider_id)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.GATEWAY, Role.CUSTOMER, Role.STORE, Role.VIEWER])
async def test_other_accounts_report_for_nobody(kit: Kit, who: Reporters, role: Role) -> None:
    await kit.accounts.add_user("somebody", role, PASSWORD)
    with pytest.raises(UnknownReporter, match="somebody"):
        await who.named("somebody")


@pytest.mark.parametrize("name", ["", "x" * 129, "line\nbreak", "\ufffd\x00"])
async def test_names_that_nobody_has(who: Reporters, name: str) -> None:
    with pytest.raises(UnknownReporter):
        await who.named(name)


async def test_a_name_that_would_be_two_is_nobodys(kit: Kit, who: Reporters) -> None:
    """Neither is a person shown among riders so, nor does a stranger report for a rider."""
    await kit.accounts.add_user("truck", Role.PERSON, PASSWORD)
    device = await kit.accounts.add_device("truck")
    with pytest.raises(UnknownReporter, match="more than one"):
        await who.named("truck")
    assert (await who.named(device.device_id)).rider_id == "truck"
    await kit.accounts.add_user("van", Role.RIDER, PASSWORD)  # the rider called van …
    await kit.accounts.add_device("van")  # … has a device: the same rider
    assert (await who.named("van")).rider_id == "van"


async def test_who_is_added_is_known_soon_and_who_is_revoked_within_a_second(
    kit: Kit, who: Reporters
) -> None:
    with pytest.raises(UnknownReporter):
        await who.named("truck")
    device = await kit.accounts.add_device("truck")
    with pytest.raises(UnknownReporter):
        await who.named("truck")  # remembered
    kit.clock.advance(AGAIN_S)
    assert (await who.named("truck")).rider_id == "truck"
    await kit.other().accounts.revoke_device(device.device_id)
    kit.clock.advance(1)
    with pytest.raises(UnknownReporter):
        await who.named("truck")


async def test_what_is_remembered_is_bounded(
    kit: Kit, who: Reporters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporters, "MAX_REMEMBERED", 10)
    for number in range(50):
        with pytest.raises(UnknownReporter):
            await who.named(f"nobody {number}")
    assert len(who._remembered) == 10
