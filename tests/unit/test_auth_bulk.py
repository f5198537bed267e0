"""Accounts for programs: a token that holds, no password, all of them or none."""

from pathlib import Path

import pytest

from majung.auth import bulk
from majung.auth.model import AuthError, OAuthError, Role
from majung.ports import Conflict
from tests.auth_kit import PASSWORD, open_kit


async def test_each_signs_in_with_its_token_and_is_what_it_is(tmp_path: Path) -> None:
    async with open_kit(tmp_path) as kit:
        riders = await bulk.add_many(kit.database, kit.clock, Role.RIDER, ["r-1", "r-2"])
        [store] = await bulk.add_many(kit.database, kit.clock, Role.STORE, ["s-1"])
        assert len({user.token for user in (*riders, store)}) == 3
        for user in riders:
            principal = await kit.auth.authenticate_bearer(user.token)
            assert (principal.subject, principal.role, principal.rider_id) == (
                f"rider:{user.name}",
                Role.RIDER,
                user.name,
            )
        assert (await kit.auth.authenticate_bearer(store.token)).store_id == ""


@pytest.mark.parametrize("password", ["", "!", "r-1", PASSWORD])
async def test_no_password_fits_until_one_is_set(tmp_path: Path, password: str) -> None:
    async with open_kit(tmp_path) as kit:
        [user] = await bulk.add_many(kit.database, kit.clock, Role.RIDER, ["r-1"])
        with pytest.raises(OAuthError, match="wrong name or password"):
            await kit.auth.password_grant("r-1", password)
        await kit.accounts.set_password("r-1", PASSWORD)
        assert (await kit.auth.password_grant("r-1", PASSWORD)).access_token
        assert (await kit.auth.authenticate_bearer(user.token)).subject == "rider:r-1"


async def test_a_revoked_one_ends_with_its_token(tmp_path: Path) -> None:
    async with open_kit(tmp_path) as kit:
        [user] = await bulk.add_many(kit.database, kit.clock, Role.CUSTOMER, ["c-1"])
        await kit.accounts.revoke_user("c-1")
        with pytest.raises(AuthError):
            await kit.auth.authenticate_bearer(user.token)


async def test_when_one_name_is_taken_nobody_is_added(tmp_path: Path) -> None:
    async with open_kit(tmp_path) as kit:
        await kit.accounts.add_user("c-2", Role.CUSTOMER, PASSWORD)
        with pytest.raises(Conflict, match="c-2"):
            await bulk.add_many(kit.database, kit.clock, Role.CUSTOMER, ["c-1", "c-2"])
        assert [account.name for account in await kit.accounts.list_users()] == ["c-2"]


@pytest.mark.parametrize(
    ("role", "names", "why"),
    [
        (Role.ADMIN, ["a"], "accounts with a token are for"),
        (Role.DEVICE, ["a"], "accounts with a token are for"),
        (Role.CUSTOMER, ["a:b"], "user name"),
        (Role.RIDER, [""], "user name"),
    ],
)
async def test_what_cannot_be_is_said(tmp_path: Path, role: Role, names: list[str], why: str) -> None:
    async with open_kit(tmp_path) as kit:
        with pytest.raises(ValueError, match=why):
            await bulk.add_many(kit.database, kit.clock, role, names)
