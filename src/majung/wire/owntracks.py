"""OwnTracks: what its apps post in HTTP mode.

One JSON object (or an array of them) a request, told apart by `_type`. `location` is a position; every
other type (transition, waypoint, lwt, cmd, steps, card …) is something else that the app has to say:
accepted, and no position. Units: `tst` seconds, `vel` km/h, `cog` degrees, `acc` and `alt` metres, `batt`
percent. A zero-length body is what the app posts to delete a friend. The answer is a JSON array of
messages for the app: `[]`. An app that gets a 4xx throws the message away, after a 5xx it tries again.

Source: https://owntracks.org/booklet/tech/json and https://owntracks.org/booklet/tech/http
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
    piece,
    redact,
    text,
)
from majung.wire.identity import Fix, Sender, identify

DOOR = "owntracks"
ANSWER = b"[]"

_KMH = 1 / 3.6
_BATTERY = {1: "false", 2: "true", 3: "true"}
_CONNECTIONS = {"w": "wifi", "m": "mobile", "o": "offline"}


def decode(body: bytes, sender: Sender, now_ms: int) -> Decoded:
    """The positions in one request; empty when it holds none."""
    if not body.strip():
        return []
    try:
        value = parse_json(body)
    except FieldError as error:
        return [Unreadable(Reason.MALFORMED, str(error), redact(body, sender.secret))]
    messages = value if isinstance(value, list) else [value]
    return gather(_message(message, sender, now_ms) for message in messages)


def _message(value: object, sender: Sender, now_ms: int) -> Position | Unreadable | None:
    message = as_map(value)
    kind = message.get("_type")
    if kind == "location":
        return _location(message, sender, now_ms)
    if kind == "encrypted":
        detail = "the payload is encrypted: switch off encryption in OwnTracks (TLS protects it on its way)"
        return Unreadable(Reason.NO_POSITION, detail, piece(value, sender.secret))
    if isinstance(kind, str) and kind:
        return None
    return Unreadable(
        Reason.MALFORMED, "an OwnTracks message is a JSON object with a _type", piece(value, sender.secret)
    )


def _location(message: Mapping[str, object], sender: Sender, now_ms: int) -> Position | Unreadable:
    user, device = _topic(text(message.get("topic")))
    try:
        if message.get("lat") is None or message.get("lon") is None:
            raise FieldError("lat or lon is missing")
        fix = Fix(
            latitude=number(message["lat"]),
            longitude=number(message["lon"]),
            device_time_ms=device_time_ms(message.get("tst")),
            accuracy_m=accuracy(message.get("acc")),
            speed_mps=measure(message.get("vel"), _KMH),
            heading_deg=heading(message.get("cog")),
            tags=_tags(message, sender),
        )
    except FieldError as error:
        return Unreadable(
            Reason.MALFORMED, str(error), piece(message, sender.secret), sender.rider_id or user
        )
    return identify(sender, DOOR, fix, now_ms, named=user, device=device)


def _topic(topic: str) -> tuple[str, str]:
    """`owntracks/jane/phone` → ("jane", "phone"); with another base, the last two parts."""
    parts = topic.strip("/").split("/")
    if len(parts) < 3:
        return "", ""
    return (parts[1], parts[2]) if parts[0] == "owntracks" else (parts[-2], parts[-1])


def _tags(message: Mapping[str, object], sender: Sender) -> dict[str, str] | None:
    battery, connection = message.get("bs"), message.get("conn")
    return collect_tags(
        {
            "battery_pct": message.get("batt"),
            "charging": _BATTERY.get(battery) if isinstance(battery, int) else None,
            "altitude_m": message.get("alt"),
            "trigger": message.get("t"),
            "network": _CONNECTIONS.get(connection) if isinstance(connection, str) else None,
            "tracker_id": message.get("tid"),
            "poi": message.get("poi"),
            "tag": message.get("tag"),
        },
        secret=sender.secret,
    )
