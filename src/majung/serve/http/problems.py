"""Errors as RFC 9457 problem details: one table from exception to status, for every door over HTTP."""

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, SerializationException, ValidationException

from majung.auth.limits import RateLimited
from majung.auth.model import AuthError, Forbidden
from majung.dispatch.model import OfferOver
from majung.friends.invitations import InvitationOver
from majung.orders.model import Order
from majung.orders.service import OrderConflict, RiderTaken
from majung.ports import Conflict, Damaged, Overloaded, PortError, StorageFull
from majung.share.model import ShareOver
from majung.share.service import TooManyShares
from majung.stores.model import Priced
from majung.stores.pricing import ItemGone, OutOfArea, PriceChanged, StoreClosed, TooSmall
from majung.stores.service import ChangedMeanwhile

log = structlog.get_logger("majung.http")

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, omit_defaults=True):
    """RFC 9457: what went wrong, for a program (`type`, `status`) and for a person (`title`, `detail`).

    `order`, of an order-conflict: the order as it is now. `priced`, of price-changed: what it costs now.
    `item_id`, of item-gone: of the line that cannot be had.
    """

    type: str
    title: str
    status: int
    detail: str = ""
    order: Order | None = None
    priced: Priced | None = None
    item_id: str = ""


_TABLE: tuple[tuple[type[Exception], int, str, str], ...] = (
    (AuthError, 401, "unauthenticated", "Sign in first"),
    (Forbidden, 403, "forbidden", "Not allowed"),
    (RateLimited, 429, "rate-limited", "Too many requests"),
    (OfferOver, 409, "offer-over", "The offer is over"),
    (RiderTaken, 409, "rider-taken", "The rider has another order"),
    (InvitationOver, 410, "invitation-over", "The invitation is over"),
    (ShareOver, 410, "share-over", "The link is over"),
    (TooManyShares, 409, "too-many-shares", "Too many links"),
    (Conflict, 409, "conflict", "Conflict"),
    (StorageFull, 507, "storage-full", "Storage is full"),
    (Overloaded, 503, "overloaded", "Busy; try again"),
    (Damaged, 500, "damaged", "Stored data is damaged"),
    (PortError, 503, "unavailable", "Unavailable; try again"),
    (KeyError, 500, "internal", "Internal error"),  # a slip of ours, though it is a LookupError
    (IndexError, 500, "internal", "Internal error"),
    (LookupError, 404, "not-found", "Not found"),
    (ChangedMeanwhile, 412, "changed-meanwhile", "Changed meanwhile"),
    (StoreClosed, 409, "store-closed", "The store is closed"),
    (OutOfArea, 400, "out-of-area", "The store does not deliver there"),
    (TooSmall, 400, "too-small", "Below the store's minimum"),
    (RecursionError, 400, "bad-request", "Bad request"),
    (ValueError, 400, "bad-request", "Bad request"),
)
_OF_HTTP = {
    400: ("bad-request", "Bad request"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "Method not allowed"),
    413: ("too-large", "The request body is too large"),
}
_RETRY_AFTER_S = {503: "1", 507: "30"}
_SEE_LOG = "the server's log has the details"


def describe(problem: Exception) -> Problem:
    """The problem details of an exception; what is not in the table is an internal error."""
    if isinstance(problem, HTTPException):
        return _of_http(problem)
    if isinstance(problem, OrderConflict):
        return Problem("order-conflict", "The order has moved on", 409, str(problem), problem.current)
    if isinstance(problem, PriceChanged):
        return Problem("price-changed", "The price has changed", 409, str(problem), priced=problem.priced)
    if isinstance(problem, ItemGone):
        title = "Sold out, or no longer on the menu"
        return Problem("item-gone", title, 409, str(problem), item_id=problem.item_id)
    if isinstance(problem, PortError):
        log.warning("backend_refused", problem=str(problem))
    for kind, status, name, title in _TABLE:
        if isinstance(problem, PortError) and isinstance(problem, kind):
            return Problem(name, title, status, problem.outward)
        if isinstance(problem, kind):
            return Problem(name, title, status, _detail(name, problem))
    return Problem("internal", "Internal error", 500, _SEE_LOG)


def _detail(name: str, problem: Exception) -> str:
    if name == "internal":
        return _SEE_LOG
    if isinstance(problem, UnicodeError):
        return "the request is not UTF-8"
    return "the JSON is nested too deeply" if isinstance(problem, RecursionError) else str(problem)


def _of_http(problem: HTTPException) -> Problem:
    """What the framework itself found wrong: the path, the method, the parameters, the body."""
    status = problem.status_code
    if status >= 500:
        return Problem("internal", "Internal error", status, _SEE_LOG)
    name, title = _OF_HTTP.get(status, ("about:blank", HTTPStatus(status).phrase))
    detail = problem.detail
    if isinstance(problem.__cause__, SerializationException):
        detail = f"the body is not JSON: {detail}"
    elif isinstance(problem, ValidationException) and isinstance(problem.extra, list):
        detail = "; ".join(_place(place) for place in problem.extra) or detail
    return Problem(name, title, status, "" if detail == HTTPStatus(status).phrase else detail)


def _place(place: dict[str, str]) -> str:
    """One thing that validation found: where, and what."""
    key, message = place.get("key", ""), place.get("message", "")
    if (key, message) == ("data", "'data'"):
        return "a JSON body is missing"
    return f"{key}: {message}".strip(": ")


def rendered(problem: Exception, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a request that failed so; `path` is for the log."""
    body = describe(problem)
    headers = {"Content-Type": MEDIA_TYPE, **dict(getattr(problem, "headers", None) or {})}
    if body.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="majung"'
    if isinstance(problem, RateLimited):
        headers["Retry-After"] = str(max(1, round(problem.retry_after_s)))
    elif body.status in _RETRY_AFTER_S:
        headers["Retry-After"] = _RETRY_AFTER_S[body.status]
    if body.status == 500:
        log.error("request_failed", path=path, exc_info=problem)
    return body.status, headers, msgspec.json.encode(body)


def respond(request: Request[Any, Any, Any], problem: Exception) -> Response[bytes]:
    """Litestar's exception handler."""
    status, headers, body = rendered(problem, request.url.path)
    del headers["Content-Type"]
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)
