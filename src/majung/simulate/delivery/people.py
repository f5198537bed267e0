"""Who takes part, and how they sign in: accounts that were given, or accounts that they make themselves.

Given accounts are JSON lines as `majung user add-many` prints them: `{"name", "role", "token"}`, tokens
without an end. Without them everybody signs up, as a stranger would, where `delivery.open_sign_up` has the
role; that costs the server a password hash each, and it says how many a minute it takes (429).
"""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from majung.simulate.delivery.http import Client

_RENEW_BEFORE_S = 120.0
_ORDER_TAKES_MIN = 12
_FORM = "content-type: application/x-www-form-urlencoded\r\n"


def customers_for(orders_per_minute: float, speed: float = 1.0) -> int:
    """How many customers it takes when each has one order at a time: as many as orders are open at once."""
    return max(20, round(_ORDER_TAKES_MIN * orders_per_minute / min(1.0, speed)))


class CannotJoin(Exception):
    """The server lets nobody in like this. `str()` says what would help."""


class Person:
    """Somebody with an account: a token that stays good."""

    def __init__(self, name: str, role: str, token: str = "", password: str = "") -> None:
        self.name = name
        self.role = role
        self._token = token
        self._password = password
        self._refresh = ""
        self._ends_s = float("inf") if token else 0.0
        self._turn = asyncio.Lock()

    async def token(self, client: Client) -> str:
        """A token that is good now; signs up or in, or renews it, when there is none. Raises CannotJoin."""
        if time.monotonic() < self._ends_s:
            return self._token
        async with self._turn:
            if time.monotonic() >= self._ends_s:
                await self._sign_in(client)
        return self._token

    async def _sign_in(self, client: Client) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": self._refresh}
        if not self._refresh:
            body = {"name": self.name, "password": self._password, "role": self.role}
            # A hash each, one after another: this takes as long as it takes.
            answer = await client.call("POST", "/v1/sign-up", "", body, tries=200)
            if answer.ok:
                self._take(answer.json())
                return
            if answer.status != 409:
                raise CannotJoin(
                    f"cannot sign up as {self.role}: {answer.json().get('detail') or answer.status}"
                )
            form = {"grant_type": "password", "username": self.name, "password": self._password}
        answer = await client.call("POST", "/v1/oauth/token", "", urlencode(form).encode(), _FORM)
        if answer.ok:
            self._take(answer.json())
        elif self._refresh:
            self._refresh = ""
            await self._sign_in(client)
        else:
            raise CannotJoin(f"{self.name} cannot sign in: {answer.json().get('detail') or answer.status}")

    def _take(self, tokens: dict[str, Any]) -> None:
        self._token = str(tokens["access_token"])
        self._refresh = str(tokens.get("refresh_token", ""))
        self._ends_s = time.monotonic() + max(1.0, float(tokens["expires_in"]) - _RENEW_BEFORE_S)


class Cast:
    """Everybody, by role, and the gateway that reports for all riders when there is one."""

    def __init__(
        self, stores: list[Person], riders: list[Person], customers: list[Person], gateway: Person | None
    ) -> None:
        self.stores = stores
        self.riders = riders
        self.customers = customers
        self.gateway = gateway


def given(lines: Iterable[str], stores: int, riders: int, customers: int) -> Cast:
    """The first so many of each role. Raises ValueError: not such lines, too few."""
    found: dict[str, list[Person]] = {}
    for line in lines:
        if line.strip():
            entry = msgspec.json.decode(line, type=dict[str, Any])
            person = Person(str(entry["name"]), str(entry["role"]), str(entry.get("token", "")))
            found.setdefault(person.role, []).append(person)
    wanted = {"store": stores, "rider": riders, "customer": customers}
    for role, count in wanted.items():
        if len(found.get(role, [])) < min(count, 1):
            raise ValueError(
                f"the accounts have no {role}: majung user add-many --role {role} --count {count}"
            )
    parts = {role: found.get(role, [])[:count] for role, count in wanted.items()}
    return Cast(parts["store"], parts["rider"], parts["customer"], next(iter(found.get("gateway", [])), None))


def read(file: Path, stores: int, riders: int, customers: int) -> Cast:
    """The accounts of a file. Raises ValueError, OSError."""
    try:
        return given(file.read_text().splitlines(), stores, riders, customers)
    except (KeyError, msgspec.DecodeError) as problem:
        raise ValueError(f"{file}: each line is an account as `majung user add-many` prints it") from problem


def strangers(seed: int, secret: str, stores: int, riders: int, customers: int) -> Cast:
    """People who sign up when they first need to. The same seed and secret are the same people again."""

    def make(role: str, count: int) -> list[Person]:
        return [
            Person(f"sim{seed}-{role}-{number:05d}", role, password=f"{secret}-{role}-{number}")
            for number in range(1, count + 1)
        ]

    return Cast(make("store", stores), make("rider", riders), make("customer", customers), None)
