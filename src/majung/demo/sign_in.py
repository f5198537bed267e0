"""Who is in the demo: an administrator, four people left free, and the city; made once, kept beside the data."""

import json
import os
from pathlib import Path

import msgspec

from majung.auth import bulk
from majung.auth.credentials import new_secret
from majung.auth.model import Role
from majung.auth.service import AuthService
from majung.clock import SystemClock
from majung.data_folder import open_database
from majung.demo import free_friend
from majung.ports import Conflict, Database
from majung.settings import AuthSettings
from majung.simulate.delivery.people import customers_for

_FILE = "sign-in.json"
_CITY = "city.jsonl"
FREE = {
    "customer": Role.CUSTOMER,
    "kitchen": Role.STORE,
    "rider": Role.RIDER,
    free_friend.NAME: Role.PERSON,
}


class SignIn(msgspec.Struct):
    """Names and passwords, as they stand in `sign-in.json`; `name` is the administrator, `free` are the others."""

    name: str
    password: str
    free: dict[str, str] = {}


async def prepare(data: Path, stores: int, riders: int, orders_per_minute: float) -> SignIn:
    """The accounts of this folder; those that are missing are made. Raises PortError, OSError."""
    kept = data / _FILE
    found = SignIn("", "")
    if kept.exists():
        given = json.loads(kept.read_text())
        found = SignIn(given["name"], given["password"], dict(given.get("free", {})))
    async with open_database(data) as database:
        auth = AuthService(database, SystemClock(), AuthSettings())
        try:
            if not found.name:
                found.name, found.password = await _person(auth, "demo", Role.ADMIN)
            for name, role in FREE.items():
                if name not in found.free:
                    _, found.free[name] = await _person(auth, name, role)
        finally:
            auth.close()
        wanted = {
            Role.GATEWAY: 1,
            Role.STORE: stores,
            Role.RIDER: riders,
            Role.CUSTOMER: customers_for(orders_per_minute),
            Role.PERSON: free_friend.FRIENDS,
        }
        await _people(database, city_file(data), wanted)
    _write(kept, msgspec.json.encode(found).decode())
    return found


def city_file(data: Path) -> Path:
    """Where the accounts of the simulated city stand."""
    return data / _CITY


async def _person(auth: AuthService, name: str, role: Role) -> tuple[str, str]:
    """Somebody with a password that can be typed."""
    password = f"{new_secret()[:5]}-{new_secret()[:5]}"
    try:
        await auth.add_user(name, role, password)
    except Conflict:  # made, and the file that said so is gone
        await auth.accounts.set_password(name, password)
    return name, password


async def _people(database: Database, file: Path, wanted: dict[Role, int]) -> None:
    """As many of each role as are wanted, in the file; more are added when a larger city is asked for."""
    lines = file.read_text().splitlines() if file.exists() else []
    have = [str(json.loads(line)["role"]) for line in lines]
    for role, count in wanted.items():
        first = have.count(role) + 1
        names = [f"city-{role}-{number:05d}" for number in range(first, count + 1)]
        if names:
            made = await bulk.add_many(database, SystemClock(), role, names)
            lines += [msgspec.json.encode(user).decode() for user in made]
    _write(file, "\n".join(lines) + "\n")


def _write(file: Path, text: str) -> None:
    """Readable by its owner alone, whole or not at all."""
    written = file.with_name(file.name + ".new")
    written.unlink(missing_ok=True)
    with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(text)
    written.replace(file)
