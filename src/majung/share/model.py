"""A share link, and what is seen through it."""

import msgspec

from majung.orders.model import Order, OrderState
from majung.orders.view_policy import for_strangers, near_the_door
from majung.positions.model import LivePosition


class ShareOver(Exception):
    """The link was good once: it expired, was revoked, or its order is over. `str()` is safe to show."""


class Share(msgspec.Struct, frozen=True, omit_defaults=True):
    """A link, as who made it sees it. Its token is told once and not kept."""

    share_id: str
    order_id: str
    created_at_ms: int
    expires_ms: int
    revoked_at_ms: int | None = None


class NewShare(msgspec.Struct, frozen=True):
    """A link that was made just now. `path` is below the address of the server, `url` all of it."""

    share_id: str
    token: str
    path: str
    url: str
    expires_ms: int


class About(msgspec.Struct, frozen=True):
    """Where the order goes, only so exactly: within `radius_m` of this place."""

    latitude: float
    longitude: float
    radius_m: float


class SharedOrder(msgspec.Struct, frozen=True):
    """How far an order is. A time that has not come is 0."""

    version: int
    state: OrderState
    store_name: str
    store_latitude: float
    store_longitude: float
    destination: About
    placed_at_ms: int
    accepted_at_ms: int
    cooking_minutes: int
    ready_at_ms: int
    picked_up_at_ms: int
    departed_at_ms: int
    ended_at_ms: int


class SharedPosition(msgspec.Struct, frozen=True):
    """Where the rider is, nameless. `near`: on the last stretch, where no place is told any more."""

    at_ms: int
    latitude: float | None = None
    longitude: float | None = None
    heading_deg: float | None = None
    near: bool = False


class SharedEta(msgspec.Struct, frozen=True):
    """When it is expected, and between which times it nearly always comes."""

    at_ms: int
    earliest_ms: int
    latest_ms: int
    late: bool = False


class SharedTrack(msgspec.Struct, frozen=True):
    """Everything that is seen through a link. `rider`: from pick-up to the door, else null."""

    order: SharedOrder
    rider: SharedPosition | None
    eta: SharedEta | None
    expires_ms: int


def shared_order(order: Order) -> SharedOrder:
    """The order as a stranger may see it."""
    shown = for_strangers(order)
    place = shown.address
    return SharedOrder(
        version=shown.version,
        state=shown.state,
        store_name=shown.store_name,
        store_latitude=shown.store_latitude,
        store_longitude=shown.store_longitude,
        destination=About(place.latitude, place.longitude, place.precision_m),
        placed_at_ms=shown.placed_at_ms,
        accepted_at_ms=shown.accepted_at_ms,
        cooking_minutes=shown.cooking_minutes,
        ready_at_ms=shown.ready_at_ms,
        picked_up_at_ms=shown.picked_up_at_ms,
        departed_at_ms=shown.departed_at_ms,
        ended_at_ms=shown.ended_at_ms,
    )


def shared_position(order: Order, position: LivePosition) -> SharedPosition:
    """The position of the order's rider as a stranger may see it."""
    if near_the_door(order, position):
        return SharedPosition(position.device_time_ms, near=True)
    return SharedPosition(
        position.device_time_ms, position.latitude, position.longitude, position.heading_deg
    )
