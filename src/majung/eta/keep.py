"""How arrivals outlive the process: one transaction for the orders, what was learned, the records and the offsets."""

from collections.abc import Mapping, Sequence

import msgspec
import structlog

from majung.eta import store as sql
from majung.eta.book import MAX_ENDED, Book
from majung.eta.errors import AIMED_INSIDE
from majung.eta.learned import Learned
from majung.eta.model import PROMISED, Calibration, Stage, StageCalibration, Tracked
from majung.ports import Database, Transaction

log = structlog.get_logger("majung.eta")

MAX_RECORDS = 200_000
_STAGES = (PROMISED, *Stage)
_decode = msgspec.json.Decoder(Tracked).decode
_encode = msgspec.json.Encoder().encode

Record = dict[str, str | int]


async def load(database: Database, book: Book, learned: Learned) -> dict[int, int]:
    """Fill an empty book and what was learned; the offsets that they came from. Raises PortError."""
    rows = await database.read(sql.SELECT_LEARNED)
    learned.load((str(name), str(body).encode()) for name, body in rows)
    for row in await database.read(sql.SELECT_OPEN):
        try:
            book.put(_decode(row[0]))
        except msgspec.DecodeError as problem:  # its next event says all that matters again
            log.warning("order_unreadable", problem=str(problem))
    ended = await database.read(sql.SELECT_ENDED, {"limit": MAX_ENDED})
    book.put_ended((str(order_id), int(at_ms)) for order_id, at_ms in reversed(ended))
    book.unsaved.clear()
    return {int(part): int(offset) for part, offset in await database.read(sql.SELECT_OFFSETS)}


class Keeper:
    """Writes what changed since the last time."""

    def __init__(self, database: Database, book: Book, learned: Learned) -> None:
        self._database = database
        self._book = book
        self._learned = learned
        self._records: list[Record] = []

    def delivered(self, tracked: Tracked) -> list[str]:
        """Keep what was predicted of it against what happened: inside, early or later, for each stage."""
        arrived_ms, outcomes = tracked.order.ended_at_ms, []
        for name, sample in tracked.samples.items():
            early = "early" if arrived_ms < sample.earliest_ms else "later"
            inside = sample.earliest_ms <= arrived_ms <= sample.latest_ms
            outcomes.append("inside" if inside else early)
            self._records.append(
                {
                    "order_id": tracked.order.order_id,
                    "stage": str(name),
                    "predicted_ms": sample.predicted_ms,
                    "at_ms": sample.at_ms,
                    "earliest_ms": sample.earliest_ms,
                    "latest_ms": sample.latest_ms,
                    "arrived_ms": arrived_ms,
                }
            )
        del self._records[:-MAX_RECORDS]
        return outcomes

    async def save(self, offsets: Mapping[int, int], now_ms: int) -> None:
        """All of it or nothing, and nothing is lost for the next time. Raises PortError."""
        unsaved, self._book.unsaved = self._book.unsaved, set()
        records, self._records = self._records, []
        parts = self._learned.take_changed()
        if not (unsaved or records or parts):
            return
        rows = [self._row(order_id, now_ms) for order_id in sorted(unsaved)]
        learned = [{"name": name, "document": body.decode(), "now_ms": now_ms} for name, body in parts]
        reached = [{"part": part, "next_offset": offset} for part, offset in offsets.items()]

        def work(tx: Transaction) -> None:
            tx.execute_many(sql.UPSERT_ORDER, rows)
            tx.execute_many(sql.INSERT_RECORD, records)
            tx.execute_many(sql.UPSERT_LEARNED, learned)
            tx.execute_many(sql.UPSERT_OFFSET, reached)

        try:
            await self._database.write(work)
        except BaseException:
            self._book.unsaved |= unsaved
            self._records = [*records, *self._records]
            self._learned.changed_again(name for name, _ in parts)
            raise

    def _row(self, order_id: str, now_ms: int) -> Record:
        tracked = self._book.open.get(order_id)
        if tracked is None:
            ended_at_ms = self._book.ended.get(order_id) or now_ms
            return {"order_id": order_id, "version": 0, "ended_at_ms": ended_at_ms, "document": ""}
        document = _encode(tracked).decode()
        version = tracked.order.version
        return {"order_id": order_id, "version": version, "ended_at_ms": 0, "document": document}

    async def drop(self, ended_before_ms: int, records_before_ms: int) -> None:
        """Forget ended orders, and records and parts that did not change, from before. Raises PortError."""

        def work(tx: Transaction) -> None:
            tx.execute(sql.DELETE_ENDED, {"before_ms": ended_before_ms})
            tx.execute(sql.DELETE_RECORDS, {"before_ms": records_before_ms})
            tx.execute(sql.DELETE_LEARNED, {"before_ms": records_before_ms})

        await self._database.write(work)


async def calibration(database: Database, since_ms: int) -> Calibration:
    """What was shown against what happened, of the orders delivered since. Raises PortError."""
    found: Sequence[tuple[object, ...]] = await database.read(sql.CALIBRATION, {"since_ms": since_ms})
    rows = {str(row[0]): [float(str(value)) for value in row[1:]] for row in found}
    stages = []
    for stage in _STAGES:
        if stage in rows:
            n, inside, early, later, error_ms, abs_error_ms, width_ms = rows[stage]
            stages.append(
                StageCalibration(
                    stage=str(stage),
                    n=int(n),
                    inside=round(inside, 4),
                    early=round(early, 4),
                    later=round(later, 4),
                    mean_error_s=round(error_ms / 1000, 1),
                    mean_abs_error_s=round(abs_error_ms / 1000, 1),
                    mean_width_s=round(width_ms / 1000, 1),
                )
            )
    return Calibration(since_ms, round(AIMED_INSIDE, 2), stages)
