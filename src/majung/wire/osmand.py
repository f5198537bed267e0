"""OsmAnd, and Traccar Client, which speaks the same: one fix a request, in one of three shapes.

* query string: `?id=…&lat=…&lon=…&timestamp=…&speed=…&bearing=…&altitude=…&accuracy=…&batt=…`; GET or POST
* the same fields as a form in the body
* JSON (Traccar Client from 9.0): `{"location": {"timestamp": …, "coords": {…}, "battery": {…}, …},
  "device_id": …}`; `location` may be an array, as the location library behind the app sends a backlog

Units: speed is in **knots** in query and form, in **metres a second** in JSON. OsmAnd itself fills its
`{5}` with metres a second, which Traccar's users live with; here a URL may say `speed_mps={5}`. Time is
seconds, milliseconds or ISO 8601; without one it is the time of receipt. Any HTTP answer 2xx is an
acknowledgement; on anything else the app keeps the fix and sends it again.

Source: https://www.traccar.org/osmand
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from majung.positions.model import Position, Reason
from majung.wire.fields import (
    MAX_PAYLOAD,
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

DOOR = "osmand"
ANSWER = b""

_KNOT = 1852 / 3600
_MAX_PARAMS = 200
_FALSE = frozenset({"false", "0", "no", "f"})
_CREDENTIALS = frozenset({"id", "deviceid", "device_id", "token", "access_token"})
_FIELDS = frozenset(
    {"valid", "timestamp", "lat", "lon", "location", "accuracy", "altitude", "speed", "speed_mps"}
)
_NOT_TAGS = _CREDENTIALS | _FIELDS | {"bearing", "heading", "batt", "battery", "charge", "cell", "wifi"}

Params = Mapping[str, str]


def parse_params(query: bytes, body: bytes = b"") -> dict[str, str]:
    """Query string and form in one; of a key that stands twice, the first, and the query before the form."""
    params: dict[str, str] = {}
    for part in (query, body):
        try:
            pairs = parse_qsl(
                part.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MAX_PARAMS
            )
        except ValueError:
            continue
        for key, value in pairs:
            params.setdefault(key, value)
    return params


def is_json(body: bytes, content_type: str = "") -> bool:
    """Whether the body is meant as JSON: what it looks like counts, whatever the header says."""
    return body.lstrip()[:1] in (b"{", b"[") or ("json" in content_type.lower() and bool(body.strip()))


def device_id(params: Params, body: bytes = b"", content_type: str = "") -> str:
    """What the request gives as the device's id ("" for none): a name, or the credential itself."""
    named = params.get("id") or params.get("deviceid") or params.get("device_id") or ""
    if named or not is_json(body, content_type):
        return named
    try:
        return _json_device_id(as_map(parse_json(body)))
    except FieldError:
        return ""


def decode(query: bytes, body: bytes, content_type: str, sender: Sender, now_ms: int) -> Decoded:
    """The position (JSON: positions) in one request."""
    if is_json(body, content_type):
        return _decode_json(body, parse_params(query), sender, now_ms)
    return [_from_params(parse_params(query, body), sender, now_ms)]


# ---------------------------------------------------------------------------------- query and form


def _from_params(params: Params, sender: Sender, now_ms: int) -> Position | Unreadable:
    named = device_id(params)
    try:
        if params.get("valid", "").lower() in _FALSE:
            return _no_position("the device says that its fix is not valid", params, sender)
        latitude, longitude = _place(params)
        if not latitude or not longitude:
            return _no_position("lat or lon is missing", params, sender)
        fix = Fix(
            latitude=number(latitude),
            longitude=number(longitude),
            device_time_ms=device_time_ms(params["timestamp"]) if params.get("timestamp") else now_ms,
            accuracy_m=accuracy(params.get("accuracy")),
            speed_mps=_speed_mps(params),
            heading_deg=heading(params.get("bearing") or params.get("heading")),
            tags=_param_tags(params, sender),
        )
    except FieldError as error:
        return Unreadable(Reason.MALFORMED, str(error), _shown(params, sender), sender.rider_id)
    return identify(sender, DOOR, fix, now_ms, named=named, device=named)


def _place(params: Params) -> tuple[str, str]:
    latitude, comma, longitude = params.get("location", "").partition(",")
    return (latitude, longitude) if comma else (params.get("lat", ""), params.get("lon", ""))


def _speed_mps(params: Params) -> float | None:
    if "speed_mps" in params:
        return measure(params["speed_mps"])
    return measure(params.get("speed"), _KNOT)


def _param_tags(params: Params, sender: Sender) -> dict[str, str] | None:
    known = {
        "battery_pct": params.get("batt") or params.get("battery"),
        "charging": params.get("charge"),
        "altitude_m": params.get("altitude"),
    }
    extra = [(key, value) for key, value in params.items() if key not in _NOT_TAGS]
    return collect_tags(known, extra, sender.secret)


def _no_position(detail: str, params: Params, sender: Sender) -> Unreadable:
    return Unreadable(Reason.NO_POSITION, detail, _shown(params, sender), sender.rider_id)


def _shown(params: Params, sender: Sender) -> bytes:
    """The parameters for quarantine: a token stands in the URL of many phones and is not kept."""
    shown = {key: value for key, value in params.items() if key not in ("token", "access_token")}
    return redact(urlencode(shown).encode(), sender.secret)[:MAX_PAYLOAD]


# -------------------------------------------------------------------------------------------- JSON


def _decode_json(body: bytes, params: Params, sender: Sender, now_ms: int) -> Decoded:
    try:
        value = parse_json(body)
    except FieldError as error:
        return [Unreadable(Reason.MALFORMED, str(error), redact(body, sender.secret), sender.rider_id)]
    root = as_map(value)
    named = device_id(params) or _json_device_id(root)
    inner = root.get("location", value)
    locations = inner if isinstance(inner, list) else [inner]
    return gather(_from_location(one, named, sender, now_ms) for one in locations)


def _json_device_id(root: Mapping[str, object]) -> str:
    return text(root.get("device_id") or root.get("deviceid") or root.get("id"))


def _from_location(value: object, named: str, sender: Sender, now_ms: int) -> Position | Unreadable:
    location = as_map(value)
    coords = as_map(location.get("coords"))
    try:
        if coords.get("latitude") is None or coords.get("longitude") is None:
            detail = "location.coords has no latitude or longitude"
            return Unreadable(Reason.NO_POSITION, detail, piece(value, sender.secret), sender.rider_id)
        when = location.get("timestamp")
        fix = Fix(
            latitude=number(coords["latitude"]),
            longitude=number(coords["longitude"]),
            device_time_ms=now_ms if when is None else device_time_ms(when),
            accuracy_m=accuracy(coords.get("accuracy")),
            speed_mps=measure(coords.get("speed")),
            heading_deg=heading(coords.get("heading")),
            tags=_location_tags(location, coords, sender),
        )
    except FieldError as error:
        return Unreadable(Reason.MALFORMED, str(error), piece(value, sender.secret), sender.rider_id)
    return identify(sender, DOOR, fix, now_ms, named=named, device=named)


def _location_tags(
    location: Mapping[str, object], coords: Mapping[str, object], sender: Sender
) -> dict[str, str] | None:
    battery = as_map(location.get("battery"))
    known = {
        "battery_pct": percent(battery.get("level")),
        "charging": battery.get("is_charging"),
        "altitude_m": coords.get("altitude"),
        "activity": as_map(location.get("activity")).get("type"),
        "moving": location.get("is_moving"),
        "event": location.get("event"),
        "odometer_m": location.get("odometer"),
        "mock": location.get("mock"),
    }
    return collect_tags(known, as_map(location.get("extras")).items(), sender.secret)
