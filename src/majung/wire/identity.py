"""Who reports, and which fix it is, for protocols that have no session and no counter.

A position is identified by `(rider_id, session_id, seq)`. OwnTracks, OsmAnd and Overland send the same
fix again until they get their answer, and say nothing by which to know it. So:

* `session_id` is the protocol's name, with the device's name behind it when the payload has one: two
  phones of one rider are two sessions.
* `seq = device_time_ms * 1024 + crc32(what was measured) % 1024`: a resend has the same identity;
  another fix in the same second has another one (but for one pair in 1024).
"""

import math
import struct
import zlib

import msgspec

from majung.positions.check import is_good_id
from majung.positions.model import MAX_SEQ, Position

_SLOTS = 1024
_MAX_DEVICE_CHARS = 64
_pack = struct.Struct("<5d").pack


class Sender(msgspec.Struct, frozen=True):
    """What a door knows of the sender before it reads the payload.

    `rider_id` is set for a device credential and then always decides. For a gateway it is "", and the
    payload (or `user`) names the rider. `user` and `device` are what the request says beside the
    payload. `secret` is a credential that may stand inside the payload as well: it is never kept.
    """

    rider_id: str = ""
    user: str = ""
    device: str = ""
    secret: str = ""


class Fix(msgspec.Struct, frozen=True):
    """What was measured: degrees, Unix milliseconds, metres, metres per second, degrees from north."""

    latitude: float
    longitude: float
    device_time_ms: int
    accuracy_m: float | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    tags: dict[str, str] | None = None


def seq_of(fix: Fix) -> int:
    """The counter that a fix without one gets; within 1…`MAX_SEQ` for any time."""
    measured = (fix.latitude, fix.longitude, fix.accuracy_m, fix.speed_mps, fix.heading_deg)
    packed = _pack(*(math.nan if value is None else value for value in measured))
    seq = fix.device_time_ms * _SLOTS + zlib.crc32(packed) % _SLOTS
    # An impossible time must fail for its time, in the check, and not for the counter made of it.
    return min(max(seq, 1), MAX_SEQ)


def session_of(door: str, device: str) -> str:
    """`door`, or `door:device`; a device name that cannot stand in an id is replaced by its checksum."""
    if not device:
        return door
    if len(device) > _MAX_DEVICE_CHARS or not is_good_id(device):
        device = f"{zlib.crc32(device.encode('utf-8', 'replace')):08x}"
    return f"{door}:{device}"


def identify(sender: Sender, door: str, fix: Fix, now_ms: int, named: str = "", device: str = "") -> Position:
    """The position that this fix is. `named` and `device` are what the payload says (may be "")."""
    named, device = _unless_secret(named, sender), _unless_secret(device or sender.device, sender)
    if not sender.rider_id and device == named:
        device = ""
    return Position(
        rider_id=sender.rider_id or named or sender.user,
        session_id=session_of(door, device),
        seq=seq_of(fix),
        latitude=fix.latitude,
        longitude=fix.longitude,
        device_time_ms=fix.device_time_ms,
        received_at_ms=now_ms,
        accuracy_m=fix.accuracy_m,
        speed_mps=fix.speed_mps,
        heading_deg=fix.heading_deg,
        tags=fix.tags,
        door=door,
    )


def _unless_secret(name: str, sender: Sender) -> str:
    return "" if sender.secret and name == sender.secret else name
