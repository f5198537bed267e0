"""The steps that every acknowledged position takes, in one visible tuple.

Each fills in its part of a `Batch`; `pipeline` takes one batch after the other through them.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
import structlog

from majung.ports import LogRecord
from majung.positions import dedupe as dedupe_rules
from majung.positions import plausible
from majung.positions.model import PERSON, Mark, Position, StoredPosition, is_person
from majung.positions.state import as_live
from majung.positions.triggers import RiderEvent

if TYPE_CHECKING:
    from majung.positions.pipeline import Pipeline

log = structlog.get_logger("majung.pipeline")

_decode_position = msgspec.msgpack.Decoder(Position).decode


class Batch:
    """What flows through the steps: each fills in its part."""

    __slots__ = ("events", "fresh", "marks", "positions", "records", "replayed")

    def __init__(self, records: list[LogRecord], replayed: bool) -> None:
        self.records = records
        self.replayed = replayed
        self.positions: list[Position] = []
        self.fresh: list[Position] = []
        self.marks: list[Mark] = []
        self.events: list[RiderEvent] = []


async def decode(core: "Pipeline", batch: Batch) -> None:
    """Bytes of the log → positions. What cannot be read is counted and reported, and holds nobody up.

    What was erased (`erase.py`) is passed over.
    """
    counts, erased = core.ledger.consumer, core.erasures.covers
    for record in batch.records:
        try:
            position = _decode_position(record.value)
        except msgspec.DecodeError as problem:
            counts.undecodable += 1
            log.error("undecodable", partition=record.partition, offset=record.offset, problem=str(problem))
            continue
        if erased(position):
            counts.erased += 1
        else:
            batch.positions.append(position)


async def recall(core: "Pipeline", batch: Batch) -> None:
    """Have the state of every rider of the batch at hand."""
    await core.memory.recall(position.rider_id for position in batch.positions)


async def dedupe(core: "Pipeline", batch: Batch) -> None:
    """Drop what was seen before: same rider, session and seq."""
    memory, max_sessions = core.memory, core.settings.max_sessions
    for position in batch.positions:
        state = memory.states[position.rider_id]
        if dedupe_rules.is_new(state.sessions, position.session_id, position.seq, max_sessions):
            batch.fresh.append(position)
            memory.touch(position.rider_id)
    core.ledger.consumer.deduplicated += len(batch.positions) - len(batch.fresh)


async def judge(core: "Pipeline", batch: Batch) -> None:
    """Mark what the vehicle cannot have done, and what is older than the marker."""
    states, settings = core.memory.states, core.settings
    batch.marks = [
        (plausible.judge_person if is_person(p) else plausible.judge)(states[p.rider_id], p, settings)
        for p in batch.fresh
    ]


async def store(core: "Pipeline", batch: Batch) -> None:
    """Write history, once for each identity; durable when this returns."""
    if not batch.fresh:
        return
    rows = [StoredPosition(position, mark) for position, mark in zip(batch.fresh, batch.marks, strict=True)]
    stored = await core.until_stored(lambda: core.history.append(rows))
    assert isinstance(stored, list)
    counts = core.ledger.consumer
    for mark, is_new in zip(batch.marks, stored, strict=True):
        if not is_new and not batch.replayed:
            counts.deduplicated += 1
            continue
        counts.stored += 1
        if mark is Mark.PLAIN:
            counts.shown += 1
        elif mark is Mark.LATE:
            counts.late += 1
        else:
            counts.marked += 1


async def trigger(core: "Pipeline", batch: Batch) -> None:
    """Fences, nearness, back from silence: events out of plain positions of riders, stored before they are told."""
    if not core.triggers.active():
        return
    for position, mark in zip(batch.fresh, batch.marks, strict=True):
        if is_person(position):
            continue
        state = core.memory.states[position.rider_id]
        if state.fences is None:
            state.fences = core.triggers.new_state()
        rule = core.triggers.step if mark is Mark.PLAIN else core.triggers.hear
        batch.events += rule(state.fences, position)
    await core.announce_events(batch.events)


async def show(core: "Pipeline", batch: Batch) -> None:
    """Move the markers: the live index first, then everybody who watches; people are shown to friends alone."""
    newest = {
        position.rider_id: position
        for position, mark in zip(batch.fresh, batch.marks, strict=True)
        if mark is Mark.PLAIN
    }
    if newest:
        shown = [as_live(position) for position in newest.values()]
        await core.live.put(shown)
        core.hub.publish([position for position in shown if position.kind != PERSON])
        if people := [position for position in shown if position.kind == PERSON]:
            for listener in core.people_listeners:
                listener(people)


STEPS: tuple[Callable[["Pipeline", Batch], Awaitable[None]], ...] = (
    decode,
    recall,
    dedupe,
    judge,
    store,
    trigger,
    show,
)
