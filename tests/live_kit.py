"""What tests of the live stream need: a hub on embedded ports, and a screen that believes every message.

A `Screen` is a viewer's page: it applies frames as `docs/live.md` says, resumes by what it was told, and
complains when a marker moves back or a message makes no sense.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from majung.auth.model import Principal, Role
from majung.backends.embedded.fanout import EmbeddedFanout
from majung.backends.embedded.livestore import EmbeddedLiveStore
from majung.clock import ManualClock
from majung.live.frames import Frame
from majung.live.hub import Hub
from majung.live.messages import Subscribe, Viewport
from majung.live.viewer import Viewer, Visible
from majung.live.watch import Area
from majung.positions.model import LivePosition
from majung.positions.triggers import RiderEvent
from majung.settings import CellSettings, LiveSettings

OPERATOR = Principal("user:operator", Role.OPERATOR)
GANGNAM = Viewport(south=37.49, west=127.02, north=37.51, east=127.04)


def position(rider_id: str, latitude: float, longitude: float, device_time_ms: int = 1) -> LivePosition:
    return LivePosition(rider_id, latitude, longitude, device_time_ms, device_time_ms)


def event(
    rider_id: str, number: int, latitude: float = 0.0, longitude: float = 0.0, fence_id: str = "f"
) -> RiderEvent:
    return RiderEvent(f"event-{number}", rider_id, "enter", fence_id, "a fence", number, latitude, longitude)


class SlowLiveStore:
    """The embedded live store behind a gate: while it is shut, snapshots wait."""

    def __init__(self, inner: EmbeddedLiveStore) -> None:
        self.inner = inner
        self.gate = asyncio.Event()
        self.gate.set()

    async def get(self, ids: Sequence[str], kind: str = "rider") -> list[LivePosition | None]:
        await self.gate.wait()
        found = await self.inner.get(ids, kind)
        await self.gate.wait()
        return found

    async def in_area(
        self, south: float, west: float, north: float, east: float, limit: int, kind: str = "rider"
    ) -> list[LivePosition]:
        await self.gate.wait()
        found = await self.inner.in_area(south, west, north, east, limit, kind)
        await self.gate.wait()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Stage:
    """A hub with its clock and store."""

    def __init__(self, store: EmbeddedLiveStore, clock: ManualClock, **settings: Any) -> None:
        self.clock = clock
        self.store = store
        self.slow = SlowLiveStore(store)
        self.fanout = EmbeddedFanout()
        self.settings = LiveSettings(**settings)
        self.hub = Hub(self.settings, clock, self.slow, self.fanout)
        self.visible: Visible = None

    @classmethod
    async def make(cls, folder: Path, **settings: Any) -> "Stage":
        clock = ManualClock()
        return cls(await EmbeddedLiveStore.open(folder, CellSettings(), clock), clock, **settings)

    async def see(self) -> Visible:
        return self.visible

    async def show(self, *positions: LivePosition) -> None:
        """What the pipeline does: the live store first, then the hub."""
        await self.store.put(positions)
        self.hub.publish(positions)

    async def hide(self, *rider_ids: str) -> None:
        await self.store.remove(rider_ids)
        self.hub.gone(rider_ids)

    async def open(self, principal: Principal = OPERATOR) -> "Screen":
        return Screen(self, await self.hub.open(principal, self.see))

    async def watch(self, *riders: str, area: Viewport | None = None, **more: Any) -> "Screen":
        """A screen with one subscription that has had its first frames."""
        screen = await self.open()
        screen.subscribe(Subscribe("s", riders=list(riders) or None, area=area, **more))
        await screen.update()
        return screen


class Screen:
    """One viewer's page."""

    def __init__(self, stage: Stage, viewer: Viewer) -> None:
        self.stage = stage
        self.viewer = viewer
        self.wishes: dict[str, tuple[Subscribe, Area | None]] = {}
        self.sets: dict[str, set[str]] = {}  # of each subscription: whom it shows
        self.shown: dict[str, dict[str, Any]] = {}
        self.events: list[str] = []
        self.due: list[tuple[str, str]] = []  # events that a test thinks should have come, with their rider
        self.messages: list[dict[str, Any]] = []
        self.epoch = ""
        self.offset = 0
        self.resynced: set[str] = set()

    def subscribe(self, wish: Subscribe, fence: Area | None = None) -> None:
        self.wishes[wish.id] = (wish, wish.area or fence)
        self.sets[wish.id] = set()
        self.stage.hub.subscribe(self.viewer, wish, fence)

    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    async def take(self) -> list[Frame]:
        """The next frames; fails when nothing is due."""
        return list(await asyncio.wait_for(self.viewer.take(), 60))

    async def update(self) -> list[dict[str, Any]]:
        """Let time pass and apply everything that is due; the messages."""
        seen = len(self.messages)
        while True:
            self.stage.clock.advance(1)
            self.stage.hub.flush()
            task = asyncio.ensure_future(self.viewer.take())
            for _ in range(20):
                if task.done():
                    break
                await asyncio.sleep(0)
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                return self.messages[seen:]
            for frame in task.result():
                self.apply(frame)

    def apply(self, frame: Frame) -> None:
        if not frame.body:
            return
        message = json.loads(frame.body)
        self.messages.append(message)
        if "offset" in message and message["type"] != "resumed":
            assert message["offset"] == frame.offset
            assert message["offset"] == 0 or self.epoch == "" or message["offset"] >= 0
            self.offset = message["offset"]
        self.epoch = message.get("epoch", self.epoch)
        getattr(self, "_" + message["type"])(message)

    def _positions(self, message: dict[str, Any]) -> None:
        for one in message["positions"]:
            self._put(one)
            for name, wish in self.wishes.items():
                change = self.sets[name].add if _matches(wish, one) else self.sets[name].discard
                change(one["rider_id"])

    def _put(self, one: dict[str, Any]) -> None:
        before = self.shown.get(one["rider_id"])
        assert before is None or before["device_time_ms"] <= one["device_time_ms"], "a marker moved back"
        self.shown[one["rider_id"]] = one

    def _snapshot(self, message: dict[str, Any]) -> None:
        """A snapshot replaces what its subscription shows; who is in none any more goes."""
        name = message["id"]
        self.resynced.discard(name)
        for one in message["positions"]:
            self._put(one)
        self.sets[name] = {one["rider_id"] for one in message["positions"]}
        for rider_id in self.shown.keys() - set().union(*self.sets.values()):
            del self.shown[rider_id]

    def _gone(self, message: dict[str, Any]) -> None:
        assert message["reason"] in ("left", "offline")
        for rider_id in message["rider_ids"]:
            self.shown.pop(rider_id, None)
            for riders in self.sets.values():
                riders.discard(rider_id)

    def _event(self, message: dict[str, Any]) -> None:
        event_id = message["event"]["event_id"]
        if event_id not in self.events:  # after a resume, the last one may come again
            self.events.append(event_id)

    def _resync(self, message: dict[str, Any]) -> None:
        assert message["id"] in self.wishes
        self.resynced.add(message["id"])

    def _resumed(self, message: dict[str, Any]) -> None:
        assert message["offset"] > 0

    def _error(self, message: dict[str, Any]) -> None:
        assert set(message["error"]) == {"type", "title", "status", "detail"}

    async def reconnect(self) -> None:
        """The connection is lost; come back with what was seen last."""
        self.stage.hub.leave(self.viewer)
        self.viewer = await self.stage.hub.open(self.viewer.principal, self.stage.see)
        for wish, fence in list(self.wishes.values()):
            again = Subscribe(wish.id, wish.riders, wish.area, wish.fence, self.epoch, self.offset)
            self.wishes[wish.id] = (again, wish.area or fence)
            self.stage.hub.subscribe(self.viewer, again, fence)

    def places(self) -> dict[str, tuple[float, float]]:
        return {rider: (one["latitude"], one["longitude"]) for rider, one in self.shown.items()}


def _matches(wish: tuple[Subscribe, Area | None], one: dict[str, Any]) -> bool:
    subscribe, area = wish
    if area is not None:
        return area.contains(one["latitude"], one["longitude"])
    return one["rider_id"] in (subscribe.riders or ())
