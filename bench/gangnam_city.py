"""The people of the hot spot, written into a data folder before its server starts.

Stores and accounts are made by the server's own services, tokens by its own signer; what is left out is the
password of each account (argon2, 50 ms each), so nobody can sign in here, and the tokens are handed over.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from majung.auth.accounts import Accounts
from majung.auth.changes import Changes
from majung.auth.model import Role
from majung.auth.tokens import AccessTokens
from majung.compose import open_services
from majung.services import Services
from majung.settings import Settings
from majung.stores.model import Item, NewMenu, NewStore, Option, OptionGroup, Weekday

STATION = (37.4979, 127.0276)
RADIUS_M = 1_000.0
TOKEN_FOR_S = 6 * 3600.0
_DEGREE_M = 111_320.0
_AT_ONCE = 500
_DISHES = ("칼국수", "만두", "비빔밥", "김치찌개", "떡볶이", "돈까스", "냉면", "김밥")
_SIZES = OptionGroup("크기", (Option("보통", 0, "regular"), Option("곱빼기", 1_500, "large")), required=True)


class Shop(msgspec.Struct, frozen=True):
    """A store, and the token of who runs it."""

    store_id: str
    token: str


class City(msgspec.Struct, frozen=True):
    """Who there is; `riders` are rider_id → token."""

    shops: list[Shop]
    riders: dict[str, str]
    customers: list[str]
    gateway: str
    admin: str


class _NoPasswords:
    """No sign-in: no password has this hash."""

    async def hash(self, _: str) -> str:
        return "!"


def place(rng: random.Random) -> tuple[float, float]:
    """Somewhere in the circle round the station, every square metre alike."""
    away_m, angle = RADIUS_M * math.sqrt(rng.random()), rng.random() * math.tau
    north, east = away_m * math.cos(angle), away_m * math.sin(angle)
    return (
        STATION[0] + north / _DEGREE_M,
        STATION[1] + east / (_DEGREE_M * math.cos(math.radians(STATION[0]))),
    )


def _store(number: int, rng: random.Random) -> NewStore:
    latitude, longitude = place(rng)
    hours = {day: ["00:00-24:00"] for day in Weekday}
    address = f"서울 강남구 테헤란로 {number % 500 + 1}"
    return NewStore(f"강남 {_DISHES[number % 8]} {number}호", "korean", latitude, longitude, address, hours)


def _menu() -> NewMenu:
    return NewMenu(
        tuple(
            Item(name, 7_000 + 500 * i, f"dish-{i}", groups=(_SIZES,) if i < 4 else ())
            for i, name in enumerate(_DISHES)
        )
    )


async def _all(work: Callable[[int], Awaitable[object]], count: int) -> None:
    for start in range(0, count, _AT_ONCE):
        await asyncio.gather(*(work(number) for number in range(start, min(count, start + _AT_ONCE))))


async def make(services: Services, stores: int, riders: int, customers: int) -> City:
    """So many of each, through the services of a server that is open."""
    rng = random.Random(40)
    passwords = _NoPasswords()
    database, clock = services.database, services.clock
    accounts = Accounts(database, clock, passwords, Changes(database, clock))  # type: ignore[arg-type]
    tokens = AccessTokens(services.auth.keys, clock, services.settings.auth.issuer, TOKEN_FOR_S)

    async def account(name: str, role: Role) -> str:
        await accounts.add_user(name, role, "", rider_id=name if role is Role.RIDER else "")
        return await tokens.issue(f"{role}:{name}", role, await _generation(services, name))

    shops: list[Shop] = []

    async def shop(number: int) -> None:
        name = f"shop-{number}"
        token = await account(name, Role.STORE)
        store = await services.stores.register(_store(number, rng), name)
        await services.stores.put_menu(store.store_id, _menu())
        shops.append(Shop(store.store_id, token))

    rides: dict[str, str] = {}

    async def rider(number: int) -> None:
        rides[f"rider-{number}"] = await account(f"rider-{number}", Role.RIDER)

    eaters: list[str] = []

    async def customer(number: int) -> None:
        eaters.append(await account(f"customer-{number}", Role.CUSTOMER))

    await _all(shop, stores)
    await _all(rider, riders)
    await _all(customer, customers)
    gateway = await services.auth.add_user("positions", Role.GATEWAY, "no-one-signs-in-with-it")
    admin = await account("bench-admin", Role.ADMIN)
    return City(shops, rides, eaters, gateway.token, admin)


async def _generation(services: Services, name: str) -> int:
    rows = await services.database.read("SELECT generation FROM account WHERE name = ?", (name,))
    return int(rows[0][0])


async def _build(data: Path, sizes: Sequence[int]) -> City:
    async with open_services(Settings(data=data)) as services:
        return await make(services, *sizes)


def build(data: Path, stores: int, riders: int, customers: int) -> City:
    """Write all of them into `data`; no server may run there."""
    return asyncio.run(_build(data, (stores, riders, customers)))
