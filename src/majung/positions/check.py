"""The check at the door: is this a position that the core may believe?

Pure functions, first failure wins. What fails goes to quarantine with the reason; the device gets a
success all the same, because a phone resends a refused fix for ever and blocks itself behind it.
Whether the vehicle could have made the jump is decided later (`plausible.py`), with its history at hand.
"""

import math
import unicodedata
from collections.abc import Callable

from majung.positions.model import MAX_SEQ, Position, Reason, Rejection
from majung.settings import PositionSettings

MAX_ID_CHARS = 128
MAX_TAGS = 32
MAX_TAG_BYTES = 4096

Check = Callable[[Position, PositionSettings], Rejection | None]


def is_good_id(text: str) -> bool:
    """1–128 characters, none of them a control character, lone surrogate or slash, no outer spaces.

    Hangul and inner spaces are welcome: people name riders as they like.
    """
    return (
        0 < len(text) <= MAX_ID_CHARS
        and text == text.strip()
        and "/" not in text
        and (
            (text.isascii() and text.isprintable())
            or not any(unicodedata.category(c)[0] == "C" for c in text)
        )
    )


def check_ids(position: Position, _: PositionSettings) -> Rejection | None:
    """rider_id, session_id and seq name the position."""
    if not is_good_id(position.rider_id):
        return Rejection(
            Reason.BAD_RIDER_ID, f"rider_id must be 1-{MAX_ID_CHARS} printable characters without /"
        )
    if not is_good_id(position.session_id):
        return Rejection(
            Reason.BAD_SESSION_ID, f"session_id must be 1-{MAX_ID_CHARS} printable characters without /"
        )
    if not 1 <= position.seq <= MAX_SEQ:
        return Rejection(Reason.BAD_SEQ, f"seq must be 1 to 2^63-1, not {position.seq}")
    return None


def check_place(position: Position, _: PositionSettings) -> Rejection | None:
    """A finite place on Earth that is not (0, 0), the classic value of a receiver without a fix."""
    latitude, longitude = position.latitude, position.longitude
    if not (math.isfinite(latitude) and math.isfinite(longitude)):
        return Rejection(Reason.NOT_A_NUMBER, "latitude and longitude must be finite numbers")
    if not -90 <= latitude <= 90:
        swapped = (
            " (latitude and longitude swapped?)" if abs(longitude) <= 90 and abs(latitude) <= 180 else ""
        )
        return Rejection(Reason.OUT_OF_RANGE, f"latitude {latitude} is not within -90…90{swapped}")
    if not -180 <= longitude <= 180:
        return Rejection(Reason.OUT_OF_RANGE, f"longitude {longitude} is not within -180…180")
    if latitude == 0 and longitude == 0:
        return Rejection(Reason.NULL_ISLAND, "(0, 0) is what a receiver without a fix reports")
    return None


def check_time(position: Position, settings: PositionSettings) -> Rejection | None:
    """The device's clock is neither ahead nor absurdly behind."""
    age_ms = position.received_at_ms - position.device_time_ms
    if age_ms < -settings.max_ahead.total_seconds() * 1000:
        return Rejection(Reason.CLOCK_AHEAD, f"device_time_ms is {-age_ms / 1000:.0f} s ahead of the server")
    if age_ms > settings.max_age.total_seconds() * 1000:
        return Rejection(Reason.TOO_OLD, f"device_time_ms is {age_ms / 86_400_000:.1f} days old")
    return None


def check_motion(position: Position, _: PositionSettings) -> Rejection | None:
    """Accuracy, speed and heading, where given, are possible values."""
    accuracy_m, speed_mps, heading_deg = position.accuracy_m, position.speed_mps, position.heading_deg
    if accuracy_m is not None and not 0 <= accuracy_m < math.inf:
        return Rejection(Reason.BAD_ACCURACY, f"accuracy_m must be 0 or more, not {accuracy_m}")
    if speed_mps is not None and not 0 <= speed_mps < math.inf:
        return Rejection(Reason.BAD_MOTION, f"speed_mps must be 0 or more, not {speed_mps}")
    if heading_deg is not None and not 0 <= heading_deg <= 360:
        return Rejection(Reason.BAD_MOTION, f"heading_deg must be 0 to 360, not {heading_deg}")
    return None


def check_tags(position: Position, _: PositionSettings) -> Rejection | None:
    """Tags are few and small."""
    tags = position.tags
    if not tags:
        return None
    if len(tags) > MAX_TAGS:
        return Rejection(Reason.BAD_TAGS, f"{len(tags)} tags; at most {MAX_TAGS}")
    size = sum(len(key) + len(value) for key, value in tags.items())
    if size > MAX_TAG_BYTES:
        return Rejection(Reason.BAD_TAGS, f"tags of {size} characters; at most {MAX_TAG_BYTES}")
    return None


CHECKS: tuple[Check, ...] = (check_ids, check_place, check_time, check_motion, check_tags)


def check(position: Position, settings: PositionSettings) -> Rejection | None:
    """None when the position may enter the log."""
    for step in CHECKS:
        rejection = step(position, settings)
        if rejection is not None:
            return rejection
    return None
