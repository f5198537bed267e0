"""What every live stream does alike: refuse, hold a conversation, send what a viewer has, say why it ends.

A viewer is whatever has `take`: the frames that wait for it, when the socket has taken the last ones. It
raises ViewerClosed when the stream is over, and PortError when the storage does not answer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Annotated, Any, Protocol

import msgspec
import structlog
from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import HeaderParameter
from litestar.response import Stream
from uvicorn.protocols.utils import ClientDisconnected

from majung.live import messages
from majung.live.frames import Frame
from majung.live.viewer import ViewerClosed
from majung.ports import PortError
from majung.serve.http.problems import MEDIA_TYPE, describe

log = structlog.get_logger("majung.streams")

KEEP_ALIVE_S = 15.0
AnySocket = WebSocket[Any, Any, Any]
LastEventId = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", max_length=200, description="`epoch:offset`, to resume."),
]
GONE = (WebSocketDisconnect, ClientDisconnected)  # the viewer left, perhaps while it was written to
_SSE = "text/event-stream"
_SSE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Taking(Protocol):
    """A mailbox of a hub."""

    abort: Callable[[], object]
    keep_alive_s: float

    async def take(self) -> Iterable[Frame]:
        """What waits; waits itself while there is nothing. Raises ViewerClosed, PortError."""
        ...


# ---------------------------------------------------------------------------------------- WebSocket


async def deny(socket: AnySocket, problem: Exception) -> None:
    """Refuse the handshake with a real status and problem details (ASGI extension websocket.http.response)."""
    details = describe(problem)
    if details.status == 500:
        log.error("socket_refused", path=socket.url.path, exc_info=problem)
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    if details.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="majung"'))
    if details.status in (429, 503):
        headers.append((b"retry-after", b"1"))
    start = {"type": "websocket.http.response.start", "status": details.status, "headers": headers}
    await socket.send(start)  # type: ignore[arg-type]
    body = {"type": "websocket.http.response.body", "body": msgspec.json.encode(details)}
    await socket.send(body)  # type: ignore[arg-type]


async def converse(
    socket: AnySocket,
    write: Coroutine[Any, Any, None],
    heard: Callable[[str | bytes], None] | None = None,
    viewer: Taking | None = None,
) -> None:
    """Accept; a task that hears, a task that writes; the end of one is the end of both. Never raises."""
    tasks: list[asyncio.Task[None]] = []
    try:
        await socket.accept()
        tasks = [asyncio.create_task(write), asyncio.create_task(_hear(socket, heard))]
        if viewer is not None:
            viewer.abort = tasks[0].cancel
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    except WebSocketDisconnect:
        pass
    finally:
        for task in tasks:
            task.cancel()
        if not tasks:
            write.close()  # it never began; a task's coroutine is the task's to end
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for problem in ended:
        if isinstance(problem, Exception) and not isinstance(problem, GONE):
            log.error("socket_failed", path=socket.url.path, exc_info=problem)


async def _hear(socket: AnySocket, heard: Callable[[str | bytes], None] | None) -> None:
    while (event := await socket.receive())["type"] == "websocket.receive":
        if heard is not None:
            heard(event.get("text") or event.get("bytes") or b"")


async def say(socket: AnySocket, body: bytes) -> None:
    """One message, as text."""
    await socket.send({"type": "websocket.send", "text": body.decode(), "bytes": None})


async def write_frames(socket: AnySocket, viewer: Taking) -> None:
    """Everything that the viewer gets, until it is closed."""
    try:
        while True:
            for frame in await viewer.take():
                await say(socket, frame.body)
    except ViewerClosed as closed:
        await socket.close(closed.code, str(closed))
    except PortError as problem:
        await say(socket, error_body(problem))
        await socket.close(1013, "try again later")


# ---------------------------------------------------------------------------------------------- SSE


def event_stream(viewer: Taking, epoch: Callable[[], bytes], leave: Callable[[], object]) -> Stream:
    """The answer that streams what the viewer gets; `leave` is called at its end."""
    viewer.keep_alive_s = KEEP_ALIVE_S
    return Stream(_sse(viewer, epoch, leave), media_type=_SSE, headers=_SSE_HEADERS)


async def _sse(
    viewer: Taking, epoch: Callable[[], bytes], leave: Callable[[], object]
) -> AsyncIterator[bytes]:
    task = asyncio.current_task()
    assert task is not None
    viewer.abort = task.cancel
    try:
        while True:
            for frame in await viewer.take():
                yield sse_frame(frame.body, epoch(), frame.offset)
    except ViewerClosed as closed:
        yield sse_frame(messages.error(503, "The stream is over", str(closed)), b"", 0)
    except PortError as problem:
        yield sse_frame(error_body(problem), b"", 0)
    finally:
        leave()


def sse_frame(body: bytes, epoch: bytes, offset: int) -> bytes:
    """One message as server-sent event; without a body, a sign of life."""
    if not body:
        return b": alive\n\n"
    if offset:
        return b"id: %b:%d\ndata: %b\n\n" % (epoch, offset, body)
    return b"data: %b\n\n" % body


def parse_event_id(text: str | None) -> tuple[str, int]:
    """Anything that is not ours is answered with resync and a snapshot."""
    if not text:
        return "", 0
    epoch, _, offset = text.rpartition(":")
    return (epoch, int(offset)) if epoch and offset.isascii() and offset.isdigit() else ("?", 0)


def error_body(problem: Exception, name: str = "") -> bytes:
    """The message that says it inside a stream; `name` is the subscription that it is about."""
    details = describe(problem)
    return messages.error(details.status, details.title, details.detail, details.type, name)
