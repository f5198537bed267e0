"""What everybody in a simulation shares: the plan, the connection, the clock of the city, the ledger."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from majung.simulate.delivery.crew import Crew
from majung.simulate.delivery.http import Answer, Client
from majung.simulate.delivery.ledger import Ledger
from majung.simulate.delivery.people import Person


@dataclass(frozen=True)
class Habits:
    """What people do, as parts of one; minutes and seconds are the city's."""

    customer_cancels: float = 0.03
    store_rejects: float = 0.02
    store_runs_out: float = 0.004  # cancels what it had accepted
    store_needs_longer: float = 0.08
    rider_declines: float = 0.06
    rider_does_not_answer: float = 0.03
    rider_fails: float = 0.008
    signs: float = 0.15  # instead of the code
    watches: float = 0.25  # customers who keep the page open while they wait
    answers_within_s: tuple[float, float] = (1.5, 7.0)
    accepts_within_s: tuple[float, float] = (3.0, 15.0)
    nearby_stores: int = 40  # a customer orders from one of so many that are nearest
    cooking_minutes: tuple[int, int] | None = (
        None  # every store promises and needs so much; None: as its kitchen does
    )


@dataclass
class Scene:
    """Belongs to one event loop. `speed` 10: people cook, ring and think ten times as fast."""

    client: Client
    crew: Crew
    ledger: Ledger
    speed: float
    seed: int
    habits: Habits = field(default_factory=Habits)
    keep_away: tuple[float, float] | None = None  # where nobody of ours lives or sells
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    failed: list[BaseException] = field(default_factory=list)

    def now_ms(self) -> float:
        """Unix time, ms."""
        return time.time() * 1000.0

    async def pause(self, city_s: float) -> None:
        """Let so much time of the city pass."""
        await asyncio.sleep(max(0.0, city_s) / self.speed)

    async def ask(
        self, person: Person, method: str, path: str, body: Any = None, headers: str = ""
    ) -> Answer:
        """A request of this person; what is refused is written down. Raises ConnectionError, CannotJoin."""
        answer = await self.client.call(method, path, await person.token(self.client), body, headers)
        if not answer.ok:
            self.ledger.refuse(person.role, answer.refusal)
        return answer

    async def command(self, person: Person, order_id: str, command: str, body: Any = None) -> dict[str, Any]:
        """Do something to an order: as it is now, whoever won. {} when it cannot be seen any more."""
        answer = await self.ask(person, "POST", f"/v1/orders/{order_id}/{command}", body or {})
        found = answer.json()
        order: dict[str, Any] = (found if answer.ok else found.get("order")) or {}
        if order:
            self.ledger.saw(order)
        return order

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let it go on beside; the first thing that goes wrong is kept for `run`."""
        self.keep(asyncio.create_task(work))

    def keep(self, task: asyncio.Task[None]) -> None:
        """The same with a task that somebody else may cancel."""
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            self.failed.append(problem)
