"""What people, friends and invitations are, as they are stored and as they are told."""

import msgspec

from majung.friends.consent import Seen, Sharing


class Me(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person as it sees itself. `sharing` is what all friends see who have no decision of their own."""

    person_id: str
    name: str
    display_name: str
    radius_m: float
    sharing: Sharing
    ghost: bool = False
    ghost_until_ms: int | None = None


class Friend(msgspec.Struct, frozen=True, omit_defaults=True):
    """A friend as the caller sees it.

    `sharing` is what the caller decided for this friend alone; `gives` what that friend sees of the caller now,
    with groups, default and ghost mode reckoned in; `gets` what the caller sees of the friend.
    """

    person_id: str
    name: str
    display_name: str
    since_ms: int
    gives: Seen
    gets: Seen
    sharing: Sharing | None = None
    groups: list[str] = []


class Bounds(msgspec.Struct, frozen=True):
    """The square that a blurred friend is in, in degrees."""

    south: float
    west: float
    north: float
    east: float


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a friend is, as far as the viewer may know.

    With `cell` (a geohash) it is blurred: latitude and longitude are the middle of the cell, `bounds` is the
    cell, `device_time_ms` is rounded, and there is no accuracy, speed or heading.
    """

    person_id: str
    latitude: float
    longitude: float
    device_time_ms: int
    accuracy_m: float | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    cell: str = ""
    bounds: Bounds | None = None


class Near(msgspec.Struct, frozen=True):
    """A friend within the radius: the place, and the straight line (on the ellipsoid) in metres."""

    display_name: str
    distance_m: float
    place: Place
