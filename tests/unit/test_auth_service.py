"""Who is calling: devices, API tokens, names and passwords; and how soon a removed right ends."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from majung.auth import service
from majung.auth.credentials import digest, new_secret, parse
from majung.auth.limits import RateLimited
from majung.auth.model import AuthError, Principal, Role
from majung.auth.passwords import Passwords
from majung.auth.service import AuthService
from majung.ports import Overloaded
from tests.auth_kit import PASSWORD, Kit, cheap, open_kit


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with open_kit(tmp_path) as kit:
        yield kit


async def test_a_device_by_its_token(kit: Kit) -> None:
    device = await kit.auth.add_device("라이더 1", "the old phone")
    assert device.token == f"mjd_{device.device_id}_{device.client_secret}"
    principal = await kit.auth.authenticate_bearer(device.token)
    assert principal == Principal(f"device:{device.device_id}", Role.DEVICE, "라이더 1")


async def test_a_device_as_basic_with_either_name(kit: Kit) -> None:
    device = await kit.auth.add_device("rider-1")
    for name in ("rider-1", device.device_id):
        assert (await kit.auth.authenticate_basic(name, device.token)).rider_id == "rider-1"
    for name in ("rider-2", "", "device"):
        with pytest.raises(AuthError):
            await kit.auth.authenticate_basic(name, device.token)


async def test_one_secret_does_not_open_another_device(kit: Kit) -> None:
    one, two = await kit.auth.add_device("rider-1"), await kit.auth.add_device("rider-2")
    wrong = [
        f"mjd_{one.device_id}_{two.client_secret}",
        f"mjd_{one.device_id}_{new_secret()}",
        f"mju_{one.device_id}_{one.client_secret}",
        one.token.upper(),
        one.token[:-1],
        one.token + "a",
        f"mjd_{one.device_id}_{digest(one.client_secret)}",
    ]
    for token in wrong:
        with pytest.raises(AuthError):
            await kit.auth.authenticate_bearer(token)


async def test_only_digests_are_stored(kit: Kit, tmp_path: Path) -> None:
    device = await kit.auth.add_device("rider-1")
    user = await kit.auth.add_user("fleet", Role.GATEWAY)
    tokens = await kit.auth.password_grant("fleet", user.password)
    api = parse(user.token)
    assert api is not None
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert device.device_id.encode() in stored
    for secret in (device.client_secret, user.password, api.secret, tokens.refresh_token):
        assert secret
        assert secret.encode() not in stored


async def test_a_device_added_elsewhere_works_at_once_also_after_a_failure(kit: Kit) -> None:
    other = kit.other()
    with pytest.raises(AuthError):
        await kit.auth.authenticate_bearer(f"mjd_{'a' * 12}_{'b' * 32}")
    device = await other.auth.add_device("rider-1")
    assert (await kit.auth.authenticate_bearer(device.token)).rider_id == "rider-1"


async def test_a_device_revoked_elsewhere_ends_within_a_second(kit: Kit) -> None:
    device, neighbour = await kit.auth.add_device("rider-1"), await kit.auth.add_device("rider-1")
    token = (await kit.auth.client_credentials_grant(device.client_id, device.client_secret)).access_token
    for credential in (device.token, neighbour.token, token):
        await kit.auth.authenticate_bearer(credential)
    await kit.other().accounts.revoke_device(device.device_id)
    kit.clock.advance(1.0)
    for credential in (device.token, token):
        with pytest.raises(AuthError):
            await kit.auth.authenticate_bearer(credential)
    await kit.auth.authenticate_bearer(neighbour.token)


async def test_a_device_revoked_here_ends_at_once(kit: Kit) -> None:
    device = await kit.auth.add_device("rider-1")
    await kit.auth.authenticate_bearer(device.token)
    await kit.accounts.revoke_device(device.device_id)
    with pytest.raises(AuthError):
        await kit.auth.authenticate_bearer(device.token)


@pytest.mark.parametrize("role", [Role.GATEWAY, Role.OPERATOR])
async def test_an_api_token(kit: Kit, role: Role) -> None:
    user = await kit.auth.add_user("fleet", role)
    assert await kit.auth.authenticate_bearer(user.token) == Principal(f"{role}:fleet", role)
    assert (await kit.auth.authenticate_basic("fleet", user.token)).role is role
    with pytest.raises(AuthError):
        await kit.auth.authenticate_basic("other", user.token)
    kit.clock.advance(10 * 365 * 86_400)
    await kit.auth.authenticate_bearer(user.token)
    await kit.accounts.revoke_user("fleet")
    with pytest.raises(AuthError):
        await kit.auth.authenticate_bearer(user.token)


@pytest.mark.parametrize("role", [Role.ADMIN, Role.VIEWER])
async def test_people_get_no_api_token(kit: Kit, role: Role) -> None:
    assert (await kit.auth.add_user("kim", role)).token == ""


async def test_everything_of_a_user_revoked_elsewhere_ends_within_a_second(kit: Kit) -> None:
    user = await kit.auth.add_user("mina", Role.OPERATOR, PASSWORD)
    tokens = [await kit.sign_in("mina"), user.token]
    for token in tokens:
        await kit.auth.authenticate_bearer(token)
    await kit.auth.authenticate_basic("mina", PASSWORD)
    await kit.other().accounts.revoke_user("mina")
    kit.clock.advance(1.0)
    for token in tokens:
        with pytest.raises(AuthError):
            await kit.auth.authenticate_bearer(token)
    with pytest.raises(AuthError):
        await kit.auth.authenticate_basic("mina", PASSWORD)


async def test_old_tokens_stay_dead_when_a_name_is_given_again(kit: Kit) -> None:
    user = await kit.auth.add_user("mina", Role.OPERATOR, PASSWORD)
    granted = await kit.auth.password_grant("mina", PASSWORD)
    await kit.accounts.revoke_user("mina")
    await kit.auth.add_user("mina", Role.ADMIN, "another password")
    for token in (granted.access_token, user.token):
        with pytest.raises(AuthError):
            await kit.auth.authenticate_bearer(token)


async def test_a_new_password_ends_what_the_old_one_began(kit: Kit) -> None:
    await kit.auth.add_user("mina", Role.VIEWER, PASSWORD)
    token = await kit.sign_in("mina")
    await kit.auth.authenticate_bearer(token)
    changed = await kit.accounts.set_password("mina")
    with pytest.raises(AuthError):
        await kit.auth.authenticate_bearer(token)
    await kit.auth.authenticate_bearer(await kit.sign_in("mina", changed.password))


async def test_basic_with_a_password_is_hashed_once(kit: Kit) -> None:
    counting = CountingHasher()
    auth = AuthService(kit.database, kit.clock, kit.settings, Passwords(counting))
    await auth.add_user("mina", Role.OPERATOR, PASSWORD)
    for _ in range(5):
        assert (await auth.authenticate_basic("mina", PASSWORD)).subject == "operator:mina"
    assert len(counting.verified) == 1
    assert PASSWORD not in repr(auth._remembered)
    with pytest.raises(AuthError):
        await auth.authenticate_basic("mina", PASSWORD + "x")


async def test_what_is_remembered_is_bounded(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_REMEMBERED", 5)
    devices = [await kit.auth.add_device(f"rider-{n}") for n in range(8)]
    for device in devices * 2:
        assert (await kit.auth.authenticate_bearer(device.token)).rider_id == device.rider_id
    assert len(kit.auth._remembered) == 5
    for n in range(50):
        with pytest.raises(AuthError):
            await kit.auth.authenticate_bearer(f"mjd_{n:012}_{'a' * 32}")
    assert len(kit.auth._remembered) == 5


async def test_wrong_tokens_from_one_address_are_limited_and_good_ones_go_on(kit: Kit) -> None:
    device = await kit.auth.add_device("rider-1")
    await kit.auth.authenticate_bearer(device.token, "10.0.0.1")
    with pytest.raises(RateLimited):
        for n in range(2000):
            with pytest.raises(AuthError):
                await kit.auth.authenticate_bearer(f"x{n}", "10.0.0.1")
    await kit.auth.authenticate_bearer(device.token, "10.0.0.1")
    await kit.auth.authenticate_bearer(device.token, "10.0.0.2")


# -------------------------------------------------------------------------------------- passwords


class CountingHasher(PasswordHasher):
    """argon2id that remembers against what it was asked to verify."""

    def __init__(self) -> None:
        cheapest = cheap()
        super().__init__(cheapest.time_cost, cheapest.memory_cost, cheapest.parallelism)
        self.verified: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self.verified.append(str(hash))
        return super().verify(hash, password)


@pytest.mark.parametrize("name", ["nobody", "revoked", "", "x" * 1_000_000, "a\0b", "\ud800", "mina"])
async def test_every_wrong_sign_in_costs_one_hash(kit: Kit, name: str) -> None:
    hasher = CountingHasher()
    auth = AuthService(kit.database, kit.clock, kit.settings, Passwords(hasher))
    for known in ("mina", "revoked"):
        await auth.add_user(known, Role.VIEWER, PASSWORD)
    await auth.accounts.revoke_user("revoked")
    with pytest.raises(AuthError) as refused:
        await auth.authenticate_basic(name, "not the password")
    assert str(refused.value) == "wrong name or password"
    assert len(hasher.verified) == 1


async def test_guessing_is_stopped_and_does_not_lock_the_owner_out(kit: Kit) -> None:
    await kit.auth.add_user("mina", Role.OPERATOR, PASSWORD)
    with pytest.raises(RateLimited) as stopped:
        for n in range(50):
            with pytest.raises(AuthError):
                await kit.auth.authenticate_basic("mina", f"guess number {n}", "10.6.6.6")
    assert stopped.value.retry_after_s > 0
    await kit.auth.authenticate_basic("mina", PASSWORD, "10.0.0.1")
    with pytest.raises(RateLimited):
        await kit.auth.authenticate_basic("mina", PASSWORD + "!", "10.6.6.6")
    kit.clock.advance(stopped.value.retry_after_s + 0.01)
    await kit.auth.authenticate_basic("mina", PASSWORD, "10.6.6.6")


async def test_a_million_character_password_is_refused_without_harm(kit: Kit) -> None:
    await kit.auth.add_user("mina", Role.OPERATOR, "p" * 1024)
    with pytest.raises(AuthError):
        await kit.auth.authenticate_basic("mina", "p" * 1_000_000)
    with pytest.raises(AuthError):
        await kit.auth.authenticate_basic("mina", "p" * 1025)
    await kit.auth.authenticate_basic("mina", "p" * 1024)


async def test_old_hashes_are_made_anew_at_sign_in(kit: Kit) -> None:
    await kit.auth.add_user("mina", Role.OPERATOR, PASSWORD)
    stronger = Passwords(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    auth = AuthService(kit.database, kit.clock, kit.settings, stronger)
    await auth.authenticate_basic("mina", PASSWORD)
    ((stored,),) = await kit.database.read("SELECT password_hash FROM account")
    assert stored.startswith("$argon2id$")
    assert "m=16,t=2" in stored
    await kit.auth.authenticate_basic("mina", PASSWORD)


class HeldHasher(PasswordHasher):
    """Hashes only when it is let go: a flood of sign-ins, standing still."""

    def __init__(self) -> None:
        super().__init__(1, 8, 1)
        self.go = threading.Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        assert self.go.wait(60)
        return super().verify(hash, password)


async def test_a_flood_of_sign_ins_is_bounded_and_the_loop_goes_on(kit: Kit) -> None:
    held = HeldHasher()
    auth = AuthService(kit.database, kit.clock, kit.settings, Passwords(held, max_waiting=4))
    device = await auth.add_device("rider-1")
    await auth.add_user("mina", Role.OPERATOR, PASSWORD)
    passwords = auth._passwords
    waiting = [asyncio.create_task(auth.authenticate_basic("mina", PASSWORD)) for _ in range(4)]
    while passwords._waiting < 4:
        await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await auth.authenticate_basic("mina", PASSWORD, "10.0.0.9")
    await auth.authenticate_bearer(device.token)  # the neighbours feel nothing
    held.go.set()
    assert {p.subject for p in await asyncio.gather(*waiting)} == {"operator:mina"}
    await auth.authenticate_basic("mina", PASSWORD, "10.0.0.9")
    auth.close()
