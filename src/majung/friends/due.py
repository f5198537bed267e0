"""What is to be read: each thing once, in turn, several at a time, again when the storage did not answer.

There are two lines. What somebody has decided goes before everything else: when a thousand people connect at
once, taking consent back does not wait behind them.
"""

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
        self._first: dict[Key, bool] = {}
        self._later: dict[Key, bool] = {}
        self._doing = 0
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._first) + len(self._later) + self._doing

    def want(self, *key: str, flag: bool = False, first: bool = False) -> None:
        """Do this; what is wanted again before its turn is done once, with the flag if either has it.

        `first`: before all that is not.
        """
        if first or key in self._first:
            self._first[key] = self._first.get(key, False) or self._later.pop(key, False) or flag
        else:
            self._later[key] = self._later.get(key, False) or flag
        self._some.set()

    async def run(self) -> None:
        """Do what is wanted, until cancelled. Raises what is no PortError."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._first or self._later:
                await self._do_some()

    async def _do_some(self) -> None:
        line = self._first or self._later
        first = line is self._first
        keys = list(itertools.islice(line, AT_ONCE))
        jobs = [(key, line.pop(key)) for key in keys]
        self._doing = len(jobs)
        results = await asyncio.gather(*(self._do(*job) for job in jobs), return_exceptions=True)
        self._doing = 0
        problems = [result for result in results if isinstance(result, BaseException)]
        for (key, flag), result in zip(jobs, results, strict=True):
            if isinstance(result, BaseException):
                self.want(*key, flag=flag, first=first)
        for problem in problems:
            if not isinstance(problem, PortError):
                raise problem
        if problems:
            await asyncio.sleep(_RETRY_S)
