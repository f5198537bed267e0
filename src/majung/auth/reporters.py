"""Who reports under a name that somebody else has authenticated: the user of an MQTT broker.

The broker has checked the password, and its access list lets a user publish under the user's own name alone.
What is left to find out is whose positions these are. A name is the account of a person or rider, a device's
id, or the id of a rider who has a device. A name that would be two of these is nobody's: anybody may take a
free name at sign-up, and neither may a stranger report for a rider so, nor a person be shown as one.
"""

from collections import OrderedDict

import msgspec

from majung.auth import store
from majung.auth.changes import Changes
from majung.auth.model import Principal, Role
from majung.auth.signin import Known
from majung.clock import Clock
from majung.ports import Database

# A device's own id, or a rider's (a person's is nobody's business).
SELECT_REPORTING_DEVICES = """
SELECT device_id, rider_id FROM device WHERE revoked_at_ms IS NULL AND device_id = :name
UNION ALL
SELECT MIN(device_id), rider_id FROM device
WHERE revoked_at_ms IS NULL AND rider_id = :name AND rider_id NOT LIKE 'person-%' GROUP BY rider_id
"""
MAX_REMEMBERED = 65_536
_LOOK_AGAIN_AFTER_S = 5.0  # a device that is added raises no version
_REPORT = frozenset({Role.PERSON, Role.RIDER})


class UnknownReporter(LookupError):
    """Nobody, or not clearly one, reports under this name. `str()` is for an operator."""


class _Found(msgspec.Struct, frozen=True, gc=False):
    """An answer that holds under `version` until `until_s`; a text is the reason why it is nobody."""

    version: int
    until_s: float
    who: Principal | str


class Reporters:
    """Looks names up and remembers them. One for each server; belongs to its event loop."""

    def __init__(self, database: Database, clock: Clock, changes: Changes) -> None:
        self._database = database
        self._clock = clock
        self._changes = changes
        self._remembered: OrderedDict[str, _Found] = OrderedDict()

    async def named(self, name: str) -> Principal:
        """Who reports under this name now. Raises UnknownReporter, PortError."""
        found = self._remembered.get(name)
        if (
            found is None
            or found.version != self._changes.seen()
            or self._clock.monotonic_s() >= found.until_s
        ):
            version = await self._changes.version()  # before the reads: see Changes.version
            until_s = self._clock.monotonic_s() + _LOOK_AGAIN_AFTER_S
            found = self._remembered[name] = _Found(version, until_s, await self._look_up(name))
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end(name)
        if isinstance(found.who, str):
            raise UnknownReporter(found.who)
        return found.who

    async def _look_up(self, name: str) -> Principal | str:
        if not 0 < len(name) <= 128 or not name.isprintable():
            return "the user's name is empty, too long or not printable"
        found = [*await self._account(name), *await self._devices(name)]
        if not found:
            return f"nobody here is called {name!r}: no account of a person or rider, no device, no rider with one"
        if len({principal.rider_id for principal in found}) > 1:
            return f"{name!r} is more than one here: use the device's id as the broker's user"
        return found[0]

    async def _account(self, name: str) -> list[Principal]:
        rows = await self._database.read(store.SELECT_ACCOUNT, {"name": name})
        if not rows or rows[0][3] is not None or Role(rows[0][0]) not in _REPORT:
            return []
        principal = Known(name, Role(rows[0][0]), rows[0][1], rows[0][4], rows[0][5]).principal()
        return [principal] if principal.rider_id else []

    async def _devices(self, name: str) -> list[Principal]:
        rows = await self._database.read(SELECT_REPORTING_DEVICES, {"name": name})
        return [Principal(f"device:{device_id}", Role.DEVICE, str(rider_id)) for device_id, rider_id in rows]
