"""The Litestar application: every HTTP door, with the services injected and errors as problem details."""

from typing import Any

from litestar import Litestar, MediaType, Request, get
from litestar.config.response_cache import ResponseCacheConfig
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import Scope

import majung
from majung.auth.model import Principal
from majung.serve.http import (
    accounts,
    device_socket,
    fences,
    live,
    oauth,
    operations,
    pages,
    phones,
    positions,
)
from majung.serve.http.auth import Connection, ask_who, provide_principal
from majung.serve.http.problems import respond
from majung.services import Services

_MODULES = (oauth, accounts, positions, fences, live, phones, device_socket, operations, pages)


@get("/openapi.json", include_in_schema=False, media_type=MediaType.JSON)
async def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """The description of this API, OpenAPI 3.1."""
    return request.app.openapi_schema.to_schema()


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
        route_handlers=[openapi, *(handler for module in _MODULES for handler in module.HANDLERS)],
        dependencies={
            "services": Provide(provide_services, sync_to_thread=False),
            "principal": Provide(provide_caller, sync_to_thread=False),
        },
        guards=[guard],
        exception_handlers={Exception: respond},
        request_max_body_size=services.settings.server.max_body_bytes,
        logging_config=None,
        response_cache_config=ResponseCacheConfig(default_expiration=None),
        openapi_config=OpenAPIConfig(
            title="Majung",
            version=majung.__version__,
            description="Where is it now, and when will it be here? Errors are RFC 9457 problem details.",
            path="/v1/openapi",
            use_handler_docstrings=True,
            render_plugins=[JsonRenderPlugin()],
            components=Components(
                security_schemes={
                    "bearer": SecurityScheme(
                        type="http", scheme="bearer", description="A token of POST /v1/oauth/token."
                    )
                }
            ),
            security=[{"bearer": []}],
        ),
    )
