"""What the consumer remembers of a rider between two positions. Checkpointed through the LiveStore."""

import msgspec

from majung.positions.model import LivePosition, Position, kind_of
from majung.positions.triggers import FenceStates


class RiderState(msgspec.Struct, array_like=True):
    """Mutable, owned by the pipeline; `fences` is what `triggers` remembers."""

    newest: Position | None = None
    sessions: dict[str, list[int]] = {}
    doubt: Position | None = None
    doubts: int = 0
    fences: FenceStates | None = None


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
