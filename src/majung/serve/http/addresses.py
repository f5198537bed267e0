"""Addresses: from words to places, and from a place to words. For everybody who orders, sells or carries."""

from typing import Annotated

from litestar import get
from litestar.params import Parameter

from majung.addresses.model import AddressAt, Candidates
from majung.addresses.query import MAX_CHARS
from majung.addresses.search import Near
from majung.auth.model import Principal
from majung.auth.policy import Action
from majung.services import Services

Text = Annotated[str, Parameter(min_length=1, max_length=MAX_CHARS, description="As far as it was typed.")]
Latitude = Annotated[float, Parameter(ge=-90, le=90)]
Longitude = Annotated[float, Parameter(ge=-180, le=180)]
NearLatitude = Annotated[float | None, Parameter(ge=-90, le=90)]
NearLongitude = Annotated[float | None, Parameter(ge=-180, le=180)]
Limit = Annotated[int, Parameter(ge=1, le=20)]


@get("/v1/addresses", summary="Find an address", tags=["addresses"])
async def find_addresses(
    q: Text,
    services: Services,
    principal: Principal,
    lat: NearLatitude = None,
    lon: NearLongitude = None,
    limit: Limit = 8,
) -> Candidates:
    """What may be meant, the likeliest first; what is near `lat`, `lon` (default: where the map opens) goes before.

    `precision` says how well the place is known, and the true one is within `precision_m` of it: an address
    whose number is known may still be known on the map as its neighbourhood only. South Korea; offline.
    """
    services.policy.allow(principal, Action.STORE_READ)
    start = services.settings.map
    near = Near(start.latitude if lat is None else lat, start.longitude if lon is None else lon)
    return await services.addresses.find(principal.subject, q, near, limit)


@get("/v1/addresses/at", summary="Name a place", tags=["addresses"])
async def get_address_at(
    lat: Latitude, lon: Longitude, services: Services, principal: Principal
) -> AddressAt:
    """The neighbourhood (법정동) that a place is in. 404 when it is not in South Korea."""
    services.policy.allow(principal, Action.STORE_READ)
    return await services.addresses.at(principal.subject, lat, lon)


HANDLERS = [find_addresses, get_address_at]
