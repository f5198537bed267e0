"""Quarantine: fixes that were set aside, readable by an operator for a while.

The log holds them durably (`loc.quarantine.v1`); this consumer files them into the database, once each
(the id is made of partition and offset), and keeps the table within its bounds.
"""

import msgspec

from majung.clock import Clock
from majung.consuming import decoded, follow
from majung.ports import Database, Log, LogRecord, Row, Transaction
from majung.positions.ingest import QUARANTINE_TOPIC
from majung.positions.model import Quarantined
from majung.settings import PositionSettings

GROUP = "quarantine"
_PARTITIONS_MAX = 256
_BATCH = 500
_LINGER_S = 0.2
_decode = msgspec.msgpack.Decoder(Quarantined).decode

INSERT = """
INSERT INTO quarantine (id, received_at_ms, rider_id, principal, door, reason, detail, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
SELECT = "SELECT id, received_at_ms, rider_id, principal, door, reason, detail, payload FROM quarantine"
# One condition for each filter that is given: `:x IS NULL OR …` would keep SQLite from its indexes.
# Ids grow within a partition only, so what is newest is a matter of time.
FILTERS = {
    "before_id": "(received_at_ms, id) < (SELECT received_at_ms, id FROM quarantine WHERE id = :before_id)",
    "reason": "reason = :reason",
    "rider_id": "rider_id = :rider_id",
}
NEWEST_FIRST = "ORDER BY received_at_ms DESC, id DESC LIMIT :limit"
COUNT_BY_REASON = "SELECT reason, COUNT(*) FROM quarantine GROUP BY reason ORDER BY 2 DESC, 1"
DELETE_OLD = "DELETE FROM quarantine WHERE received_at_ms < ?"
DELETE_EXCESS = """
DELETE FROM quarantine WHERE (received_at_ms, id) <=
    (SELECT received_at_ms, id FROM quarantine ORDER BY received_at_ms DESC, id DESC LIMIT 1 OFFSET ?)
"""


class QuarantineItem(msgspec.Struct, frozen=True):
    """One quarantined fix as an operator reads it; `payload` is what came, cut to 2 KiB."""

    id: int
    received_at_ms: int
    rider_id: str
    principal: str
    door: str
    reason: str
    detail: str
    payload: str


def _readable(row: Row) -> Row:
    """The payload is whatever came; shown as text, with what is no UTF-8 escaped."""
    return (*row[:-1], bytes(row[-1]).decode("utf-8", "backslashreplace"))


class QuarantineStore:
    """Files quarantined fixes and lists them."""

    def __init__(self, log_port: Log, database: Database, clock: Clock, settings: PositionSettings) -> None:
        self._log = log_port
        self._database = database
        self._clock = clock
        self._settings = settings

    async def run(self) -> None:
        """Consume `loc.quarantine.v1` until cancelled."""
        await follow(self._log, QUARANTINE_TOPIC, GROUP, self._file, _BATCH, _LINGER_S)

    async def _file(self, records: list[LogRecord]) -> None:
        rows = [
            (record.offset * _PARTITIONS_MAX + record.partition, *msgspec.structs.astuple(item))
            for record, item in decoded(QUARANTINE_TOPIC, records, _decode)
        ]
        await self._database.write(lambda tx: tx.execute_many(INSERT, rows))

    async def items(
        self, limit: int, before_id: int | None = None, reason: str | None = None, rider_id: str | None = None
    ) -> list[QuarantineItem]:
        """Newest first; `before_id`, the last id of the page before, continues a listing.

        When that one has been dropped meanwhile, so has everything older.
        """
        asked = {"before_id": before_id, "reason": reason, "rider_id": rider_id}
        params = {name: value for name, value in asked.items() if value is not None}
        where = " AND ".join(FILTERS[name] for name in params)
        statement = f"{SELECT} {'WHERE ' + where if where else ''} {NEWEST_FIRST}"
        rows = await self._database.read(statement, {**params, "limit": limit})
        return [QuarantineItem(*_readable(row)) for row in rows]

    async def reasons(self) -> dict[str, int]:
        """How many of each reason are held."""
        return {str(reason): int(count) for reason, count in await self._database.read(COUNT_BY_REASON)}

    async def drop_old(self) -> None:
        """Keep the table within `quarantine_keep_for` and `quarantine_max`."""
        before_ms = self._clock.now_ms() - int(self._settings.quarantine_keep_for.total_seconds() * 1000)

        def work(tx: Transaction) -> None:
            tx.execute(DELETE_OLD, (before_ms,))
            tx.execute(DELETE_EXCESS, (self._settings.quarantine_max,))

        await self._database.write(work)
