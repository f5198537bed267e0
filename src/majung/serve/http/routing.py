"""Ways and arrival times."""

import math
from typing import Annotated

from litestar import get
from litestar.params import HeaderParameter, QueryParameter

from majung.auth.model import Principal
from majung.routing.model import Place, Route
from majung.routing.valhalla import LANGUAGES
from majung.services import Services

COST = 10.0
"""What a way costs of the caller's rate: it is more work than a read."""

_PAIR = "Where: latitude,longitude in degrees."
From = Annotated[str, QueryParameter(name="from", max_length=64, description=f"{_PAIR} The beginning.")]
To = Annotated[str, QueryParameter(name="to", max_length=64, description=f"{_PAIR} The end.")]
Language = Annotated[
    str, HeaderParameter(name="Accept-Language", max_length=200, description="ko or en; what else: en.")
]


def place_of(text: str, name: str) -> Place:
    """`37.4979,127.0276` as a place. Raises ValueError."""
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{name} is latitude,longitude in degrees, not {text[:40]!r}") from None
    # What is not a number fails these comparisons too.
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ValueError(f"{name}: latitude is within -90…90 and longitude within -180…180")
    return Place(latitude, longitude)


def language_of(header: str) -> str:
    """The language of turns that suits an Accept-Language (RFC 9110 §12.5.4) best."""
    best, chosen = 0.0, LANGUAGES["en"]
    for part in header.split(","):
        tag, _, weight = part.partition(";")
        known = LANGUAGES.get(tag.strip().lower().partition("-")[0])
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight.strip() else 1.0
        except ValueError:
            continue
        if known is not None and math.isfinite(quality) and quality > best:
            best, chosen = quality, known
    return chosen


@get("/v1/routes", summary="The way from here to there", tags=["routing"])
async def get_route(
    services: Services,
    principal: Principal,
    from_: From,
    to: To,
    accept_language: Language = "",
) -> Route:
    """Along streets where the server has them (`source` is `valhalla`), with turns in Korean or English.

    Otherwise a straight line with the length and the time that ways of this length had lately (`straight`):
    without tiles, for a place that no street is near to, for more than 100 km, and while the server is busy.
    Counts as ten requests.
    """
    start, end = place_of(from_, "from"), place_of(to, "to")
    services.limiter.demand(principal.subject, COST - 1)
    return await services.router.route(start, end, language_of(accept_language))


HANDLERS = [get_route]
