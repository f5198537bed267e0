"""Users, devices and grants: what may be added, what a list shows, what cannot be taken away."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung.auth import accounts
from majung.auth.model import Role
from majung.auth.phones import address_of, app_settings
from majung.auth.service import ensure_admin
from majung.ports import Conflict
from majung.settings import ServerSettings
from tests.auth_kit import PASSWORD, Kit, open_kit


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with open_kit(tmp_path) as kit:
        yield kit


async def test_the_first_start_makes_an_admin_once(kit: Kit) -> None:
    admin = await ensure_admin(kit.auth)
    assert admin is not None
    assert (admin.name, admin.role) == ("admin", Role.ADMIN)
    assert await kit.sign_in("admin", admin.password)
    assert await ensure_admin(kit.auth) is None
    assert await ensure_admin(kit.other().auth) is None


async def test_no_two_servers_get_the_same_password(kit: Kit, tmp_path: Path) -> None:
    async with open_kit(tmp_path / "second") as second:
        one, two = await ensure_admin(kit.auth), await ensure_admin(second.auth)
    assert one is not None
    assert two is not None
    assert one.password != two.password


async def test_an_admin_is_made_beside_other_accounts(kit: Kit) -> None:
    await kit.auth.add_user("fleet", Role.GATEWAY)
    await kit.auth.add_user("admin", Role.VIEWER)  # the name is taken
    admin = await ensure_admin(kit.auth)
    assert admin is not None
    assert admin.name.startswith("admin-")
    assert await ensure_admin(kit.auth) is None


async def test_none_is_made_when_somebody_has_made_one(kit: Kit) -> None:
    await kit.auth.add_user("mina", Role.ADMIN)
    assert await ensure_admin(kit.auth) is None


@pytest.mark.parametrize(
    "name", ["", " mina", "mi/na", "mi:na", "x" * 129, "a\0b", "\ud800", "a\nb"], ids=ascii
)
async def test_bad_names(kit: Kit, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        await kit.auth.add_user(name, Role.VIEWER)


@pytest.mark.parametrize(
    "rider_id", ["", " 1", "a/b", "x" * 1_000_000, "\0"], ids=lambda text: ascii(text[:9])
)
async def test_bad_riders(kit: Kit, rider_id: str) -> None:
    with pytest.raises(ValueError, match="rider_id"):
        await kit.auth.add_device(rider_id)
    await kit.auth.add_user("kim", Role.VIEWER)
    with pytest.raises(ValueError, match="rider_id"):
        await kit.accounts.grant("kim", rider_id)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
async def test_bad_passwords(kit: Kit, password: str) -> None:
    with pytest.raises(ValueError, match="8 to 1024"):
        await kit.auth.add_user("mina", Role.VIEWER, password)
    assert await kit.accounts.list_users() == []


async def test_a_password_may_be_anything_that_can_be_typed(kit: Kit) -> None:
    for n, password in enumerate(["비밀번호는여덟자", "with spaces inside", "🚴" * 8]):
        await kit.auth.add_user(f"user-{n}", Role.VIEWER, password)
        assert await kit.sign_in(f"user-{n}", password)


async def test_a_name_is_given_once(kit: Kit) -> None:
    await kit.auth.add_user("mina", Role.VIEWER, PASSWORD)
    with pytest.raises(Conflict, match="mina"):
        await kit.auth.add_user("mina", Role.ADMIN)
    assert await kit.sign_in("mina")


async def test_devices_are_no_users(kit: Kit) -> None:
    with pytest.raises(ValueError, match="device"):
        await kit.auth.add_user("x", Role.DEVICE)


async def test_lists_come_in_pages_and_show_no_secret(kit: Kit) -> None:
    for n in range(5):
        await kit.auth.add_user(f"user-{n}", Role.VIEWER, PASSWORD)
    await kit.accounts.revoke_user("user-3")
    first = await kit.accounts.list_users(limit=3)
    rest = await kit.accounts.list_users(after=first[-1].name, limit=3)
    assert [user.name for user in first + rest] == [f"user-{n}" for n in range(5)]
    assert [user.revoked_at_ms is not None for user in first + rest] == [False, False, False, True, False]
    devices = [await kit.auth.add_device("rider-1", f"phone {n}") for n in range(3)]
    await kit.auth.add_device("rider-2")
    await kit.accounts.revoke_device(devices[0].device_id)
    listed = await kit.accounts.list_devices("rider-1")
    assert {device.device_id for device in listed} == {device.device_id for device in devices}
    assert [d.name for d in listed if d.revoked_at_ms] == ["phone 0"]
    assert len(await kit.accounts.list_devices()) == 4
    assert (
        await kit.accounts.list_devices(after=max(d.device_id for d in await kit.accounts.list_devices()))
        == []
    )
    assert all(device.client_secret not in repr(listed) for device in devices)


async def test_what_is_not_there(kit: Kit) -> None:
    await kit.auth.add_user("gone", Role.VIEWER)
    await kit.accounts.revoke_user("gone")
    device = await kit.auth.add_device("rider-1")
    await kit.accounts.revoke_device(device.device_id)
    for name in ("nobody", "gone"):
        with pytest.raises(LookupError):
            await kit.accounts.revoke_user(name)
        with pytest.raises(LookupError):
            await kit.accounts.set_password(name)
        with pytest.raises(LookupError):
            await kit.accounts.grant(name, "rider-1")
        with pytest.raises(LookupError):
            await kit.accounts.remove_grant(name, "rider-1")
    for device_id in ("nobody", device.device_id):
        with pytest.raises(LookupError):
            await kit.accounts.revoke_device(device_id)


async def test_the_last_admin_stays(kit: Kit) -> None:
    await kit.auth.add_user("one", Role.ADMIN, PASSWORD)
    await kit.auth.add_user("mina", Role.OPERATOR)
    with pytest.raises(Conflict, match="last"):
        await kit.accounts.revoke_user("one")
    assert await kit.sign_in("one")
    await kit.auth.add_user("two", Role.ADMIN)
    await kit.accounts.revoke_user("one")
    with pytest.raises(Conflict, match="last"):
        await kit.accounts.revoke_user("two")


async def test_grants(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = kit.clock.now_ms()
    await kit.auth.add_user("kim", Role.VIEWER)
    await kit.auth.add_user("mina", Role.OPERATOR)
    with pytest.raises(ValueError, match="viewer"):
        await kit.accounts.grant("mina", "rider-1")
    for until_ms in (now_ms, now_ms - 1, 0, -5, 2**63):
        with pytest.raises(ValueError, match="end"):
            await kit.accounts.grant("kim", "rider-1", until_ms)
    await kit.accounts.grant("kim", "rider-1", now_ms + 1000)
    await kit.accounts.grant("kim", "rider-1", now_ms + 5000)  # again: the time anew
    await kit.accounts.grant("kim", "rider-2", now_ms + 1000)
    kit.clock.advance(2)
    assert [(g.rider_id, g.until_ms) for g in await kit.accounts.list_grants("kim")] == [
        ("rider-1", now_ms + 5000)
    ]
    monkeypatch.setattr(accounts, "MAX_GRANTS", 2)
    await kit.accounts.grant("kim", "rider-3")  # the ended one no longer counts
    with pytest.raises(ValueError, match="at most 2"):
        await kit.accounts.grant("kim", "rider-4")
    assert {g.rider_id for g in await kit.accounts.list_grants("kim")} == {"rider-1", "rider-3"}


async def test_grants_end_with_the_account(kit: Kit) -> None:
    await kit.auth.add_user("kim", Role.VIEWER)
    await kit.accounts.grant("kim", "rider-1")
    await kit.accounts.revoke_user("kim")
    await kit.auth.add_user("kim", Role.VIEWER)
    assert await kit.accounts.list_grants("kim") == []


async def test_secrets_are_long_and_differ(kit: Kit) -> None:
    made = [await kit.auth.add_device("rider-1") for _ in range(20)]
    assert len({device.client_secret for device in made}) == 20
    assert all(re.fullmatch(r"mjd_[a-z2-9]{12}_[a-z2-9]{32}", device.token) for device in made)


async def test_how_it_is_typed_into_the_apps(kit: Kit) -> None:
    device = await kit.auth.add_device("라이더 1")
    apps = app_settings(
        device, address_of(ServerSettings.model_validate({"public_url": "https://go.example/"}))
    )
    assert set(apps) == {"owntracks", "osmand", "overland"}
    assert apps["owntracks"]["URL"] == "https://go.example/owntracks"
    assert (apps["owntracks"]["Username"], apps["owntracks"]["Password"]) == ("라이더 1", device.token)
    assert apps["osmand"] == {"Server URL": "https://go.example/osmand", "Device identifier": device.token}
    assert apps["overland"]["Access Token"] == device.token
    plain = ServerSettings.model_validate({"http": "0.0.0.0:8080"})
    assert address_of(plain) == "http://0.0.0.0:8080"
