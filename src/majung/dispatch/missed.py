"""Who lets offers run out: a phone in a drawer must not cost every order its fifteen seconds."""

MISSED_OFFERS = "missed_offers"


class Missed:
    """Offers in a row that ran out without any answer, by rider; `at_most` of them and it is enough (0: never).

    In memory: a restart begins to count anew, which costs some orders one more wait each. At most one entry
    for each rider.
    """

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._count: dict[str, int] = {}
        self._taken_off: set[str] = set()

    def ran_out(self, rider_id: str) -> bool:
        """An offer ran out; whether it is enough."""
        self._count[rider_id] = self._count.get(rider_id, 0) + 1
        return 0 < self._at_most <= self._count[rider_id]

    def heard(self, rider_id: str) -> None:
        """The rider did something: whatever it was, somebody looks at the phone."""
        self._count.pop(rider_id, None)
        self._taken_off.discard(rider_id)

    def take_off(self, rider_id: str) -> None:
        """It was enough: off duty, and told why until it is heard again."""
        self._taken_off.add(rider_id)

    def why(self, rider_id: str) -> str:
        """`RiderStanding.off_because`."""
        return MISSED_OFFERS if rider_id in self._taken_off else ""
