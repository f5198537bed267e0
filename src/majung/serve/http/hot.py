"""The few requests that an order needs, past the framework: what is plain is answered here, all else there.

Litestar costs more for one of these requests than the request itself (`docs/decisions/0008-orders-speed.md`).
So a POST of `ROUTES` goes straight to the function of its handler, when there is nothing to it: no query, a
token that is known to be good, a small body that came whole and decodes. Everything else, everything wrong
first of all, goes to the framework as if this were not here. `tests/paths/test_hot_routes.py` holds that both
ways answer alike.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from majung.auth.model import Principal
from majung.orders.wish import NewOrder
from majung.serve.http import dispatch, orders
from majung.serve.http.problems import rendered
from majung.services import Services

MAX_BODY_BYTES = 65_536
_MAX_ID = 64
_ID = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_JSON = (b"content-type", b"application/json")
_BEARER = b"Bearer "
_BROKEN = (msgspec.MsgspecError, RecursionError, UnicodeError)

_encode = msgspec.json.Encoder().encode


class _Route(NamedTuple):
    """A handler of the framework: its function, what its body is (None: none), the name of its path's id."""

    work: Callable[..., Awaitable[Any]]
    status: int
    decode: Callable[[bytes], Any] | None
    id_name: str
    takes_key: bool


def _route(
    handler: HTTPRouteHandler, body: type | None, id_name: str = "", takes_key: bool = False
) -> _Route:
    decode: Callable[[bytes], Any] | None = None if body is None else msgspec.json.Decoder(body).decode
    return _Route(handler.fn, handler.status_code, decode, id_name, takes_key)


ROUTES: dict[tuple[str, str], _Route] = {
    ("orders", ""): _route(orders.place_order, NewOrder, takes_key=True),
    ("orders", "accept"): _route(orders.accept_order, orders.Cooking, "order_id"),
    ("orders", "ready"): _route(orders.ready_order, orders.Plain, "order_id"),
    ("orders", "pick-up"): _route(orders.pick_up_order, orders.Plain, "order_id"),
    ("orders", "depart"): _route(orders.depart_order, orders.Plain, "order_id"),
    ("orders", "deliver"): _route(orders.deliver_order, orders.Handover, "order_id"),
    ("offers", "accept"): _route(dispatch.accept_offer, None, "offer_id"),
    ("offers", "decline"): _route(dispatch.decline_offer, None, "offer_id"),
}


class _Call(NamedTuple):
    """A request that can be answered here, but for its body."""

    route: _Route
    principal: Principal
    arguments: dict[str, Any]


class HotRoutes:
    """An ASGI application before another one."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        call = self._plain(scope) if scope["type"] == ScopeType.HTTP else None
        if call is None:
            await self._app(scope, receive, send)
            return
        came = await receive()
        route, principal, arguments = call
        if came["type"] != "http.request" or came.get("more_body"):
            await self._app(scope, _again(came, receive), send)
            return
        if route.decode is not None:
            try:
                arguments["data"] = route.decode(came["body"])
            except _BROKEN:  # the framework has the words for it, and forgives a number in quotes
                await self._app(scope, _again(came, receive), send)
                return
        status, headers, body = await self._answer(route, principal, arguments, scope["path"])
        start = {"type": "http.response.start", "status": status, "headers": headers}
        await send(start)  # type: ignore[arg-type]
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(
        self, route: _Route, principal: Principal, arguments: dict[str, Any], path: str
    ) -> tuple[int, Sequence[tuple[bytes, bytes]], bytes]:
        try:
            self._services.limiter.demand(principal.subject)
            done = await route.work(services=self._services, principal=principal, **arguments)
            body = _encode(done)
            return route.status, (_JSON, _length(body)), body
        except Exception as problem:
            status, said, body = rendered(problem, path)
            headers = [(name.lower().encode(), value.encode()) for name, value in said.items()]
            return status, [*headers, _length(body)], body

    def _plain(self, scope: Scope) -> _Call | None:
        """The call, when nothing about it needs the framework."""
        parts = scope["path"].split("/")
        named = len(parts) == 5
        if not (named or len(parts) == 3) or parts[1] != "v1" or scope["query_string"]:
            return None
        if scope["method"] != "POST":  # type: ignore[typeddict-item]
            return None
        route = ROUTES.get((parts[2], parts[4] if named else ""))
        if route is None or (named and not _is_id(parts[3])):
            return None
        arguments: dict[str, Any] = {route.id_name: parts[3]} if named else {}
        token = ""
        length = 0
        for name, value in scope["headers"]:
            if name == b"authorization":
                token = value[len(_BEARER) :].decode("latin-1") if value.startswith(_BEARER) else ""
            elif name == b"content-length":
                length = int(value) if value.isdigit() and len(value) < 9 else MAX_BODY_BYTES + 1
            elif name == b"transfer-encoding":
                return None
            elif name == b"idempotency-key" and route.takes_key:
                if not (1 <= len(value) <= 128 and value.isascii()):
                    return None
                arguments["idempotency_key"] = value.decode("ascii")
        principal = self._services.auth.remembered(token) if token and length <= MAX_BODY_BYTES else None
        return None if principal is None else _Call(route, principal, arguments)


def _is_id(text: str) -> bool:
    return 1 <= len(text) <= _MAX_ID and text.isascii() and _ID.issuperset(text.encode())


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)


def _again(came: Any, receive: Receive) -> Receive:
    """The message that was taken already, then what else comes."""
    taken = [came]

    async def replay() -> Any:
        return taken.pop() if taken else await receive()

    return replay
