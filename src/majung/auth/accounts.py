"""Who has a credential: the use cases behind the admin API and the commands `majung user` and `device`.

They work on the database alone, so that the commands work beside a running server and before the first
start. Whatever takes a right away raises the change counter in the same transaction.
"""

from majung.auth import store
from majung.auth.changes import Changes
from majung.auth.credentials import API_PREFIX, DEVICE_PREFIX, digest, new_id, new_password, new_secret
from majung.auth.model import NO_ACCOUNTS, Account, Device, Grant, NewDevice, NewUser, Role
from majung.auth.names import check_device_name, check_ids, check_name, check_rider_id, rider_id_for
from majung.auth.passwords import Passwords
from majung.clock import Clock
from majung.ports import Conflict, Database, Transaction

MAX_GRANTS = 10_000
PAGE = 1000
WITH_API_TOKEN = frozenset({Role.GATEWAY, Role.OPERATOR})


class AccountConflict(Conflict):
    """A rule of accounts says no. `str()` is safe to show."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.outward = message


class Accounts:
    """Users, devices and grants. Belongs to one event loop."""

    def __init__(self, database: Database, clock: Clock, passwords: Passwords, changes: Changes) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._changes = changes

    # ---------------------------------------------------------------------------------------- users

    async def add_user(
        self,
        name: str,
        role: Role,
        password: str | None = None,
        rider_id: str = "",
        store_id: str = "",
        again: bool = True,
    ) -> NewUser:
        """A new account; a password is made when none is given, and an API token for programs' roles.

        A rider's account is the rider `rider_id` (default: its name), a store's runs `store_id`, a person's
        is a person that never was before. A name that was revoked may be given `again`. Raises ValueError
        (name, role, password, ids), Conflict (the name is taken), PortError.
        """
        check_name(name)
        if role in NO_ACCOUNTS:
            raise ValueError(f"a {role} is no user: devices are added as devices, shares by who shares")
        check_ids(role, rider_id, store_id)
        rider_id = rider_id_for(role, rider_id or name)
        password = password if password is not None else new_password()
        hashed = await self._passwords.hash(password)
        token_id, secret = new_id(), new_secret()
        now_ms = self._clock.now_ms()

        def work(transaction: Transaction) -> None:
            account = {
                "name": name,
                "role": role.value,
                "password_hash": hashed,
                "now_ms": now_ms,
                "rider_id": rider_id,
                "store_id": store_id,
            }
            rows = transaction.execute(store.SELECT_ACCOUNT, {"name": name})
            if rows and (rows[0][3] is None or not again):
                raise AccountConflict(f"there is a user {name!r} already")
            if rows and rows[0][0] == Role.PERSON and not rows[0][4]:
                raise AccountConflict(f"{name!r} was a person who is erased: the name is not given again")
            transaction.execute(store.REVIVE_ACCOUNT if rows else store.INSERT_ACCOUNT, account)
            if role in WITH_API_TOKEN:
                token = {
                    "token_id": token_id,
                    "name": name,
                    "secret_sha256": digest(secret),
                    "now_ms": now_ms,
                }
                transaction.execute(store.INSERT_API_TOKEN, token)

        await self._database.write(work)
        api_token = f"{API_PREFIX}{token_id}_{secret}" if role in WITH_API_TOKEN else ""
        return NewUser(name, role, password, api_token, rider_id, store_id)

    def give_store(self, transaction: Transaction, name: str, store_id: str) -> None:
        """Make a store the one that this account runs; call `rights_changed` when it is committed.

        Raises LookupError (no such account), ValueError (not a store's), Conflict (it has one).
        """
        if _role_of(transaction, name) is not Role.STORE:
            raise ValueError(f"{name!r} is not the account of a store")
        if transaction.execute(store.SELECT_ACCOUNT, {"name": name})[0][5]:
            raise AccountConflict(f"{name!r} has a store already")
        transaction.execute(store.GIVE_STORE, {"name": name, "store_id": store_id})
        transaction.execute(store.RAISE_VERSION)

    def rights_changed(self) -> None:
        """What is remembered of callers on this server is looked up anew."""
        self._changes.expire()

    async def list_users(self, after: str = "", limit: int = PAGE) -> list[Account]:
        """Accounts by name, revoked ones too; `after` is the last name of the page before.

        Which `person-…` an account is stays with the person.
        """
        rows = await self._database.read(store.SELECT_ACCOUNTS, {"after": after, "limit": limit})
        return [
            Account(name, Role(role), made, revoked, "" if role == Role.PERSON else rider_id, store_id)
            for name, role, made, revoked, rider_id, store_id in rows
        ]

    async def set_password(self, name: str, password: str | None = None) -> NewUser:
        """Change (or make) a password; everything signed in with the old one ends.

        API tokens stay. Raises LookupError, ValueError, PortError.
        """
        password = password if password is not None else new_password()
        hashed = await self._passwords.hash(password)

        def work(transaction: Transaction) -> Role:
            role = _role_of(transaction, name)
            transaction.execute(store.CHANGE_PASSWORD, {"name": name, "password_hash": hashed})
            transaction.execute(store.RAISE_VERSION)
            return role

        role = await self._database.write(work)
        self._changes.expire()
        return NewUser(name, role, password)

    async def revoke_user(self, name: str) -> None:
        """End an account with its tokens and grants, a person's with its devices.

        Raises LookupError, Conflict (the last admin), PortError.
        """
        now = {"name": name, "now_ms": self._clock.now_ms()}

        def work(transaction: Transaction) -> None:
            if _role_of(transaction, name) is Role.ADMIN and not _count(
                transaction, store.COUNT_OTHER_ADMINS, {"name": name}
            ):
                raise AccountConflict(f"{name!r} is the last administrator: add another one first")
            transaction.execute(store.REVOKE_PERSONS_DEVICES, now)
            transaction.execute(store.REVOKE_ACCOUNT, now)
            transaction.execute(store.REVOKE_API_TOKENS, now)
            transaction.execute(store.DELETE_GRANTS_OF, {"name": name})
            transaction.execute(store.RAISE_VERSION)

        await self._database.write(work)
        self._changes.expire()

    def erase_person(self, transaction: Transaction, name: str) -> None:
        """Keep of a person's account only that the name was given; call `rights_changed` when it is committed.

        The name stays taken: it stands in access tokens that live for a while, and in the memory of friends.
        Raises LookupError (no such account), ValueError (not a person's).
        """
        if _role_of(transaction, name) is not Role.PERSON:
            raise ValueError(f"{name!r} is not the account of a person")
        now = {"name": name, "now_ms": self._clock.now_ms(), "subject": f"{Role.PERSON}:{name}"}
        transaction.execute(store.DELETE_PERSONS_DEVICES, now)
        transaction.execute(store.DELETE_API_TOKENS, now)
        transaction.execute(store.DELETE_REFRESH, now)
        transaction.execute(store.ERASE_ACCOUNT, now)
        transaction.execute(store.RAISE_VERSION)

    async def ensure_admin(self) -> NewUser | None:
        """An administrator with a random password when there never was one, else None. Raises PortError."""
        if await self._has_admin():
            return None
        try:
            return await self.add_user("admin", Role.ADMIN)
        except Conflict:  # another process was quicker, or the name went to somebody else
            return (
                None if await self._has_admin() else await self.add_user(f"admin-{new_id()[:4]}", Role.ADMIN)
            )

    async def _has_admin(self) -> bool:
        return bool((await self._database.read(store.COUNT_ADMINS))[0][0])

    # -------------------------------------------------------------------------------------- devices

    async def add_device(self, rider_id: str, name: str = "", *, of_person: bool = False) -> NewDevice:
        """A credential that reports for this rider; one rider may have several.

        `of_person` is for the person `rider_id` itself, who alone adds its devices. Raises ValueError,
        PortError.
        """
        check_rider_id(rider_id, of_person)
        check_device_name(name)
        device_id, secret = new_id(), new_secret()
        row = {
            "device_id": device_id,
            "rider_id": rider_id,
            "name": name,
            "secret_sha256": digest(secret),
            "now_ms": self._clock.now_ms(),
        }
        await self._database.write(lambda transaction: transaction.execute(store.INSERT_DEVICE, row))
        return NewDevice(device_id, rider_id, f"{DEVICE_PREFIX}{device_id}_{secret}", device_id, secret)

    async def list_devices(
        self, rider_id: str = "", after: str = "", limit: int = PAGE, *, of_person: bool = False
    ) -> list[Device]:
        """Devices (of one rider), revoked ones too; `after` is the last device_id of the page before.

        Those of people are listed for the person `rider_id` alone, with `of_person`.
        """
        params = {"rider_id": rider_id, "after": after, "limit": limit}
        statement = store.SELECT_PERSONS_DEVICES if of_person else store.SELECT_DEVICES
        rows = await self._database.read(statement, params)
        return [Device(id_, rider, created, name, revoked) for id_, rider, name, created, revoked in rows]

    async def revoke_device(self, device_id: str, rider_id: str = "") -> None:
        """End a device's credential (with `rider_id`: only if it is that one's), for good.

        Raises LookupError, PortError.
        """
        params = {"device_id": device_id, "now_ms": self._clock.now_ms()}

        def work(transaction: Transaction) -> None:
            rows = transaction.execute(store.SELECT_DEVICE_STATE, {"device_id": device_id})
            if not rows or rows[0][0] is not None or (rider_id and rows[0][1] != rider_id):
                raise LookupError(f"there is no device {device_id!r}")
            transaction.execute(store.REVOKE_DEVICE, params)
            transaction.execute(store.RAISE_VERSION)

        await self._database.write(work)
        self._changes.expire()

    # --------------------------------------------------------------------------------------- grants

    async def grant(self, account: str, rider_id: str, until_ms: int | None = None) -> Grant:
        """Let a viewer see a rider, until a time or until it is removed; again: sets the time anew.

        Raises LookupError (no such account), ValueError (not a viewer, a bad rider_id, a time gone by, too
        many), PortError.
        """
        now_ms = self._clock.now_ms()
        check_rider_id(rider_id)
        if until_ms is not None and not now_ms < until_ms < 2**63:
            raise ValueError("the grant would end before it begins")
        params = {"account": account, "rider_id": rider_id, "until_ms": until_ms, "now_ms": now_ms}

        def work(transaction: Transaction) -> None:
            if _role_of(transaction, account) is not Role.VIEWER:
                raise ValueError(f"{account!r} is not a viewer: grants are for viewers")
            transaction.execute(store.DELETE_ENDED_GRANTS, {"now_ms": now_ms})
            transaction.execute(store.PUT_GRANT, params)
            if _count(transaction, store.COUNT_GRANTS, {"account": account}) > MAX_GRANTS:
                raise ValueError(f"an account has at most {MAX_GRANTS} grants")
            transaction.execute(store.RAISE_VERSION)

        await self._database.write(work)
        self._changes.expire()
        return Grant(account, rider_id, until_ms)

    async def list_grants(self, account: str) -> list[Grant]:
        """The grants of an account that hold now."""
        params = {"account": account, "now_ms": self._clock.now_ms()}
        rows = await self._database.read(store.SELECT_LIVE_GRANTS, params)
        return [Grant(account, rider_id, until_ms) for rider_id, until_ms in rows]

    async def remove_grant(self, account: str, rider_id: str) -> None:
        """Take a grant away; every server notices within a second. Raises LookupError, PortError."""
        params = {"account": account, "rider_id": rider_id}

        def work(transaction: Transaction) -> None:
            if not transaction.execute(store.SELECT_GRANT, params):
                raise LookupError(f"{account!r} has no grant for rider {rider_id!r}")
            transaction.execute(store.DELETE_GRANT, params)
            transaction.execute(store.RAISE_VERSION)

        await self._database.write(work)
        self._changes.expire()


def _role_of(transaction: Transaction, name: str) -> Role:
    rows = transaction.execute(store.SELECT_ACCOUNT, {"name": name})
    if not rows or rows[0][3] is not None:
        raise LookupError(f"there is no user {name!r}")
    return Role(rows[0][0])


def _count(transaction: Transaction, sql: str, params: dict[str, object]) -> int:
    return int(transaction.execute(sql, params)[0][0])
