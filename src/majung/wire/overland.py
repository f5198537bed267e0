"""Overland: a batch of GeoJSON features, and `{"result": "ok"}` when the phone may forget them.

`{"locations": [Feature …], "current": Feature, "trip": {…}}`. A feature has `geometry.coordinates`
`[longitude, latitude]` and in `properties` the ISO `timestamp`, `speed` (m/s), `course` (degrees),
`horizontal_accuracy` (m), `battery_level` (0…1), `device_id` …; -1 means unknown. `current` is the newest
fix when the queue is long: it comes again in a later batch, with the same identity. Features that say
what the app did (`action`: visits, pauses) or sum up a trip (`type`: "trip") are no fixes and are passed
over, as is `trip`. Any answer but `{"result": "ok"}` makes the phone keep the batch and send it again.

Source: https://github.com/aaronpk/Overland-iOS#api
"""

from collections.abc import Mapping

from majung.positions.model import Position, Reason
from majung.wire.fields import (
    Decoded,
    FieldError,
    Unreadable,
    accuracy,
    as_map,
    collect_tags,
    device_time_ms,
    gather,
    heading,
    measure,
    number,
    parse_json,
    percent,
    piece,
    redact,
    text,
)
from majung.wire.identity import Fix, Sender, identify

DOOR = "overland"
ANSWER = b'{"result":"ok"}'

_CHARGING = {"charging": "true", "full": "true", "unplugged": "false"}


def decode(body: bytes, sender: Sender, now_ms: int) -> Decoded:
    """The positions in one batch, `current` last; what cannot be read stands in its place."""
    try:
        batch = parse_json(body)
    except FieldError as error:
        return [Unreadable(Reason.MALFORMED, str(error), redact(body, sender.secret), sender.rider_id)]
    locations = as_map(batch).get("locations")
    if not isinstance(locations, list):
        detail = 'an Overland batch is a JSON object with an array "locations"'
        return [Unreadable(Reason.MALFORMED, detail, piece(batch, sender.secret), sender.rider_id)]
    current = as_map(batch).get("current")
    features = [*locations, current] if as_map(current) else locations
    return gather(_feature(feature, sender, now_ms) for feature in features)


def _feature(value: object, sender: Sender, now_ms: int) -> Position | Unreadable | None:
    feature = as_map(value)
    properties = as_map(feature.get("properties"))
    if properties.get("action") or properties.get("type") == "trip":
        return None
    named = text(properties.get("device_id"))
    try:
        longitude, latitude = _coordinates(feature)
        fix = Fix(
            latitude=latitude,
            longitude=longitude,
            device_time_ms=device_time_ms(properties.get("timestamp")),
            accuracy_m=accuracy(properties.get("horizontal_accuracy")),
            speed_mps=measure(properties.get("speed")),
            heading_deg=heading(properties.get("course")),
            tags=_tags(properties, sender),
        )
    except FieldError as error:
        rider_id = sender.rider_id or ("" if named == sender.secret else named)
        return Unreadable(Reason.MALFORMED, str(error), piece(value, sender.secret), rider_id)
    return identify(sender, DOOR, fix, now_ms, named=named, device=named)


def _coordinates(feature: Mapping[str, object]) -> tuple[float, float]:
    """Longitude, latitude. Raises `FieldError`."""
    geometry = as_map(feature.get("geometry"))
    place = geometry.get("coordinates")
    if isinstance(place, list) and len(place) >= 2 and geometry.get("type", "Point") == "Point":
        return number(place[0]), number(place[1])
    if isinstance(place, dict) and "longitude" in place and "latitude" in place:  # early versions of the app
        return number(place["longitude"]), number(place["latitude"])
    raise FieldError("geometry is not a Point with coordinates [longitude, latitude]")


def _tags(properties: Mapping[str, object], sender: Sender) -> dict[str, str] | None:
    state, motion = properties.get("battery_state"), properties.get("motion")
    return collect_tags(
        {
            "battery_pct": percent(properties.get("battery_level")),
            "charging": _CHARGING.get(state) if isinstance(state, str) else None,
            "altitude_m": properties.get("altitude"),
            "activity": ",".join(text(one) for one in motion[:8]) if isinstance(motion, list) else None,
        },
        secret=sender.secret,
    )
