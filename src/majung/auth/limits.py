"""How often somebody may try: token buckets in bounded memory.

A bucket is one number, by the generic cell rate algorithm (ITU-T I.371, "virtual scheduling"): the time
at which the bucket will be full again. A bucket whose time has passed is full and need not be
remembered, so forgetting the one that was used longest ago is nearly always forgetting nothing.
"""

from collections import OrderedDict

from majung.clock import Clock

MAX_SUBJECTS = 200_000
EXEMPT = ("gateway:", "operator:", "admin:")
_MAX_KEY_CHARS = 300


class RateLimited(Exception):
    """Too much, too fast. `retry_after_s` says when it may work again; `str()` is safe to show."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimiter:
    """Buckets of `burst`, refilled with `rate_per_s`, one for each subject. Of one event loop.

    Subjects beginning with one of `exempt` are never limited: a gateway carries a whole fleet, bounded
    by back-pressure, and operators and administrators are one's own people and back ends.
    """

    def __init__(
        self,
        rate_per_s: float,
        burst: float,
        clock: Clock,
        max_subjects: int = MAX_SUBJECTS,
        exempt: tuple[str, ...] = EXEMPT,
    ) -> None:
        self._clock = clock
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._max_subjects = max_subjects
        self._exempt = exempt
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at_s)

    def take(self, subject: str, cost: float = 1.0) -> float:
        """Take `cost` out of the subject's bucket: 0.0, or the seconds to wait when nothing was taken.

        A cost above the burst needs a full bucket, and leaves it in debt.
        """
        if subject.startswith(self._exempt):
            return 0.0
        now_s = self._clock.monotonic_s()
        full_at_s = max(self._full_at_s.get(subject, now_s), now_s)
        wait_s = full_at_s - now_s - (self._burst - min(cost, self._burst)) / self._rate_per_s
        if wait_s > 1e-9:
            self._full_at_s.move_to_end(subject)  # who keeps knocking is not forgotten for it
            return wait_s
        self._full_at_s[subject] = full_at_s + cost / self._rate_per_s
        self._full_at_s.move_to_end(subject)
        if len(self._full_at_s) > self._max_subjects:
            self._full_at_s.popitem(last=False)
        return 0.0

    def demand(self, subject: str, cost: float = 1.0) -> None:
        """Take `cost`. Raises RateLimited."""
        if wait_s := self.take(subject, cost):
            raise RateLimited("too many requests for this credential", wait_s)

    def wait_s(self, subject: str) -> float:
        """How long until a cost of 1 would be allowed; takes nothing."""
        now_s = self._clock.monotonic_s()
        full_at_s = self._full_at_s.get(subject, now_s)
        return max(0.0, full_at_s - now_s - (self._burst - 1) / self._rate_per_s)

    def give_back(self, subject: str, cost: float = 1.0) -> None:
        """Undo a `take`: what was paid for did not happen."""
        full_at_s = self._full_at_s.get(subject)
        if full_at_s is not None:
            self._full_at_s[subject] = full_at_s - cost / self._rate_per_s


class FailureLimits:
    """What stands between a guesser and the passwords: failed attempts per name and address, per address.

    An attempt pays before it is tried, and gets its payment back when it succeeds; so a hundred guesses
    at once are counted as a hundred. Nobody can lock a name for other addresses.
    """

    def __init__(self, clock: Clock) -> None:
        self._by_name = RateLimiter(1 / 6, 10, clock)
        self._by_remote = RateLimiter(2, 200, clock)
        self._lookups = RateLimiter(50, 1000, clock)

    def start_sign_in(self, name: str, remote: str) -> None:
        """Pay for an attempt. Raises RateLimited."""
        key = f"{remote}\0{name}"[:_MAX_KEY_CHARS]
        if wait_s := self._by_remote.take(remote):
            raise _too_many(wait_s)
        if wait_s := self._by_name.take(key):
            self._by_remote.give_back(remote)
            raise _too_many(wait_s)

    def signed_in(self, name: str, remote: str) -> None:
        """The attempt was right."""
        self._by_remote.give_back(remote)
        self._by_name.give_back(f"{remote}\0{name}"[:_MAX_KEY_CHARS])

    def check_lookup(self, remote: str) -> None:
        """Before an unknown token is looked up. Raises RateLimited after too many wrong ones."""
        if remote and (wait_s := self._lookups.wait_s(remote)):
            raise _too_many(wait_s)

    def lookup_failed(self, remote: str) -> None:
        """A token was wrong. It cannot be guessed; what is limited is the work."""
        if remote:
            self._lookups.take(remote)


def _too_many(wait_s: float) -> RateLimited:
    return RateLimited("too many failed sign-ins; try again later", wait_s)
