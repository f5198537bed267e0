"""The live side of friends in this process, on embedded ports, with time and the database in a test's hands."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from majung.auth.model import Principal, Role
from majung.clock import ManualClock
from majung.compose import open_services
from majung.friends import bulk
from majung.friends.changes import FriendChanges
from majung.friends.channels import BucketChannels
from majung.friends.consent import Sharing
from majung.friends.me import Me, ProfileChange
from majung.friends.nearby import Nearby
from majung.friends.people import People
from majung.friends.sharing import Deciding, SharingWish
from majung.friends.viewer import FriendViewer
from majung.ports import Database, Params, Row, Transaction
from majung.positions.model import PERSON, LivePosition
from majung.services import Services
from majung.settings import Settings

T = TypeVar("T")
Message = dict[str, Any]


class SlowDatabase:
    """A database behind a gate: while it is shut, reads wait."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        return await self._inner.write(work)

    async def read(self, sql: str, params: Params = ()) -> list[Row]:
        await self.gate.wait()
        return await self._inner.read(sql, params)

    async def close(self) -> None:
        """Its owner does."""


class Stage:
    """People, who is where, and open streams."""

    def __init__(self, services: Services, clock: ManualClock, settings: Settings) -> None:
        self.clock = clock
        self.database = SlowDatabase(services.database)
        self.changes = FriendChanges(services.database, clock)
        self.people = People(self.database, clock, self.changes)
        self.me = Me(self.people, self.changes, services.policy, clock, settings.friends)
        self.deciding = Deciding(self.changes, clock)
        self.nearby = Nearby(
            settings.friends,
            settings.live,
            clock,
            self.people,
            services.live,
            services.history,
            BucketChannels(services.fanout),
            services.auth.changes,
        )
        self._live = services.live
        self._numbers: dict[str, int] = {}

    async def add(self, *names: str, sharing: Sharing = Sharing(), radius_m: float = 8_000.0) -> None:  # noqa: B008
        """People who have decided this for all friends."""
        found = [(f"person-{name}", name) for name in names]
        numbers = await bulk.add_people(self.database, found, sharing, radius_m, self.clock.now_ms())
        self._numbers.update(zip(names, numbers, strict=True))

    async def befriend(self, one: str, *others: str) -> None:
        pairs = [(self._numbers[one], self._numbers[other]) for other in others]
        await bulk.add_friendships(self.database, pairs, self.clock.now_ms())

    async def move(self, name: str, latitude: float, longitude: float) -> None:
        """What the pipeline does for a position of a person."""
        now_ms = self.clock.now_ms()
        position = LivePosition(f"person-{name}", latitude, longitude, now_ms, now_ms, kind=PERSON)
        await self._live.put([position])
        self.nearby.positions([position])

    async def share(self, owner: str, wish: SharingWish, viewer: str = "") -> None:
        caller = await self.people.person(f"person-{owner}")
        assert caller is not None
        if viewer:
            await self.deciding.put(caller, f"person-{viewer}", wish)
        else:
            await self.me.change(caller, ProfileChange(sharing=wish))

    async def watch(self, name: str) -> "Told":
        principal = Principal(f"person:{name}", Role.PERSON, f"person-{name}")

        async def see() -> None:
            return None

        return Told(self, await self.nearby.open(principal, see))

    async def settle(self) -> None:
        """Everything that can happen without time passing has happened."""
        quiet = 0
        linker = self.nearby._linker
        while quiet < 5:
            await asyncio.to_thread(int)  # the database works in threads
            quiet = 0 if self.database.gate.is_set() and (linker._due or linker._reading) else quiet + 1


class Told:
    """What one open stream is told, read at once by a socket that is never busy."""

    def __init__(self, stage: Stage, viewer: FriendViewer) -> None:
        self.stage = stage
        self.viewer = viewer
        self.bodies: list[bytes] = []
        self._some = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            for frame in await self.viewer.take():
                self.bodies.append(bytes(frame.body))
            self._some.set()

    @property
    def messages(self) -> list[Message]:
        return [json.loads(body) for body in self.bodies if body]

    async def until(self, wanted: Callable[[Message], object]) -> Message:
        """The first message that is wanted; time passes for it, so that pauses end."""
        async with asyncio.timeout(60):
            while True:
                for message in self.messages:
                    if wanted(message):
                        return message
                self._some.clear()
                self.stage.clock.advance(0.2)
                self.stage.nearby.flush()
                await asyncio.sleep(0)
                await asyncio.to_thread(int)

    async def snapshot(self) -> bytes:
        """How everything stands now."""
        before = len(self.bodies)
        self.viewer.restart()
        async with asyncio.timeout(60):
            while True:
                for body in self.bodies[before:]:
                    if b'"type":"snapshot"' in body:
                        return body
                self._some.clear()
                await self._some.wait()

    def close(self) -> None:
        self._task.cancel()
        self.stage.nearby.leave(self.viewer)


@asynccontextmanager
async def open_stage(folder: Path, **friends: Any) -> AsyncIterator[Stage]:
    """Everything runs but the clock."""
    clock = ManualClock()
    live = {"flush_every": "1ms"}
    settings = Settings.model_validate({"data": folder, "friends": friends, "live": live})
    async with open_services(settings, clock) as services:
        stage = Stage(services, clock, settings)
        run = asyncio.create_task(stage.nearby.run())
        try:
            yield stage
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
