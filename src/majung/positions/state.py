"""What the consumer remembers of a rider between two positions. Checkpointed through the LiveStore."""

from typing import Any

import msgspec

from majung.positions.model import LivePosition, Position


class RiderState(msgspec.Struct, array_like=True):
    """Mutable, owned by the pipeline. `fences` belongs to `triggers` (its own encoding, opaque here)."""

    newest: Position | None = None
    sessions: dict[str, list[int]] = {}
    doubt: Position | None = None
    doubts: int = 0
    fences: Any = None


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
    )
