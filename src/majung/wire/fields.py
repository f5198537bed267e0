"""Reading the loose values that phones send: numbers in strings, three kinds of time, `-1` for unknown.

The rule for all phone protocols: place and time must be readable, or the piece is `Unreadable`. What is
beside them (accuracy, speed, heading, tags) is unknown (`None`) when it makes no sense: a good place is
not thrown away for a bad speed.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from majung.positions.model import Position, Reason

MAX_UNREADABLE = 1000
MAX_PAYLOAD = 2048
MAX_DEVICE_TAGS = 16
MAX_TAG_CHARS = 128

# Below this a number is seconds (until the year 5138), from it on milliseconds (since March 1973).
_FIRST_MS = 100_000_000_000
_MAX_TIME_MS = 2**53
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf(inity)?)", re.IGNORECASE | re.ASCII
)
_LOST_PLUS = re.compile(r"(.*T.*\d) (\d\d:?\d\d)")

_decode_json = msgspec.json.Decoder().decode


class FieldError(ValueError):
    """A value that cannot be read. `str()` is words for an operator."""


class Unreadable(msgspec.Struct, frozen=True):
    """A piece of a payload that is no position: why, and its bytes, for quarantine."""

    reason: Reason
    detail: str
    payload: bytes
    rider_id: str = ""


Decoded = list[Position | Unreadable]


def gather(found: Iterable[Position | Unreadable | None]) -> Decoded:
    """Leave out what is no position and no mistake; of very many mistakes, say how many more there were.

    Positions are never cut off: their number is bounded by the size of the body.
    """
    decoded: Decoded = []
    bad = 0
    for one in found:
        if isinstance(one, Unreadable):
            bad += 1
            if bad > MAX_UNREADABLE:
                continue
        if one is not None:
            decoded.append(one)
    if bad > MAX_UNREADABLE:
        decoded.append(
            Unreadable(Reason.MALFORMED, f"{bad - MAX_UNREADABLE} more pieces are not readable", b"")
        )
    return decoded


def parse_json(body: bytes) -> object:
    """JSON to Python values; of a key that stands twice, the last. Raises `FieldError`.

    RFC 8259 knows no NaN and Infinity, and C and JavaScript print them all the same. One of them must
    not cost a phone its whole batch, so they are read as floats, and `positions.check` judges them.
    """
    try:
        return _decode_json(body)
    except RecursionError:
        raise FieldError("the JSON is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        first = error
    try:
        value: object = json.loads(body.decode("utf-8", "replace"))
    except RecursionError:
        raise FieldError("the JSON is nested too deeply") from None
    except ValueError:
        raise FieldError(f"not JSON: {first}") from None
    return value


def as_map(value: object) -> Mapping[str, object]:
    """The object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def number(value: object) -> float:
    """A number, or a string that is one; may be NaN or infinite. Raises `FieldError`."""
    if isinstance(value, str):
        if len(value) > 64 or not _NUMBER.fullmatch(value.strip()):
            raise FieldError(f"{value[:32]!r} is not a number")
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError(f"a number is expected, not {_kind(value)}")
    try:
        return float(value)
    except OverflowError:
        raise FieldError("a number is too large") from None


def measure(value: object, factor: float = 1.0) -> float | None:
    """A measured value that is 0 or more, times `factor`; None when unknown, negative or unreadable.

    iOS says -1 for "unknown".
    """
    try:
        found = number(value) * factor
    except FieldError:
        return None
    return found if 0 <= found < math.inf else None


def accuracy(value: object) -> float | None:
    """Metres; None when unknown. 0 is what Android says when it does not know: no receiver is exact."""
    return measure(value) or None


def heading(value: object) -> float | None:
    """Degrees clockwise from north; None when unknown or not a direction."""
    found = measure(value)
    return found if found is not None and found <= 360 else None


def device_time_ms(value: object) -> int:
    """Unix milliseconds out of seconds, milliseconds (told apart by size) or ISO 8601. Raises `FieldError`.

    ISO time without a zone is UTC. A `+` before the zone that a query string has made a space is
    understood.
    """
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return iso_ms(value)
    found = number(value)
    time_ms = found if abs(found) >= _FIRST_MS else found * 1000
    if not abs(time_ms) < _MAX_TIME_MS:
        raise FieldError(f"the time {found} is out of range")
    return round(time_ms)


def iso_ms(text: str) -> int:
    """Unix milliseconds out of ISO 8601 alone; as `device_time_ms`. Raises `FieldError`."""
    text = text.strip()
    if len(text) > 64:
        raise FieldError("a time is too long")
    if lost := _LOST_PLUS.fullmatch(text):
        text = f"{lost[1]}+{lost[2]}"
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise FieldError(f"{text!r} is not a time") from None


def text(value: object) -> str:
    """A string or number as text that can be stored anywhere (no lone surrogates); "" for all else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value).encode("utf-8", "replace").decode()
    return ""


def percent(value: object) -> str:
    """A battery level of 0…1 as whole percent; "" when unknown (-1)."""
    found = measure(value)
    return str(round(found * 100)) if found is not None and found <= 1 else ""


def collect_tags(
    known: Mapping[str, object], extra: Iterable[tuple[str, object]] = (), secret: str = ""
) -> dict[str, str] | None:
    """Tags in the words of Majung (`known`), then what else the device says, as far as there is room.

    Empty values and whatever holds the credential are left out; long ones are cut. The bounds lie
    within those of `positions.check`, so that no phone loses a fix for talking too much.
    """
    tags = {key: shown for key, value in known.items() if (shown := text(value)[:MAX_TAG_CHARS])}
    room = MAX_DEVICE_TAGS
    for key, value in extra:
        name, shown = text(key), text(value)[:MAX_TAG_CHARS]
        if room and shown and 0 < len(name) <= 64 and name not in tags:
            tags[name] = shown
            room -= 1
    if secret:
        tags = {key: shown for key, shown in tags.items() if secret not in text(shown) and secret not in key}
    return tags or None


def piece(value: object, secret: str = "") -> bytes:
    """A piece of a payload as it is shown in quarantine: JSON without the credential, cut to a bound."""
    try:
        shown = msgspec.json.encode(value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        shown = repr(value).encode("utf-8", "replace")
    return redact(shown, secret)[:MAX_PAYLOAD]


def redact(payload: bytes, secret: str) -> bytes:
    """The payload without the credential that travelled in it."""
    return payload.replace(secret.encode("utf-8", "replace"), b"***") if secret else payload


def _kind(value: object) -> str:
    names = {type(None): "nothing", bool: "true or false", dict: "an object", list: "an array"}
    return names.get(type(value), type(value).__name__)
