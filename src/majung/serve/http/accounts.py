"""The administrator's API: users, devices, and which viewer sees which rider.

Secrets are in the answer of the call that makes them, and nowhere else. Lists come in pages: ask again
with `after` = the last name or id of the page before.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, delete, get, post, put
from litestar.params import Parameter

from majung.auth.accounts import PAGE
from majung.auth.model import Account, Device, Grant, NewUser, Principal, Role
from majung.auth.phones import address_of, app_settings
from majung.auth.policy import Action
from majung.services import Services

_NO_STORE = {"Cache-Control": "no-store"}
_TAGS = ["accounts"]

Id = Annotated[str, Parameter(min_length=1, max_length=128)]
After = Annotated[str, Parameter(max_length=128)]
Limit = Annotated[int, Parameter(ge=1, le=PAGE)]


class AddUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new account. Without a password, one is made.

    `rider_id` is for the role rider (default: the name), `store_id` for the role store.
    """

    name: str
    role: Role
    password: str | None = None
    rider_id: str = ""
    store_id: str = ""


class SetPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new password; without one, one is made."""

    password: str | None = None


class AddDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A credential for a rider's device."""

    rider_id: str
    name: str = ""


class AddedDevice(msgspec.Struct, frozen=True):
    """The device's credential, and how to type it into each phone app."""

    device_id: str
    rider_id: str
    token: str
    client_id: str
    client_secret: str
    apps: dict[str, dict[str, str]]


class PutGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Until when (RFC 3339 with offset); without it, until it is removed."""

    until: datetime | None = None


class Users(msgspec.Struct, frozen=True):
    """A page of accounts."""

    users: list[Account]


class Devices(msgspec.Struct, frozen=True):
    """A page of devices."""

    devices: list[Device]


class Grants(msgspec.Struct, frozen=True):
    """The grants that hold now."""

    grants: list[Grant]


@get("/v1/accounts/users", summary="List accounts", tags=_TAGS)
async def list_users(
    services: Services, principal: Principal, after: After = "", limit: Limit = PAGE
) -> Users:
    """By name; revoked ones have `revoked_at_ms`."""
    services.policy.allow(principal, Action.MANAGE_ACCOUNTS)
    return Users(await services.auth.accounts.list_users(after, limit))


@post("/v1/accounts/users", summary="Add an account", tags=_TAGS)
async def add_user(data: AddUser, services: Services, principal: Principal) -> Response[NewUser]:
    """The answer holds the password (and for gateways and operators an API token), this once."""
    services.policy.allow(principal, Action.MANAGE_ACCOUNTS)
    added = await services.auth.add_user(data.name, data.role, data.password, data.rider_id, data.store_id)
    return Response(added, headers=_NO_STORE)


@delete("/v1/accounts/users/{name:str}", summary="Revoke an account", tags=_TAGS)
async def revoke_user(name: Id, services: Services, principal: Principal) -> None:
    """Its tokens and grants end within a second. The last administrator cannot be revoked."""
    services.policy.allow(principal, Action.MANAGE_ACCOUNTS)
    await services.auth.accounts.revoke_user(name)


@post("/v1/accounts/users/{name:str}/password", status_code=200, summary="Set a password", tags=_TAGS)
async def set_password(
    name: Id, data: SetPassword, services: Services, principal: Principal
) -> Response[NewUser]:
    """Everything that was signed in with the old one ends; API tokens stay."""
    services.policy.allow(principal, Action.MANAGE_ACCOUNTS)
    changed = await services.auth.accounts.set_password(name, data.password)
    return Response(changed, headers=_NO_STORE)


@get("/v1/accounts/devices", summary="List devices", tags=_TAGS)
async def list_devices(
    services: Services, principal: Principal, rider_id: After = "", after: After = "", limit: Limit = PAGE
) -> Devices:
    """By device_id, of one rider or of all; revoked ones have `revoked_at_ms`."""
    services.policy.allow(principal, Action.MANAGE_ACCOUNTS)
    return Devices(await services.auth.accounts.list_devices(rider_id, after, limit))


@post("/v1/accounts/devices", summary="Add a device", tags=_TAGS)
async def add_device(data: AddDevice, services: Services, principal: Principal) -> Response[AddedDevice]:
    """The answer holds the credential, this once, and how to type it into each phone app."""
    services.policy.allow(principal, Action.MANAGE_ACCOUNTS)
    device = await services.auth.accounts.add_device(data.rider_id, data.name)
    apps = app_settings(device, address_of(services.settings.server))
    return Response(AddedDevice(**msgspec.structs.asdict(device), apps=apps), headers=_NO_STORE)


@delete("/v1/accounts/devices/{device_id:str}", summary="Revoke a device", tags=_TAGS)
async def revoke_device(device_id: Id, services: Services, principal: Principal) -> None:
    """Its credential and its tokens end within a second, for good."""
    services.policy.allow(principal, Action.MANAGE_ACCOUNTS)
    await services.auth.accounts.revoke_device(device_id)


@get("/v1/accounts/users/{name:str}/grants", summary="Whom a viewer may see", tags=_TAGS)
async def list_grants(name: Id, services: Services, principal: Principal) -> Grants:
    """The grants that hold now."""
    services.policy.allow(principal, Action.MANAGE_ACCOUNTS)
    return Grants(await services.auth.accounts.list_grants(name))


@put("/v1/accounts/users/{name:str}/grants/{rider_id:str}", summary="Let a viewer see a rider", tags=_TAGS)
async def put_grant(
    name: Id, rider_id: Id, data: PutGrant, services: Services, principal: Principal
) -> Grant:
    """Until a time, or until it is removed; again: sets the time anew."""
    services.policy.allow(principal, Action.MANAGE_ACCOUNTS)
    return await services.auth.accounts.grant(name, rider_id, _until_ms(data.until))


@delete("/v1/accounts/users/{name:str}/grants/{rider_id:str}", summary="Take a grant away", tags=_TAGS)
async def remove_grant(name: Id, rider_id: Id, services: Services, principal: Principal) -> None:
    """The viewer's streams and reads lose the rider within a second."""
    services.policy.allow(principal, Action.MANAGE_ACCOUNTS)
    await services.auth.accounts.remove_grant(name, rider_id)


HANDLERS = [
    list_users,
    add_user,
    revoke_user,
    set_password,
    list_devices,
    add_device,
    revoke_device,
    list_grants,
    put_grant,
    remove_grant,
]


def _until_ms(until: datetime | None) -> int | None:
    if until is None:
        return None
    if until.tzinfo is None:
        raise ValueError("until needs an offset: 2026-05-01T18:00:00+09:00")
    return round(until.timestamp() * 1000)
