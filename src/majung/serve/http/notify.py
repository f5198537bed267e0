"""Doors of notifications: what the caller was told, what of it is read, and the browsers that are told as well."""

from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.params import Parameter

from majung.auth.model import Forbidden, Principal
from majung.notify.model import Kind, Notice, Params
from majung.notify.service import MAX_PAGE
from majung.notify.subscriptions import NewSubscription, Subscription
from majung.notify.words import Language
from majung.orders.view_policy import Part, Scope, scope_of
from majung.services import Services

Id = Annotated[str, Parameter(min_length=1, max_length=64)]
After = Annotated[
    int | None, Parameter(ge=0, le=2**63 - 1, description="The last number that one has: what came after it.")
]
Before = Annotated[
    int | None, Parameter(ge=0, le=2**63 - 1, description="The last number of the page before.")
]
Limit = Annotated[int, Parameter(ge=1, le=MAX_PAGE)]
Words = Annotated[Language | None, Parameter(description="Of title and body; default: `notify.language`.")]


class ShownNotice(msgspec.Struct, frozen=True):
    """What was told, with words in one language. `params` are what the words are made of."""

    id: int
    kind: Kind
    order_id: str
    at_ms: int
    read: bool
    title: str
    body: str
    params: Params


class NoticesPage(msgspec.Struct, frozen=True):
    """`unread` counts all of them, not this page, and no further than 1,000."""

    notices: list[ShownNotice]
    unread: int


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything up to and with this number has been read."""

    up_to: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Unread(msgspec.Struct, frozen=True):
    """How many notices are not read."""

    unread: int


class PushKey(msgspec.Struct, frozen=True):
    """`applicationServerKey` of `PushManager.subscribe()`: a P-256 point, base64url."""

    key: str


class SubscriptionList(msgspec.Struct, frozen=True):
    """Oldest first."""

    subscriptions: list[Subscription]


def _reader(principal: Principal) -> Scope:
    """As whom the caller is told. Raises Forbidden."""
    scope = scope_of(principal)
    if scope.part is Part.ORDER:
        raise Forbidden("a link to one order has no notices of its own")
    return scope


def _account(principal: Principal) -> str:
    """Whose browser it is. Raises Forbidden."""
    _reader(principal)
    return principal.subject.partition(":")[2]


@get("/v1/notifications", summary="What I was told", tags=["notifications"])
async def list_notices(
    services: Services,
    principal: Principal,
    after: After = None,
    before: Before = None,
    limit: Limit = 50,
    language: Words = None,
) -> NoticesPage:
    """Newest first; `before` continues. With `after`, what came after that number, oldest first.

    Customers, stores and riders have notices; for administrators and operators there are none.
    """
    recipient = _reader(principal).key
    if after is not None and before is not None:
        raise ValueError("either after or before, not both")
    notify = services.notify
    if after is not None:
        found = await notify.after(recipient, after, limit)
    else:
        found = await notify.before(recipient, before, limit)
    return NoticesPage(
        [_shown(services, notice, language) for notice in found], await notify.unread(recipient)
    )


def _shown(services: Services, notice: Notice, language: Language | None) -> ShownNotice:
    return msgspec.convert(services.notify.shown(notice, language), ShownNotice)


@post("/v1/notifications/read", summary="Mark notices as read", tags=["notifications"], status_code=200)
async def mark_notices_read(data: Seen, services: Services, principal: Principal) -> Unread:
    """All of one's own up to a number."""
    return Unread(await services.notify.mark_read(_reader(principal).key, data.up_to))


@get("/v1/push/key", summary="The key that browsers subscribe with", tags=["notifications"])
async def get_push_key(services: Services, principal: Principal) -> PushKey:
    """Of this server (VAPID, RFC 8292); made at its first start."""
    _reader(principal)
    return PushKey((await services.subscriptions.vapid()).public_key)


@post("/v1/push/subscriptions", summary="Tell this browser", tags=["notifications"])
async def add_subscription(data: NewSubscription, services: Services, principal: Principal) -> Subscription:
    """The body is what `PushSubscription.toJSON()` gives, and a language. Again renews it.

    An account has `notify.push_per_account` browsers; the longest unseen goes for a new one.
    """
    scope = _reader(principal)
    return await services.subscriptions.add(_account(principal), scope.key, data)


@get("/v1/push/subscriptions", summary="Browsers that are told", tags=["notifications"])
async def list_subscriptions(services: Services, principal: Principal) -> SubscriptionList:
    """Those of the caller's account."""
    return SubscriptionList(await services.subscriptions.of(_account(principal)))


@delete(
    "/v1/push/subscriptions/{subscription_id:str}", summary="Tell a browser no more", tags=["notifications"]
)
async def remove_subscription(subscription_id: Id, services: Services, principal: Principal) -> None:
    """One of the caller's own."""
    await services.subscriptions.remove(_account(principal), subscription_id)


HANDLERS = [
    list_notices,
    mark_notices_read,
    get_push_key,
    add_subscription,
    list_subscriptions,
    remove_subscription,
]
