"""Sixty-four clients who do anything to any order, as customer, store, rider and administrator, and note it all.

Each is signed in as somebody real and tries what is sensible, mostly, and what is not, often. What was asked,
and what was answered, is noted in `Attempt`; `orders_judge.py` holds it against what the server kept.
"""

import asyncio
import random
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from majung.orders.model import FINAL, Actor, Command, OrderState
from majung.orders.table import ways_out
from tests.paths.grpc_client import position, stream_positions
from tests.paths.test_orders import HOME, MENU, PASSWORD, SHOP
from tests.server import Server

CUSTOMERS, STORES, RIDERS = 6, 4, 20
CLIENTS = {Actor.CUSTOMER: 16, Actor.STORE: 12, Actor.RIDER: 24, Actor.ADMIN: 12}
SETS = (
    "delivery.open_sign_up=customer,rider,store",
    "delivery.sign_up_per_minute=100000",
    "server.rate_per_s=100000",
    "server.rate_burst=100000",
    "dispatch.offer_for=2s",
    "dispatch.ask_again_after=1s",
)
ENDINGS = (Command.REJECT, Command.CANCEL, Command.FAIL)
REFUSALS = (400, 403, 404, 409)
LOST = (0, 503)  # no answer, or "try again": done or not done

PATHS: dict[Command, str] = {
    Command.ASSIGN: "reassign",
    Command.SET_COOKING_TIME: "cooking-time",
    **{c: c.replace("_", "-") for c in Command if c not in (Command.ASSIGN, Command.SET_COOKING_TIME)},
}


@dataclass
class Person:
    """An account. `id` is what events call it: a subject, a store, a rider."""

    kind: Actor
    id: str
    headers: dict[str, str]


@dataclass
class Attempt:
    """Something that was asked for, and the answer. `status` 0: none came.

    `command` is "" for a placing and "offer" for accepting an offer (`marker` is then the offer, `actor_id`
    the rider). `marker` of a placing is its Idempotency-Key, of a command what its event must carry.
    """

    command: str
    order_id: str
    actor: Actor
    actor_id: str
    marker: str = ""
    floor: int = 0  # the newest version that had been acknowledged to anybody before this was sent
    status: int = 0
    version: int = 0
    state: str = ""

    @property
    def acked(self) -> bool:
        return self.status in (200, 201)


@dataclass
class Crowd:
    """What the clients know together, and what they did."""

    server: Server
    rng: random.Random
    orders_open: int
    people: dict[Actor, list[Person]] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    conflicts: list[Attempt] = field(default_factory=list)  # with the order that came with them
    strange: list[str] = field(default_factory=list)
    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    last_ack_at: float = 0.0
    _acked: dict[str, int] = field(default_factory=dict)
    _placing: int = 0
    _fixes: int = 0
    _gateway: str = ""

    @property
    def placed(self) -> int:
        """How many orders were acknowledged."""
        return len(self._acked)

    @property
    def commands(self) -> set[str]:
        """What was acknowledged at least once; "" is placing an order."""
        return {one.command for one in self.attempts if one.acked}

    # ------------------------------------------------------------------------------------- the town

    async def settle_in(self) -> None:
        """Everybody signs up, stores open, riders are on the map."""
        self._gateway = str(self.server.add_user("fleet", "gateway")["token"])
        async with self._http() as http:
            kinds = ((Actor.CUSTOMER, CUSTOMERS), (Actor.STORE, STORES), (Actor.RIDER, RIDERS))
            for kind, count in kinds:
                jobs = [self._sign_up(http, kind, f"{kind}-{number}") for number in range(count)]
                self.people[kind] = list(await asyncio.gather(*jobs))
            me = await http.get("/v1/me", headers=self.server.admin)
            self.people[Actor.ADMIN] = [Person(Actor.ADMIN, me.json()["subject"], self.server.admin)]
        await self.report()

    async def _sign_up(self, http: httpx.AsyncClient, kind: Actor, name: str) -> Person:
        answer = await http.post("/v1/sign-up", json={"name": name, "password": PASSWORD, "role": kind.value})
        assert answer.status_code == 201, answer.text
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        if kind is Actor.STORE:
            made = await http.post("/v1/stores", json=SHOP, headers=headers)
            put = await http.put(f"/v1/stores/{made.json()['store_id']}/menu", json=MENU, headers=headers)
            assert put.status_code == 200, put.text
            return Person(kind, str(made.json()["store_id"]), headers)
        me = (await http.get("/v1/me", headers=headers)).json()
        return Person(kind, str(me["rider_id"] if kind is Actor.RIDER else me["subject"]), headers)

    async def report(self) -> None:
        """Every rider is near the stores, now."""
        self._fixes += 1
        fixes = [
            position(self._fixes, rider_id=rider.id, latitude=SHOP["latitude"] + 1e-4 * number)
            for number, rider in enumerate(self.people[Actor.RIDER])
        ]
        await asyncio.to_thread(stream_positions, self.server.grpc, self._gateway, fixes)

    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.server.url, timeout=10, limits=httpx.Limits(max_connections=None), trust_env=False
        )

    # ---------------------------------------------------------------------------------- the clients

    async def run(self) -> None:
        """Until cancelled."""
        self.ready.set()
        async with self._http() as http:
            jobs = [
                self._client(http, self.people[kind][number % len(self.people[kind])])
                for kind, count in CLIENTS.items()
                for number in range(count)
            ]
            await asyncio.gather(*jobs)

    async def _client(self, http: httpx.AsyncClient, me: Person) -> None:
        while True:
            await self.ready.wait()
            if me.kind is Actor.CUSTOMER and len(self.known) + self._placing < self.orders_open:
                await self._place(http, me)
            elif me.kind is Actor.RIDER and self.rng.random() < 0.6:
                await self._ride(http, me)
            elif self.known and (me.kind is not Actor.CUSTOMER or self.rng.random() < 0.1):
                await self._act(http, me)
            else:
                await asyncio.sleep(self.rng.uniform(0, 0.05))

    async def _ask(
        self, http: httpx.AsyncClient, me: Person, method: str, path: str, **more: Any
    ) -> httpx.Response:
        """The answer; status 503 when none came."""
        headers = {**me.headers, **more.pop("headers", {})}
        try:
            answer = await http.request(method, path, headers=headers, **more)
        except httpx.HTTPError:
            return httpx.Response(503)
        if answer.status_code not in (200, 201, *REFUSALS, *LOST):
            self.strange.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer

    async def _place(self, http: httpx.AsyncClient, me: Person) -> None:
        """With one key until it is answered, through a crash as well; sometimes once more after that."""
        lines = [{"item_id": "noodles", "quantity": self.rng.randint(1, 3)}]
        store = self.rng.choice(self.people[Actor.STORE]).id
        body = {"store_id": store, "lines": lines, "address": HOME}
        key = uuid.UUID(int=self.rng.getrandbits(128)).hex
        self._placing += 1
        try:
            again = self.rng.random() < 0.2
            while True:
                attempt = Attempt("", "", Actor.CUSTOMER, me.id, key)
                self.attempts.append(attempt)
                headers = {"Idempotency-Key": key}
                self._note(
                    attempt, await self._ask(http, me, "POST", "/v1/orders", json=body, headers=headers)
                )
                if attempt.status not in LOST and not again:
                    return
                again = again and attempt.status in LOST
                await self.ready.wait()
        finally:
            self._placing -= 1

    async def _act(self, http: httpx.AsyncClient, me: Person) -> None:
        order = self._some_order(me)
        actor, query = me, {}
        if me.kind is Actor.ADMIN and self.rng.random() < 0.6:
            actor = Person(self.rng.choice([Actor.CUSTOMER, Actor.STORE, Actor.RIDER]), me.id, me.headers)
            query = {"as": actor.kind.value}
        sensible = ways_out(OrderState(order["state"]), actor.kind)
        command = self.rng.choice(sensible if sensible and self.rng.random() < 0.75 else list(Command))
        if command in ENDINGS and self.rng.random() < 0.7:
            return  # or hardly an order would live to be delivered
        if command is Command.ASSIGN:
            actor, query = me, {}  # an administrator's own
        body = self._arguments(command, order)
        attempt = Attempt(command, order["order_id"], actor.kind, actor.id, _marker(command, body))
        attempt.floor = self._acked.get(attempt.order_id, 0)
        self.attempts.append(attempt)
        path = f"/v1/orders/{attempt.order_id}/{PATHS[command]}"
        self._note(attempt, await self._ask(http, me, "POST", path, params=query, json=body))
        if attempt.acked and self.rng.random() < 0.1:
            await self._read_own_write(http, me, attempt)

    def _some_order(self, me: Person) -> dict[str, Any]:
        """One of one's own, mostly."""
        own = {Actor.CUSTOMER: "customer", Actor.STORE: "store_id", Actor.RIDER: "rider_id"}.get(me.kind)
        ids = list(self.known)
        if own is not None and self.rng.random() < 0.85:
            ids = [order_id for order_id in ids if self.known[order_id][own] == me.id] or ids
        return self.known[self.rng.choice(ids)]

    def _arguments(self, command: Command, order: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {}
        if command in (Command.ACCEPT, Command.SET_COOKING_TIME):
            body["cooking_minutes"] = self.rng.randint(1, 240)
        elif command in (Command.REJECT, Command.FAIL, Command.CANCEL):
            body["reason"] = f"because {self.rng.getrandbits(40)}"
        elif command is Command.ASSIGN:
            body["rider_id"] = self.rng.choice(self.people[Actor.RIDER]).id
        elif command is Command.DELIVER:
            code = order["delivery_code"] if self.rng.random() < 0.9 else "none"
            body["proof"] = {"kind": "code", "ref": code}
        if self.rng.random() < 0.4:
            body["expected_version"] = order["version"]
        return body

    async def _ride(self, http: httpx.AsyncClient, me: Person) -> None:
        """On duty; an offer is accepted, declined or let run out."""
        answer = await self._ask(http, me, "GET", "/v1/riders/me/offer")
        if answer.status_code != 200:
            return
        standing = answer.json()
        if not standing["on"] or self.rng.random() < 0.02:
            await self._ask(http, me, "POST", "/v1/riders/me/duty", json={"on": self.rng.random() < 0.9})
        offer = standing["offer"]
        if offer is None or self.rng.random() < 0.2:
            await asyncio.sleep(self.rng.uniform(0, 0.4))
            return
        if self.rng.random() < 0.15:
            await self._ask(http, me, "POST", f"/v1/offers/{offer['offer_id']}/decline")
            return
        attempt = Attempt("offer", offer["order_id"], Actor.RIDER, me.id, offer["offer_id"])
        self.attempts.append(attempt)
        answer = await self._ask(http, me, "POST", f"/v1/offers/{offer['offer_id']}/accept")
        attempt.status = answer.status_code
        if attempt.acked and offer["order_id"] in self.known:
            self.known[offer["order_id"]]["rider_id"] = me.id

    async def _read_own_write(self, http: httpx.AsyncClient, me: Person, done: Attempt) -> None:
        query = {"at_least_version": done.version}
        answer = await self._ask(http, me, "GET", f"/v1/orders/{done.order_id}", params=query)
        if answer.status_code == 200 and answer.json()["version"] < done.version:
            self.strange.append(f"{me.kind} wrote version {done.version} and reads {answer.text[:200]}")

    # ----------------------------------------------------------------------------------- what is known

    def _note(self, attempt: Attempt, answer: httpx.Response) -> None:
        attempt.status = answer.status_code
        if attempt.acked:
            self._remember(attempt, answer.json())
            self._acked[attempt.order_id] = max(self._acked.get(attempt.order_id, 0), attempt.version)
            self.last_ack_at = time.monotonic()
        elif attempt.status == 409 and answer.json()["type"] == "order-conflict":
            found = Attempt(attempt.command, attempt.order_id, attempt.actor, attempt.actor_id)
            found.floor = attempt.floor
            self.conflicts.append(found)
            if current := answer.json().get("order"):
                self._remember(found, current)

    def _remember(self, attempt: Attempt, order: dict[str, Any]) -> None:
        attempt.order_id = order["order_id"]
        attempt.version, attempt.state = order["version"], order["state"]
        if order["state"] in FINAL:
            self.known.pop(attempt.order_id, None)
            return
        before = self.known.get(attempt.order_id, order)
        code = order["delivery_code"] or before["delivery_code"]
        if attempt.command == "" or (
            attempt.order_id in self.known and order["version"] >= before["version"]
        ):
            self.known[attempt.order_id] = {**order, "delivery_code": code}


def _marker(command: Command, body: dict[str, Any]) -> str:
    """What the event of this command must carry, beside who did what."""
    return str(body.get("cooking_minutes") or body.get("reason") or body.get("rider_id") or "")
