"""A store: it registers, takes orders from its board, cooks, calls out what is ready, and now and then says no."""

from random import Random
from typing import Any

import numpy as np

from majung.simulate.delivery import names
from majung.simulate.delivery.link import Refused, messages
from majung.simulate.delivery.people import Person
from majung.simulate.delivery.scene import Scene

_AWAY_M = 350.0
_LONGER_PART = (0.4, 0.8)  # of what was said, when a store needs longer


class Shop:
    """One simulated store, by the account that runs it."""

    def __init__(self, scene: Scene, person: Person, number: int, taken: set[str]) -> None:
        self._scene = scene
        self._person = person
        self._random = random = Random(f"{scene.seed}:shop:{number}")  # noqa: S311 - a simulation
        self._kitchen = random.choice(names.KITCHENS)
        self.name = names.store_name(random, self._kitchen, taken)
        self.latitude, self.longitude = _site(scene, random)
        self._store_id = ""
        self._at_work: set[str] = set()

    async def open(self) -> None:
        """Register, unless it is, and write the menu. Raises RuntimeError when the server does not take it."""
        scene, person = self._scene, self._person
        if await self._known():
            return
        random = self._random
        body = {
            "name": self.name,
            "category": self._kitchen.category,
            "latitude": self.latitude,
            "longitude": self.longitude,
            "address": names.address(random),
            "phone": names.phone(random),
            "hours": names.hours(random),
            "radius_m": float(random.choice((1_500, 2_000, 2_500, 3_000))),
            "minimum_krw": self._kitchen.minimum_krw,
            "fee_krw": random.choice((0, 1_000, 2_000, 3_000)),
        }
        answer = await scene.ask(person, "POST", "/v1/stores", body)
        # A conflict: the answer to the first try was lost, and the store is there.
        if not await self._known():
            raise RuntimeError(f"the store {self.name} cannot be registered: {answer.body[:300]!r}")
        path = f"/v1/stores/{self._store_id}/menu"
        answer = await scene.ask(person, "PUT", path, names.menu(random, self._kitchen))
        if not answer.ok:
            raise RuntimeError(f"the menu of {self.name} is not taken: {answer.body[:300]!r}")

    async def _known(self) -> bool:
        """Whether this account has its store."""
        me = (await self._scene.ask(self._person, "GET", "/v1/me")).json()
        self._store_id = str(me.get("store_id") or "")
        return self._store_id != ""

    async def run(self) -> None:
        """Watch the board until cancelled."""
        try:
            async for message in messages(self._scene.client, self._person, "/v1/orders/live"):
                if message["type"] == "snapshot":
                    self._see_all(message["orders"])
                elif message["type"] == "order":
                    self._see(message["order"])
        except Refused as problem:
            raise RuntimeError(f"the board of {self.name}: {problem}") from problem

    def _see_all(self, orders: list[dict[str, Any]]) -> None:
        """The board after a connection: what is no longer on it has ended meanwhile."""
        shown = {order["order_id"] for order in orders}
        for tale in list(self._scene.ledger.open.values()):
            if tale.store_id == self._store_id and tale.order_id not in shown:
                self._scene.start(self._look_up(tale.order_id))
        for order in orders:
            self._see(order)

    async def _look_up(self, order_id: str) -> None:
        answer = await self._scene.ask(self._person, "GET", f"/v1/orders/{order_id}")
        if answer.ok:
            self._see(answer.json())

    def _see(self, order: dict[str, Any]) -> None:
        self._scene.ledger.saw(order)
        order_id = order["order_id"]
        if order["state"] in ("RECEIVED", "COOKING") and order_id not in self._at_work:
            self._at_work.add(order_id)
            self._scene.start(self._serve(order))

    async def _serve(self, order: dict[str, Any]) -> None:
        order_id = order["order_id"]
        try:
            # What this store does with this order does not depend on the others that are on the stove.
            random = Random(f"{self._scene.seed}:{order_id}")  # noqa: S311 - a simulation
            if order["state"] == "RECEIVED":
                order = await self._answer(order, random)
            if order.get("state") == "COOKING":
                await self._cook(order, random)
        finally:
            self._at_work.discard(order_id)

    async def _answer(self, order: dict[str, Any], random: Random) -> dict[str, Any]:
        scene, order_id = self._scene, order["order_id"]
        await scene.pause(random.uniform(*scene.habits.accepts_within_s))
        if random.random() < scene.habits.store_rejects:
            reason = {"reason": random.choice(names.REJECTIONS)}
            return await scene.command(self._person, order_id, "reject", reason)
        minutes = {
            "cooking_minutes": random.randint(*(scene.habits.cooking_minutes or self._kitchen.minutes))
        }
        return await scene.command(self._person, order_id, "accept", minutes)

    async def _cook(self, order: dict[str, Any], random: Random) -> None:
        scene, order_id = self._scene, order["order_id"]
        needs_s = 60.0 * order["cooking_minutes"] * min(1.6, max(0.6, random.gauss(1.0, 0.15)))
        since_s = max(0.0, (scene.now_ms() - order["accepted_at_ms"]) / 1000.0 * scene.speed)
        if random.random() < scene.habits.store_runs_out:
            await scene.pause(0.2 * needs_s)
            await scene.command(self._person, order_id, "cancel", {"reason": names.REJECTIONS[0]})
            return
        if random.random() < scene.habits.store_needs_longer:
            await scene.pause(max(0.0, 0.5 * needs_s - since_s))
            longer = {"cooking_minutes": order["cooking_minutes"] + _longer(order["cooking_minutes"], random)}
            order = await scene.command(self._person, order_id, "cooking-time", longer) or order
            needs_s, since_s = 1.3 * needs_s, max(since_s, 0.5 * needs_s)
        await scene.pause(needs_s - since_s)
        await scene.command(self._person, order_id, "ready")


def _longer(minutes: int, random: Random) -> int:
    """How many minutes more."""
    return max(1, round(minutes * random.uniform(*_LONGER_PART)))


def _site(scene: Scene, random: Random) -> tuple[float, float]:
    """A place on a street, rounded as a pin is; not where somebody wants to be alone."""
    streets = scene.crew.streets
    for _ in range(50):
        around = np.array([[random.gauss(0, 650), random.gauss(0, 650)]])
        longitude, latitude = streets.degrees(streets.nearest(around).at)[0].tolist()
        place = round(latitude, 6), round(longitude, 6)
        if scene.keep_away is None or away_m(scene, place, scene.keep_away) > _AWAY_M:
            return place
    raise RuntimeError("there is no room for another store")


def away_m(scene: Scene, one: tuple[float, float], other: tuple[float, float]) -> float:
    """Metres between two places, straight."""
    both = scene.crew.streets.metres(np.array([[one[1], one[0]], [other[1], other[0]]]))
    return float(np.hypot(*(both[0] - both[1])))
