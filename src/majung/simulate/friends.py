"""People who walk about, meet and part: some are seen blurred, some turn ghost at times.

Where everybody is and what it has decided depends on the seed, the number and the time alone: `Walk`, `wish` and
`ghosted` are pure. `run` sends it through the doors that the page uses, and reads what everybody is told.
"""

import asyncio
import math
import random
import ssl
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from majung.simulate.delivery.http import Client
from majung.simulate.delivery.people import CannotJoin, Person

Place = tuple[float, float]
"""Latitude, longitude."""

YEOKSAM: Place = (37.500628, 127.036446)
_DEGREE_M = 111_320.0
_MEETING_PLACES = 3
_MEETINGS_WITHIN_M = 600.0
_HOMES_WITHIN_M = 1_800.0
_EACH_SIDE = 10
_GHOST_EVERY_S, _GHOST_FOR_S = 360.0, 90.0
_NAMES = "민준 서연 도윤 하은 시우 지유 예준 서윤 주원 지우 하준 수아 지호 다은 준서 채원 건우 소율".split()  # noqa: SIM905
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class FriendsPlan:
    """Who walks, and where. `ask`: somebody by name whom all of them ask to be a friend."""

    http: str
    people: Sequence[Person]
    ask: str = ""
    seed: int = 7
    centre: Place = YEOKSAM
    every_s: float = 10.0
    duration_s: float | None = None
    tls: ssl.SSLContext | None = None


@dataclass
class Report:
    """What was sent, and what people were told of each other."""

    people: int = 0
    friendships: int = 0
    sent: int = 0
    acknowledged: int = 0
    ghosts: int = 0
    told: Counter[str] = field(default_factory=Counter)


# ------------------------------------------------------------------------------- who is where, and how


class Walk:
    """One of them: from home to one of the meeting places, a while there, and on to another one."""

    def __init__(self, number: int, seed: int, centre: Place = YEOKSAM) -> None:
        self._rng = random.Random(f"{seed}/{number}")  # noqa: S311 - a walk
        places = random.Random(f"{seed}/places")  # noqa: S311
        self._centre = centre
        self._meetings = [_within(places, _MEETINGS_WITHIN_M) for _ in range(_MEETING_PLACES)]
        self._at = self._goal = _within(self._rng, _HOMES_WITHIN_M)
        self._pace_mps = self._rng.uniform(1.1, 1.7)
        self._stay_s = self._rng.uniform(0.0, 60.0)

    def step(self, seconds: float) -> Place:
        """Where it is so much later."""
        while seconds > 0.0:
            if self._stay_s > 0.0:
                passed = min(seconds, self._stay_s)
                self._stay_s -= passed
            else:
                passed = self._go(seconds)
            seconds -= passed
        north, east = self._at
        latitude = self._centre[0] + north / _DEGREE_M
        return latitude, self._centre[1] + east / (_DEGREE_M * math.cos(math.radians(self._centre[0])))

    def _go(self, seconds: float) -> float:
        """Towards the goal; arrived, it stays a while and then wants to go elsewhere. Seconds that passed."""
        way = self._goal[0] - self._at[0], self._goal[1] - self._at[1]
        left_m = math.hypot(*way)
        reach_m = self._pace_mps * seconds
        if left_m > reach_m:
            part = reach_m / left_m
            self._at = self._at[0] + part * way[0], self._at[1] + part * way[1]
            return seconds
        self._at = self._goal
        home = self._rng.random() < 0.2
        self._goal = (
            _within(self._rng, _HOMES_WITHIN_M)
            if home
            else _beside(self._rng, self._rng.choice(self._meetings))
        )
        self._stay_s = self._rng.uniform(60.0, 300.0)
        return left_m / self._pace_mps


def _within(rng: random.Random, radius_m: float) -> tuple[float, float]:
    """Metres to the north and to the east."""
    angle, away_m = rng.uniform(0.0, math.tau), radius_m * math.sqrt(rng.random())
    return away_m * math.cos(angle), away_m * math.sin(angle)


def _beside(rng: random.Random, place: tuple[float, float]) -> tuple[float, float]:
    return place[0] + rng.gauss(0.0, 8.0), place[1] + rng.gauss(0.0, 8.0)


def wish(number: int) -> dict[str, Any]:
    """What all friends see: every fourth a cell of 1.2 km, the others the place; every second with history."""
    mode: dict[str, Any] = {"mode": "blurred", "precision": 6} if number % 4 == 3 else {"mode": "exact"}
    return mode | {"history": number % 2 == 0}


def ghosted(number: int, at_s: float) -> bool:
    """Every fifth is a ghost for a minute and a half of each six."""
    return number % 5 == 4 and (at_s + 60.0 * number) % _GHOST_EVERY_S < _GHOST_FOR_S


def pairs(people: int) -> Iterable[tuple[int, int]]:
    """Who is whose friend: everybody with the ten before and the ten after, each pair once."""
    near = min(_EACH_SIDE, (people - 1) // 2)
    found = {
        tuple(sorted((one, (one + step) % people))) for one in range(people) for step in range(1, near + 1)
    }
    if people % 2 == 0 and near < _EACH_SIDE and people > 1:
        found |= {(one, one + people // 2) for one in range(people // 2)}
    return sorted((one, other) for one, other in found)


# --------------------------------------------------------------------------------------- towards a server


async def run(
    plan: FriendsPlan, stop: asyncio.Event, tell: Callable[[Report], None] = lambda _: None
) -> Report:
    """Until `stop` is set or the time is over. Raises CannotJoin, ConnectionError."""
    client = Client(plan.http, plan.tls)
    report = Report(len(plan.people))
    try:
        ids = [await _introduce(client, person, number) for number, person in enumerate(plan.people)]
        report.friendships = await _befriend(client, plan, ids)
        tell(report)
        walking = [
            asyncio.create_task(_Walker(client, plan, number, report).live())
            for number in range(len(plan.people))
        ]
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait(
            [*walking, stopped], timeout=plan.duration_s, return_when=asyncio.FIRST_COMPLETED
        )
        for task in (*walking, stopped):
            task.cancel()
        await asyncio.gather(*walking, stopped, return_exceptions=True)
        for task in done - {stopped}:
            task.result()
    finally:
        client.close()
    return report


async def _introduce(client: Client, person: Person, number: int) -> str:
    """The id of a person that has a name to be shown, and has decided."""
    name = _NAMES[number % len(_NAMES)] + (f" {number // len(_NAMES) + 1}" if number >= len(_NAMES) else "")
    change = {"display_name": name, "sharing": wish(number), "ghost": False}
    answer = await client.call("PATCH", "/v1/friends/me", await person.token(client), change)
    if not answer.ok:
        raise CannotJoin(
            f"{person.name} is nobody among friends: {answer.json().get('detail') or answer.status}"
        )
    return str(answer.json()["person_id"])


async def _befriend(client: Client, plan: FriendsPlan, ids: Sequence[str]) -> int:
    """By an invitation each, those who are not yet; and all of them ask `plan.ask`. How many pairs there are."""
    wanted = list(pairs(len(ids)))
    known: dict[int, set[str]] = {}
    for one, other in wanted:
        inviter, guest = plan.people[one], plan.people[other]
        if one not in known:
            friends = await client.call("GET", "/v1/friends", await inviter.token(client))
            known[one] = {str(friend["person_id"]) for friend in friends.json().get("friends", [])}
        if ids[other] not in known[one]:
            made = await client.call("POST", "/v1/friends/invitations", await inviter.token(client))
            body = {"token": made.json().get("token", "")}
            await client.call("POST", "/v1/friends/invitations/accept", await guest.token(client), body)
    for person in plan.people if plan.ask else ():
        await client.call("POST", "/v1/friends/requests", await person.token(client), {"name": plan.ask})
    return len(wanted)


class _Walker:
    """One of them on its way: a connection that reports and listens, as the page has it."""

    def __init__(self, client: Client, plan: FriendsPlan, number: int, report: Report) -> None:
        self._client = client
        self._plan = plan
        self._person = plan.people[number]
        self._number = number
        self._report = report
        self._walk = Walk(number, plan.seed, plan.centre)
        self._session_id = uuid.uuid4().hex
        self._seq = 0
        self._began_s = self._moved_s = time.monotonic()
        self._ghost = False
        self._rng = random.Random(f"{plan.seed}/{number}/pauses")  # noqa: S311

    async def live(self) -> None:
        """Come back whenever the connection is lost. Raises CannotJoin."""
        await asyncio.sleep(self._rng.uniform(0.0, min(self._plan.every_s, 2.0)))
        failures = 0
        while True:
            with suppress(OSError, TimeoutError, WebSocketException):
                async with self._connected() as socket:
                    failures = 0
                    await self._converse(socket)
            failures += 1
            await asyncio.sleep(min(15.0, 0.25 * 2**failures) * self._rng.uniform(0.5, 1.0))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[ClientConnection]:
        client = self._client
        scheme = "ws" if client.tls is None else "wss"
        async with connect(
            f"{scheme}://{client.host}:{client.port}/v1/friends/live",
            additional_headers={"Authorization": f"Bearer {await self._person.token(client)}"},
            ssl=client.tls, compression=None, max_size=None, ping_interval=None, proxy=None,
            open_timeout=30, close_timeout=1,
        ) as socket:  # fmt: skip
            yield socket

    async def _converse(self, socket: ClientConnection) -> None:
        reporting = asyncio.create_task(self._go_on(socket))
        try:
            async for text in socket:
                message = msgspec.json.decode(text)
                if "last_acked_seq" in message:
                    self._report.acknowledged += 1
                else:
                    entered = "came near" if message.get("entered") else message.get("type", "error")
                    self._report.told[entered] += 1
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)

    async def _go_on(self, socket: ClientConnection) -> None:
        while True:
            await self._decide()
            now_s = time.monotonic()
            latitude, longitude = self._walk.step(now_s - self._moved_s)
            self._moved_s = now_s
            self._seq += 1
            fix = {
                "session_id": self._session_id,
                "seq": self._seq,
                "device_time_ms": time.time_ns() // 1_000_000,
            }
            fix |= {"latitude": round(latitude, 6), "longitude": round(longitude, 6), "accuracy_m": 8.0}
            await socket.send(_encode(fix), text=True)
            self._report.sent += 1
            await asyncio.sleep(self._plan.every_s)

    async def _decide(self) -> None:
        ghost = ghosted(self._number, time.monotonic() - self._began_s)
        if ghost != self._ghost:
            token = await self._person.token(self._client)
            await self._client.call("PATCH", "/v1/friends/me", token, {"ghost": ghost})
            self._ghost = ghost
            self._report.ghosts += ghost
