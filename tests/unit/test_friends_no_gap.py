"""Whatever happens in whatever order, on whichever server: what a stream has told is what a new one begins with."""

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from majung.friends.consent import Mode
from majung.friends.me import ProfileChange
from tests.nearby_kit import Screen, Stage, a_stage

NAMES = ("anna", "ben", "carl")


class Life:
    """Random deeds of three friends; what is read and sent on their account goes on at the same time."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.rng = random.Random(seed)
        self.screens: list[Screen] = []
        self.servers = [stage.here, stage.there]
        self.deeds = [
            *[self.report] * 8, *[self.read] * 4, *[self.decide] * 2, *[self.watch] * 2, *[self.wait] * 2,
            self.ghost, self.silence, self.leave, self.reach, self.tend, self.gate,
        ]  # fmt: skip

    def name(self) -> str:
        return self.rng.choice(NAMES)

    async def report(self) -> None:
        await self.stage.report(
            self.name(), self.rng.choice((0, 1, 5, 8, 8.1, 8.3, 20)), self.rng.choice(self.servers)
        )

    async def silence(self) -> None:
        await self.stage.silence(self.name(), self.rng.choice(self.servers))

    async def read(self) -> None:
        if self.screens:
            screen = self.rng.choice(self.screens)
            screen.at.flush()
            if screen.viewer.due:
                screen.take()

    async def decide(self) -> None:
        mode = self.rng.choice((Mode.OFF, Mode.EXACT, Mode.EXACT, Mode.BLURRED))
        ends = self.rng.choice(({}, {}, {"for_": "1m"}))
        await self.stage.decide(self.name(), mode, precision=self.rng.choice((4, 6)), **ends)

    async def ghost(self) -> None:
        await self.stage.ghost(self.name(), self.rng.random() < 0.5)

    async def reach(self) -> None:
        caller = self.stage.people[self.name()]
        radius_m = self.rng.choice((2_000.0, 8_046.72, 30_000.0))
        await self.stage.town.there.me.change(caller, ProfileChange(radius_m=radius_m))

    async def watch(self) -> None:
        screen = Screen(self.stage, self.rng.choice(self.servers), self.stage.people[self.name()].person_id)
        if self.stage.live.gate.is_set():
            await screen.open()
            self.screens.append(screen)

    async def leave(self) -> None:
        if len(self.screens) > 2:
            self.screens.pop(self.rng.randrange(len(self.screens))).leave()

    async def wait(self) -> None:
        self.stage.clock.advance(self.rng.choice((0.1, 1, 40, 100)))
        for server in self.servers:
            server.flush()
        for _ in range(self.rng.randrange(20)):
            await asyncio.sleep(0)

    async def tend(self) -> None:
        await self.rng.choice(self.servers).tend()

    async def gate(self) -> None:
        """The live store answers no more, until it does again."""
        if self.stage.live.gate.is_set():
            self.stage.live.gate.clear()
        else:
            self.stage.live.gate.set()

    async def live(self, deeds: int) -> None:
        for name in NAMES:
            await self.stage.report(name, self.rng.choice((0, 1, 5)))
            await self.watch()
        for _ in range(deeds):
            self.stage.clock.advance(0.05)
            await self.rng.choice(self.deeds)()
        self.stage.live.gate.set()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
async def test_what_was_told_is_what_a_new_stream_begins_with(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder: Path = tmp_path_factory.mktemp("no-gap")
    async with a_stage(folder, blur_every="1m") as stage:
        await stage.meet(*NAMES)
        life = Life(stage, seed)
        await life.live(60)
        for screen in life.screens:
            await screen.update()
        for screen in life.screens:
            fresh = Screen(stage, screen.at, screen.person_id)
            await fresh.open()
            await screen.update()
            await fresh.update()
            assert screen.near == fresh.near
            assert (screen.here, screen.radius_m) == (fresh.here, fresh.radius_m)
            fresh.leave()
        for server, screens in ((stage.here, 0), (stage.there, 0)):
            assert server.viewers == sum(screen.at is server for screen in life.screens) + screens
        for screen in life.screens:
            screen.leave()
        for server, bus in zip((stage.here, stage.there), stage.bus, strict=True):
            await server.tend()
            assert (server.links.count, len(server.links.subjects), bus.followed) == (0, 0, 0)
