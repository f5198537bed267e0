"""Background work that is seen when it dies.

A bare `asyncio.create_task` swallows an exception until somebody awaits the task. A `Supervisor`
logs it, counts it, starts the work again after a pause that grows, and knows what is down, so that
`/readyz` can say it.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger("majung.tasks")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0


class Supervisor:
    """Runs named coroutines until `stop`. Owned by one event loop; not thread-safe."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.deaths: dict[str, int] = {}
        self.down: set[str] = set()

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work()` in the background; when it raises, report it and run it again.

        Work that returns is finished and is not run again.
        """
        if name in self._tasks:
            raise ValueError(f"a task named {name!r} runs already")
        self._tasks[name] = asyncio.create_task(self._run(name, work), name=name)

    async def _run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            started = asyncio.get_running_loop().time()
            try:
                self.down.discard(name)
                await work()
                return
            except asyncio.CancelledError:
                raise
            except Exception:
                self.deaths[name] = self.deaths.get(name, 0) + 1
                self.down.add(name)
                log.exception("task_died", task=name, deaths=self.deaths[name])
            if asyncio.get_running_loop().time() - started > _LONGEST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def stop(self, name: str) -> None:
        """Cancel one task and wait until it has ended."""
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def stop_all(self) -> None:
        """Cancel everything, last started first, and wait until all has ended."""
        for name in reversed(list(self._tasks)):
            await self.stop(name)
