"""Invitations: a link, good for one friendship, that its maker hands to whom it wants."""

import secrets
from typing import Any

from majung.auth.credentials import digest, new_id
from majung.auth.limits import RateLimiter
from majung.clock import Clock
from majung.friends import store, store_more
from majung.friends.changes import FriendChanges
from majung.friends.friendships import FriendsConflict, befriend, hold, is_blocked
from majung.friends.model import Caller, Invitation, NewInvitation, Stranger
from majung.ports import Database, Row, Transaction
from majung.settings import FriendsSettings

MAX_TOKEN_CHARS = 64
KEEP_MS = 7 * 24 * 3600 * 1000
_UNKNOWN = "there is no such invitation"


class InvitationOver(Exception):
    """The invitation was good once: it expired, was taken back, or somebody has accepted it."""

    def __init__(self) -> None:
        super().__init__("this invitation is over: ask for another one")


class Invitations:
    """Links to become friends. One for each server; of its event loop."""

    def __init__(
        self, changes: FriendChanges, database: Database, clock: Clock, settings: FriendsSettings
    ) -> None:
        self._changes = changes
        self._database = database
        self._clock = clock
        self._settings = settings
        self._making = RateLimiter(0.5, 30, clock, exempt=())
        self._guessing = RateLimiter(0.5, 30, clock, exempt=())

    async def create(self, caller: Caller, base_url: str) -> NewInvitation:
        """A new link; its token is told this once. Raises RateLimited, FriendsConflict, PortError."""
        self._making.demand(caller.person_id)
        now_ms = self._clock.now_ms()
        token, invitation_id = secrets.token_urlsafe(32), new_id()
        expires_ms = now_ms + round(self._settings.invitation_for.total_seconds() * 1000)
        row: dict[str, Any] = {
            "invitation_id": invitation_id,
            "token_sha256": digest(token),
            "owner": caller.number,
            "now_ms": now_ms,
            "expires_ms": expires_ms,
        }

        def work(transaction: Transaction) -> None:
            open_now = int(transaction.execute(store_more.COUNT_INVITATIONS, row)[0][0])
            if open_now >= self._settings.max_invitations:
                raise FriendsConflict(f"you have {open_now} open invitations: take one back first")
            transaction.execute(store_more.INSERT_INVITATION, row)

        await self._database.write(work)
        path = f"/friends#/invite/{token}"
        return NewInvitation(invitation_id, token, path, base_url.rstrip("/") + path, expires_ms)

    async def all(self, caller: Caller) -> list[Invitation]:
        """Those that may still be accepted, oldest first. Raises PortError."""
        params = {"owner": caller.number, "now_ms": self._clock.now_ms()}
        rows = await self._database.read(store_more.SELECT_INVITATIONS, params)
        return [Invitation(*row) for row in rows]

    async def take_back(self, caller: Caller, invitation_id: str) -> None:
        """Nobody can accept it any more. Done again: nothing. Raises PortError."""
        params = {"invitation_id": invitation_id, "owner": caller.number}
        await self._database.write(
            lambda transaction: transaction.execute(store_more.DELETE_INVITATION, params)
        )

    async def who(self, caller: Caller, token: str) -> Stranger:
        """Who invites by this link, before it is accepted. `at_ms` is when it was made.

        Raises LookupError, InvitationOver, RateLimited, PortError.
        """
        self._may_guess(caller)

        def work(transaction: Transaction) -> Row | None:
            return self._open(transaction, caller, token)

        row = await self._database.write(work)
        if row is None:
            raise self._unknown(caller)
        return Stranger(row[4], row[5], row[6], row[7])

    async def accept(self, caller: Caller, token: str) -> str:
        """Be friends with whoever made the link; who that is. By the same caller again: the same answer.

        Raises LookupError, InvitationOver (also: they do not want the caller), ValueError (one's own),
        FriendsConflict (too many friends), RateLimited, PortError.
        """
        self._may_guess(caller)
        now_ms = self._clock.now_ms()

        def work(transaction: Transaction, changed: set[str]) -> str | None:
            row = self._open(transaction, caller, token, hold_both=True)
            if row is None:
                return None
            inviter = store.caller_of(transaction.execute(store.SELECT_PERSON, {"person_id": row[4]})[0])
            if inviter.number == caller.number:
                raise ValueError("this is your own invitation: give it to somebody else")
            if is_blocked(transaction, caller.number, inviter.number):
                raise FriendsConflict("you have blocked this person: unblock them first")
            befriend(transaction, changed, caller, inviter, now_ms, self._settings.max_friends)
            used = {"invitation_id": row[0], "viewer": caller.number, "now_ms": now_ms}
            if row[2] is None and not transaction.execute(store_more.USE_INVITATION, used):
                raise InvitationOver
            return inviter.person_id

        person_id = await self._changes.write(work)
        if person_id is None:
            raise self._unknown(caller)
        return person_id

    def _open(
        self, transaction: Transaction, caller: Caller, token: str, hold_both: bool = False
    ) -> Row | None:
        """The row of an invitation that this caller may accept; None: never was. Raises InvitationOver."""
        # A token of the wrong length is looked up all the same: every wrong one takes the same way.
        params = {"token_sha256": digest(token[:MAX_TOKEN_CHARS])}
        rows = transaction.execute(store_more.SELECT_INVITATION, params)
        if not rows:
            return None
        row = rows[0]
        _, expires_ms, accepted_by, inviter = row[:4]
        if hold_both:
            hold(transaction, inviter, caller.number)
        pair = {"owner": caller.number, "viewer": inviter}
        if accepted_by == caller.number and transaction.execute(store.ARE_FRIENDS, pair):
            return row
        over = accepted_by is not None or expires_ms <= self._clock.now_ms()
        if over or is_blocked(transaction, inviter, caller.number):
            raise InvitationOver
        return row

    def _may_guess(self, caller: Caller) -> None:
        if self._guessing.wait_s(caller.person_id):
            self._guessing.demand(caller.person_id)

    def _unknown(self, caller: Caller) -> LookupError:
        self._guessing.take(caller.person_id)
        return LookupError(_UNKNOWN)

    async def drop_old(self, now_ms: int) -> None:
        """Forget links a week after they expired: till then one is told that it was one."""
        params = {"before_ms": now_ms - KEEP_MS}
        await self._database.write(
            lambda transaction: transaction.execute(store_more.DELETE_OLD_INVITATIONS, params)
        )
