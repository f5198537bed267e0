"""When to try again."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 86_400.0
_JITTER = 0.2
TOLERATED = 2
_FIRST_HOLD_S = 1.0
_LONGEST_HOLD_S = 60.0


def retry_s(delays_s: tuple[float, ...], attempts: int, retry_after_s: float = 0.0) -> float:
    """Seconds until the next try after `attempts` of them failed: the schedule, its last step for ever.

    Up to 20 % more, so that what failed together does not come back together; never before `Retry-After`.
    """
    step = delays_s[min(attempts, len(delays_s)) - 1]
    return float(max(step * random.uniform(1.0, 1.0 + _JITTER), retry_after_s))  # noqa: S311


def hold_s(failures: int, retry_after_s: float = 0.0) -> float:
    """Seconds for which an endpoint is left alone that failed so often in a row, whatever is due.

    One that refuses now and then is not: the calls beside it and after it succeed.
    """
    if failures <= TOLERATED:
        return retry_after_s
    pause = min(_FIRST_HOLD_S * 2 ** min(failures - TOLERATED - 1, 16), _LONGEST_HOLD_S)
    return float(max(pause * random.uniform(1.0 - _JITTER, 1.0), retry_after_s))  # noqa: S311


def retry_after(headers: Mapping[str, str], now_ms: int) -> float:
    """Seconds of `Retry-After` (RFC 9110 §10.2.3: seconds or a date), at most a day; 0.0 without one."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    wait_s = (at - datetime.fromtimestamp(now_ms / 1000, UTC)).total_seconds()
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)
