"""The WebSocket by which a device reports, `/v1/positions/stream`; `wire.websocket_in` describes its frames.

One connection is one device: its positions are appended in order, and an acknowledgement covers everything
before it on the connection. The reader takes frames and appends them; the answerer waits for the commits
in the same order and is the only one who sends. Between them at most `MAX_IN_FLIGHT` frames are on their
way to the disk; past that, and while the log has no room or the device is over its rate, nothing is read,
and TCP holds the device back.

A frame that cannot be read is quarantined, answered with an error, and the connection goes on. What the
server cannot do (no credential, not this device's rider, disk full) is answered with an error and ends
it, without acknowledging: the device connects again and sends what was not acknowledged.
"""

import asyncio
from typing import Any

import structlog
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect

from majung.auth.model import Principal
from majung.ports import Overloaded
from majung.serve.http.intake import Taken, authenticate_sender, close_code, durable, take_frame
from majung.serve.http.problems import describe
from majung.services import Services
from majung.wire import websocket_in
from majung.wire.fields import Decoded
from majung.wire.osmand import parse_params

MAX_IN_FLIGHT = 64
CHECK_CREDENTIAL_EVERY_S = 5.0

_OPEN = "open_device_sockets"

log = structlog.get_logger("majung.device_socket")

AnySocket = WebSocket[Any, Any, Any]


@websocket("/v1/positions/stream")
async def device_socket(socket: AnySocket, services: Services) -> None:
    """Take positions until the device leaves or something ends the connection."""
    await socket.accept()
    state = socket.app.state
    state[_OPEN] = state.get(_OPEN, 0) + 1
    try:
        if state[_OPEN] > services.settings.server.max_streams:
            raise Overloaded("too many open connections; try again later")
        principal = await _authenticate(socket, services)
        services.limiter.demand(principal.subject)
        await Uplink(socket, services, principal).run()
    except WebSocketDisconnect:
        pass
    except Exception as problem:
        await end(socket, problem)
    finally:
        state[_OPEN] -= 1


HANDLERS = [device_socket]


class Uplink:
    """What a device says on one connection, and what it is answered."""

    def __init__(self, socket: AnySocket, services: Services, principal: Principal) -> None:
        self._socket = socket
        self._services = services
        self._principal = principal
        self._check_at_s = services.clock.monotonic_s() + CHECK_CREDENTIAL_EVERY_S
        self._taken: asyncio.Queue[Taken] = asyncio.Queue(MAX_IN_FLIGHT)

    async def run(self, *beside: asyncio.Task[None]) -> None:
        """Return when the device has left, or one of the tasks beside has ended; all of them end with it.

        Raises what ends the connection.
        """
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._answer()), *beside]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for problem in ended:
            if isinstance(problem, Exception):
                raise problem

    async def _read(self) -> None:
        ingest = self._services.ingest
        while True:
            await ingest.ready()
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            if event["type"] == "websocket.receive":
                await self._check_credential()
                decoded = self._decode(event.get("text"), event.get("bytes"))
                await self._hold_back(len(decoded))
                await self._taken.put(take_frame(self._services.ingest, self._principal, decoded))

    async def _check_credential(self) -> None:
        """A token that has expired, or that was revoked, must not live on in an open connection."""
        now_s = self._services.clock.monotonic_s()
        if now_s >= self._check_at_s:
            self._principal = await _authenticate(self._socket, self._services)
            self._check_at_s = now_s + CHECK_CREDENTIAL_EVERY_S

    def _decode(self, text: str | None, data: bytes | None) -> Decoded:
        now_ms, message = self._services.ingest.now_ms(), data or b"" if text is None else text.encode()
        return websocket_in.decode(message, text is not None, self._principal.rider_id, now_ms)

    async def _hold_back(self, positions: int) -> None:
        """Not reading is the back-pressure: a device over its rate waits."""
        cost, limiter = max(1, positions), self._services.limiter
        wait_s = limiter.take(self._principal.subject, cost)
        while wait_s > 0:
            await asyncio.sleep(wait_s)
            wait_s = limiter.take(self._principal.subject, cost)

    async def _answer(self) -> None:
        """Acknowledge in order; frames that are durable already share one answer."""
        following: Taken | None = None
        while True:
            taken = following or await self._taken.get()
            following = None
            await durable(taken.commits)
            seq, error = taken.seq, taken.error
            while error is None and not self._taken.empty():
                following = self._taken.get_nowait()
                if not all(commit.done() for commit in following.commits):
                    break
                await durable(following.commits)
                seq, error = seq if following.seq is None else following.seq, following.error
                following = None
            if seq is not None:
                await self._send(websocket_in.encode_ack(seq))
            if error is not None:
                await self._send(websocket_in.encode_error(error))

    async def _send(self, message: bytes) -> None:
        try:
            await self._socket.send_text(message)
        except (OSError, RuntimeError):  # what the listener raises when the other end has gone
            raise WebSocketDisconnect(detail="the device has left") from None


async def _authenticate(socket: AnySocket, services: Services) -> Principal:
    principal, _ = await authenticate_sender(socket, services, parse_params(socket.scope["query_string"]))
    return principal


async def end(socket: AnySocket, problem: Exception) -> None:
    """Say what was wrong and close; the code says whether it is worth while to come again."""
    error, code = describe(problem), close_code(problem)
    try:
        await socket.send_text(websocket_in.encode_error(error))
        await socket.close(code, error.title)
    except (WebSocketDisconnect, RuntimeError, OSError):
        log.debug("device_left_before_the_error", error=error.title)
