"""The one thread that writes the log, and what gathers for it between two commits."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from majung.backends.embedded.log_segment import Record, Stream

T = TypeVar("T")
Done = Callable[[Any, BaseException | None], None]


class Acknowledgement(asyncio.Future[None]):
    """Done when a group is durable. Shared by everybody whose records are in it.

    A task that is cancelled cancels what it awaits; here that would take the acknowledgement from all the
    others. So it cannot be cancelled: the task learns of its cancellation when the commit is over.
    """

    def cancel(self, msg: Any | None = None) -> bool:
        """Do nothing, and say so."""
        return False


class OpenGroup:
    """Records that will share one commit."""

    __slots__ = ("count", "due", "future", "records", "size_bytes")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future = Acknowledgement(loop=loop)
        self.records: dict[Stream, list[Record]] = {}
        self.count = 0
        self.size_bytes = 0
        self.due = False


class WriterThread:
    """Runs what it is given one after the other; answers arrive in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T], done: Done) -> None:
        """Run `work()` in the thread, then `done(result, error)` in the loop."""
        self._jobs.put((work, done))

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work()` in the thread and return what it returns."""
        answer: asyncio.Future[T] = self._loop.create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)

        self.submit(work, done)
        return await answer

    async def stop(self) -> None:
        """Finish what was given, then end the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done = job
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:  # It is raised in the loop.
                error = raised
            try:
                self._loop.call_soon_threadsafe(done, result, error)
            except RuntimeError:
                return  # The loop is closed: nobody waits for an answer any more.
