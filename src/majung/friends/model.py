"""What people, friends and invitations are, as they are stored and as they are told."""

import msgspec

from majung.friends.consent import Mode, Owner, Sharing

NO_FRIEND = "there is no such friend, or nothing to see of them"
"""Unknown, no friend, and a friend who shows nothing: nobody can tell these from each other."""


class Caller(msgspec.Struct, frozen=True):
    """A person as the database knows it. `number` is its key there and never leaves the server."""

    number: int
    person_id: str
    name: str
    display_name: str
    radius_m: float
    owner: Owner


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person as it sees itself. `sharing` is what all friends see who have no decision of their own."""

    person_id: str
    name: str
    display_name: str
    radius_m: float
    sharing: Sharing
    ghost: bool = False
    ghost_until_ms: int | None = None


class Shown(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is seen of somebody now. `history_from_ms`: the track reaches back to there; absent: no track.

    `until_ms`: it may change by itself then.
    """

    mode: Mode
    precision: int = 0
    history_from_ms: int | None = None
    until_ms: int | None = None


class Friend(msgspec.Struct, frozen=True, omit_defaults=True):
    """A friend as the caller sees it.

    `sharing` is what the caller decided for this friend alone; `gives` what that friend sees of the caller now,
    with groups, default and ghost mode reckoned in; `gets` what the caller sees of the friend.
    """

    person_id: str
    name: str
    display_name: str
    since_ms: int
    gives: Shown
    gets: Shown
    sharing: Sharing | None = None
    groups: list[str] = []


class Stranger(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody who is no friend: who invites, who asks, who was blocked. `at_ms` is when."""

    person_id: str
    name: str
    display_name: str
    at_ms: int


class Invitation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A link that the caller made. Its token was told once and is not kept."""

    invitation_id: str
    created_ms: int
    expires_ms: int


class NewInvitation(msgspec.Struct, frozen=True):
    """A link that was made just now: whoever opens it and signs in may become a friend, once."""

    invitation_id: str
    token: str
    path: str
    url: str
    expires_ms: int


class Asked(msgspec.Struct, frozen=True):
    """A request that the caller made, by the name it was made to, whether there is such a person or not."""

    request_id: str
    name: str
    at_ms: int


class Requests(msgspec.Struct, frozen=True):
    """Who asks to be a friend, and whom the caller asked; newest first."""

    incoming: list[Stranger]
    outgoing: list[Asked]


class Group(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some friends under a name, and what they see unless something was decided for one alone."""

    group_id: str
    name: str
    members: list[str]
    sharing: Sharing | None = None


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
