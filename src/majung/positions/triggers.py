"""Events out of positions: enter, exit, dwell, near, silent, back. Pure rules, no I/O.

A phone that lies still jumps 200 m while it reports an accuracy of 2 m. So a crossing counts only when it
lasts: over so many fixes *and* so many seconds of device time, without a fix that says the opposite. Fixes
too near to the edge for their accuracy say nothing either way. Late fixes never trigger.

Every event has an id made of its cause, so doing a batch again after a crash gives the same events, and
storing them by id makes them happen once.

The state of a rider travels with its checkpoint (`FenceStates`); `Triggers` itself can be thrown away and
is filled again by `remember`.
"""

from collections import OrderedDict
from enum import StrEnum
from hashlib import blake2b

import msgspec

from majung.positions.boxes import BoxIndex
from majung.positions.fence_model import Fence
from majung.positions.model import Position
from majung.positions.shapes import Shape, compile_shape
from majung.positions.standing import Crossing, FenceStates, KnownFence, Standing, cause_of, cross
from majung.settings import TriggerSettings

__all__ = ["EventKind", "FenceStates", "RiderEvent", "Triggers", "event_id_of"]


class EventKind(StrEnum):
    """What happened. The values are part of the API."""

    ENTER = "enter"
    EXIT = "exit"
    DWELL = "dwell"
    NEAR = "near"
    SILENT = "silent"
    BACK = "back"


class RiderEvent(msgspec.Struct, frozen=True, gc=False):
    """Something happened to a rider. `event_id` is the same however often the cause is processed.

    `at_ms` is the device time of the first fix that showed it; for silent and back it is the server's time.
    `fence_id` is empty for silent and back. Degrees are where the rider was.
    """

    event_id: str
    rider_id: str
    kind: str
    fence_id: str
    fence_name: str
    at_ms: int
    latitude: float
    longitude: float


def event_id_of(rider_id: str, fence_id: str, kind: str, cause: str) -> str:
    """32 hexadecimal digits that depend on nothing but the cause."""
    text = "\0".join((rider_id, fence_id, kind, cause))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Triggers:
    """The rules of one server. `put` and `remove` take effect with the next position or tick."""

    def __init__(self, settings: TriggerSettings | None = None) -> None:
        self._settings = settings or TriggerSettings()
        self._silent_ms = round(self._settings.silent_after.total_seconds() * 1000)
        self._known: dict[str, KnownFence] = {}
        self._index: BoxIndex[str] = BoxIndex()
        self._inside: dict[str, set[str]] = {}
        self._heard: OrderedDict[str, int] = OrderedDict()
        self._unsettled: set[str] = set()
        self._listening_since_ms: int | None = None

    # ------------------------------------------------------------------------------------- fences

    def put(self, fence: Fence) -> Shape:
        """A new or changed fence. Raises ValueError when it has no valid shape."""
        shape = compile_shape(fence)
        self.remove(fence.fence_id)
        self._known[fence.fence_id] = KnownFence(fence, shape, self._settings)
        self._index.add(fence.fence_id, self._known[fence.fence_id].box)
        return shape

    def remove(self, fence_id: str) -> None:
        """A fence is deleted; whoever is inside leaves it with the next tick."""
        self._known.pop(fence_id, None)
        self._index.remove(fence_id)
        self._unsettled |= self._inside.get(fence_id, set())

    def shape(self, fence_id: str) -> Shape | None:
        """The geometry of a fence."""
        known = self._known.get(fence_id)
        return None if known is None else known.shape

    # -------------------------------------------------------------------------------------- riders

    @staticmethod
    def new_state() -> FenceStates:
        """The state of a rider nothing is known of."""
        return FenceStates(fences={})

    def active(self) -> bool:
        """Whether there is anything to do for a position."""
        return bool(self._known or self._inside or self._silent_ms)

    def remember(self, rider_id: str, state: FenceStates) -> None:
        """A state came back from the checkpoint."""
        for fence_id, standing in state.fences.items():
            if standing.inside:
                self._inside.setdefault(fence_id, set()).add(rider_id)
            known = self._known.get(fence_id)
            if known is None or known.fence.version != standing.version:
                self._unsettled.add(rider_id)
        if self._silent_ms and not state.silent and state.heard_ms:
            self._heard[rider_id] = state.heard_ms

    def step(self, state: FenceStates, position: Position) -> list[RiderEvent]:
        """A position was received that is plain and has not been seen before. Late ones only count as heard."""
        events = self.hear(state, position)
        if position.device_time_ms <= state.device_ms:
            return events
        state.device_ms = position.device_time_ms
        state.latitude, state.longitude = position.latitude, position.longitude
        state.last_cause = cause_of(position)
        latitude, longitude, fences = position.latitude, position.longitude, state.fences
        before = list(fences)
        for fence_id in before:
            self._stand(state, fence_id, position, events)
        for fence_id in self._index.at(latitude, longitude):
            if fence_id not in before and self._known[fence_id].is_near(latitude, longitude):
                self._stand(state, fence_id, position, events)
        return events

    def hear(self, state: FenceStates, position: Position) -> list[RiderEvent]:
        """Something, however late or doubtful, came from the rider: it is not silent."""
        if not self._silent_ms:
            return []
        rider_id, heard_ms = position.rider_id, position.received_at_ms
        since_ms = self._listening_since_ms or 0
        from_ms = max(state.heard_ms, since_ms if heard_ms >= since_ms else 0)
        events: list[RiderEvent] = []
        if state.heard_ms and not state.silent and heard_ms - from_ms > self._silent_ms:
            events.append(self._silent(state, rider_id, from_ms))  # nobody looked in between
        if state.silent:
            state.silent = False
            events.append(_event(position, EventKind.BACK, heard_ms, cause_of(position)))
        if heard_ms > state.heard_ms:
            state.heard_ms = heard_ms
        self._heard[rider_id] = state.heard_ms
        self._heard.move_to_end(rider_id)
        return events

    def due(self, now_ms: int) -> list[str]:
        """Riders to `look` at: silent for too long, or inside a fence that was changed or deleted."""
        if self._listening_since_ms is None:
            self._listening_since_ms = now_ms  # what was not heard while the server was down says nothing
        riders, self._unsettled = self._unsettled, set()
        latest_ms = now_ms - self._silent_ms
        if self._silent_ms and self._listening_since_ms <= latest_ms:
            while self._heard:
                rider_id, heard_ms = next(iter(self._heard.items()))
                if heard_ms > latest_ms:
                    break
                del self._heard[rider_id]
                riders.add(rider_id)
        return sorted(riders)

    def look(self, state: FenceStates, newest: Position, now_ms: int) -> list[RiderEvent]:
        """What the clock, or a change of fences, means for a rider; `newest` is the last plain position."""
        events: list[RiderEvent] = []
        for fence_id, standing in list(state.fences.items()):
            self._settle(state, fence_id, standing, newest, now_ms, events)
        if self._silent_ms and not state.silent and state.heard_ms:
            from_ms = max(state.heard_ms, self._listening_since_ms or 0)
            if now_ms - from_ms >= self._silent_ms:
                events.append(self._silent(state, newest.rider_id, from_ms))
            else:
                self._heard.setdefault(newest.rider_id, state.heard_ms)
        return events

    def expire(self, state: FenceStates, newest: Position, now_ms: int) -> list[RiderEvent]:
        """The rider leaves the map: silent, and out of every fence."""
        events = self.look(state, newest, now_ms)
        for fence_id, standing in list(state.fences.items()):
            self._leave(state, fence_id, standing, newest, now_ms, f"expired\0{state.last_cause}", events)
        self._heard.pop(newest.rider_id, None)
        return events

    # --------------------------------------------------------------------------------------- rules

    def _silent(self, state: FenceStates, rider_id: str, from_ms: int) -> RiderEvent:
        state.silent = True
        self._heard.pop(rider_id, None)
        event_id = event_id_of(rider_id, "", EventKind.SILENT, str(state.heard_ms))
        place = (state.latitude, state.longitude)
        return RiderEvent(event_id, rider_id, EventKind.SILENT, "", "", from_ms + self._silent_ms, *place)

    def _stand(self, state: FenceStates, fence_id: str, position: Position, events: list[RiderEvent]) -> None:
        known, standing = self._known.get(fence_id), state.fences.get(fence_id)
        if standing is not None and (known is None or known.fence.version != standing.version):
            self._settle(state, fence_id, standing, position, position.device_time_ms, events)
            standing = state.fences.get(fence_id)
        if known is None or not known.concerns(position.rider_id):
            return
        side = known.side(position)
        if standing is None:
            if not side:
                return
            standing = state.fences[fence_id] = Standing(known.fence.version, known.fence.name)
        crossed = cross(standing, side, position, known)
        if crossed is not None:
            self._turn(state, standing, known, crossed, position.rider_id, events)
        if standing.inside and standing.crossing is None:
            _dwell(standing, known, position, events)
        elif not standing.inside and standing.crossing is None:
            state.fences.pop(fence_id, None)

    def _turn(
        self,
        state: FenceStates,
        standing: Standing,
        known: KnownFence,
        crossed: Crossing,
        rider_id: str,
        events: list[RiderEvent],
    ) -> None:
        """A crossing has lasted long enough."""
        fence = known.fence
        standing.crossing = None
        standing.inside = not standing.inside
        if standing.inside:
            self._inside.setdefault(fence.fence_id, set()).add(rider_id)
            standing.entered_ms, standing.cause, standing.dwelt = crossed.at_ms, crossed.cause, False
            kind = EventKind.NEAR if known.near else EventKind.ENTER
        else:
            self._forget_inside(fence.fence_id, rider_id)
            del state.fences[fence.fence_id]
            kind = EventKind.EXIT
        if kind is not EventKind.EXIT or not known.near:
            place = (crossed.latitude, crossed.longitude)
            named = (kind, fence.fence_id)
            event_id = event_id_of(rider_id, fence.fence_id, kind, crossed.cause)
            events.append(RiderEvent(event_id, rider_id, *named, fence.name, crossed.at_ms, *place))

    def _settle(
        self,
        state: FenceStates,
        fence_id: str,
        standing: Standing,
        newest: Position,
        at_ms: int,
        events: list[RiderEvent],
    ) -> None:
        """A fence was deleted or edited: who is no longer in it leaves it, without waiting."""
        known = self._known.get(fence_id)
        if known is not None and known.fence.version == standing.version:
            return
        if (
            known is None
            or not known.concerns(newest.rider_id)
            or (standing.inside and not known.shape.contains(newest.latitude, newest.longitude))
        ):
            version = "deleted" if known is None else str(known.fence.version)
            self._leave(state, fence_id, standing, newest, at_ms, f"fence\0{version}", events)
            return
        standing.version, standing.name, standing.crossing = known.fence.version, known.fence.name, None

    def _leave(
        self,
        state: FenceStates,
        fence_id: str,
        standing: Standing,
        newest: Position,
        at_ms: int,
        why: str,
        events: list[RiderEvent],
    ) -> None:
        del state.fences[fence_id]
        if not standing.inside:
            return
        self._forget_inside(fence_id, newest.rider_id)
        known = self._known.get(fence_id)
        if known is None or not known.near:
            # The entry is part of the cause: the next stay in the same fence ends with another event.
            cause = f"{why}\0{standing.cause}"
            events.append(_event(newest, EventKind.EXIT, at_ms, cause, fence_id, standing.name))

    def _forget_inside(self, fence_id: str, rider_id: str) -> None:
        riders = self._inside.get(fence_id)
        if riders is not None:
            riders.discard(rider_id)
            if not riders:
                del self._inside[fence_id]


def _dwell(standing: Standing, known: KnownFence, position: Position, events: list[RiderEvent]) -> None:
    if standing.dwelt or known.dwell_ms is None:
        return
    if position.device_time_ms - standing.entered_ms >= known.dwell_ms:
        standing.dwelt = True
        fence, at_ms = known.fence, standing.entered_ms + known.dwell_ms
        events.append(_event(position, EventKind.DWELL, at_ms, standing.cause, fence.fence_id, fence.name))


def _event(
    position: Position, kind: EventKind, at_ms: int, cause: str, fence_id: str = "", fence_name: str = ""
) -> RiderEvent:
    rider_id = position.rider_id
    event_id = event_id_of(rider_id, fence_id, kind, cause)
    place = (position.latitude, position.longitude)
    return RiderEvent(event_id, rider_id, kind, fence_id, fence_name, at_ms, *place)
