"""What tests of arrivals share: a city without orders of its own, whose events are made by hand; time goes by hand."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from majung.backends.embedded.database import EmbeddedDatabase
from majung.backends.embedded.livestore import EmbeddedLiveStore
from majung.backends.embedded.log import EmbeddedLog
from majung.clock import ManualClock
from majung.eta.model import Eta, SlimEvent, SlimOrder, Spot
from majung.eta.service import EtaService
from majung.orders.model import OrderState
from majung.positions.geodesy import destination
from majung.positions.model import LivePosition
from majung.routing.model import Place, Router
from majung.routing.service import Routing
from majung.routing.ways import Ways
from majung.settings import CellSettings, EtaSettings, LogSettings

S = OrderState
STORE = Place(37.4979, 127.0276)
DOOR = Place(*destination(*STORE, 60, 1_500))


class Story:
    """One order, step by step, at the clock's time."""

    def __init__(self, clock: ManualClock, order_id: str = "ord-1", door: Place = DOOR) -> None:
        now_ms = clock.now_ms()
        self.clock = clock
        self.order = SlimOrder(
            order_id, 0, S.RECEIVED, "customer:mina", "st-1", *STORE, Spot(*door), now_ms, now_ms
        )

    def step(self, command: str, **changes: object) -> SlimEvent:
        now_ms = self.clock.now_ms()
        changes = {"version": self.order.version + 1, "changed_at_ms": now_ms, **changes}
        self.order = msgspec.structs.replace(self.order, **changes)
        return SlimEvent(self.order.order_id, self.order.version, command, now_ms, self.order)

    def placed(self) -> SlimEvent:
        return self.step("")

    def accepted(self, minutes: int = 10) -> SlimEvent:
        now_ms = self.clock.now_ms()
        return self.step("accept", state=S.COOKING, cooking_minutes=minutes, accepted_at_ms=now_ms)

    def minutes(self, minutes: int) -> SlimEvent:
        return self.step("set_cooking_time", cooking_minutes=minutes)

    def assigned(self, rider_id: str = "r1") -> SlimEvent:
        return self.step("assign", rider_id=rider_id, assigned_at_ms=self.clock.now_ms())

    def ready(self) -> SlimEvent:
        return self.step("ready", state=S.READY, ready_at_ms=self.clock.now_ms())

    def picked_up(self) -> SlimEvent:
        return self.step("pick_up", state=S.PICKED_UP, picked_up_at_ms=self.clock.now_ms())

    def delivered(self) -> SlimEvent:
        return self.step("deliver", state=S.DELIVERED, ended_at_ms=self.clock.now_ms())

    def cancelled(self) -> SlimEvent:
        return self.step("cancel", state=S.CANCELLED, ended_at_ms=self.clock.now_ms())


class City:
    """The service on real tables; `told` is what it said, `restart` begins a new life."""

    def __init__(
        self, database: EmbeddedDatabase, live: EmbeddedLiveStore, log: EmbeddedLog, clock: ManualClock
    ) -> None:
        self.database, self.live, self.log, self.clock = database, live, log, clock
        self.told: list[tuple[tuple[str, ...], Eta]] = []
        self.settings = EtaSettings()
        self.streets: Router | None = None
        self.eta = self.new_life()

    def new_life(self) -> EtaService:
        routing = Routing(self.clock, Ways(), self.streets)
        return EtaService(self.database, self.log, self.live, routing, self._tell, self.clock, self.settings)

    def _tell(self, keys: Iterable[str], body: bytes) -> None:
        self.told.append((tuple(keys), msgspec.json.decode(body, type=Eta)))

    async def restart(self) -> None:
        self.eta = self.new_life()
        await self.eta.load()

    async def happens(self, *events: SlimEvent) -> None:
        await self.eta.observe(events)

    async def at(self, place: Place, rider_id: str = "r1") -> None:
        """The rider is there, now: on the map, and told to the service as the hub does."""
        now_ms = self.clock.now_ms()
        position = LivePosition(rider_id, *place, now_ms, now_ms)
        await self.live.put([position])
        self.eta.positions([position])

    def goes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.eta.step()

    async def now(self, order_id: str = "ord-1") -> Eta:
        return await self.eta.of(order_id, wait_s=0)

    async def ride(
        self, start: Place, end: Place, seconds: float, rider_id: str = "r1", every_s: float = 5
    ) -> None:
        """On a straight line, at an even pace."""
        steps = max(1, round(seconds / every_s))
        for number in range(1, steps + 1):
            self.goes(seconds / steps)
            part = number / steps
            place = Place(*(a + part * (b - a) for a, b in zip(start, end, strict=True)))
            await self.at(place, rider_id)


@asynccontextmanager
async def open_city(folder: Path) -> AsyncIterator[City]:
    """A city whose files lie in this folder."""
    clock = ManualClock()
    database = await EmbeddedDatabase(folder / "majung.db").open()
    live = await EmbeddedLiveStore.open(folder, CellSettings(), clock)
    log = await EmbeddedLog.open(folder / "log", LogSettings(), clock)
    try:
        yield City(database, live, log, clock)
    finally:
        await log.close()
        await live.close()
        await database.close()
