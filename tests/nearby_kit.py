"""Two servers of friends on one database, one live store and one bus, and screens that believe every message."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from majung.auth.changes import Changes
from majung.auth.model import Principal, Role
from majung.backends.embedded.fanout import EmbeddedFanout
from majung.backends.embedded.history import EmbeddedHistory
from majung.backends.embedded.livestore import EmbeddedLiveStore
from majung.clock import ManualClock
from majung.friends.channels import BucketChannels
from majung.friends.consent import Mode
from majung.friends.me import ProfileChange
from majung.friends.model import Caller
from majung.friends.nearby import Nearby
from majung.friends.people import People
from majung.friends.sharing import SharingWish
from majung.friends.viewer import FriendViewer
from majung.live.viewer import ViewerClosed
from majung.positions.model import LivePosition, Position, StoredPosition
from majung.settings import CellSettings, HistorySettings, LiveSettings
from tests.people_kit import Town, open_town

HOME = (37.4979, 127.0276)
KM = 1 / 111.0  # degrees of latitude


class GatedStore:
    """The live store behind a gate: while it is shut, whoever asks waits, before and after."""

    def __init__(self, inner: EmbeddedLiveStore) -> None:
        self.inner = inner
        self.gate = asyncio.Event()
        self.gate.set()

    async def get(self, ids: Any, kind: str = "rider") -> list[LivePosition | None]:
        await self.gate.wait()
        found = await self.inner.get(ids, kind)
        await self.gate.wait()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Stage:
    """`here` and `there`: whoever reports or watches does it at one of them."""

    def __init__(self, town: Town, live: EmbeddedLiveStore, history: EmbeddedHistory) -> None:
        self.town = town
        self.clock: ManualClock = town.clock
        self.live = GatedStore(live)
        self.history = history
        self.fanout = EmbeddedFanout()
        self.bus = [BucketChannels(self.fanout), BucketChannels(self.fanout)]
        self.here = self._nearby(town.here.people, self.bus[0])
        self.there = self._nearby(town.there.people, self.bus[1])
        self.people: dict[str, Caller] = {}

    def _nearby(self, people: People, channels: BucketChannels) -> Nearby:
        rights = Changes(self.town.kit.database, self.clock)
        settings, live = self.town.settings, cast(EmbeddedLiveStore, self.live)
        return Nearby(settings, LiveSettings(), self.clock, people, live, self.history, channels, rights)

    async def meet(self, *names: str) -> list[Caller]:
        """People who are all friends of each other and share exactly."""
        for name in names:
            self.people[name] = await self.town.person(name)
            await self.decide(name, Mode.EXACT)
            for other in names[: names.index(name)]:
                await self.town.befriend(self.people[name], self.people[other])
        return [self.people[name] for name in names]

    async def decide(self, name: str, mode: Mode, **sharing: Any) -> None:
        """For everybody."""
        await self.town.here.me.change(self.people[name], ProfileChange(sharing=SharingWish(mode, **sharing)))

    async def ghost(self, name: str, ghost: bool) -> None:
        await self.town.here.me.change(self.people[name], ProfileChange(ghost=ghost))

    async def report(self, name: str, north_km: float, at: Nearby | None = None) -> None:
        """What the pipeline does: history, the live store, then whoever listens."""
        at_ms = self.clock.now_ms()
        person_id, latitude = self.people[name].person_id, HOME[0] + north_km * KM
        await self.history.append(
            [StoredPosition(Position(person_id, "s", at_ms, latitude, HOME[1], at_ms, at_ms), "")]
        )
        position = LivePosition(person_id, latitude, HOME[1], at_ms, at_ms, kind="person")
        await self.live.inner.put([position])
        (at or self.here).positions([position])

    async def silence(self, name: str, at: Nearby | None = None) -> None:
        person_id = self.people[name].person_id
        await self.live.inner.remove([person_id], "person")
        (at or self.here).gone([person_id])

    async def watch(self, name: str, at: Nearby | None = None) -> "Screen":
        screen = Screen(self, at or self.here, self.people[name].person_id)
        await screen.open()
        return screen

    async def settle(self) -> None:
        """Until nothing is read or on its way any more."""
        quiet = 0
        while quiet < 3:
            await self.town.here.changes.look()
            await self.town.there.changes.look()
            await asyncio.sleep(0.001)
            idle = not (
                self.here.waiting
                or self.there.waiting
                or any(bus._waiting or bus._coming for bus in self.bus)
            )
            quiet = quiet + 1 if idle else 0


@asynccontextmanager
async def a_stage(folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    async with open_town(folder, **settings) as town:
        live = await EmbeddedLiveStore.open(folder / "live", CellSettings(), town.clock)
        history = EmbeddedHistory(folder / "history", HistorySettings(), town.clock)
        await history.open()
        stage = Stage(town, live, history)
        work = [asyncio.create_task(nearby.run()) for nearby in (stage.here, stage.there)]
        await asyncio.sleep(0)
        try:
            yield stage
        finally:
            for task in work:
                task.cancel()
            ended = await asyncio.gather(*work, return_exceptions=True)
            await history.close()
            await live.close()
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


class Screen:
    """A stream, and what it shows by all that it was told."""

    def __init__(self, stage: Stage, at: Nearby, person_id: str) -> None:
        self.stage = stage
        self.at = at
        self.person_id = person_id
        self.messages: list[dict[str, Any]] = []
        self.near: dict[str, dict[str, Any]] = {}
        self.here: dict[str, Any] | None = None
        self.radius_m = 0.0
        self.closed: ViewerClosed | None = None
        self._viewer: FriendViewer | None = None

    @property
    def viewer(self) -> FriendViewer:
        assert self._viewer is not None
        return self._viewer

    async def open(self, expires_at_ms: int | None = None) -> None:
        async def see() -> None:
            return None

        principal = Principal(f"person:{self.person_id}", Role.PERSON, self.person_id, expires_at_ms)
        self._viewer = await self.at.open(principal, see)
        self._viewer.sending_since_s = None  # a socket that takes everything at once

    def leave(self) -> None:
        self.at.leave(self.viewer)

    async def update(self) -> list[dict[str, Any]]:
        """Let everything settle, and apply what is due; the messages."""
        await self.stage.settle()
        self.stage.clock.advance(0.2)
        self.at.flush()
        before = len(self.messages)
        try:
            while self.viewer.due:
                self.take()
                self.stage.clock.advance(0.2)
                self.at.flush()
        except ViewerClosed as closed:
            self.closed = closed
        return self.messages[before:]

    def take(self) -> None:
        """What is due at this moment."""
        for body in self.viewer.drain():
            self.apply(json.loads(body))

    def apply(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        getattr(self, "_" + message["type"])(message)

    def _snapshot(self, message: dict[str, Any]) -> None:
        self.near = {one["place"]["person_id"]: one for one in message["near"]}
        self.here, self.radius_m = message["here"], message["radius_m"]
        distances = [one["distance_m"] for one in message["near"]]
        assert distances == sorted(distances)

    def _near(self, message: dict[str, Any]) -> None:
        person_id = message["friend"]["place"]["person_id"]
        assert message["entered"] is (person_id not in self.near)
        before = self.near.get(person_id)
        if before is not None and "cell" not in before["place"] and "cell" not in message["friend"]["place"]:
            assert before["place"]["device_time_ms"] <= message["friend"]["place"]["device_time_ms"]
        self.near[person_id] = message["friend"]

    def _left(self, message: dict[str, Any]) -> None:
        assert message["reason"] in ("away", "gone")
        del self.near[message["person_id"]]

    def _distances(self, message: dict[str, Any]) -> None:
        self.here = message["here"]
        for person_id, distance_m in message["distances"].items():
            self.near[person_id] = {**self.near[person_id], "distance_m": distance_m}

    def _friends_changed(self, message: dict[str, Any]) -> None:
        assert message == {"type": "friends_changed"}

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.messages]
