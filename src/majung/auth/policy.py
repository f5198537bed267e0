"""Who may do what: the one place that every door and every read path asks.

A table, role × action, and for reading riders the question *which* riders. Grants are remembered under
the version of `changes.py`, so that a removed grant is noticed within a second, and an expired one at
its millisecond.
"""

from collections import OrderedDict
from enum import StrEnum

import msgspec

from majung.auth import store
from majung.auth.changes import Changes
from majung.auth.model import Forbidden, Principal, Role
from majung.clock import Clock
from majung.ports import Database
from majung.positions.model import PERSON_PREFIX

MAX_REMEMBERED_ACCOUNTS = 10_000
_NEVER_MS = 2**63 - 1


class Action(StrEnum):
    """What can be asked for."""

    REPORT_OWN = "report_own"  # positions of the rider that one belongs to
    REPORT_ANY = "report_any"  # positions of whoever rides in the fleet
    READ_RIDERS = "read_riders"  # position, track and nearest, of the riders that one may see
    READ_ANY_RIDER = "read_any_rider"  # the same, of everybody
    LIVE = "live"  # a stream of the riders that one may see
    READ_EVENTS = "read_events"  # enter, exit, near, silent … of the riders that one may see
    READ_FENCES = "read_fences"
    WRITE_FENCES = "write_fences"
    READ_CELLS = "read_cells"
    READ_QUARANTINE = "read_quarantine"
    READ_STATUS = "read_status"  # lag, rates, the loss ledger
    READ_METRICS = "read_metrics"
    MANAGE_ACCOUNTS = "manage_accounts"  # users, devices, grants
    ORDER_PLACE = "order_place"
    ORDER_READ = "order_read"  # of the orders that one has part in
    READ_ANY_ORDER = "read_any_order"  # of all orders, with their audit trail
    READ_SHARED_ORDER = "read_shared_order"  # the one order of a share link, as a stranger may see it
    ORDER_COMMAND = "order_command"  # to the orders that one has part in; the state table says which
    COMMAND_ANY_ORDER = "command_any_order"  # to all orders, as an administrator
    STORE_READ = "store_read"  # search stores, read menus
    STORE_MANAGE = "store_manage"  # the store that one owns
    MANAGE_ANY_STORE = "manage_any_store"
    WEBHOOKS = "webhooks"  # of the store that one runs
    MANAGE_ANY_WEBHOOK = "manage_any_webhook"
    FRIENDS = "have_friends"  # decide what they see, see what they show (friends.consent says what)
    DUTY = "duty"  # be on and off duty, get and answer offers, as one's own rider


_READS = frozenset({Action.READ_RIDERS, Action.LIVE, Action.READ_EVENTS})
_OPERATES = _READS | {
    Action.READ_ANY_RIDER,
    Action.READ_FENCES,
    Action.WRITE_FENCES,
    Action.READ_CELLS,
    Action.READ_QUARANTINE,
    Action.READ_STATUS,
    Action.READ_METRICS,
    Action.ORDER_READ,
    Action.READ_ANY_ORDER,
    Action.STORE_READ,
}
_HAS_PART = frozenset({Action.ORDER_READ, Action.ORDER_COMMAND, Action.STORE_READ})

TABLE: dict[Role, frozenset[Action]] = {
    Role.ADMIN: frozenset(Action) - {Action.READ_SHARED_ORDER, Action.FRIENDS},
    Role.OPERATOR: _OPERATES,
    Role.VIEWER: _READS,
    Role.GATEWAY: frozenset({Action.REPORT_ANY, Action.REPORT_OWN}),
    Role.DEVICE: frozenset({Action.REPORT_OWN}) | _READS,
    Role.CUSTOMER: _HAS_PART | {Action.ORDER_PLACE},
    Role.RIDER: _HAS_PART | _READS | {Action.REPORT_OWN, Action.DUTY},
    Role.STORE: _HAS_PART | {Action.STORE_MANAGE, Action.WEBHOOKS},
    Role.PERSON: _READS | {Action.REPORT_OWN, Action.FRIENDS},
    Role.SHARE: frozenset({Action.READ_SHARED_ORDER}),
}
RIDES = frozenset(
    {Role.DEVICE, Role.RIDER, Role.PERSON}
)  # roles that belong to one rider: `Principal.rider_id`


def may(principal: Principal, action: Action) -> bool:
    """What the table says."""
    return action in TABLE[principal.role]


def may_report(principal: Principal, rider_id: str) -> bool:
    """A device or rider reports for the rider it belongs to; who may REPORT_ANY, for every rider.

    For a person nobody reports but that person and its own devices.
    """
    allowed = TABLE[principal.role]
    return (Action.REPORT_ANY in allowed and not rider_id.startswith(PERSON_PREFIX)) or (
        Action.REPORT_OWN in allowed and principal.rider_id == rider_id != ""
    )


class _Seen(msgspec.Struct, frozen=True):
    """The riders that one account may see, while `version` holds and before `until_ms`."""

    version: int
    until_ms: int
    riders: frozenset[str]


class Policy:
    """Answers for principals. One for each server; belongs to its event loop."""

    def __init__(self, database: Database, clock: Clock, changes: Changes | None = None) -> None:
        self._database = database
        self._clock = clock
        self._changes = changes or Changes(database, clock)
        self._remembered: OrderedDict[str, _Seen] = OrderedDict()

    def allow(self, principal: Principal, action: Action) -> None:
        """Return when the role may do this. Raises Forbidden."""
        if action not in TABLE[principal.role]:
            raise Forbidden(f"the role {principal.role} may not {action.replace('_', ' ')}")

    async def visible(self, principal: Principal) -> frozenset[str] | None:
        """The ids of the riders that the caller may see now; None means all riders.

        A person (`person-…`) is nobody's to see here, administrators included, but its own and its devices':
        what friends see is for `friends.consent` to say.
        """
        allowed = TABLE[principal.role]
        if Action.READ_ANY_RIDER in allowed:
            return None
        if Action.READ_RIDERS not in allowed:
            return frozenset()
        if principal.role in RIDES:
            return frozenset((principal.rider_id,) if principal.rider_id else ())
        return await self._granted(principal.subject)

    async def may_see_rider(self, principal: Principal, rider_id: str) -> bool:
        """Whether the caller may see this rider now; a person, only when it is the caller."""
        riders = await self.visible(principal)
        return not rider_id.startswith(PERSON_PREFIX) if riders is None else rider_id in riders

    async def check_rider(self, principal: Principal, rider_id: str) -> None:
        """Return when the caller may see this rider. Raises Forbidden, whether or not the rider exists."""
        if not await self.may_see_rider(principal, rider_id):
            raise Forbidden(f"this credential may not see rider {rider_id[:64]!r}")

    async def _granted(self, subject: str) -> frozenset[str]:
        now_ms = self._clock.now_ms()
        seen = self._remembered.get(subject)
        if seen is not None and seen.version == self._changes.seen() and now_ms < seen.until_ms:
            self._remembered.move_to_end(subject)
            return seen.riders
        version = await self._changes.version()
        if seen is None or seen.version != version or now_ms >= seen.until_ms:
            seen = await self._read(subject, version, now_ms)
            self._remembered[subject] = seen
            if len(self._remembered) > MAX_REMEMBERED_ACCOUNTS:
                self._remembered.popitem(last=False)
        return seen.riders

    async def _read(self, subject: str, version: int, now_ms: int) -> _Seen:
        name = subject.partition(":")[2]
        rows = await self._database.read(store.SELECT_LIVE_GRANTS, {"account": name, "now_ms": now_ms})
        first_end_ms = min((int(until) for _, until in rows if until is not None), default=_NEVER_MS)
        riders = frozenset(str(row[0]) for row in rows if not str(row[0]).startswith(PERSON_PREFIX))
        return _Seen(version, first_end_ms, riders)
