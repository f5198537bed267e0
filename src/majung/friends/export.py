"""Everything of a person as one zip, written while it is sent: memory stays bounded, however long the track.

What is in it: `README.txt`, `me.json`, `friends.json`, `blocked.json`, `groups.json`, `invitations.json`,
`requests.json`, `devices.json` (without secrets), `positions.csv` and `positions.gpx`. Of friends only what their
owners show the caller anyway: names, and what they let it see. Where friends were is theirs, and not in it.
"""

import asyncio
import time
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import IO, Any, cast

import msgspec

from majung.auth.limits import RateLimiter
from majung.clock import Clock
from majung.friends.devices import Devices
from majung.friends.friendships import Friendships
from majung.friends.groups import Groups
from majung.friends.invitations import Invitations
from majung.friends.me import profile
from majung.friends.model import Caller
from majung.friends.requests import Requesting
from majung.ports import History
from majung.positions.export import export_track, rfc3339
from majung.positions.reads import track_pages

_END_MS = 2**53
_README = """Majung: everything that is kept of {name} ({person_id}), made {at}.

me.json           your names, your radius, and what friends see for whom you decided nothing else
friends.json      your friends: what you decided for each (sharing), what each sees of you now (gives),
                  and what you see of each (gets)
groups.json       your groups, their members, and what they see
blocked.json      whom you have blocked
invitations.json  links that you made and that may still be accepted; the links themselves are not kept
requests.json     who asks to be your friend, and whom you asked
devices.json      phones that report for you; their tokens are not kept, only a digest of each
positions.csv     every position that is kept of you, oldest first: a day in detail, then one a minute
positions.gpx     the same for maps

Times that end in _ms are milliseconds since 1970-01-01 UTC. Degrees are WGS 84.
A decision: mode off, blurred (to a geohash cell of so many characters: precision) or exact; until when
(until_ms, null: until you change it); with or without history; since_ms is when you made it.
"""


class _Tape:
    """What zipfile writes to: it cannot be rewound, so the archive needs no place to be kept."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._at += len(part)
        return len(part)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Nothing waits here."""

    def take(self) -> bytes:
        """What was written since the last call."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class Exporting:
    """Exports of people. One for each server."""

    def __init__(
        self,
        friendships: Friendships,
        groups: Groups,
        invitations: Invitations,
        requests: Requesting,
        devices: Devices,
        history: History,
        clock: Clock,
    ) -> None:
        self._history = history
        self._clock = clock
        self._making = RateLimiter(1 / 60, 5, clock, exempt=())
        self._files: dict[str, Callable[[Caller], Awaitable[Any]]] = {
            "friends.json": friendships.all,
            "groups.json": groups.all,
            "blocked.json": friendships.blocked,
            "invitations.json": invitations.all,
            "requests.json": requests.all,
            "devices.json": devices.all,
        }

    def zip_of(self, caller: Caller) -> AsyncIterator[bytes]:
        """The archive in parts. Raises RateLimited at once, PortError."""
        self._making.demand(caller.person_id)
        return self._parts(caller)

    async def _parts(self, caller: Caller) -> AsyncIterator[bytes]:
        now_ms = self._clock.now_ms()
        tape = _Tape()
        with zipfile.ZipFile(cast(IO[bytes], tape), "w", zipfile.ZIP_DEFLATED) as archive:
            readme = _README.format(name=caller.name, person_id=caller.person_id, at=rfc3339(now_ms))
            archive.writestr(_entry("README.txt", now_ms), readme)
            archive.writestr(_entry("me.json", now_ms), _json(profile(caller, now_ms)))
            for name, read in self._files.items():
                archive.writestr(_entry(name, now_ms), _json(await read(caller)))
            for format_ in ("csv", "gpx"):
                pages = track_pages(self._history, caller.person_id, 0, _END_MS)
                with archive.open(_entry(f"positions.{format_}", now_ms), "w") as file:
                    async for part in export_track(format_, caller.person_id, pages):
                        await asyncio.to_thread(file.write, part)  # deflates: 40 ms a megabyte
                        if ready := tape.take():
                            yield ready
        yield tape.take()


def _entry(name: str, now_ms: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, time.gmtime(now_ms / 1000)[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
