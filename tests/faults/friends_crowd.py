"""A crowd of friends at one place: everybody watches, reports and decides, and notes what it did and what it saw.

Every position carries its number in its latitude, so that whoever sees it can tell which one it was, and the judge
when it was sent. Times are this process's own (`time.monotonic`): nothing is compared with the server's clock.
"""

import asyncio
import json
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from majung.auth import bulk as accounts
from majung.auth.model import Role
from majung.clock import SystemClock
from majung.data_folder import open_database
from majung.friends import bulk
from majung.friends.consent import Mode, Sharing
from tests.server import Server

SOUTH, WEST = 37.4, 127.0
STEP = 1e-6
"""Degrees from one number to the next: all stay within a few metres."""
EACH = 20
"""Friends on either side in the ring."""
SETS = ("server.rate_per_s=100000", "server.rate_burst=100000")


@dataclass(frozen=True)
class Said:
    """One decision: asked for, and answered. `viewer` -1: for all (ghost mode)."""

    owner: int
    viewer: int
    shows: bool
    asked_s: float
    done_s: float


@dataclass(frozen=True)
class Sight:
    """A viewer was told of an owner: when, on a connection begun when, with which position (-1: a distance)."""

    viewer: int
    owner: int
    at_s: float
    since_s: float
    number: int


@dataclass
class Evidence:
    """Everything that there is to judge."""

    said: list[Said] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)
    sent: dict[tuple[int, int], float] = field(default_factory=dict)
    acked: dict[int, set[int]] = field(default_factory=dict)
    kept: dict[int, set[int]] = field(default_factory=dict)


async def settle(data: Path, people: int) -> list[tuple[str, str]]:
    """Accounts in a ring of friends, who all share exactly; ids and tokens."""
    async with open_database(data) as database:
        clock = SystemClock()
        names = [f"crowd-{number:04d}" for number in range(people)]
        made = await accounts.add_many(database, clock, Role.PERSON, names)
        rows = [(user.rider_id, user.name) for user in made]
        keys = await bulk.add_people(database, rows, Sharing(Mode.EXACT), 8_000.0, clock.now_ms())
        ring = {
            tuple(sorted((keys[one], keys[(one + step) % people])))
            for one in range(people)
            for step in range(1, EACH + 1)
        }
        await bulk.add_friendships(database, [(a, b) for a, b in sorted(ring)], clock.now_ms())
        return [(user.rider_id, user.token) for user in made]


class Crowd:
    """Of one event loop. `run` goes on until it is cancelled, whatever becomes of the server."""

    def __init__(self, server: Server, people: list[tuple[str, str]], seed: int, pause_s: float) -> None:
        self.server = server
        self.people = people
        self.ids = {person_id: number for number, (person_id, _) in enumerate(people)}
        self.evidence = Evidence(acked={number: set() for number in range(len(people))})
        self.views: list[set[int] | None] = [None] * len(people)
        """Whom each has on its screen now; None: no stream."""
        self.hidden: dict[tuple[int, int], float] = {}
        """What was decided last and answered: (owner, viewer or -1) → since when nothing is to be seen."""
        self.shown: dict[tuple[int, int], float] = {}
        self.unsure: set[int] = set()
        """Owners who are deciding just now."""
        self.up = asyncio.Event()
        self._rng = random.Random(seed)
        self._pause_s = pause_s
        self._numbers = [0] * len(people)

    def friends(self, one: int) -> list[int]:
        return [(one + sign * step) % len(self.people) for step in range(1, EACH + 1) for sign in (1, -1)]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(len(self.people)):
                group.create_task(self._live(number))
            group.create_task(self._decide())

    # ---------------------------------------------------------------------------------- one person

    async def _live(self, me: int) -> None:
        """Come back whenever the stream is lost."""
        rng = random.Random(me)
        while True:
            await self.up.wait()
            with suppress(OSError, TimeoutError, WebSocketException):
                await self._stream(me, rng)
            self.views[me] = None
            await asyncio.sleep(rng.uniform(0.02, 0.2))

    async def _stream(self, me: int, rng: random.Random) -> None:
        since_s, first = time.monotonic(), self._numbers[me] + 1
        address = f"ws://127.0.0.1:{self.server.http_port}/v1/friends/live"
        headers = {"Authorization": f"Bearer {self.people[me][1]}"}
        async with connect(
            address, additional_headers=headers, compression=None, max_size=None, ping_interval=None,
            open_timeout=30, close_timeout=1,
        ) as socket:  # fmt: skip
            reporting = asyncio.create_task(self._report(me, socket, rng))
            try:
                async for text in socket:
                    self._heard(me, json.loads(text), since_s, first)
            finally:
                reporting.cancel()

    async def _report(self, me: int, socket: Any, rng: random.Random) -> None:
        with suppress(WebSocketException, OSError):
            while True:
                number = self._numbers[me] = self._numbers[me] + 1
                self.evidence.sent[me, number] = time.monotonic()
                place = {"latitude": SOUTH + number * STEP, "longitude": WEST + me * STEP}
                fix = {"session_id": "crowd", "seq": number, "device_time_ms": time.time_ns() // 1_000_000}
                await socket.send(json.dumps({**fix, **place}))
                await asyncio.sleep(self._pause_s * rng.uniform(0.8, 1.2))

    def _heard(self, me: int, message: dict[str, Any], since_s: float, first: int) -> None:
        now_s = time.monotonic()

        def saw(near: dict[str, Any]) -> int:
            owner = self.ids[near["place"]["person_id"]]
            number = round((near["place"]["latitude"] - SOUTH) / STEP)
            self.evidence.sights.append(Sight(me, owner, now_s, since_s, number))
            return owner

        view = self.views[me]
        match message.get("type"):
            case "snapshot":
                self.views[me] = {saw(near) for near in message["near"]}
            case "near":
                assert view is not None
                view.add(saw(message["friend"]))
            case "left":
                assert view is not None
                view.discard(self.ids[message["person_id"]])
            case "distances":
                for person_id in message["distances"]:
                    self.evidence.sights.append(Sight(me, self.ids[person_id], now_s, since_s, -1))
            case None:
                # It covers what came before it on this connection, and nothing of the one before.
                self.evidence.acked[me].update(range(first, message["last_acked_seq"] + 1))

    # ------------------------------------------------------------------------------------ decisions

    async def _decide(self) -> None:
        """One after the other, each until it is answered: what was not answered is said again."""
        async with httpx.AsyncClient(base_url=self.server.url, timeout=60) as http:
            while True:
                await self.up.wait()
                owner = self._rng.randrange(len(self.people))
                viewer = self._rng.choice([-1, self._rng.choice(self.friends(owner))])
                shows = (owner, viewer) in self.hidden
                asked_s = time.monotonic()
                self.unsure.add(owner)
                while not await self._say(http, owner, viewer, shows):
                    await asyncio.sleep(0.05)
                done_s = time.monotonic()
                self.evidence.said.append(Said(owner, viewer, shows, asked_s, done_s))
                if shows:
                    del self.hidden[owner, viewer]
                    self.shown[owner, viewer] = done_s
                else:
                    self.hidden[owner, viewer] = done_s
                self.unsure.discard(owner)
                await asyncio.sleep(self._rng.uniform(0.0, 0.06))

    async def _say(self, http: httpx.AsyncClient, owner: int, viewer: int, shows: bool) -> bool:
        headers = {"Authorization": f"Bearer {self.people[owner][1]}"}
        with suppress(httpx.HTTPError):
            if viewer < 0:
                body: dict[str, Any] = {"ghost": not shows}
                answer = await http.patch("/v1/friends/me", json=body, headers=headers)
            else:
                body = {"mode": "exact" if shows else "off"}
                path = f"/v1/friends/{self.people[viewer][0]}/sharing"
                answer = await http.put(path, json=body, headers=headers)
            assert answer.status_code < 500 or answer.status_code == 503, answer.text
            return answer.is_success
        return False

    # ------------------------------------------------------------------------------------- how it is

    def wrong(self, settled_s: float) -> int:
        """How many pairs are not on screens as they should be, by what was answered `settled_s` ago or before."""
        before_s = time.monotonic() - settled_s
        wrong = 0
        for viewer, view in enumerate(self.views):
            for owner in self.friends(viewer):
                keys = ((owner, -1), (owner, viewer))
                recent = max(self.hidden.get(key, self.shown.get(key, 0.0)) for key in keys)
                if owner not in self.unsure and recent < before_s:
                    should = not any(key in self.hidden for key in keys)
                    wrong += view is None or (owner in view) != should
        return wrong

    async def read_kept(self) -> None:
        """What is in everybody's own history."""
        async with httpx.AsyncClient(base_url=self.server.url, timeout=60) as http:
            for number, (person_id, token) in enumerate(self.people):
                params = {"from": "2000-01-01T00:00:00Z"}
                headers = {"Authorization": f"Bearer {token}"}
                answer = await http.get(f"/v1/riders/{person_id}/track", params=params, headers=headers)
                assert answer.status_code == 200, answer.text
                self.evidence.kept[number] = {int(point["seq"]) for point in answer.json()["points"]}
