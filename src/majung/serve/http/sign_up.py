"""Signing up: an account that somebody makes without an administrator, where the settings allow it."""

import msgspec
from litestar import Request, Response, get, post

from majung.auth.model import Role, TokenSet
from majung.serve.http.auth import remote_of
from majung.services import Services

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class NewAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who one wants to be. A password has 10 characters or more."""

    name: str
    password: str
    role: Role = Role.CUSTOMER


class OpenRoles(msgspec.Struct, frozen=True):
    """The roles that anybody may sign up for."""

    roles: list[Role]


@post("/v1/sign-up", summary="Make an account", tags=["auth"])
async def sign_up(data: NewAccount, request: Request, services: Services) -> Response[TokenSet]:  # type: ignore[type-arg]
    """For the roles in `delivery.open_sign_up`. The answer is that of signing in.

    409 when the name is taken, 403 when the role is not open, 429 after too many from one address.
    """
    tokens = await services.sign_up.sign_up(data.name, data.password, data.role, remote_of(request))
    return Response(tokens, headers=_NO_STORE)


@get("/v1/sign-up", summary="Who may sign up", tags=["auth"])
async def open_roles(services: Services) -> OpenRoles:
    """For the page that offers it."""
    return OpenRoles(sorted(services.sign_up.roles))


HANDLERS = [sign_up, open_roles]
