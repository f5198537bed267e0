"""Who is calling over HTTP or WebSocket: from the request's headers to a `Principal`.

A credential comes as `Authorization: Bearer …` or `Basic …`, or, where a browser can set no header
(WebSocket, SSE), as `?access_token=…` (RFC 6750 §2.3). There are no cookies, so there is nothing that
another site could ride on.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from majung.auth.model import AuthError, Principal
from majung.services import Services

Connection = ASGIConnection[Any, Any, Any, Any]
Verify = Callable[[], Awaitable[Principal]]


_SCOPE_KEY = "majung.principal"


async def ask_who(connection: Connection, handler: BaseRouteHandler, services: Services) -> None:
    """Litestar's guard: who calls is asked before anything of the request is looked at.

    Raises AuthError, RateLimited, Overloaded, PortError.
    """
    if "principal" in handler.parsed_fn_signature.parameters:
        connection.scope[_SCOPE_KEY] = await authenticate(connection, services)  # type: ignore[literal-required]


def provide_principal(scope: Scope) -> Principal:
    """Litestar's dependency `principal`: whom the guard found."""
    principal: Principal = scope[_SCOPE_KEY]  # type: ignore[literal-required]
    return principal


async def authenticate(connection: Connection, services: Services) -> Principal:
    """The caller of this connection, within its rate. Raises AuthError, RateLimited, Overloaded, PortError."""
    principal = await verify(connection, services)
    services.limiter.demand(principal.subject)
    return principal


async def verify(connection: Connection, services: Services) -> Principal:
    """The caller, who pays nothing for it: what a long stream asks again and again. Raises as `authenticate`."""
    return await verifier(connection, services)()


def verifier(connection: Connection, services: Services) -> Verify:
    """What `verify` asks, to be asked again without the connection. Raises AuthError: there is no credential."""
    auth, remote = services.auth, remote_of(connection)
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        username, password = parse_basic(value)
        return partial(auth.authenticate_basic, username, password, remote)
    token = value.strip() if scheme.lower() == "bearer" else connection.query_params.get("access_token", "")
    if not token:
        raise AuthError("sign in: send a token as Authorization: Bearer")
    return partial(auth.authenticate_bearer, token, remote)


def remote_of(connection: Connection) -> str:
    """The address of the other end, as far as the server knows it."""
    return connection.client.host if connection.client else ""


def parse_basic(value: str) -> tuple[str, str]:
    """User name and password of RFC 7617. Raises AuthError."""
    try:
        text = base64.b64decode(value.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise AuthError("the Basic credential is not base64 of user:password") from None
    username, colon, password = text.partition(":")
    if not colon:
        raise AuthError("the Basic credential has no password")
    return username, password
