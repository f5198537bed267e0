"""Riders: on duty, asked, and then on their way: to the store, wait for the bag, to the door, hand it over."""

import asyncio
from random import Random
from typing import Any

from majung.simulate.delivery import names
from majung.simulate.delivery.customers import Customers
from majung.simulate.delivery.link import Refused, messages
from majung.simulate.delivery.people import Person
from majung.simulate.delivery.photo import bag_at_door
from majung.simulate.delivery.scene import Scene

_LOOK_AGAIN_S = 5.0  # real seconds, for the bag of a store that is none of ours
_BREAK_AFTER = 0.02  # of the deliveries
_TRIES = 40
_SIGNATURE = {"path": "M4 40 C 20 4, 36 76, 52 40 S 84 4, 100 40", "width": 120, "height": 80}


class Courier:
    """One simulated rider: row `row` of the crew."""

    def __init__(self, scene: Scene, person: Person, row: int, customers: Customers) -> None:
        self._scene = scene
        self._person = person
        self._row = row
        self._customers = customers
        self._random = Random(f"{scene.seed}:courier:{row}")  # noqa: S311 - a simulation
        self._answered = ""
        self._order_id = ""
        self._at_door = False
        self._resting = False
        self._job: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """On duty until cancelled."""
        await self._duty(True)
        try:
            async for message in messages(self._scene.client, self._person, "/v1/riders/me/live"):
                self._hear(message)
        except Refused as problem:
            raise RuntimeError(f"rider {self._person.name}: {problem}") from problem

    async def _duty(self, on: bool) -> None:
        await self._scene.ask(self._person, "POST", "/v1/riders/me/duty", {"on": on})

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind in ("standing", "duty") and not message["on"] and not self._resting:
            self._resting = True  # taken off duty: too many offers ran out
            self._scene.start(self._come_back())
        offer = message.get("offer")
        if kind in ("standing", "offer") and offer and offer["offer_id"] != self._answered:
            self._answered = offer["offer_id"]
            self._scene.ledger.was_offered(offer["order_id"], offer["offered_at_ms"])
            self._scene.start(self._answer(offer))
        if kind in ("standing", "assigned") and message["order_id"]:
            self._take(message["order_id"])
        elif (kind == "released" and message["order_id"] == self._order_id) or kind == "standing":
            self._drop()

    async def _answer(self, offer: dict[str, Any]) -> None:
        scene, draw = self._scene, self._random.random()
        if draw < scene.habits.rider_does_not_answer:
            return
        await scene.pause(self._random.uniform(*scene.habits.answers_within_s))
        word = "decline" if draw > 1.0 - scene.habits.rider_declines else "accept"
        answer = await scene.ask(self._person, "POST", f"/v1/offers/{offer['offer_id']}/{word}", {})
        if word == "accept" and answer.ok:
            self._take(offer["order_id"])

    def _take(self, order_id: str) -> None:
        if order_id == self._order_id:
            return
        if self._job is not None and not self._job.done() and self._order_id in self._scene.ledger.open:
            self._scene.ledger.wrong(f"{self._person.name} has {self._order_id} and {order_id}")
            self._drop()
        self._order_id = order_id
        self._job = asyncio.create_task(self._carry(order_id))
        self._scene.keep(self._job)

    def _drop(self) -> None:
        """It ended, or went to another rider; one who is just handing it over finishes that."""
        if self._job is not None and not self._at_door:
            self._job.cancel()
            self._job, self._order_id = None, ""

    # --------------------------------------------------------------------------------------- the way

    async def _carry(self, order_id: str) -> None:
        crew, row = self._scene.crew, self._row
        crew.free(row, False)
        try:
            order = await self._read(order_id)
            if order is not None:
                await self._bring(order_id, order)
        finally:
            crew.indoors(row, False)
            crew.free(row, True)
        self._at_door, self._order_id = False, ""
        if self._random.random() < _BREAK_AFTER and not self._resting:
            self._resting = True
            self._scene.start(self._rest())

    async def _bring(self, order_id: str, order: dict[str, Any]) -> None:
        """From wherever the order stands, to its end."""
        scene, row = self._scene, self._row
        if order["state"] in ("COOKING", "READY"):
            await scene.crew.go(row, (order["store_latitude"], order["store_longitude"]))
            scene.crew.indoors(row, True)
            await self._ready(order_id)
            await scene.pause(self._random.uniform(5.0, 25.0))
            order = await self._step(order_id, "pick-up")
        if order.get("state") == "PICKED_UP":
            await scene.pause(self._random.uniform(3.0, 15.0))
            order = await self._step(order_id, "depart")
        if order.get("state") == "DELIVERING":
            address = order["address"]
            await scene.crew.go(row, (address["latitude"], address["longitude"]))
            await scene.pause(self._random.uniform(15.0, 70.0))
            self._at_door = True
            await self._hand_over(order)

    async def _read(self, order_id: str) -> dict[str, Any] | None:
        """The order; the view may need a moment to show that it is this rider's."""
        for _ in range(_TRIES):
            answer = await self._scene.client.call(
                "GET", f"/v1/orders/{order_id}", await self._person.token(self._scene.client)
            )
            if answer.ok:
                order = answer.json()
                self._scene.ledger.saw(order)
                return order
            await asyncio.sleep(0.25)
        self._scene.ledger.refuse("rider", "the order that it was given is not there")
        return None

    async def _ready(self, order_id: str) -> None:
        """Until the store calls it out. Whoever is no store of ours is looked after by reading the order."""
        tale = self._scene.ledger.open.get(order_id)
        while tale is not None and not tale.ready.is_set():
            try:
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await tale.ready.wait()
            except TimeoutError:
                if not tale.ours:
                    await self._read(order_id)

    async def _step(self, order_id: str, command: str, body: Any = None) -> dict[str, Any]:
        return await self._scene.command(self._person, order_id, command, body)

    async def _hand_over(self, order: dict[str, Any]) -> None:
        order_id, habits = order["order_id"], self._scene.habits
        if self._random.random() < habits.rider_fails:
            await self._step(order_id, "fail", {"reason": self._random.choice(names.FAILURES)})
            return
        code = "" if self._random.random() < habits.signs else await self._ask_code(order)
        proof = {"kind": "code", "ref": code} if code else await self._proof(order_id, order)
        await self._step(order_id, "deliver", {"proof": proof})

    async def _ask_code(self, order: dict[str, Any]) -> str:
        """The customer says it at the door, when it is one of ours."""
        tale = self._scene.ledger.open.get(order["order_id"])
        if tale is not None and tale.code:
            return tale.code
        customer = self._customers.by_subject.get(order["customer"])
        if customer is None:
            return ""
        answer = await self._scene.ask(customer, "GET", f"/v1/orders/{order['order_id']}")
        return str(answer.json().get("delivery_code", ""))

    async def _proof(self, order_id: str, order: dict[str, Any]) -> dict[str, Any]:
        """A signature of who is there, or a photo of the bag at the door."""
        path = f"/v1/orders/{order_id}/proof"
        if order["customer"] in self._customers.by_subject:
            answer = await self._scene.ask(self._person, "POST", f"{path}/signature", _SIGNATURE)
        else:
            kind, photo = "content-type: image/png\r\n", bag_at_door(self._random.randrange(10))
            answer = await self._scene.ask(self._person, "POST", f"{path}/photo", photo, kind)
        return answer.json()

    async def _rest(self) -> None:
        await self._duty(False)
        await self._come_back()

    async def _come_back(self) -> None:
        await self._scene.pause(self._random.uniform(60.0, 300.0))
        await self._duty(True)
        self._resting = False
