"""Friends in the words of OwnTracks, for both ways that its app hears of them."""

from majung.friends.model import Near, Place
from majung.positions.geodesy import ellipsoid_m
from majung.positions.model import PERSON_PREFIX
from majung.wire import owntracks
from majung.wire.owntracks_face import face_of


def tag_of(person_id: str) -> str:
    """What a friend is called in topics and as a tracker id: short, unique, and never another one."""
    return person_id.removeprefix(PERSON_PREFIX)


def card_of(one: Near, tid: str, topic: str) -> bytes:
    """A friend's name and face."""
    return owntracks.encode_card(tid, topic, one.display_name, face_of(one.place.person_id))


def location_of(place: Place, tid: str, topic: str) -> bytes:
    """A friend's place; a blurred one as the middle of its cell with a circle about all of it."""
    accuracy_m = place.accuracy_m
    if place.bounds is not None:
        corners = ((latitude, place.bounds.west) for latitude in (place.bounds.south, place.bounds.north))
        accuracy_m = max(ellipsoid_m(place.latitude, place.longitude, *corner) for corner in corners)
    return owntracks.encode_location(
        tid, topic, place.latitude, place.longitude, place.device_time_ms, accuracy_m
    )
