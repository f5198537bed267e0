"""Friends of one server: every use case, built once."""

from dataclasses import dataclass

from majung.auth.accounts import Accounts
from majung.auth.policy import Policy
from majung.clock import Clock
from majung.friends.changes import FriendChanges
from majung.friends.devices import Devices
from majung.friends.friendships import Friendships
from majung.friends.groups import Groups
from majung.friends.invitations import Invitations
from majung.friends.me import Me
from majung.friends.people import People
from majung.friends.requests import Requesting
from majung.friends.sharing import Deciding
from majung.ports import Database
from majung.settings import FriendsSettings


@dataclass
class Friends:
    """What the doors of friends call."""

    people: People
    changes: FriendChanges
    me: Me
    friendships: Friendships
    invitations: Invitations
    requests: Requesting
    deciding: Deciding
    groups: Groups
    devices: Devices

    async def drop_old(self, now_ms: int) -> None:
        """What nobody needs any more. Raises PortError."""
        await self.changes.drop_old(now_ms)
        await self.invitations.drop_old(now_ms)
        await self.requests.drop_old(now_ms)


def assemble(
    database: Database, clock: Clock, policy: Policy, accounts: Accounts, settings: FriendsSettings
) -> Friends:
    """Build them all. `changes.load` before the doors open, then `changes.follow` in the background."""
    changes = FriendChanges(database, clock)
    people = People(database, clock, changes)
    return Friends(
        people=people,
        changes=changes,
        me=Me(people, changes, policy, clock, settings),
        friendships=Friendships(people, changes, database, clock, settings),
        invitations=Invitations(changes, database, clock, settings),
        requests=Requesting(changes, database, clock, settings),
        deciding=Deciding(changes, clock),
        groups=Groups(changes, database, clock, settings),
        devices=Devices(accounts, clock),
    )
