"""Erasing: where one was, or everything of oneself.

One transaction ends the account with its devices, the friendships, decisions, groups, invitations and requests,
and notes that the positions are to go; from its commit on the rest is certain, whatever crashes. Of the account
its name stays, so that nobody else gets it. What the log and copies of the files hold goes with their retention.
"""

import structlog

from majung.auth.accounts import Accounts
from majung.auth.model import AuthError, Forbidden, Role
from majung.auth.service import AuthService
from majung.clock import Clock
from majung.friends import store, store_more
from majung.friends.changes import FriendChanges
from majung.friends.model import Caller
from majung.ports import Database, PortError, Transaction
from majung.positions.erase import Erasures, erase_history, finish_erasures
from majung.positions.pipeline import Pipeline

log = structlog.get_logger("majung.friends")


class Erasing:
    """One for each server."""

    def __init__(self, changes: FriendChanges, auth: AuthService, pipeline: Pipeline) -> None:
        self._changes = changes
        self._auth = auth
        self._pipeline = pipeline

    async def history(self, caller: Caller) -> None:
        """Where the caller was until now; where it is stays until the next position. Raises PortError."""
        await erase_history(self._pipeline, caller.person_id)

    async def everything(self, caller: Caller, password: str, remote: str) -> None:
        """Everything of the caller, for good. Done when it returns; open streams end within a second.

        Raises Forbidden (the password is wrong), RateLimited, Overloaded, PortError.
        """
        await self._check(caller, password, remote)

        def work(transaction: Transaction, changed: set[str]) -> None:
            self._auth.accounts.erase_person(transaction, caller.name)
            self._pipeline.erasures.note(transaction, caller.person_id)
            _forget(transaction, changed, caller.person_id, caller.name)

        await self._changes.write(work)
        self._auth.accounts.rights_changed()
        try:
            await finish_erasures(self._pipeline)
        except PortError as problem:  # it is noted: the housekeeping goes on
            log.warning("erasure_goes_on_later", problem=str(problem))

    async def _check(self, caller: Caller, password: str, remote: str) -> None:
        """An account that has no password gives its API token."""
        try:
            found = await self._auth.authenticate_basic(caller.name, password, remote)
        except AuthError:
            raise Forbidden("the password is wrong") from None
        if found.role is not Role.PERSON or found.rider_id != caller.person_id:
            raise Forbidden("the password is wrong")


async def erase_named(database: Database, clock: Clock, accounts: Accounts, name: str) -> None:
    """Everything of this person, by an administrator, beside a running server or before one.

    The server's housekeeping erases the positions within a minute, or the next start does. Raises LookupError
    (no such account), ValueError (not a person's), PortError.
    """

    def work(transaction: Transaction, changed: set[str]) -> None:
        rows = transaction.execute(store.SELECT_PERSON_ID, {"name": name})
        accounts.erase_person(transaction, name)
        person_id = str(rows[0][0])
        Erasures(database, clock).note(transaction, person_id)
        _forget(transaction, changed, person_id, name)

    await FriendChanges(database, clock).write(work)


def _forget(transaction: Transaction, changed: set[str], person_id: str, name: str) -> None:
    """Everything of a person but its account and its positions."""
    me = {"person_id": person_id}
    changed |= {person_id, *(str(row[0]) for row in transaction.execute(store.SELECT_FRIENDS, me))}
    transaction.execute(store_more.DELETE_REQUESTS_NAMED, {"name": name})
    for row in transaction.execute(store.SELECT_NUMBER, me):
        for statement in (*store_more.ERASE_OF, store.DELETE_TIES_OF, store.DELETE_PERSON):
            transaction.execute(statement, {"number": row[0]})
