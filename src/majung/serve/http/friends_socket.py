"""A person's stream over a lean socket: positions in, friends out.

What its frames mean is told elsewhere, and once: positions and their answers in `wire.websocket_in`, taken in by
`intake` as on `/v1/positions/stream`; friends in `friends.viewer`. Here is only the pace. Friends are said when
the socket has taken what was said before. Of positions at most `MAX_IN_FLIGHT` frames are on their way to the
disk; past that, and while the log has no room or the person is over its rate, nothing is read.
"""

import asyncio
from collections import deque

from majung.auth.model import Principal
from majung.friends.viewer import FriendViewer
from majung.live.viewer import ViewerClosed
from majung.ports import Overloaded
from majung.serve.http.intake import Taken, close_code, take_frame
from majung.serve.http.lean_socket import LeanSocket, frame, take_over
from majung.serve.http.problems import describe
from majung.services import Services
from majung.wire import websocket_in

MAX_IN_FLIGHT = 64

_Message = tuple[bytes, bool]


class FriendSocket:
    """One connection. Made when the handshake is accepted; ends itself, and then its viewer."""

    __slots__ = ("_held", "_on_the_way", "_principal", "_room", "_services", "_socket", "_viewer")

    def __init__(self, scope: object, services: Services, principal: Principal, viewer: FriendViewer) -> None:
        self._services = services
        self._principal = principal
        self._viewer = viewer
        self._held: deque[_Message] | None = None  # read, and not taken in yet; None: nothing is held back
        self._on_the_way: deque[Taken] = deque()
        self._room: asyncio.Task[None] | None = None
        self._socket: LeanSocket = take_over(scope, self)
        viewer.abort = self._socket.abort
        viewer.serve(self._tell)

    # ------------------------------------------------------------------------------------ friends

    def _tell(self) -> None:
        """The viewer has something to say."""
        if self._socket.full and not self._viewer.closed:
            return  # `writable` comes
        try:
            bodies = self._viewer.drain()
        except ViewerClosed as closed:
            self._socket.close(closed.code, str(closed))
            return
        if bodies and not self._socket.send(b"".join([frame(body) for body in bodies])):
            self._viewer.sending_since_s = self._viewer.flushed_s

    def writable(self) -> None:
        """The socket has taken what was said."""
        self._viewer.sending_since_s = None
        if self._viewer.due:
            self._tell()

    def lost(self) -> None:
        """The person has gone."""
        self._services.friends.nearby.leave(self._viewer)

    # ---------------------------------------------------------------------------------- positions

    def heard(self, message: bytes, is_text: bool) -> None:
        """A frame of positions."""
        if self._held is not None:
            self._held.append((message, is_text))
        elif not self._take(message, is_text):
            self._held = deque([(message, is_text)])
            self._socket.read(False)

    def _take(self, message: bytes, is_text: bool) -> bool:
        """Take a frame in; False: not now, `_go_on` comes."""
        services, principal = self._services, self._principal
        if len(self._on_the_way) >= MAX_IN_FLIGHT:
            return False
        decoded = websocket_in.decode(message, is_text, principal.rider_id, services.ingest.now_ms())
        cost = max(1, len(decoded))
        wait_s = services.limiter.take(principal.subject, cost)
        if wait_s:
            asyncio.get_running_loop().call_later(wait_s, self._go_on)
            return False
        try:
            taken = take_frame(services.ingest, principal, decoded)
        except Overloaded:
            services.limiter.give_back(principal.subject, cost)
            self._wait_for_room()
            return False
        except Exception as problem:
            self._fail(problem)
            return True
        self._on_the_way.append(taken)
        for commit in taken.commits:
            commit.add_done_callback(self._answer)
        return True

    def _wait_for_room(self) -> None:
        self._room = asyncio.create_task(self._services.ingest.ready())
        self._room.add_done_callback(self._go_on)

    def _go_on(self, _: object = None) -> None:
        """Take in what was held back, and read again when that is done."""
        while self._held:
            if not self._take(*self._held[0]):
                return
            self._held.popleft()
        if self._held is not None:
            self._held = None
            self._socket.read(True)

    def _answer(self, _: object) -> None:
        """Some commits are done: acknowledge, in order."""
        seq: int | None = None
        frames: list[bytes] = []
        while self._on_the_way and all(commit.done() for commit in self._on_the_way[0].commits):
            taken = self._on_the_way.popleft()
            problem = next((found for commit in taken.commits if (found := commit.exception())), None)
            if problem is not None:
                self._fail(problem)
                return
            seq = seq if taken.seq is None else taken.seq
            if taken.error is not None:
                frames += [] if seq is None else [frame(websocket_in.encode_ack(seq))]
                frames.append(frame(websocket_in.encode_error(taken.error)))
                seq = None
        if seq is not None:
            frames.append(frame(websocket_in.encode_ack(seq)))
        if frames:
            self._socket.send(b"".join(frames))
            if self._held is not None and len(self._on_the_way) < MAX_IN_FLIGHT // 2:
                self._go_on()

    def _fail(self, problem: BaseException) -> None:
        """What cannot be acknowledged ends the connection, with the reason; the phone comes again."""
        known = problem if isinstance(problem, Exception) else RuntimeError(repr(problem))
        error = describe(known)
        self._socket.send(frame(websocket_in.encode_error(error)))
        self._socket.close(close_code(known), error.title)
