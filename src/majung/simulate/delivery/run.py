"""A whole city against one server: everybody signs in, works, and stops in order."""

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from majung.clock import SystemClock
from majung.simulate import run as driving
from majung.simulate.delivery.couriers import Courier
from majung.simulate.delivery.crew import Crew, Place
from majung.simulate.delivery.customers import Customers
from majung.simulate.delivery.http import Client
from majung.simulate.delivery.ledger import Ledger
from majung.simulate.delivery.people import Cast, Person
from majung.simulate.delivery.scene import Habits, Scene
from majung.simulate.delivery.shops import Shop
from majung.simulate.mishaps import Odds

_OPENING_AT_ONCE = 4
_RIDERS_A_SECOND = 40.0
_TELL_EVERY_S = 1.0
_STOP_WITHIN_S = 10.0
# These phones have no flat batteries: whoever carries an order looks after that.
ODDS = Odds(flat_battery_per_h=0.0)


@dataclass(frozen=True)
class DeliveryPlan:
    """Who takes part, where, and for how long. `finish_s`: how long open orders may take after `duration_s`.

    `places`: a file that keeps where the riders are for the next time. `leave_alone`: a store (name, place)
    that is left to people. `offer_ahead_s`: as the server's `dispatch.offer_ahead`.
    """

    http: str
    grpc: str
    cast: Cast
    orders_per_minute: float = 60.0
    city: str = "gangnam"
    seed: int = 7
    rate_s: float = 5.0
    speed: float = 1.0
    duration_s: float | None = None
    finish_s: float = 1_800.0
    places: Path | None = None
    leave_alone: tuple[str, Place] | None = None
    offer_ahead_s: float | None = None
    habits: Habits = field(default_factory=Habits)
    odds: Odds = ODDS
    tls: ssl.SSLContext | None = None
    root_certificates: bytes | None = None


Tell = Callable[[dict[str, Any]], None]


async def run(
    plan: DeliveryPlan, *, stop: asyncio.Event | None = None, tell: Tell | None = None
) -> dict[str, Any]:
    """Run until `stop` is set (open orders stay for the next time) or the duration is over (they are finished).

    `tell` gets a report about once a second. Returns the report. Raises ValueError, ConnectionError,
    `CannotJoin`, or whatever went wrong with one of them.
    """
    stop = stop or asyncio.Event()
    client = Client(plan.http, plan.tls)
    crew = Crew(plan.city, len(plan.cast.riders), plan.seed)
    scene = Scene(
        client,
        crew,
        Ledger(plan.offer_ahead_s),
        plan.speed,
        plan.seed,
        plan.habits,
        plan.leave_alone[1] if plan.leave_alone else None,
    )
    city = _City(plan, scene)
    try:
        await city.begin()
        told = asyncio.create_task(city.keep_telling(tell)) if tell is not None else None
        await city.work(stop)
        if not stop.is_set():
            await city.finish(stop)
        if told is not None:
            told.cancel()
    finally:
        await city.end()
        client.close()
    if scene.failed:
        raise scene.failed[0]
    return city.report()


class _City:
    def __init__(self, plan: DeliveryPlan, scene: Scene) -> None:
        self._plan = plan
        self._scene = scene
        avoid = plan.leave_alone[0] if plan.leave_alone else ""
        self._customers = Customers(scene, plan.cast.customers, plan.orders_per_minute, avoid)
        self._ids: list[str] = []
        self._progress: driving.Progress | None = None
        self._parked = asyncio.Event()
        self._driving: asyncio.Task[driving.Progress] | None = None
        self._ordering: asyncio.Task[None] | None = None
        self._open_stores = 0
        self._on_duty = 0

    # ---------------------------------------------------------------------------------- in order

    async def begin(self) -> None:
        """Riders sign in and begin to report where they are."""
        plan = self._plan
        gateway = plan.cast.gateway
        riders = plan.cast.riders
        self._ids = [rider.name for rider in riders] if gateway else [await self._rider_id(r) for r in riders]
        self._restore()
        token = await gateway.token(self._scene.client) if gateway else ""
        tokens = () if gateway else tuple([await rider.token(self._scene.client) for rider in riders])
        drive = driving.Plan(
            to=plan.grpc,
            token=token,
            riders=len(riders),
            city=plan.city,
            seed=plan.seed,
            rate_s=plan.rate_s,
            speed=plan.speed,
            root_certificates=plan.root_certificates,
            odds=plan.odds,
            ids=tuple(self._ids),
            tokens=tokens,
        )
        self._driving = asyncio.create_task(
            driving.simulate(drive, on_progress=self._drove, stop=self._parked, city=self._scene.crew)
        )

    async def work(self, stop: asyncio.Event) -> None:
        """Stores open, riders go on duty, customers order, until it is time or something breaks."""
        scene = self._scene
        scene.start(self._open_all())
        scene.start(self._all_on_duty())
        self._ordering = asyncio.create_task(self._order())
        scene.keep(self._ordering)
        clock, duration_s = SystemClock(), self._plan.duration_s
        ends_s = None if duration_s is None else clock.monotonic_s() + duration_s
        while not stop.is_set() and not self._broken():
            if ends_s is not None and clock.monotonic_s() >= ends_s:
                return
            await _until(stop, 0.1)

    async def finish(self, stop: asyncio.Event) -> None:
        """Nobody orders any more; what is open is carried to its end, and then riders go off duty."""
        if self._ordering is not None:
            self._ordering.cancel()
        clock = SystemClock()
        ends_s = clock.monotonic_s() + self._plan.finish_s
        while self._scene.ledger.unfinished and clock.monotonic_s() < ends_s and not self._broken():
            await _until(stop, 0.1)
            if stop.is_set():
                return
        await self._stop_everybody()  # nobody comes back from a break any more
        for rider in self._plan.cast.riders:
            await self._scene.ask(rider, "POST", "/v1/riders/me/duty", {"on": False})

    async def end(self) -> None:
        """Everybody stops; what the phones still hold is sent."""
        await self._stop_everybody()
        self._parked.set()
        if self._driving is not None:
            await asyncio.gather(self._driving, return_exceptions=True)
        self._keep()

    async def _stop_everybody(self) -> None:
        tasks = list(self._scene.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------------------------- people

    async def _open_all(self) -> None:
        """A few at once: registering is work for the server."""
        at_once = asyncio.Semaphore(_OPENING_AT_ONCE)
        taken: set[str] = set()
        shops = [Shop(self._scene, person, n, taken) for n, person in enumerate(self._plan.cast.stores, 1)]

        async def open_one(shop: Shop) -> None:
            async with at_once:
                await shop.open()
            self._open_stores += 1
            await shop.run()

        for shop in shops:
            self._scene.start(open_one(shop))

    async def _all_on_duty(self) -> None:
        """One after another, the way a shift begins."""
        for row, person in enumerate(self._plan.cast.riders):
            self._scene.start(Courier(self._scene, person, row, self._customers).run())
            self._on_duty += 1
            await asyncio.sleep(1.0 / _RIDERS_A_SECOND)

    async def _order(self) -> None:
        while not (self._open_stores and self._on_duty >= min(20, len(self._ids))):
            await asyncio.sleep(0.05)
        await self._customers.run()

    async def _rider_id(self, person: Person) -> str:
        return str((await self._scene.ask(person, "GET", "/v1/me")).json()["rider_id"])

    def _broken(self) -> bool:
        if self._driving is not None and self._driving.done() and not self._parked.is_set():
            self._driving.result()
        return bool(self._scene.failed)

    # ------------------------------------------------------------------------------------- places

    def _restore(self) -> None:
        """Riders are where they were when they stopped."""
        file = self._plan.places
        if file is not None and file.exists():
            kept: dict[str, Place] = json.loads(file.read_text())
            self._scene.crew.put({row: kept[id_] for row, id_ in enumerate(self._ids) if id_ in kept})

    def _keep(self) -> None:
        file = self._plan.places
        if file is not None and self._ids:
            places = {id_: self._scene.crew.place(row) for row, id_ in enumerate(self._ids)}
            written = file.with_suffix(".new")
            written.write_text(json.dumps(places))
            written.replace(file)

    # ------------------------------------------------------------------------------------ telling

    def _drove(self, progress: driving.Progress) -> None:
        self._progress = progress

    async def keep_telling(self, tell: Tell) -> None:
        """About once a second, until cancelled."""
        while True:
            tell(self.report())
            await asyncio.sleep(_TELL_EVERY_S)

    def report(self) -> dict[str, Any]:
        """The ledger, and how the people are doing."""
        client, totals = self._scene.client, self._progress.totals if self._progress else None
        return self._scene.ledger.report() | {
            "stores": self._open_stores,
            "riders": self._on_duty,
            "moving": self._scene.crew.moving,
            "requests": client.requests,
            "waited": dict(client.waited),
            "positions": {"reported": totals.reported, "acked": totals.acked} if totals else {},
        }


async def _until(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
