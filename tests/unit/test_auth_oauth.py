"""The grants of the token endpoint: password, client credentials, and refresh tokens used once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from majung.auth import oauth
from majung.auth.model import AuthError, OAuthError, Role, TokenSet
from tests.auth_kit import PASSWORD, Kit, open_kit


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    async with open_kit(tmp_path) as kit:
        await kit.auth.add_user("mina", Role.OPERATOR, PASSWORD)
        yield kit


async def refused(kit: Kit, refresh_token: str) -> None:
    with pytest.raises(OAuthError) as error:
        await kit.auth.refresh_grant(refresh_token)
    assert error.value.error == "invalid_grant"


async def signed_in(kit: Kit) -> TokenSet:
    return await kit.auth.password_grant("mina", PASSWORD)


async def test_password(kit: Kit) -> None:
    granted = await signed_in(kit)
    assert (granted.token_type, granted.expires_in) == ("Bearer", 3600)
    assert (await kit.auth.authenticate_bearer(granted.access_token)).subject == "operator:mina"
    for name, password in (("mina", "wrong"), ("nobody", PASSWORD)):
        with pytest.raises(OAuthError) as error:
            await kit.auth.password_grant(name, password)
        assert error.value.error == "invalid_grant"
        assert str(error.value) == "wrong name or password"


async def test_a_refresh_token_is_no_access_token(kit: Kit) -> None:
    granted = await signed_in(kit)
    with pytest.raises(AuthError):
        await kit.auth.authenticate_bearer(granted.refresh_token)
    await refused(kit, granted.access_token)


async def test_refresh_goes_on_and_on(kit: Kit) -> None:
    granted = await signed_in(kit)
    seen = {granted.refresh_token}
    for _ in range(40):
        kit.clock.advance(86_400)
        granted = await kit.auth.refresh_grant(granted.refresh_token)
        assert granted.refresh_token not in seen
        seen.add(granted.refresh_token)
        await kit.auth.authenticate_bearer(granted.access_token)


async def test_a_refresh_token_used_twice_ends_its_family_and_no_other(kit: Kit) -> None:
    stolen, elsewhere = await signed_in(kit), await signed_in(kit)
    second = await kit.auth.refresh_grant(stolen.refresh_token)
    third = await kit.auth.refresh_grant(second.refresh_token)
    await refused(kit, stolen.refresh_token)
    await refused(kit, third.refresh_token)
    await refused(kit, second.refresh_token)
    await kit.auth.refresh_grant(elsewhere.refresh_token)


async def test_of_two_at_once_at_most_one_wins(kit: Kit) -> None:
    granted = await signed_in(kit)
    other = kit.other()
    answers = await asyncio.gather(
        *(one.auth.refresh_grant(granted.refresh_token) for one in (kit, other) * 4), return_exceptions=True
    )
    won = [answer for answer in answers if isinstance(answer, TokenSet)]
    assert len(won) == 1
    assert all(isinstance(answer, OAuthError) for answer in answers if answer not in won)
    await refused(kit, won[0].refresh_token)


async def test_an_expired_refresh_token(kit: Kit) -> None:
    granted = await signed_in(kit)
    kit.clock.advance(30 * 86_400)
    await refused(kit, granted.refresh_token)


@pytest.mark.parametrize(
    "token", ["", "nonsense", "x" * 1_000_000, "\ud800", "mjd_a_b", "' OR 1=1 --"], ids=ascii
)
async def test_rubbish(kit: Kit, token: str) -> None:
    await refused(kit, token)


async def test_refresh_ends_with_the_account_and_with_its_password(kit: Kit) -> None:
    granted = await signed_in(kit)
    await kit.accounts.set_password("mina", "another password")
    await refused(kit, granted.refresh_token)
    granted = await kit.auth.password_grant("mina", "another password")
    await kit.accounts.revoke_user("mina")
    await refused(kit, granted.refresh_token)
    await kit.auth.add_user("mina", Role.ADMIN, PASSWORD)
    await refused(kit, granted.refresh_token)


async def test_refresh_tokens_do_not_pile_up(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "MAX_REFRESH_PER_SUBJECT", 5)
    for _ in range(12):
        kit.clock.advance(1)
        granted = await signed_in(kit)
    assert await kit.database.read("SELECT COUNT(*) FROM refresh_token") == [(5,)]
    kit.clock.advance(31 * 86_400)
    granted = await signed_in(kit)
    assert await kit.database.read("SELECT COUNT(*) FROM refresh_token") == [(1,)]
    await kit.auth.refresh_grant(granted.refresh_token)


async def test_client_credentials_of_a_device(kit: Kit) -> None:
    device = await kit.auth.add_device("rider-1")
    granted = await kit.auth.client_credentials_grant(device.client_id, device.client_secret)
    assert granted.refresh_token == ""
    principal = await kit.auth.authenticate_bearer(granted.access_token)
    assert (principal.role, principal.rider_id) == (Role.DEVICE, "rider-1")
    assert principal.subject == f"device:{device.device_id}"
    kit.clock.advance(3600)
    with pytest.raises(AuthError):
        await kit.auth.authenticate_bearer(granted.access_token)


async def test_client_credentials_of_a_gateway_by_password_or_token(kit: Kit) -> None:
    fleet = await kit.auth.add_user("fleet", Role.GATEWAY)
    for secret in (fleet.password, fleet.token):
        granted = await kit.auth.client_credentials_grant("fleet", secret)
        assert (await kit.auth.authenticate_bearer(granted.access_token)).subject == "gateway:fleet"


async def test_who_is_no_client(kit: Kit) -> None:
    device = await kit.auth.add_device("rider-1")
    fleet = await kit.auth.add_user("fleet", Role.GATEWAY)
    wrong = [
        ("mina", PASSWORD),  # a person signs in by password
        ("fleet", "wrong"),
        ("other", fleet.token),
        (device.client_id, "wrong"),
        ("rider-1", device.client_secret),
        (device.client_id, fleet.token),
        ("", ""),
        ("x" * 1_000_000, "y" * 1_000_000),
    ]
    for client_id, secret in wrong:
        with pytest.raises(OAuthError) as error:
            await kit.auth.client_credentials_grant(client_id, secret)
        assert error.value.error == "invalid_client", client_id[:20]
