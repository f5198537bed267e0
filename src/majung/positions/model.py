"""What a position is, and everything that can become of one.

Frozen structs only: a value is made once, by `wire/`, and never changed on its way.
"""

from enum import StrEnum

import msgspec

MAX_SEQ = 2**63 - 1
PERSON_PREFIX = "person-"
RIDER, PERSON = "rider", "person"  # kinds


def kind_of(rider_id: str) -> str:
    """Whose position it is: "person" (friends; the prefix is theirs alone) or "rider".

    The kinds share the way in and nothing on the way out: what is shown of riders never shows a person.
    """
    return PERSON if rider_id.startswith(PERSON_PREFIX) else RIDER


class Position(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One fix from a device. Identity: `(rider_id, session_id, seq)`.

    Degrees are WGS 84; times are Unix milliseconds, UTC. `device_time_ms` is when the fix was taken,
    by the device's clock; `received_at_ms` is when Majung got it. `door` names the protocol it came by.
    The field order is the layout of a record in the log: append, never reorder.
    """

    rider_id: str
    session_id: str
    seq: int
    latitude: float
    longitude: float
    device_time_ms: int
    received_at_ms: int
    accuracy_m: float | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    tags: dict[str, str] | None = None
    door: str = ""


def is_person(position: Position) -> bool:
    """Whether a person reported it."""
    return position.rider_id.startswith(PERSON_PREFIX)


class Reason(StrEnum):
    """Why a fix was set aside. The values are read by operators and are part of the API."""

    MALFORMED = "malformed"
    BAD_RIDER_ID = "bad_rider_id"
    BAD_SESSION_ID = "bad_session_id"
    BAD_SEQ = "bad_seq"
    NOT_A_NUMBER = "not_a_number"
    OUT_OF_RANGE = "out_of_range"
    NULL_ISLAND = "null_island"
    CLOCK_AHEAD = "clock_ahead"
    TOO_OLD = "too_old"
    BAD_ACCURACY = "bad_accuracy"
    BAD_MOTION = "bad_motion"
    BAD_TAGS = "bad_tags"
    NOT_YOURS = "not_yours"
    NO_POSITION = "no_position"


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """A check said no: the reason for the counter, the detail for a person."""

    reason: Reason
    detail: str


class Quarantined(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A fix that was set aside: what came (cut to a bound), from whom, by which door, and why."""

    received_at_ms: int
    rider_id: str
    principal: str
    door: str
    reason: str
    detail: str
    payload: bytes


class Mark(StrEnum):
    """What plausibility thought of a stored position. Only PLAIN ones are shown live."""

    PLAIN = ""
    INACCURATE = "inaccurate"
    JUMP = "jump"
    LATE = "late"


class StoredPosition(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A position in history, with its mark."""

    position: Position
    mark: str = ""


class TrackPoint(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One point of a track as readers get it."""

    device_time_ms: int
    latitude: float
    longitude: float
    accuracy_m: float | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    session_id: str = ""
    seq: int = 0
    mark: str = ""


class LivePosition(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What is true now for one rider, as viewers get it (JSON field names are these)."""

    rider_id: str
    latitude: float
    longitude: float
    device_time_ms: int
    received_at_ms: int
    accuracy_m: float | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    kind: str = "rider"


class Nearby(msgspec.Struct, frozen=True, gc=False):
    """A hit of a nearest search: who, how far (straight line, metres), and the position."""

    rider_id: str
    distance_m: float
    position: LivePosition
