"""No silent gap (promise 6): whatever happens in whatever order, snapshot + changes = the truth.

Hypothesis drives riders, a slow live store, slow sockets, lost connections, a small ring, small mailboxes
and changing rights against screens that believe every message. At the end each screen shows what it would
show if it had just been opened.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from majung.live.frames import Frame
from majung.live.messages import Subscribe, Viewport
from majung.live.viewer import ViewerClosed
from tests.live_kit import GANGNAM, Screen, Stage, event, position

RIDERS = ["r0", "r1", "r2", "r3"]
EAST = Viewport(south=37.49, west=127.03, north=37.51, east=127.06)
DATE_LINE = Viewport(south=-18, west=177, north=-16, east=-177)
PLACES = [(37.5, 127.025), (37.5, 127.035), (37.5, 127.05), (37.6, 127.03), (-17.0, 179.9), (-17.0, -179.9)]

MOVE = st.tuples(st.just("move"), st.sampled_from(RIDERS), st.sampled_from(PLACES))
DELIVER = st.tuples(st.just("deliver"), st.integers(0, 2))
DROP = st.tuples(st.just("drop"), st.integers(0, 2))
STEP = st.one_of(
    *(MOVE, MOVE, MOVE, MOVE, DELIVER, DELIVER, DELIVER, DELIVER, DROP, DROP, DROP),
    st.tuples(st.just("put"), st.sampled_from(RIDERS), st.sampled_from(PLACES)),
    st.tuples(st.just("remove"), st.sampled_from(RIDERS)),
    st.tuples(st.just("publish")),
    st.tuples(st.just("event"), st.sampled_from(RIDERS), st.sampled_from(PLACES)),
    st.tuples(st.just("gate"), st.booleans()),
    st.tuples(st.just("gate"), st.just(True)),
    st.tuples(st.just("take"), st.integers(0, 2)),
    st.tuples(st.just("send"), st.integers(0, 2), st.integers(1, 3)),
    st.tuples(st.just("pass"), st.sampled_from([0.05, 0.2, 7.0])),
    st.tuples(
        st.just("rights"), st.sampled_from([None, frozenset({"r0", "r1"}), frozenset({"r0", "r1", "r2"})])
    ),
)


class Play:
    """One example: three screens, and the pipeline's two halves (live store, then hub) apart."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.screens: list[Screen] = []
        self.taking: dict[int, asyncio.Future[list[Frame]]] = {}
        self.sending: dict[int, list[Frame]] = {}
        self.moved: dict[str, tuple[float, float]] = {}
        self.removed: list[str] = []
        self.truth: dict[str, tuple[float, float]] = {}
        self.time_ms = 0

    async def do(self, step: tuple[Any, ...]) -> None:
        name, *arguments = step
        await getattr(self, f"do_{name}")(*arguments)
        for _ in range(4):
            await asyncio.sleep(0)

    async def do_put(self, rider_id: str, place: tuple[float, float]) -> None:
        if self.removed or rider_id in self.moved:
            await self.do_publish()
        self.time_ms += 1
        await self.stage.store.put([position(rider_id, *place, self.time_ms)])
        self.moved[rider_id] = place

    async def do_move(self, rider_id: str, place: tuple[float, float]) -> None:
        await self.do_put(rider_id, place)
        await self.do_publish()

    async def do_remove(self, rider_id: str) -> None:
        await self.do_publish()
        await self.stage.store.remove([rider_id])
        if rider_id in self.truth:
            self.removed.append(rider_id)

    async def do_publish(self) -> None:
        found = [one for one in await self.stage.store.get(list(self.moved)) if one is not None]
        self.stage.hub.publish(found)
        self.truth |= self.moved
        self.stage.hub.gone(self.removed)
        for rider_id in self.removed:
            del self.truth[rider_id]
        self.moved, self.removed = {}, []

    async def do_event(self, rider_id: str, place: tuple[float, float]) -> None:
        self.time_ms += 1
        happened = event(rider_id, self.time_ms, *place)
        hidden = self.stage.visible is not None and rider_id not in self.stage.visible
        for number, screen in enumerate(self.screens):
            if (
                not hidden
                and screen.epoch
                and any(
                    w.area.contains(*place) if w.area else rider_id in (w.riders or ())
                    for w in WISHES[number]
                )
            ):
                screen.due.append((happened.event_id, rider_id))
        self.stage.hub.events([happened])

    async def do_gate(self, is_open: bool) -> None:
        if is_open:
            self.stage.slow.gate.set()
        else:
            self.stage.slow.gate.clear()

    async def do_take(self, number: int) -> None:
        """The door asks for frames, when the socket has taken those before."""
        if number in self.sending:
            return
        if number not in self.taking:
            self.taking[number] = asyncio.ensure_future(self._take(number))
            await asyncio.sleep(0)

    async def _take(self, number: int) -> list[Frame]:
        return list(await self.screens[number].viewer.take())

    async def do_send(self, number: int, count: int) -> None:
        """The socket takes some frames."""
        task = self.taking.get(number)
        if task is not None and task.done():
            del self.taking[number]
            if task.exception() is not None:
                assert isinstance(task.exception(), ViewerClosed)  # it did not read for too long
                await self.screens[number].reconnect()
                return
            self.sending[number] = task.result()
        waiting = self.sending.get(number, [])
        for frame in waiting[:count]:
            self.screens[number].apply(frame)
        self.sending[number] = waiting[count:]
        if not self.sending[number]:
            del self.sending[number]

    async def do_deliver(self, number: int) -> None:
        """A quick socket: everything that is due arrives."""
        await self.do_pass(0.2)
        await self.do(("take", number))
        await self.do(("send", number, 1000))

    async def do_drop(self, number: int) -> None:
        """The connection is lost with all that was on its way."""
        task = self.taking.pop(number, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.sending.pop(number, None)
        await self.screens[number].reconnect()

    async def do_pass(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)
        self.stage.hub.flush()
        await self.stage.hub.sweep()

    async def do_rights(self, visible: frozenset[str] | None) -> None:
        self.stage.visible = visible
        await self.stage.hub.sweep()

    async def finish(self) -> None:
        await self.do_gate(True)
        await self.do_publish()
        for _ in range(8):
            for number in range(len(self.screens)):
                await self.do_deliver(number)


WISHES = [
    [Subscribe("area", area=GANGNAM)],
    [Subscribe("riders", riders=["r0", "r1"]), Subscribe("area", area=EAST)],
    [Subscribe("area", area=DATE_LINE)],
]


def expected(play: Play, number: int) -> dict[str, tuple[float, float]]:
    visible = play.stage.visible
    shown = {}
    for rider_id, place in play.truth.items():
        for wish in WISHES[number]:
            if (wish.area.contains(*place) if wish.area else rider_id in (wish.riders or ())) and (
                visible is None or rider_id in visible
            ):
                shown[rider_id] = place
    return shown


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(STEP, min_size=25, max_size=80),
    buffer_bytes=st.sampled_from([4096, 262_144]),
    resume_bytes=st.sampled_from([4096, 33_554_432]),
    resume_s=st.sampled_from([5, 60]),
)
def test_a_screen_shows_the_truth_whatever_happened(
    steps: list[tuple[Any, ...]],
    buffer_bytes: int,
    resume_bytes: int,
    resume_s: int,
) -> None:
    note(repr(steps))

    async def go() -> None:
        with tempfile.TemporaryDirectory() as folder:
            stage = await Stage.make(
                Path(folder), viewer_buffer_bytes=buffer_bytes, resume_bytes=resume_bytes, resume_for=resume_s
            )
            if buffer_bytes == 4096:
                stage.hub.buffer_bytes = 150  # two riders overflow it
            play = Play(stage)
            for wishes in WISHES:
                screen = await stage.open()
                play.screens.append(screen)
                for wish in wishes:
                    screen.subscribe(wish)
            for step in steps:
                await play.do(step)
            await play.finish()
            for number, screen in enumerate(play.screens):
                assert screen.places() == expected(play, number), number
                if "resync" not in screen.types():
                    may_see = stage.visible or frozenset(RIDERS)
                    due = [event_id for event_id, rider_id in screen.due if rider_id in may_see]
                    heard = [event_id for event_id in screen.events if event_id in due]
                    assert heard == due, "an event was lost, and nothing said so"
            assert stage.hub.bytes_pending == sum(s.viewer.bytes for s in play.screens) == 0
            for screen in play.screens:
                stage.hub.leave(screen.viewer)
            for task in play.taking.values():
                task.cancel()
            await asyncio.gather(*play.taking.values(), return_exceptions=True)
            await stage.store.close()

    asyncio.run(go())
