"""OwnTracks: what its apps post in HTTP mode.

One JSON object (or an array of them) a request, told apart by `_type`. `location` is a position; every
other type (transition, waypoint, lwt, cmd, steps, card …) is something else that the app has to say:
accepted, and no position. Units: `tst` seconds, `vel` km/h, `cog` degrees, `acc` and `alt` metres, `batt`
percent. A zero-length body is what the app posts to delete a friend. The answer is a JSON array of
messages for the app; `[]` when there is nothing to say. An app that gets a 4xx throws the message away, after
a 5xx it tries again.

Friends are told as a `card` (name and face) and a `location` each. What ties the two together, and tells one
friend from another, is over HTTP the `tid` alone (both apps make the topic `owntracks/http/TID` of it and
look at no other), so it must be unique and must not change; over MQTT it is the topic, `…/info` being the
card's, and `tid` is only two letters to draw. No message over HTTP takes a friend away; over MQTT an empty
one does. The iOS app wants a whole `acc` and `tst`, and throws the whole answer away for a card without a face.

Source: https://owntracks.org/booklet/tech/json, https://owntracks.org/booklet/tech/http,
https://owntracks.org/booklet/features/card and https://github.com/owntracks/json-schema
"""

import math
from collections.abc import Iterable, Mapping

import msgspec

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

_encode = msgspec.json.Encoder().encode

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


# ---------------------------------------------------------------------------------------- to the app


class Card(msgspec.Struct, frozen=True, tag_field="_type", tag="card"):
    """Who a friend is. `face`: a PNG in base64."""

    tid: str
    topic: str
    name: str
    face: str


class Location(msgspec.Struct, frozen=True, tag_field="_type", tag="location", omit_defaults=True):
    """Where a friend is: degrees, seconds, metres. No speed and no battery: nobody was asked for those."""

    tid: str
    topic: str
    lat: float
    lon: float
    tst: int
    acc: int | None = None


def http_topic(tid: str) -> str:
    """The topic that the apps themselves make of a tid in HTTP mode."""
    return f"owntracks/http/{tid}"


def encode_card(tid: str, topic: str, name: str, face: str) -> bytes:
    """A friend's name and face as the apps read them."""
    return _encode(Card(tid, topic, name, face))


def encode_location(
    tid: str, topic: str, latitude: float, longitude: float, device_time_ms: int, accuracy_m: float | None
) -> bytes:
    """A friend's place. The accuracy is rounded up: a circle that is drawn too small would say too much."""
    acc = None if accuracy_m is None else math.ceil(accuracy_m)
    return _encode(Location(tid, topic, round(latitude, 7), round(longitude, 7), device_time_ms // 1000, acc))


def encode_answer(messages: Iterable[bytes]) -> bytes:
    """Encoded messages as the array that an app expects over HTTP."""
    return b"[" + b",".join(messages) + b"]"
