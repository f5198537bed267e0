"""Friends in the answer to a report by OwnTracks.

The app has no other way to hear of them over HTTP: it asks nothing, it posts where it is and reads what comes
back. So the answer is who is near that place now, as `GET /v1/friends/nearby` says it, nearest first. A fix from
long ago, out of a phone's backlog, is answered with nothing: its sender is not there any more.
"""

import structlog

from majung.auth.model import Principal
from majung.ports import PortError
from majung.positions.check import check
from majung.positions.model import Position, kind_of
from majung.serve.told import card_of, location_of, tag_of
from majung.services import Services
from majung.wire import owntracks
from majung.wire.fields import Decoded

log = structlog.get_logger("majung.friends")

MAX_FRIENDS = 400
"""More would be a map that nobody reads: the nearest."""


async def friends_answer(services: Services, principal: Principal, decoded: Decoded) -> bytes:
    """What the app of a person is told; for everybody else, and for what is no position, `[]`.

    Never fails: the positions of the request are durable by now.
    """
    if kind_of(principal.rider_id) != "person":
        return owntracks.ANSWER
    reported = _newest(services, decoded)
    if reported is None:
        return owntracks.ANSWER
    try:
        now = await services.friends.reads.near(principal.rider_id, reported=reported)
    except PortError as problem:
        log.warning("no friends in an answer", problem=str(problem))
        return owntracks.ANSWER
    near = now.near[:MAX_FRIENDS]
    phone = f"{principal.subject}/{reported.session_id}"
    with_cards = services.friends.cards.are_due(phone, [one.place.person_id for one in near])
    messages: list[bytes] = []
    for one in near:
        tid = tag_of(one.place.person_id)
        topic = owntracks.http_topic(tid)
        if with_cards:
            messages.append(card_of(one, tid, topic))
        messages.append(location_of(one.place, tid, topic))
    return owntracks.encode_answer(messages)


def _newest(services: Services, decoded: Decoded) -> Position | None:
    """Where the phone is, when it says so now."""
    settings = services.settings
    since_ms = services.ingest.now_ms() - settings.friends.gone_after.total_seconds() * 1000
    found = (
        one
        for one in decoded
        if isinstance(one, Position)
        and one.device_time_ms >= since_ms
        and check(one, settings.positions) is None
    )
    return max(found, key=lambda one: one.device_time_ms, default=None)
