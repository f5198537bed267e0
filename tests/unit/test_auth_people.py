"""Accounts and devices of people: the id is made, never given, and nobody else gets at it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung.auth import bulk
from majung.auth.model import AuthError, NewUser, Principal, Role
from majung.auth.sign_up import SignUp
from majung.ports import Conflict
from majung.positions.check import is_good_id
from majung.settings import DeliverySettings
from tests.auth_kit import PASSWORD, Kit, open_kit


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with open_kit(tmp_path) as kit:
        yield kit


async def mina(kit: Kit) -> NewUser:
    return await kit.accounts.add_user("mina", Role.PERSON, PASSWORD)


async def who(kit: Kit, token: str) -> Principal:
    return await kit.auth.authenticate_bearer(token)


async def test_a_person_is_one_that_never_was(kit: Kit) -> None:
    added = await mina(kit)
    assert added.rider_id.startswith("person-")
    assert is_good_id(added.rider_id)
    principal = await who(kit, await kit.sign_in("mina"))
    assert (principal.subject, principal.role) == ("person:mina", Role.PERSON)
    assert principal.rider_id == added.rider_id
    await kit.accounts.revoke_user("mina")
    assert (await mina(kit)).rider_id != added.rider_id


async def test_people_sign_up_by_default(kit: Kit) -> None:
    door = SignUp(kit.auth, kit.clock, DeliverySettings.model_validate({}))
    assert door.roles == {Role.CUSTOMER, Role.PERSON}
    tokens = await door.sign_up("minjun", "a long password", Role.PERSON, "192.0.2.1")
    assert (await who(kit, tokens.access_token)).rider_id.startswith("person-")


async def test_bulk_makes_people_and_no_rider_with_the_id_of_one(kit: Kit) -> None:
    people = await bulk.add_many(kit.database, kit.clock, Role.PERSON, ["p-1", "p-2"])
    assert len({person.rider_id for person in people}) == 2
    for person in people:
        assert (await who(kit, person.token)).rider_id == person.rider_id
        assert person.rider_id.startswith("person-")
    with pytest.raises(ValueError, match="people"):
        await bulk.add_many(kit.database, kit.clock, Role.RIDER, ["person-1"])


@pytest.mark.parametrize(("name", "rider_id"), [("person-1", ""), ("minsu", "person-1")])
async def test_a_rider_is_no_person(kit: Kit, name: str, rider_id: str) -> None:
    with pytest.raises(ValueError, match="people"):
        await kit.accounts.add_user(name, Role.RIDER, PASSWORD, rider_id)


async def test_nobody_chooses_which_person_an_account_is(kit: Kit) -> None:
    other = await mina(kit)
    with pytest.raises(ValueError, match="rider_id"):
        await kit.accounts.add_user("thief", Role.PERSON, PASSWORD, other.rider_id)


async def test_devices_of_a_person_are_its_own_to_add_list_and_revoke(kit: Kit) -> None:
    person_id = (await mina(kit)).rider_id
    with pytest.raises(ValueError, match="people"):
        await kit.accounts.add_device(person_id)
    with pytest.raises(ValueError, match="people"):
        await kit.accounts.add_device("rider-1", of_person=True)
    phone = await kit.accounts.add_device(person_id, "phone", of_person=True)
    assert (await who(kit, phone.token)).rider_id == person_id
    rider = await kit.accounts.add_device("rider-1")
    assert [device.rider_id for device in await kit.accounts.list_devices()] == ["rider-1"]
    assert await kit.accounts.list_devices(person_id) == []
    [mine] = await kit.accounts.list_devices(person_id, of_person=True)
    assert (mine.device_id, mine.name) == (phone.device_id, "phone")
    with pytest.raises(LookupError):
        await kit.accounts.revoke_device(rider.device_id, person_id)
    await kit.accounts.revoke_device(phone.device_id, person_id)
    kit.clock.advance(1)
    with pytest.raises(AuthError):
        await who(kit, phone.token)


async def test_the_list_of_accounts_does_not_say_which_person_one_is(kit: Kit) -> None:
    await mina(kit)
    await kit.accounts.add_user("minsu", Role.RIDER, PASSWORD)
    listed = {account.name: account.rider_id for account in await kit.accounts.list_users()}
    assert listed == {"mina": "", "minsu": "minsu"}


async def test_a_revoked_person_reports_no_more_by_any_phone(kit: Kit) -> None:
    person_id = (await mina(kit)).rider_id
    phone = await kit.accounts.add_device(person_id, of_person=True)
    rider = await kit.accounts.add_device("mina")  # a rider of that name is somebody else
    await kit.accounts.revoke_user("mina")
    with pytest.raises(AuthError):
        await who(kit, phone.token)
    assert (await who(kit, rider.token)).rider_id == "mina"


async def test_of_an_erased_person_the_name_stays_and_nothing_else(kit: Kit) -> None:
    person_id = (await mina(kit)).rider_id
    phone = await kit.accounts.add_device(person_id, of_person=True)
    tokens = await kit.auth.password_grant("mina", PASSWORD)
    await kit.database.write(lambda transaction: kit.accounts.erase_person(transaction, "mina"))
    kit.accounts.rights_changed()
    for token in (phone.token, tokens.access_token):
        with pytest.raises(AuthError):
            await who(kit, token)
    left = [
        await kit.database.read(f"SELECT COUNT(*) FROM {table}")
        for table in ("device", "api_token", "refresh_token")
    ]
    assert left == [[(0,)]] * 3
    [row] = await kit.database.read("SELECT name, rider_id, password_hash FROM account")
    assert row == ("mina", "", "!")
    with pytest.raises(Conflict):
        await kit.accounts.add_user("mina", Role.PERSON, PASSWORD, again=False)


async def test_only_people_are_erased(kit: Kit) -> None:
    await kit.accounts.add_user("minsu", Role.RIDER, PASSWORD)
    with pytest.raises(ValueError, match="person"):
        await kit.database.write(lambda transaction: kit.accounts.erase_person(transaction, "minsu"))
