"""Words of a file as numbers and times. Each raises ValueError saying what is wrong with the word."""

import math
from datetime import UTC, datetime, timedelta, tzinfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# Columns and properties by meaning, the most telling name first; compared in lower case.
RIDER_NAMES = (
    "rider_id",
    "vehicle_id",
    "device_id",
    "user_id",
    "driver_id",
    "uid",
    "rider",
    "vehicle",
    "device",
    "user",
    "trackid",
    "track_id",
    "tid",
    "id",
)
LATITUDE_NAMES = ("latitude", "lat", "latitude_deg", "y")
LONGITUDE_NAMES = ("longitude", "lng", "lon", "long", "longitude_deg", "x")
TIME_NAMES = (
    "device_time_ms",
    "device_time",
    "timestamp_ms",
    "time_ms",
    "timestamp",
    "datetime",
    "date_time",
    "recorded_at",
    "time",
    "tst",
)
ACCURACY_NAMES = ("accuracy_m", "accuracy", "acc", "horizontal_accuracy")
HEADING_NAMES = ("heading_deg", "heading", "bearing_deg", "bearing", "course", "cog", "direction_deg")
SPEED_NAMES = (
    "speed_mps",
    "speed_ms",
    "speed_kmh",
    "speed_kph",
    "speed_mph",
    "speed_knots",
    "speed",
    "velocity",
)
_SPEED_FACTORS = {"kmh": 1 / 3.6, "kph": 1 / 3.6, "mph": 0.44704, "knots": 1852 / 3600}


def number(word: str) -> float:
    """A number, "nan" and "inf" included: the server sets those aside."""
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{word[:40]!r} is no number") from None


def optional(word: object, factor: float = 1.0) -> float | None:
    """A number, or None for what is empty or none (a bearing that a tracker did not know)."""
    try:
        value = float(word) * factor  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def speed_factor(name: str) -> float:
    """From a column's unit to m/s; without a unit in its name it is m/s."""
    return _SPEED_FACTORS.get(name.rpartition("_")[2], 1.0)


def time_ms(word: object, timezone: tzinfo = UTC, *, unit_ms: bool = False) -> int:
    """Unix milliseconds from ISO 8601, `YYYY-MM-DD HH:MM:SS`, or Unix time as a number.

    A number is seconds, milliseconds, microseconds or nanoseconds by its size (milliseconds for sure
    when `unit_ms`). A time without an offset is in `timezone`.
    """
    if isinstance(word, str):
        text = word.strip()
        if text[:4].isdigit() and text[4:5] in ("-", "/"):
            return _calendar_ms(text, timezone)
        word = text
    try:
        value = float(word)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        if isinstance(word, str) and word:
            return _calendar_ms(word, timezone)
        raise ValueError("there is no time") from None
    return _unix_ms(value, unit_ms)


def _unix_ms(value: float, unit_ms: bool) -> int:
    if not math.isfinite(value) or abs(value) > 4e18:
        raise ValueError(f"{value} is no time")
    size = abs(value)
    if unit_ms or 1e11 <= size < 1e14:
        return round(value)
    if size < 1e11:
        return round(value * 1_000)
    return round(value / 1_000) if size < 1e17 else round(value / 1_000_000)


def _calendar_ms(text: str, timezone: tzinfo) -> int:
    plain = text.removesuffix(" UTC").removesuffix(" GMT").removesuffix(" Z")
    try:
        moment = datetime.fromisoformat(plain.replace("/", "-"))
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC if plain != text else timezone)
    return (moment - _EPOCH) // _MILLISECOND
