"""What arrives from the broker, on its way into the log, and back as an acknowledgement.

Two loops share a session: one reads, attributes and appends; the other waits, in the order of arrival, until
each is durable, and acknowledges. What the log refuses ends the session: the broker sends everything that is
unacknowledged again with the next one, which is not begun at once.

There is no rate for each sender here, as there is at the other doors: an acknowledgement that is held back
for one would hold back everybody's, and a refusal would lose the fix. The log's back-pressure bounds them all.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import structlog

from majung.auth.model import Principal, Role
from majung.auth.reporters import Reporters, UnknownReporter
from majung.observe.families import Counted, Figure, Level
from majung.ports import PortError
from majung.positions.ingest import Ingest
from majung.positions.model import Reason
from majung.serve.http.intake import Commit, durable, take_in
from majung.serve.mqtt.link import MAX_PAYLOAD, MAX_UNACKED, Arrived, Link, Lost, connected
from majung.settings import MqttSettings
from majung.wire import owntracks
from majung.wire.identity import Sender

log = structlog.get_logger("majung.mqtt")

DOOR = "mqtt"
_BROKER = Principal("mqtt:broker", Role.GATEWAY)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_SETTLED_S = 10.0


class Outbound(Protocol):
    """What goes back to whoever reports."""

    def heard(self, user: str, principal: Principal) -> None:
        """This user has just reported."""

    async def run(self, link: Link) -> None:
        """Publish, until cancelled or the link is lost."""

    def figures(self) -> Sequence[Figure]:
        """Counters."""


Taken = tuple[Arrived, frozenset[Commit], str, Principal | None]


class MqttDoor:
    """One for each server; belongs to its event loop. `run` under the supervisor."""

    def __init__(
        self,
        settings: MqttSettings,
        ingest: Ingest,
        reporters: Reporters,
        outbound: Outbound,
        connect: Callable[[MqttSettings], AbstractAsyncContextManager[Link]] = connected,
    ) -> None:
        self._settings = settings
        self._ingest = ingest
        self._reporters = reporters
        self._outbound = outbound
        self._connect = connect
        self.is_connected = False
        self._counts = dict.fromkeys(("received", "acknowledged", "unknown", "too_large", "dropped"), 0)
        self._connections = 0

    async def run(self) -> None:
        """Be connected; when it cannot be, try again, later each time."""
        pause_s = _FIRST_PAUSE_S
        while True:
            began_s = asyncio.get_running_loop().time()
            try:
                await self._session()
            except* (Lost, PortError, OSError) as problems:
                why = str(problems.exceptions[0])
                log.warning("session ended", why=why, again_in_s=round(pause_s, 1))
            if asyncio.get_running_loop().time() - began_s > _SETTLED_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 -- spreads servers, no secret
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def figures(self) -> Sequence[Figure]:
        """For `/metrics`."""
        return [
            Level("majung_mqtt_connected", "1 while the MQTT broker is connected.", self.is_connected),
            Counted(
                "majung_mqtt_messages",
                "Messages from the broker, by what became of them.",
                "outcome",
                self._counts,
            ),
            Level("majung_mqtt_connections", "Connections to the broker since the start.", self._connections),
            *self._outbound.figures(),
        ]

    # ---------------------------------------------------------------------------------- one session

    @asynccontextmanager
    async def _link(self) -> AsyncIterator[Link]:
        async with self._connect(self._settings) as link:
            await link.subscribe(f"{self._settings.topic}/+/+")
            self.is_connected = True
            self._connections += 1
            log.info("broker connected")
            try:
                yield link
            finally:
                self.is_connected = False
                self._counts["dropped"] += link.dropped

    async def _session(self) -> None:
        taken: asyncio.Queue[Taken] = asyncio.Queue(MAX_UNACKED)
        async with self._link() as link, asyncio.TaskGroup() as tasks:
            tasks.create_task(link.until_lost())
            tasks.create_task(self._take(link, taken))
            tasks.create_task(self._acknowledge(link, taken))
            tasks.create_task(self._outbound.run(link))

    async def _take(self, link: Link, taken: asyncio.Queue[Taken]) -> None:
        while True:
            arrived = await link.next()
            self._counts["received"] += 1
            await self._ingest.ready()
            await taken.put(await self._append_surely(arrived))

    async def _acknowledge(self, link: Link, taken: asyncio.Queue[Taken]) -> None:
        while True:
            arrived, commits, user, principal = await taken.get()
            await durable(commits)
            link.acknowledge(arrived)
            self._counts["acknowledged"] += 1
            if principal is not None:
                self._outbound.heard(user, principal)

    async def _append_surely(self, arrived: Arrived) -> Taken:
        """A mistake of ours in reading one message must not bring it again for ever. Raises PortError."""
        try:
            return await self._append(arrived)
        except PortError:
            raise
        except Exception:
            log.exception("a message could not be read", size=arrived.size)
            commit = self._ingest.quarantine(
                _BROKER, DOOR, b"", Reason.MALFORMED, "could not be read: see the log"
            )
            return arrived, frozenset((commit,)), "", None

    async def _append(self, arrived: Arrived) -> Taken:
        """Into the log, or into quarantine. Raises PortError."""
        user, device = _user_and_device(arrived.topic)
        try:
            principal = await self._reporters.named(user)
        except UnknownReporter as problem:
            self._counts["unknown"] += 1
            topic = arrived.topic[:200].decode("utf-8", "backslashreplace")
            # Without the payload: it may be the place of somebody who has been erased here.
            commit = self._ingest.quarantine(
                _BROKER, DOOR, b"", Reason.NOT_YOURS, f"topic {topic}: {problem}", user[:128]
            )
            return arrived, frozenset((commit,)), user, None
        if arrived.size > MAX_PAYLOAD:
            self._counts["too_large"] += 1
            detail = f"a payload of {arrived.size} bytes; at most {MAX_PAYLOAD} are read"
            commit = self._ingest.quarantine(principal, DOOR, arrived.payload, Reason.MALFORMED, detail)
            return arrived, frozenset((commit,)), user, principal
        sender = Sender(rider_id=principal.rider_id, device=device)
        decoded = owntracks.decode(arrived.payload, sender, self._ingest.now_ms())
        return arrived, take_in(self._ingest, principal, DOOR, decoded), user, principal


def _user_and_device(topic: bytes) -> tuple[str, str]:
    """The last two levels; what is no UTF-8 is nobody's."""
    parts = topic.decode("utf-8", "replace").split("/")
    return (parts[-2], parts[-1]) if len(parts) >= 3 else ("", "")
