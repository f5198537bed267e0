"""How one rider stands to one fence, and when a change of sides counts. The state behind `triggers.py`."""

import msgspec

from majung.positions.fence_model import Fence
from majung.positions.model import Position
from majung.positions.shapes import Shape
from majung.settings import TriggerSettings


class Crossing(msgspec.Struct, array_like=True):
    """A change of sides that has yet to last: its first fix, and how many agree."""

    cause: str
    at_ms: int
    latitude: float
    longitude: float
    fixes: int = 0


class Standing(msgspec.Struct, array_like=True):
    """One rider and one fence. Absent from the state: outside, and nothing says otherwise."""

    version: int
    name: str
    inside: bool = False
    entered_ms: int = 0
    cause: str = ""
    dwelt: bool = False
    crossing: Crossing | None = None


class FenceStates(msgspec.Struct, array_like=True):
    """What the triggers remember of one rider. Mutable; travels with the rider's checkpoint."""

    fences: dict[str, Standing] = {}
    device_ms: int = 0
    heard_ms: int = 0
    silent: bool = False
    latitude: float = 0.0
    longitude: float = 0.0
    last_cause: str = ""


class KnownFence:
    """A fence with its geometry and its own or the usual patience."""

    __slots__ = ("box", "confirm_fixes", "confirm_ms", "dwell_ms", "fence", "near", "riders", "shape")

    def __init__(self, fence: Fence, shape: Shape, settings: TriggerSettings) -> None:
        self.fence = fence
        self.shape = shape
        self.box = shape.box()
        self.near = fence.near is not None
        self.riders = frozenset(fence.rider_ids)
        usual_fixes = settings.near_fixes if self.near else settings.confirm_fixes
        usual_s = (settings.near_for if self.near else settings.confirm_for).total_seconds()
        self.confirm_fixes = usual_fixes if fence.confirm_fixes is None else fence.confirm_fixes
        self.confirm_ms = round((usual_s if fence.confirm_s is None else fence.confirm_s) * 1000)
        self.dwell_ms = None if fence.dwell_s is None else round(fence.dwell_s * 1000)

    def concerns(self, rider_id: str) -> bool:
        """Whether the fence is for this rider."""
        return not self.riders or rider_id in self.riders

    def is_near(self, latitude: float, longitude: float) -> bool:
        """Whether the point lies in the enclosing box: cheap, and most fences of a grid cell fail it."""
        box = self.box
        if not box.south <= latitude <= box.north:
            return False
        if box.west <= box.east:
            return box.west <= longitude <= box.east
        return longitude >= box.west or longitude <= box.east

    def side(self, position: Position) -> bool | None:
        """True inside, False outside, None when the accuracy does not let us say."""
        latitude, longitude = position.latitude, position.longitude
        if not position.accuracy_m:
            return self.shape.contains(latitude, longitude)
        depth_m = self.shape.depth_m(latitude, longitude)
        if abs(depth_m) < min(position.accuracy_m, self.shape.doubt_m):
            return None
        return depth_m >= 0


def cause_of(position: Position) -> str:
    """The identity of a fix, as part of the identity of what it caused."""
    return f"{position.session_id}\0{position.seq}"


def cross(standing: Standing, side: bool | None, position: Position, known: KnownFence) -> Crossing | None:
    """Count a fix for or against a change of sides; the crossing when it has lasted long enough."""
    if side is None:
        return None
    if side == standing.inside:
        standing.crossing = None
        return None
    crossing = standing.crossing
    if crossing is None:
        crossing = standing.crossing = Crossing(
            cause_of(position), position.device_time_ms, position.latitude, position.longitude
        )
    crossing.fixes += 1
    lasted_ms = position.device_time_ms - crossing.at_ms
    return crossing if crossing.fixes >= known.confirm_fixes and lasted_ms >= known.confirm_ms else None
