"""Many people and friendships at once: for benchmarks and for moving in from elsewhere.

Nobody is told of it: use it before servers start, or on a database that no server has open.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from majung.friends import store
from majung.friends.consent import Sharing
from majung.ports import Database, Transaction

_AT_ONCE = 100_000


async def add_people(
    database: Database,
    people: Sequence[tuple[str, str]],
    sharing: Sharing,
    radius_m: float,
    now_ms: int,
) -> list[int]:
    """Make people of (person_id, name), all with this decision for all friends; their numbers, in that order.

    Raises Conflict (an id or a name is there already), PortError.
    """

    def work(transaction: Transaction) -> list[int]:
        last = int(transaction.execute(store.TAKE_NUMBERS, {"many": len(people)})[0][0])
        numbers = list(range(last - len(people) + 1, last + 1))
        common: dict[str, Any] = {
            **store.sharing_params(sharing),
            "radius_m": radius_m,
            "now_ms": now_ms,
        }
        rows = (
            {**common, "number": number, "person_id": person_id, "name": name}
            for number, (person_id, name) in zip(numbers, people, strict=True)
        )
        transaction.execute_many(store.INSERT_PEOPLE, rows)
        return numbers

    return await database.write(work)


async def add_friendships(database: Database, pairs: Iterable[tuple[int, int]], now_ms: int) -> int:
    """Make friendships between numbers of `add_people`, both ways for each pair; how many.

    Fastest with pairs in ascending order, each named once. Raises Conflict (named twice), PortError.
    """
    made = 0
    rest = iter(pairs)
    while chunk := list(islice(rest, _AT_ONCE)):
        both = sorted(way for one, other in chunk for way in ((one, other), (other, one)))
        await database.write(lambda tx, both=both: _insert(tx, both, now_ms))  # type: ignore[misc]
        made += len(chunk)
    return made


def _insert(transaction: Transaction, ways: list[tuple[int, int]], now_ms: int) -> None:
    rows = ({"owner": owner, "viewer": viewer, "now_ms": now_ms} for owner, viewer in ways)
    transaction.execute_many(store.INSERT_TIE, rows)
