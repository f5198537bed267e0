"""The Litestar application: every HTTP door, with the services injected and errors as problem details."""

import asyncio
import functools

import msgspec
from litestar import Litestar, MediaType, Response, get
from litestar.config.response_cache import ResponseCacheConfig
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from majung.auth.model import Principal
from majung.serve.http import (
    accounts,
    addresses,
    device_socket,
    dispatch,
    eta,
    fences,
    friends,
    friends_asking,
    friends_groups,
    friends_live,
    friends_me,
    friends_reads,
    live,
    notify,
    oauth,
    operations,
    order_stream,
    order_views,
    orders,
    pages,
    phones,
    positions,
    routing,
    share,
    sign_up,
    stores,
    webhooks,
)
from majung.serve.http.auth import Connection, ask_who, provide_principal
from majung.serve.http.openapi import describe
from majung.serve.http.problems import respond
from majung.services import Services

_MODULES = (
    oauth,
    accounts,
    positions,
    fences,
    live,
    phones,
    device_socket,
    operations,
    pages,
    sign_up,
    stores,
    orders,
    order_views,
    order_stream,
    dispatch,
    webhooks,
    eta,
    routing,
    share,
    addresses,
    notify,
    friends,
    friends_asking,
    friends_groups,
    friends_live,
    friends_me,
    friends_reads,
)


ROUTES = tuple(handler for module in _MODULES for handler in module.HANDLERS)


@functools.cache
def api_description() -> bytes:
    """The description of this API, OpenAPI 3.1, as JSON."""
    return msgspec.json.encode(describe(ROUTES))


@get("/openapi.json", include_in_schema=False)
async def openapi() -> Response[bytes]:
    """Made when it is first asked for."""
    body = await asyncio.to_thread(api_description)
    return Response(body, media_type=MediaType.JSON, headers={"Cache-Control": "no-cache"})


def build_app(services: Services) -> Litestar:
    """One application for one server."""

    def provide_services() -> Services:
        return services

    def provide_caller(scope: Scope, services: Services) -> Principal:
        # Asks for `services` so that it is provided after them: Litestar gives dependencies that do not
        # need each other a task each, which costs more than the rest of a read.
        return provide_principal(scope)

    async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
        await ask_who(connection, handler, services)

    return Litestar(
        route_handlers=[openapi, *ROUTES],
        dependencies={
            "services": Provide(provide_services, sync_to_thread=False),
            "principal": Provide(provide_caller, sync_to_thread=False),
        },
        guards=[guard],
        exception_handlers={Exception: respond},
        request_max_body_size=services.settings.server.max_body_bytes,
        logging_config=None,
        response_cache_config=ResponseCacheConfig(default_expiration=None),
        openapi_config=None,
    )
