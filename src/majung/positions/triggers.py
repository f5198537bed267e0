"""Events out of positions: fences, nearness, silence."""

from enum import StrEnum

import msgspec


class EventKind(StrEnum):
    """What happened. The values are part of the API."""

    ENTER = "enter"
    EXIT = "exit"
    DWELL = "dwell"
    NEAR = "near"
    SILENT = "silent"
    BACK = "back"


class RiderEvent(msgspec.Struct, frozen=True, gc=False):
    """Something happened to a rider. `event_id` is the same however often the cause is processed.

    `at_ms` is device time (for silent and back: the time of receipt), Unix milliseconds. `fence_id` is
    empty for silent and back. Degrees are where the rider was.
    """

    event_id: str
    rider_id: str
    kind: str
    fence_id: str
    fence_name: str
    at_ms: int
    latitude: float
    longitude: float
