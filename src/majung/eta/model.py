"""Expected arrivals, and what is kept of an order until it ends. Times are Unix milliseconds, UTC (`_ms`)."""

from enum import StrEnum

import msgspec

from majung.orders.model import FINAL, OrderState
from majung.orders.view_policy import CARRYING
from majung.routing.model import Place


class Stage(StrEnum):
    """What is still to happen: errors are learned for each on its own."""

    PLACED = "placed"  # the store has not accepted yet
    COOKING = "cooking"  # and no rider yet
    WAITING = "waiting"  # cooked, and no rider yet
    ASSIGNED = "assigned"  # a rider is on the way to the store, or waits there
    CARRYING = "carrying"
    NEAR = "near"  # carrying, and nearly there


PROMISED = "promised"
"""Not a stage: the name under which the first arrival that was shown is kept."""


class Eta(msgspec.Struct, frozen=True, tag="eta"):
    """When the order arrives, most likely, and the interval that holds it eight times of ten.

    `promised_ms` and `promised_latest_ms` are what was shown first; `late`: it is expected after the latter.
    `version` is the version of the order that it takes in.
    """

    order_id: str
    version: int
    stage: Stage
    at_ms: int
    earliest_ms: int
    latest_ms: int
    late: bool
    promised_ms: int
    promised_latest_ms: int
    computed_at_ms: int


class Spot(msgspec.Struct, frozen=True):
    """Where an address is."""

    latitude: float
    longitude: float


class SlimOrder(msgspec.Struct, frozen=True):
    """An order as far as its arrival depends on it."""

    order_id: str
    version: int
    state: OrderState
    customer: str
    store_id: str
    store_latitude: float
    store_longitude: float
    address: Spot
    placed_at_ms: int
    changed_at_ms: int
    rider_id: str = ""
    cooking_minutes: int = 0
    accepted_at_ms: int = 0
    assigned_at_ms: int = 0
    ready_at_ms: int = 0
    picked_up_at_ms: int = 0
    ended_at_ms: int = 0

    @property
    def store(self) -> Place:
        """Where it is cooked."""
        return Place(self.store_latitude, self.store_longitude)

    @property
    def door(self) -> Place:
        """Where it goes."""
        return Place(self.address.latitude, self.address.longitude)

    @property
    def carried(self) -> bool:
        """Whether a rider has it in the bag."""
        return self.state in CARRYING

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL


class SlimEvent(msgspec.Struct, frozen=True):
    """An event of `order.events.v1`, the same way."""

    order_id: str
    version: int
    command: str
    at_ms: int
    order: SlimOrder


class Sample(msgspec.Struct, frozen=True):
    """One of the arrivals shown in a stage, each with the same chance; `count`: of how many.

    `raw_ms` is the prediction before the errors of others were added.
    """

    count: int
    predicted_ms: int
    raw_ms: int
    at_ms: int
    earliest_ms: int
    latest_ms: int


class Leg(msgspec.Struct):
    """The rider's way to the store, or to the door, as far as it is gone. `street_s`: forecast along streets."""

    start: Place
    begun_ms: int
    travelled_m: float = 0.0
    street_s: float = 0.0


class Tracked(msgspec.Struct):
    """An open order: what is known of it and what was said.

    `street_leg` and `street_door` are how much longer the way of the rider, and that from the store to the
    door, take along streets than by the straight line; 0: not known.
    """

    order: SlimOrder
    eta: Eta | None = None
    promised_ms: int = 0
    promised_latest_ms: int = 0
    samples: dict[str, Sample] = {}
    place: Place | None = None
    place_ms: int = 0
    computed_from: Place | None = None
    leg: Leg | None = None
    at_store_ms: int = 0
    at_door_ms: int = 0
    street_leg: float = 0.0
    street_door: float = 0.0
    street_from: Place | None = None

    @property
    def target(self) -> Place:
        """Where the rider goes now."""
        return self.order.door if self.order.carried else self.order.store


class LateOrders(msgspec.Struct, frozen=True):
    """Orders that arrive after what was promised, the latest first; how many there are, and how many are open."""

    orders: list[Eta]
    late: int
    open: int


class StageCalibration(msgspec.Struct, frozen=True):
    """How good what was shown in a stage turned out to be.

    `inside`, `early` and `later` are shares of `n` arrivals: within the interval, before and after it. Errors
    are what happened minus what was said: positive is later.
    """

    stage: str
    n: int
    inside: float
    early: float
    later: float
    mean_error_s: float
    mean_abs_error_s: float
    mean_width_s: float


class Calibration(msgspec.Struct, frozen=True):
    """`aimed_inside` is the share that should be inside."""

    since_ms: int
    aimed_inside: float
    stages: list[StageCalibration]
