"""What tests of dispatch share: a city with real tables, real orders and a real live store; time goes by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from majung.backends.embedded.database import EmbeddedDatabase
from majung.backends.embedded.livestore import EmbeddedLiveStore
from majung.backends.embedded.log import EmbeddedLog
from majung.clock import ManualClock
from majung.dispatch.model import Offer, OfferStatus
from majung.dispatch.service import Dispatch
from majung.orders.model import Actor, ActorRef, Command, CommandArgs, Order, OrderState, Proof
from majung.orders.service import OrderService
from majung.orders.store import decode_event
from majung.positions.geodesy import destination
from majung.positions.model import LivePosition
from majung.settings import CellSettings, DispatchSettings, LogSettings
from tests.orders_kit import CUSTOMER, STORE, WISH, OpenStore

C = Command

EVENTS = "SELECT order_id, version, payload FROM order_event ORDER BY order_id, version"
HOLDS = "SELECT rider_id, order_id FROM dispatch_offer WHERE status IN ('open', 'accepted')"


HOLDS = "SELECT rider_id, order_id FROM dispatch_offer WHERE status IN ('open', 'accepted')"


class City:
    """One store, some riders, and dispatch that can die and come back."""

    def __init__(
        self, database: EmbeddedDatabase, live: EmbeddedLiveStore, log: EmbeddedLog, clock: ManualClock
    ) -> None:
        self.database, self.live, self.log, self.clock = database, live, log, clock
        self.orders = OrderService(database, clock, OpenStore())
        self.settings = DispatchSettings()
        self.dispatch = self.new_dispatch()
        self._seen: set[tuple[str, int]] = set()

    def new_dispatch(self) -> Dispatch:
        return Dispatch(self.database, self.log, self.live, self.orders, self.clock, self.settings)

    async def restart(self) -> None:
        """Everything in memory is gone; events since the beginning come again."""
        self.dispatch = self.new_dispatch()
        await self.dispatch.load()

    async def rider(self, name: str, away_m: float, on: bool = True) -> None:
        """On the map, so far north of the store, and heard just now."""
        order = await self.orders.get_for_write(await self._sample())
        place = destination(order.store_latitude, order.store_longitude, 0.0, away_m)
        now_ms = self.clock.now_ms()
        await self.live.put([LivePosition(name, *place, now_ms, now_ms)])
        if on:
            await self.dispatch.set_duty(name, True)

    async def _sample(self) -> str:
        if not hasattr(self, "_sample_id"):
            self._sample_id = (await self.orders.place(WISH, CUSTOMER.id)).order_id
        return self._sample_id

    async def order(self, minutes: int = 10) -> Order:
        order = await self.orders.place(WISH, CUSTOMER.id)
        args = CommandArgs(cooking_minutes=minutes)
        return await self.orders.command(order.order_id, C.ACCEPT, STORE, args)

    async def pump(self, again: bool = False) -> None:
        """Hand over what happened since (or everything again), as the log does."""
        rows = await self.database.read(EVENTS)
        fresh = [row for row in rows if again or (row[0], row[1]) not in self._seen]
        self._seen |= {(row[0], row[1]) for row in fresh}
        await self.dispatch.observe([decode_event(row[2]) for row in fresh])

    async def turn(self) -> None:
        await self.pump()
        await self.dispatch.step()

    def offer(self, rider_id: str) -> Offer | None:
        held = self.dispatch._board.by_rider.get(rider_id)
        return held if held is not None and held.status is OfferStatus.OPEN else None

    def offered(self, rider_id: str) -> Offer:
        offer = self.offer(rider_id)
        assert offer is not None
        return offer

    async def now(self, order: Order) -> Order:
        return await self.orders.get_for_write(order.order_id)

    async def finish(self, order: Order, rider_id: str) -> None:
        rider = ActorRef(Actor.RIDER, rider_id)
        if (await self.now(order)).state is OrderState.COOKING:
            await self.orders.command(order.order_id, C.READY, STORE)
        await self.orders.command(order.order_id, C.PICK_UP, rider)
        await self.orders.command(order.order_id, C.DEPART, rider)
        proof = CommandArgs(proof=Proof("photo", "p1"))
        await self.orders.command(order.order_id, C.DELIVER, rider, proof)


@asynccontextmanager
async def open_city(folder: Path) -> AsyncIterator[City]:
    """A city whose files lie in this folder."""
    clock = ManualClock()
    database = await EmbeddedDatabase(folder / "majung.db").open()
    live = await EmbeddedLiveStore.open(folder, CellSettings.model_validate({}), clock)
    log = await EmbeddedLog.open(folder / "log", LogSettings.model_validate({}), clock)
    try:
        yield City(database, live, log, clock)
    finally:
        await log.close()
        await live.close()
        await database.close()
