"""What is to be read: each thing once, in turn, several at a time, again when the storage did not answer."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from majung.ports import PortError

AT_ONCE = 16
_RETRY_S = 0.5

Key = tuple[str, ...]


class Due:
    """A queue of keys, each with a flag. Bounded by what there are keys for. Belongs to one event loop."""

    def __init__(self, do: Callable[[Key, bool], Awaitable[None]]) -> None:
        """`do` is awaited with each key and its flag; when it raises PortError, again later."""
        self._do = do
        self._flags: dict[Key, bool] = {}
        self._doing = 0
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._flags) + self._doing

    def want(self, *key: str, flag: bool = False) -> None:
        """Do this; what is wanted again before its turn is done once, with the flag if either has it."""
        self._flags[key] = self._flags.get(key, False) or flag
        self._some.set()

    async def run(self) -> None:
        """Do what is wanted, until cancelled. Raises what is no PortError."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._flags:
                await self._do_some()

    async def _do_some(self) -> None:
        keys = list(itertools.islice(self._flags, AT_ONCE))
        jobs = [(key, self._flags.pop(key)) for key in keys]
        self._doing = len(jobs)
        results = await asyncio.gather(*(self._do(*job) for job in jobs), return_exceptions=True)
        self._doing = 0
        problems = [result for result in results if isinstance(result, BaseException)]
        for (key, flag), result in zip(jobs, results, strict=True):
            if isinstance(result, BaseException):
                self.want(*key, flag=flag)
        for problem in problems:
            if not isinstance(problem, PortError):
                raise problem
        if problems:
            await asyncio.sleep(_RETRY_S)
