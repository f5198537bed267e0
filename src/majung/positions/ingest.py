"""The use case behind every door in: check, append, and only then acknowledge.

Doors parse and authenticate, call `Ingest.submit`, await what it returns, and answer. Whatever the
answer of a protocol looks like, this is the one place where a position becomes durable.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from majung.auth.model import Forbidden, Principal
from majung.auth.policy import Action, may, may_report
from majung.clock import Clock
from majung.observe.ledger import Ledger
from majung.ports import Log, PortError
from majung.positions.check import check
from majung.positions.model import PERSON_PREFIX, Position, Quarantined, Reason, Rejection
from majung.settings import PositionSettings

POSITIONS_TOPIC = "loc.positions.v1"
QUARANTINE_TOPIC = "loc.quarantine.v1"
MAX_QUARANTINED_PAYLOAD = 2048

_encode = msgspec.msgpack.Encoder().encode


class Ingest:
    """Takes positions from doors. One for each server; belongs to its event loop."""

    def __init__(self, log: Log, clock: Clock, settings: PositionSettings, ledger: Ledger) -> None:
        self._log = log
        self._clock = clock
        self._settings = settings
        self._ledger = ledger

    def now_ms(self) -> int:
        """The time of receipt that doors write into positions."""
        return self._clock.now_ms()

    async def ready(self) -> None:
        """Back-pressure: doors await this before they read more from a device."""
        await self._log.writable()

    def submit(self, principal: Principal, positions: Sequence[Position]) -> "asyncio.Future[None]":
        """Check each position and append it: to the log of positions, or to quarantine with a reason.

        Await the future before acknowledging: it is done when all of them are durable. Raises
        `Forbidden` (a device reporting for another rider: quarantined as well, for the operator to
        see; a gateway reporting for a person is not stopped by it, lest one id hold up a fleet) and
        `Overloaded`; the future raises `StorageFull` or `PortError`. In each of these cases
        nothing may be acknowledged.
        """
        good: list[tuple[str, bytes]] = []
        bad: list[tuple[str, bytes]] = []
        stranger = ""
        for position in positions:
            if not may_report(principal, position.rider_id):
                rejection: Rejection | None = Rejection(
                    Reason.NOT_YOURS, f"{principal.subject} may not report for this rider"
                )
                stranger = "" if may(principal, Action.REPORT_ANY) else position.rider_id
            else:
                rejection = check(position, self._settings)
            if rejection is None:
                good.append((position.rider_id, _encode(position)))
            else:
                bad.append(self._set_aside(principal, position, rejection))
        self._ledger.received(len(positions))
        future = self._append(good, bad)
        if stranger:
            raise Forbidden(f"this credential may not report for rider {stranger[:64]!r}")
        return future

    def quarantine(
        self, principal: Principal, door: str, payload: bytes, reason: Reason, detail: str, rider_id: str = ""
    ) -> "asyncio.Future[None]":
        """Set aside what could not even be read as a position. Await before answering, as with submit."""
        self._ledger.received(1)
        entry = Quarantined(
            received_at_ms=self._clock.now_ms(),
            rider_id=rider_id or principal.rider_id,
            principal=principal.subject,
            door=door,
            reason=reason,
            detail=detail[:500],
            payload=payload[:MAX_QUARANTINED_PAYLOAD],
        )
        return self._append([], [_of_nobody(principal, entry)])

    def _set_aside(self, principal: Principal, position: Position, why: Rejection) -> tuple[str, bytes]:
        entry = Quarantined(
            received_at_ms=position.received_at_ms,
            rider_id=position.rider_id[:128],
            principal=principal.subject,
            door=position.door,
            reason=why.reason,
            detail=why.detail[:500],
            payload=msgspec.json.encode(msgspec.structs.asdict(position))[:MAX_QUARANTINED_PAYLOAD],
        )
        return _of_nobody(principal, entry)

    def _append(self, good: list[tuple[str, bytes]], bad: list[tuple[str, bytes]]) -> "asyncio.Future[None]":
        try:
            future = self._log.append(POSITIONS_TOPIC, good) if good or not bad else None
            if bad:
                # Appends that come together share one commit, so both are durable at the same moment.
                future = self._log.append(QUARANTINE_TOPIC, bad)
        except PortError:
            self._ledger.refused(len(good) + len(bad))
            raise
        assert future is not None
        self._ledger.pending(future, accepted=len(good), quarantined=len(bad))
        return future


def _of_nobody(principal: Principal, entry: Quarantined) -> tuple[str, bytes]:
    """Key and record for the log; of a person only that something came, by which door, and why not.

    Operators read quarantine, and a person's place, or which person it was, is not theirs to know.
    """
    if PERSON_PREFIX in (entry.rider_id[: len(PERSON_PREFIX)], principal.rider_id[: len(PERSON_PREFIX)]):
        hidden = {"rider_id": "", "principal": "person", "detail": "a person's: not shown", "payload": b""}
        entry = msgspec.structs.replace(entry, **hidden)
    return entry.rider_id, _encode(entry)
