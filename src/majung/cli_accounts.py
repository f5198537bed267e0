"""`majung user` and `majung device`: credentials from the console, beside a running server or before one.

They write into the data folder's database; a running server sees a new credential with its first use and
a revoked one within a second. Every command prints JSON, so that scripts can read it.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from majung.auth import bulk
from majung.auth.accounts import Accounts
from majung.auth.model import NO_ACCOUNTS, NewUser, Role
from majung.auth.passwords import Passwords
from majung.auth.phones import address_of, app_settings
from majung.ports import Database, PortError

T = TypeVar("T")

users = typer.Typer(help="People and programs that sign in.", no_args_is_help=True, rich_markup_mode="rich")
devices = typer.Typer(help="Credentials of riders' devices.", no_args_is_help=True, rich_markup_mode="rich")

Data = Annotated[Path, typer.Option("--data", help="The data folder; made when it does not exist.")]
Name = Annotated[str, typer.Argument(help="The account's name.")]
FromStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from standard input; without, one is made."),
]
_DATA = Path("majung-data")
_ROLES = ", ".join(role for role in Role if role not in NO_ACCOUNTS)


def register(app: typer.Typer) -> None:
    """Add the commands to `majung`."""
    app.add_typer(users, name="user")
    app.add_typer(devices, name="device")


@users.command(
    "add",
    epilog="Examples:\n\n  majung user add mina --role operator\n\n"
    "  majung user add fleet --role gateway --data ./d     [dim]# prints an API token too[/]\n\n"
    "  pass show majung | majung user add kim --role viewer --password-stdin\n\n"
    "  majung user add minsu --role rider --rider-id rider-7",
)
def add_user(
    name: Name,
    role: Annotated[str, typer.Option("--role", help=f"One of: {_ROLES}.")],
    data: Data = _DATA,
    password_stdin: FromStdin = False,
    rider_id: Annotated[
        str, typer.Option("--rider-id", help="For a rider: which one; without, its name is its id.")
    ] = "",
    store_id: Annotated[str, typer.Option("--store-id", help="For a store: the one that it runs.")] = "",
) -> None:
    """Add an account. Prints its name, role, password, and for programs an API token: only this once."""
    if role not in set(Role) - NO_ACCOUNTS:
        raise typer.BadParameter(f"{role!r} is none of: {_ROLES}", param_hint="--role")
    password = _password(password_stdin)
    _print(
        _on_accounts(data, lambda accounts: accounts.add_user(name, Role(role), password, rider_id, store_id))
    )


@users.command(
    "add-many",
    epilog="Examples:\n\n  majung user add-many --role store --count 80 >> city.jsonl\n\n"
    "  majung user add-many --role rider --count 600 --prefix fleet-a- >> city.jsonl",
)
def add_users(
    role: Annotated[str, typer.Option("--role", help=f"One of: {', '.join(sorted(bulk.ROLES))}.")],
    count: Annotated[int, typer.Option("--count", min=1, max=bulk.MAX_AT_ONCE, help="How many.")],
    data: Data = _DATA,
    prefix: Annotated[
        str, typer.Option("--prefix", help="They are called PREFIX00001 …; default: the role and a dash.")
    ] = "",
) -> None:
    """Add accounts for programs: an API token each, no password. Prints JSON lines, only this once."""
    if role not in bulk.ROLES:
        raise typer.BadParameter(f"{role!r} is none of: {', '.join(sorted(bulk.ROLES))}", param_hint="--role")
    names = [f"{prefix or role + '-'}{number:05d}" for number in range(1, count + 1)]
    for user in _or_exit(_add_many(data, Role(role), names)):
        _print(user, lines=True)


@users.command("list", epilog="Example:\n\n  majung user list --data ./d")
def list_users(data: Data = _DATA) -> None:
    """List the accounts, one JSON object a line; revoked ones have `revoked_at_ms`."""

    async def pages(accounts: Accounts) -> None:
        after = ""
        while page := await accounts.list_users(after):
            for account in page:
                _print(account, lines=True)
            after = page[-1].name

    _on_accounts(data, pages)


@users.command("password", epilog="Example:\n\n  majung user password admin --data ./d")
def set_password(name: Name, data: Data = _DATA, password_stdin: FromStdin = False) -> None:
    """Set a new password (or make one) and end what was signed in with the old one."""
    password = _password(password_stdin)
    _print(_on_accounts(data, lambda accounts: accounts.set_password(name, password)))


@users.command("revoke", epilog="Example:\n\n  majung user revoke mina --data ./d")
def revoke_user(name: Name, data: Data = _DATA) -> None:
    """End an account with its tokens and grants, within a second on a running server."""
    _on_accounts(data, lambda accounts: accounts.revoke_user(name))
    _print({"revoked": name})


@users.command("erase", epilog="Example:\n\n  majung user erase mina --yes --data ./d")
def erase_user(
    name: Name,
    data: Data = _DATA,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a person for good: account, friendships, decisions, positions. The name is not given again.

    On a running server streams end within a second, and positions are gone within a minute.
    """
    if not yes:
        typer.confirm(f"Erase everything of {name}?", abort=True)
    _or_exit(_erase(data, name))
    _print({"erased": name})


@devices.command(
    "add",
    epilog="Examples:\n\n  majung device add rider-7 --data ./d\n\n"
    "  majung device add rider-7 --name 'the old phone' --data ./d",
)
def add_device(
    rider_id: Annotated[str, typer.Argument(help="The rider that the device reports for.")],
    data: Data = _DATA,
    name: Annotated[str, typer.Option("--name", help="What people call the device.")] = "",
) -> None:
    """Add a device. Prints its credential, only this once, and how to type it into each phone app."""
    from majung.settings import load

    try:
        address = address_of(load(data).server)
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None
    device = _on_accounts(data, lambda accounts: accounts.add_device(rider_id, name))
    _print({**msgspec.structs.asdict(device), "apps": app_settings(device, address)})


@devices.command("list", epilog="Example:\n\n  majung device list --rider rider-7 --data ./d")
def list_devices(
    data: Data = _DATA, rider: Annotated[str, typer.Option("--rider", help="Of this rider alone.")] = ""
) -> None:
    """List the devices, one JSON object a line; revoked ones have `revoked_at_ms`."""

    async def pages(accounts: Accounts) -> None:
        after = ""
        while page := await accounts.list_devices(rider, after):
            for device in page:
                _print(device, lines=True)
            after = page[-1].device_id

    _on_accounts(data, pages)


@devices.command("revoke", epilog="Example:\n\n  majung device revoke h3k9p2w5m7qx --data ./d")
def revoke_device(
    device_id: Annotated[str, typer.Argument(help="As `majung device list` prints it.")], data: Data = _DATA
) -> None:
    """End a device's credential for good, within a second on a running server."""
    _on_accounts(data, lambda accounts: accounts.revoke_device(device_id))
    _print({"revoked": device_id})


def _on_accounts(data: Path, use: Callable[[Accounts], Awaitable[T]]) -> T:
    """Open the database of the data folder, do one thing, close it."""
    return _or_exit(_open_and(data, use))


def _or_exit(work: Coroutine[Any, Any, T]) -> T:
    """A failure is one line and exit code 1."""
    try:
        return asyncio.run(work)
    except (PortError, LookupError, ValueError, OSError) as problem:
        text = problem.args[0] if isinstance(problem, LookupError) and problem.args else problem
        typer.secho(f"majung: {text}", fg="red", err=True)
        raise typer.Exit(1) from None


async def _open_and(data: Path, use: Callable[[Accounts], Awaitable[T]]) -> T:
    from majung.data_folder import open_database

    async with open_database(data) as database:
        return await _with_accounts(database, use)


async def _with_accounts(database: Database, use: Callable[[Accounts], Awaitable[T]]) -> T:
    from majung.auth.changes import Changes
    from majung.clock import SystemClock

    clock, passwords = SystemClock(), Passwords()
    try:
        return await use(Accounts(database, clock, passwords, Changes(database, clock)))
    finally:
        passwords.close()


async def _erase(data: Path, name: str) -> None:
    from majung.clock import SystemClock
    from majung.data_folder import open_database
    from majung.friends.erase import erase_named

    clock = SystemClock()
    async with open_database(data) as database:
        await _with_accounts(database, lambda accounts: erase_named(database, clock, accounts, name))


async def _add_many(data: Path, role: Role, names: list[str]) -> list[NewUser]:
    from majung.clock import SystemClock
    from majung.data_folder import open_database

    async with open_database(data) as database:
        return await bulk.add_many(database, SystemClock(), role, names)


def _password(from_stdin: bool) -> str | None:
    return sys.stdin.readline().rstrip("\r\n") if from_stdin else None


def _print(value: Any, lines: bool = False) -> None:
    text = msgspec.json.encode(value)
    typer.echo((text if lines else msgspec.json.format(text, indent=2)).decode())
