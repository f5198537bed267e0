"""Doors for phones as they are: OwnTracks, OsmAnd / Traccar Client, Overland.

What these apps have in common decides what is answered here. They keep a fix until they get a 2xx (Overland:
until `{"result": "ok"}`) and send the oldest first, so

* whatever cannot be read or believed is quarantined and *acknowledged*: one bad fix must not block all
  that stand behind it;
* nothing is acknowledged before it is durable: 503 and 507 make the phone keep it.

Authentication takes a credential wherever an app can carry one; see docs/phones.md.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from litestar import Request, Response, post, route
from litestar.enums import HttpMethod, MediaType

from majung.auth.limits import RateLimited
from majung.auth.model import Principal
from majung.ports import Overloaded
from majung.serve.http.intake import authenticate_sender, durable, take_in
from majung.serve.http.phone_friends import friends_answer
from majung.services import Services
from majung.wire import osmand, overland, owntracks
from majung.wire.fields import Decoded
from majung.wire.identity import Sender

AnyRequest = Request[Any, Any, Any]

_NO_STORE = {"Cache-Control": "no-store"}


@post(
    ["/owntracks", "/owntracks/pub", "/pub"],
    status_code=200,
    tags=["phones"],
    summary="OwnTracks in HTTP mode",
    media_type=MediaType.JSON,
)
async def owntracks_door(request: AnyRequest, services: Services) -> Response[bytes]:
    """One OwnTracks message (or an array of them); answers `[]`, or a person's friends near by.

    Credential: HTTP Basic (user: rider or device, password: the device's token; a person's own name and
    password work as well), Bearer or `?token=`.
    A gateway names the rider by the message's topic, `X-Limit-U` or `?u=`.
    """
    params = osmand.parse_params(_query(request))
    principal, secret = await authenticate_sender(request, services, params)
    with _keeping_it():
        services.limiter.demand(principal.subject)
    body = await request.body()
    sender = Sender(
        rider_id=principal.rider_id,
        user=_header(request, "x-limit-u") or params.get("u", ""),
        device=_header(request, "x-limit-d") or params.get("d", ""),
        secret=secret,
    )
    decoded = owntracks.decode(body, sender, services.ingest.now_ms())
    with _keeping_it():
        _charge(services, principal, decoded)
    await _take(services, principal, owntracks.DOOR, decoded)
    answer = await friends_answer(services, principal, decoded)
    return Response(answer, media_type=MediaType.JSON, headers=_NO_STORE)


@route(
    "/osmand",
    http_method=[HttpMethod.GET, HttpMethod.POST],
    status_code=200,
    tags=["phones"],
    summary="OsmAnd and Traccar Client",
    media_type=MediaType.TEXT,
)
async def osmand_door(request: AnyRequest, services: Services) -> Response[bytes]:
    """One fix as query string, form or JSON; answers 200 with nothing in it.

    Credential: the device's token as `id` (or `device_id`), `?token=`, HTTP Basic or Bearer. A gateway
    names the rider by `id`.
    """
    query = _query(request)
    content_type = request.headers.get("content-type", "")
    body = await request.body()
    params = osmand.parse_params(query, b"" if osmand.is_json(body, content_type) else body)
    principal, secret = await authenticate_sender(
        request, services, params, osmand.device_id(params, body, content_type)
    )
    services.limiter.demand(principal.subject)
    sender = Sender(rider_id=principal.rider_id, secret=secret)
    decoded = osmand.decode(query, body, content_type, sender, services.ingest.now_ms())
    _charge(services, principal, decoded)
    await _take(services, principal, osmand.DOOR, decoded)
    return Response(osmand.ANSWER, media_type=MediaType.TEXT, headers=_NO_STORE)


@post("/overland", status_code=200, tags=["phones"], summary="Overland", media_type=MediaType.JSON)
async def overland_door(request: AnyRequest, services: Services) -> Response[bytes]:
    """A batch of GeoJSON features; answers `{"result":"ok"}` when all of them are durable.

    Credential: Bearer (the app's access token) or `?token=`. A gateway names the rider by `device_id`.
    """
    principal, secret = await authenticate_sender(request, services, osmand.parse_params(_query(request)))
    services.limiter.demand(principal.subject)
    body = await request.body()
    sender = Sender(rider_id=principal.rider_id, secret=secret)
    decoded = overland.decode(body, sender, services.ingest.now_ms())
    _charge(services, principal, decoded)
    await _take(services, principal, overland.DOOR, decoded)
    return Response(overland.ANSWER, media_type=MediaType.JSON)


HANDLERS = [owntracks_door, osmand_door, overland_door]


# ------------------------------------------------------------------------------------------- steps


@contextlib.contextmanager
def _keeping_it() -> Iterator[None]:
    """OwnTracks on iOS throws a message away after any 4xx, 429 as well; after a 5xx it comes again."""
    try:
        yield
    except RateLimited as error:
        raise Overloaded(str(error)) from None


def _charge(services: Services, principal: Principal, decoded: Decoded) -> None:
    """A batch costs what it holds (the request has paid for one), and never more than a full bucket."""
    further = min(len(decoded), services.settings.server.rate_burst) - 1
    if further > 0:
        services.limiter.demand(principal.subject, further)


async def _take(services: Services, principal: Principal, door: str, decoded: Decoded) -> None:
    await durable(take_in(services.ingest, principal, door, decoded))


def _query(request: AnyRequest) -> bytes:
    query: bytes = request.scope["query_string"]
    return query


def _header(request: AnyRequest, name: str) -> str:
    """A header as UTF-8, which apps send, though HTTP knows Latin-1 alone."""
    value = request.headers.get(name, "")
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
