"""Password hashes (argon2id), made and checked in a thread of their own.

Parameters: 19 MiB, 2 passes, 1 lane, the first choice of the OWASP Password Storage Cheat Sheet; about
30 ms of one core. Half of the cores at most hash at once, and a bounded number of sign-ins wait: a
flood of them makes sign-in slow and then refused, and touches nothing else.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from majung.ports import Overloaded

T = TypeVar("T")

MIN_CHARS = 8
MAX_CHARS = 1024
MAX_WAITING = 64


class Passwords:
    """Hashes and checks passwords. Belongs to one event loop."""

    def __init__(self, hasher: PasswordHasher | None = None, max_waiting: int = MAX_WAITING) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._threads = ThreadPoolExecutor(max(1, (os.cpu_count() or 2) // 2), "majung-argon2")
        self._max_waiting = max_waiting
        self._waiting = 0
        self._decoy = ""

    async def hash(self, password: str) -> str:
        """The hash to store. Raises ValueError for a password that is too short or too long, Overloaded."""
        if not MIN_CHARS <= len(password) <= MAX_CHARS:
            raise ValueError(f"a password has {MIN_CHARS} to {MAX_CHARS} characters")
        return await self._run(lambda: self._hasher.hash(_bytes(password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password belongs to the stored hash. Raises Overloaded.

        None (there is no such account) takes the same path and time, against a decoy.
        """
        return await self._run(lambda: self._verify(stored, password))

    def is_old(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Stop the threads; what waits is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, stored: str | None, password: str) -> bool:
        if not self._decoy:
            self._decoy = self._hasher.hash(os.urandom(16))
        try:
            self._hasher.verify(stored or self._decoy, _bytes(password[:MAX_CHARS]))
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None and len(password) <= MAX_CHARS

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._max_waiting:
            raise Overloaded("too many sign-ins at once; try again in a few seconds")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
