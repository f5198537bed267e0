"""Customers: they come with the hours of the day, look for a store near them, choose, order, wait, and look again."""

import time
from random import Random
from typing import Any

import numpy as np

from majung.simulate.city import demand
from majung.simulate.delivery import names
from majung.simulate.delivery.ledger import Tale
from majung.simulate.delivery.link import Refused, messages
from majung.simulate.delivery.people import Person
from majung.simulate.delivery.scene import Scene
from majung.simulate.delivery.shops import away_m

_KOREA_H = 9
_PEAK = max(demand(hour / 10) for hour in range(240))
_QUIETEST = 0.5
_ETA_AFTER_S = 1.0  # real seconds: the page shows it a moment after the change


def rush(hour: float) -> float:
    """How much is ordered at the local hour, of what is ordered at the peak."""
    return _QUIETEST + (1.0 - _QUIETEST) * demand(hour) / _PEAK


class Customers:
    """All customers; each has one order at a time."""

    def __init__(self, scene: Scene, people: list[Person], orders_per_minute: float, avoid: str = "") -> None:
        """`avoid`: the name of a store that is left to people."""
        self._scene = scene
        self._people = people
        self._per_minute = orders_per_minute
        self._avoid = avoid
        self._random = Random(f"{scene.seed}:customers")  # noqa: S311 - a simulation
        self._at_home = list(range(len(people)))
        self._random.shuffle(self._at_home)
        self._homes: dict[int, dict[str, Any]] = {}
        self.by_subject = {f"customer:{person.name}": person for person in people}

    async def run(self) -> None:
        """Order until cancelled: so many a minute of the city, as chance has it.

        A city that begins with nothing on the stove has its first minute's orders twice as fast.
        """
        first = round(self._per_minute) if not self._scene.ledger.open else 0
        while True:
            hour = (self._scene.now_ms() / 3_600_000.0 + _KOREA_H) % 24.0
            per_minute = 2.0 * self._per_minute if first > 0 else self._per_minute * rush(hour)
            first -= 1
            await self._scene.pause(self._random.expovariate(per_minute / 60.0))
            if not self._at_home:
                self._scene.ledger.refuse("customer", "nobody is left who has no order")
                continue
            number = self._at_home.pop(0)
            self._scene.start(self._order(number, self._random.random()))

    async def _order(self, number: int, chance: float) -> None:
        random = Random(f"{self._scene.seed}:{number}:{chance}")  # noqa: S311 - a simulation
        try:
            tale = await self._place(number, random)
            if tale is not None:
                await self._wait(self._people[number], tale, random)
        finally:
            self._at_home.append(number)

    def _home(self, number: int) -> dict[str, Any]:
        """Where this customer lives: always the same."""
        if number not in self._homes:
            random = Random(f"{self._scene.seed}:home:{number}")  # noqa: S311 - a simulation
            streets = self._scene.crew.streets
            while True:
                at = streets.nearest(np.array([[random.gauss(0, 750), random.gauss(0, 750)]])).at
                longitude, latitude = streets.degrees(at + random.uniform(-25, 25))[0].tolist()
                alone = self._scene.keep_away
                if alone is None or away_m(self._scene, (latitude, longitude), alone) > 100.0:
                    break
            self._homes[number] = {
                "latitude": round(latitude, 6),
                "longitude": round(longitude, 6),
                "text": names.address(random),
                "detail": names.door(random),
            }
        return self._homes[number]

    # -------------------------------------------------------------------------------------- ordering

    async def _place(self, number: int, random: Random) -> Tale | None:
        """Look, choose and order; after a refusal look again, as somebody who is hungry does."""
        scene, person, home = self._scene, self._people[number], self._home(number)
        where = f"lat={home['latitude']}&lon={home['longitude']}&open_only=true"
        where += f"&limit={scene.habits.nearby_stores}"
        for _ in range(3):
            found = (await scene.ask(person, "GET", f"/v1/stores?{where}")).json().get("stores", [])
            stores = [s for s in found if s.get("delivers", True) and s["name"] != self._avoid]
            if not stores:
                scene.ledger.refuse("customer", "no store is open that delivers")
                return None
            chosen = min(random.choices(stores, k=2), key=lambda store: store.get("distance_m", 0.0))
            page = (await scene.ask(person, "GET", f"/v1/stores/{chosen['store_id']}")).json()
            await scene.pause(random.uniform(0.5, 3.0))
            wish = basket(page, random)
            if wish is None:
                continue
            body = {
                "store_id": chosen["store_id"],
                "address": home,
                "note": random.choice(names.NOTES),
                **wish,
            }
            key = f"idempotency-key: {random.getrandbits(96):024x}\r\n"
            asked_s = time.monotonic()
            answer = await scene.ask(person, "POST", "/v1/orders", body, key)
            if answer.ok:
                return scene.ledger.was_placed(answer.json(), (time.monotonic() - asked_s) * 1000.0)
            if answer.status in (401, 403):
                return None
        return None

    # --------------------------------------------------------------------------------------- waiting

    async def _wait(self, person: Person, tale: Tale, random: Random) -> None:
        """Until it has ended: some change their mind, some keep the page open, all look now and then."""
        scene = self._scene
        watches = random.random() < scene.habits.watches
        if watches:
            scene.start(self._watch(person, tale))
        if random.random() < scene.habits.customer_cancels:
            await scene.pause(random.uniform(2.0, 12.0))
            await scene.command(person, tale.order_id, "cancel")
        scene.start(self._look(person, tale))
        await tale.ended.wait()

    async def _look(self, person: Person, tale: Tale) -> None:
        """Read the arrival time at each stage."""
        await self._read_eta(person, tale, "placed")
        await tale.accepted.wait()
        await self._read_eta(person, tale, "accepted")
        await tale.picked_up.wait()
        await self._read_eta(person, tale, "picked_up")

    async def _read_eta(self, person: Person, tale: Tale, stage: str) -> None:
        if tale.ended.is_set():
            return
        await self._scene.pause(_ETA_AFTER_S * self._scene.speed)
        path = f"/v1/orders/{tale.order_id}/eta"
        answer = await self._scene.client.call("GET", path, await person.token(self._scene.client))
        if answer.ok:
            self._scene.ledger.shown(tale.order_id, stage, answer.json())

    async def _watch(self, person: Person, tale: Tale) -> None:
        """Keep the page open: the order as it changes, and the rider on the map."""
        seen = 0
        try:
            async for message in messages(self._scene.client, person, "/v1/orders/live"):
                if message["type"] == "order" and message["order"]["order_id"] == tale.order_id:
                    version = message["order"]["version"]
                    if version < seen:
                        self._scene.ledger.wrong(f"{tale.order_id}: version {version} after {seen}")
                    seen = version
                    self._scene.ledger.saw(message["order"])
                if tale.ended.is_set():
                    return
        except Refused:
            self._scene.ledger.refuse("customer", "live")


def basket(page: dict[str, Any], random: Random) -> dict[str, Any] | None:
    """One to four lines of what is there, with the prices that were seen; None when too little is there."""
    items = [item for item in page.get("menu", {}).get("items", []) if not item.get("sold_out")]
    if not items:
        return None
    lines: list[dict[str, Any]] = []
    total = 0
    while len(lines) < 12:
        item = random.choice(items)
        options = _options(item, random)
        krw = item["price_krw"] + sum(option.get("price_krw", 0) for option in options)
        lines.append(
            {
                "item_id": item["item_id"],
                "quantity": random.choice((1, 1, 1, 2)),
                "options": [option["option_id"] for option in options],
                "price_krw": krw,
            }
        )
        total += krw * lines[-1]["quantity"]
        if total >= page["store"].get("minimum_krw", 0) and random.random() < 0.6:
            return {"lines": lines, "total_krw": total + page["store"].get("fee_krw", 0)}
    return None


def _options(item: dict[str, Any], random: Random) -> list[dict[str, Any]]:
    chosen = []
    for group in item.get("groups", []):
        there = [option for option in group["options"] if not option.get("sold_out")]
        if there and (group.get("required") or random.random() < 0.3):
            chosen.append(random.choice(there))
    return chosen
