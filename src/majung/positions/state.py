"""What the consumer remembers of a rider between two positions. Checkpointed through the LiveStore."""

import msgspec

from majung.positions.model import LivePosition, Position, kind_of
from majung.positions.triggers import FenceStates


class Trail(msgspec.Struct, array_like=True):
    """What was believed last, and what was not: `doubts` fixes in a row that agree with `doubt`."""

    newest: Position | None = None
    doubt: Position | None = None
    doubts: int = 0


class RiderState(msgspec.Struct, array_like=True):
    """Mutable, owned by the pipeline; `fences` is what `triggers` remembers.

    `trails` is for people who report from several devices, maybe far apart: what each session did last. The
    order of the fields is the layout of the checkpoint: append, never reorder.
    """

    newest: Position | None = None
    sessions: dict[str, list[int]] = {}
    doubt: Position | None = None
    doubts: int = 0
    fences: FenceStates | None = None
    trails: dict[str, Trail] | None = None


def as_live(position: Position) -> LivePosition:
    """The newest position as viewers get it."""
    return LivePosition(
        position.rider_id,
        position.latitude,
        position.longitude,
        position.device_time_ms,
        position.received_at_ms,
        position.accuracy_m,
        position.speed_mps,
        position.heading_deg,
        kind_of(position.rider_id),
    )
