"""Friends of one server: every use case, built once."""

from dataclasses import dataclass, field

from majung.auth.accounts import Accounts
from majung.auth.changes import Changes
from majung.auth.policy import Policy
from majung.auth.service import AuthService
from majung.clock import Clock
from majung.friends.cards import Cards
from majung.friends.changes import FriendChanges
from majung.friends.channels import Channels
from majung.friends.devices import Devices
from majung.friends.erase import Erasing
from majung.friends.export import Exporting
from majung.friends.friendships import Friendships
from majung.friends.groups import Groups
from majung.friends.invitations import Invitations
from majung.friends.me import Me
from majung.friends.nearby import Nearby
from majung.friends.people import People
from majung.friends.reads import FriendReads
from majung.friends.requests import Requesting
from majung.friends.sharing import Deciding
from majung.ports import Database, History, LiveStore
from majung.positions.pipeline import Pipeline
from majung.settings import FriendsSettings, LiveSettings


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
    cards: Cards
    nearby: Nearby = field(init=False)
    reads: FriendReads = field(init=False)
    exporting: Exporting = field(init=False)
    erasing: Erasing = field(init=False)

    async def drop_old(self, now_ms: int) -> None:
        """What nobody needs any more. Raises PortError."""
        await self.changes.drop_old(now_ms)
        await self.invitations.drop_old(now_ms)
        await self.requests.drop_old(now_ms)


def assemble(
    database: Database, clock: Clock, policy: Policy, accounts: Accounts, settings: FriendsSettings
) -> Friends:
    """Build what rests on the database. `changes.load` before the doors open, then `changes.follow`."""
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
        cards=Cards(clock),
    )


def add_data(friends: Friends, auth: AuthService, pipeline: Pipeline, history: History, clock: Clock) -> None:
    """Build what takes everything of a person: its export and its end."""
    friends.erasing = Erasing(friends.changes, auth, pipeline)
    friends.exporting = Exporting(
        friends.friendships,
        friends.groups,
        friends.invitations,
        friends.requests,
        friends.devices,
        history,
        clock,
    )


def add_nearby(
    friends: Friends,
    stores: tuple[LiveStore, History],
    channels: Channels,
    clock: Clock,
    rights: Changes,
    settings: FriendsSettings,
    live_settings: LiveSettings,
) -> Nearby:
    """Build what rests on where people are: streams and reads. The pipeline tells it of people."""
    live, history = stores
    friends.nearby = Nearby(settings, live_settings, clock, friends.people, live, history, channels, rights)
    links = friends.nearby.links
    friends.reads = FriendReads(friends.people, live, history, links, clock, settings.radius_m)
    return friends.nearby
