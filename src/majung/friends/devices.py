"""The caller's own phones: credentials that report for it and do nothing else."""

from majung.auth.accounts import Accounts
from majung.auth.limits import RateLimiter
from majung.auth.model import Device, NewDevice
from majung.clock import Clock
from majung.friends.friendships import FriendsConflict
from majung.friends.model import Caller

MAX_DEVICES = 20
_PAGE = 1000


class Devices:
    """Devices of people. One for each server; of its event loop."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._adding = RateLimiter(1 / 60, 10, clock, exempt=())

    async def all(self, caller: Caller) -> list[Device]:
        """Those that may report, oldest first. Raises PortError."""
        found: list[Device] = []
        after = ""
        while page := await self._accounts.list_devices(caller.person_id, after, _PAGE, of_person=True):
            found += [device for device in page if device.revoked_at_ms is None]
            after = page[-1].device_id
        return sorted(found, key=lambda device: (device.created_at_ms, device.device_id))

    async def add(self, caller: Caller, name: str) -> NewDevice:
        """A new credential; its token is told this once.

        Raises ValueError (the name), RateLimited, FriendsConflict (too many), PortError.
        """
        self._adding.demand(caller.person_id)
        if len(await self.all(caller)) >= MAX_DEVICES:
            raise FriendsConflict(f"you have {MAX_DEVICES} devices: remove one first")
        return await self._accounts.add_device(caller.person_id, name, of_person=True)

    async def remove(self, caller: Caller, device_id: str) -> None:
        """What it sends is refused from now on. Raises LookupError, PortError."""
        await self._accounts.revoke_device(device_id, caller.person_id)
