"""Accounts that programs sign in with, many at once: an API token each, and no password.

A password costs its hash, 30 ms of a core, because people choose what can be guessed. An API token has 158
random bits and is stored as their SHA-256, so a thousand accounts are one short transaction. They are for
tills of stores, fleets of riders that come with a back end of their own, and simulated cities.
"""

from collections.abc import Sequence

from majung.auth import store
from majung.auth.accounts import AccountConflict
from majung.auth.credentials import API_PREFIX, digest, new_id, new_secret
from majung.auth.model import NewUser, Role
from majung.auth.names import check_name, rider_id_for
from majung.auth.signin import NO_PASSWORD
from majung.clock import Clock
from majung.ports import Database, Transaction

ROLES = frozenset({Role.CUSTOMER, Role.RIDER, Role.STORE, Role.GATEWAY, Role.OPERATOR, Role.PERSON})
MAX_AT_ONCE = 100_000


async def add_many(database: Database, clock: Clock, role: Role, names: Sequence[str]) -> list[NewUser]:
    """An account with an API token for each name; all of them or none. A rider's id is its name.

    Raises ValueError (role, names, too many), Conflict (one of the names is taken, or was), PortError.
    """
    if role not in ROLES:
        raise ValueError(f"accounts with a token are for {', '.join(sorted(ROLES))}")
    if len(names) > MAX_AT_ONCE:
        raise ValueError(f"at most {MAX_AT_ONCE} accounts at once")
    for name in names:
        check_name(name)
    made = [_new(name, role) for name in names]
    now_ms = clock.now_ms()

    def work(transaction: Transaction) -> None:
        for user, token_id, secret in made:
            if transaction.execute(store.SELECT_ACCOUNT, {"name": user.name}):
                raise AccountConflict(f"there is a user {user.name!r} already, or there was")
            account = {
                "name": user.name,
                "role": role.value,
                "password_hash": NO_PASSWORD,
                "now_ms": now_ms,
                "rider_id": user.rider_id,
                "store_id": "",
            }
            transaction.execute(store.INSERT_ACCOUNT, account)
            token = {
                "token_id": token_id,
                "name": user.name,
                "secret_sha256": digest(secret),
                "now_ms": now_ms,
            }
            transaction.execute(store.INSERT_API_TOKEN, token)

    await database.write(work)
    return [user for user, _, _ in made]


def _new(name: str, role: Role) -> tuple[NewUser, str, str]:
    token_id, secret = new_id(), new_secret()
    user = NewUser(name, role, "", f"{API_PREFIX}{token_id}_{secret}", rider_id_for(role, name))
    return user, token_id, secret
