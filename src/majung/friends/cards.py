"""Which of its friends' names and faces a phone has been told lately.

A phone that asks over HTTP says nothing of what it shows. It forgets cards when its app starts anew, so they
must come again; they are three times as long as a place, so they need not come each time. They come when
somebody is near who was not there the last time, and at least each ten minutes.
"""

from collections import OrderedDict
from collections.abc import Collection

from majung.clock import Clock

AGAIN_AFTER_S = 600.0
MAX_PHONES = 65_536


class Cards:
    """One for each server; belongs to its event loop. What is forgotten is only told again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: OrderedDict[str, tuple[float, frozenset[str]]] = OrderedDict()

    def are_due(self, phone: str, person_ids: Collection[str]) -> bool:
        """Whether this phone is to be told the cards of these now; the answer is remembered as done."""
        now_s = self._clock.monotonic_s()
        told = self._told.get(phone)
        if not person_ids or (told and now_s < told[0] and told[1].issuperset(person_ids)):
            return False
        self._told[phone] = now_s + AGAIN_AFTER_S, frozenset(person_ids)
        self._told.move_to_end(phone)
        if len(self._told) > MAX_PHONES:
            self._told.popitem(last=False)
        return True
