"""The pipeline on embedded ports: one effect, whatever is sent twice, late, or done again after a crash."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from majung.auth.model import Principal, Role
from majung.clock import ManualClock
from majung.compose import open_services
from majung.positions.model import Position
from majung.services import Services
from majung.settings import Settings, load

GATEWAY = Principal("user:fleet", Role.GATEWAY)
START_MS = ManualClock().now_ms()


def fix(seq: int, rider_id: str = "r", second: float | None = None, **changes: object) -> Position:
    time_ms = START_MS + int((seq if second is None else second) * 1000) - 3_600_000
    return msgspec.structs.replace(
        Position(rider_id, "s", seq, 37.5 + seq * 1e-5, 127.0, time_ms, START_MS, 5.0), **changes
    )


@contextlib.asynccontextmanager
async def consuming(settings: Settings, clock: ManualClock) -> AsyncIterator[Services]:
    """Services with a running pipeline; ended without goodbye, as a crash would."""
    async with open_services(settings, clock) as services:
        task = asyncio.create_task(services.pipeline.run())
        try:
            await services.pipeline.restored.wait()
            yield services
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def send(services: Services, positions: Sequence[Position]) -> None:
    await services.ingest.submit(GATEWAY, positions)


async def settle(services: Services) -> None:
    """Until everything in the log has been processed."""
    async with asyncio.timeout(60):
        while (await services.pipeline.lag()).records:
            await asyncio.sleep(0.002)


async def seqs_of(services: Services, rider_id: str = "r") -> list[int]:
    points = await services.history.track(rider_id, 0, 2**53, 100_000, include_marked=True)
    return [point.seq for point in points]


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    return load(
        tmp_path / "data", flags={"positions.batch_linger": "1ms", "positions.checkpoint_every": "1h"}
    )


async def test_shown_stored_and_counted(embedded: Settings) -> None:
    async with consuming(embedded, ManualClock()) as services:
        await send(services, [fix(seq) for seq in range(1, 101)])
        await settle(services)
        assert await seqs_of(services) == list(range(1, 101))
        [live] = await services.live.get(["r"])
        assert live is not None
        assert live.latitude == pytest.approx(37.501)
        counts = services.ledger.consumer
        assert (counts.processed, counts.stored, counts.shown, counts.deduplicated) == (100, 100, 100, 0)
        assert services.ledger.door.accepted == 100
        assert services.ledger.check(services.pipeline.consumed() or 0) == []


async def test_the_ledger_names_a_sum_that_does_not_close(embedded: Settings) -> None:
    async with consuming(embedded, ManualClock()) as services:
        await send(services, [fix(1)])
        await settle(services)
        services.ledger.consumer.stored -= 1
        [first, second] = services.ledger.check(services.pipeline.consumed() or 0)
        assert first.equation == "processed = deduplicated + stored + undecodable + erased"
        assert (first.difference, second.difference) == (1, -1)


async def test_late_goes_to_its_place_and_the_marker_stays(embedded: Settings) -> None:
    async with consuming(embedded, ManualClock()) as services:
        await send(services, [fix(seq) for seq in range(500, 600)])
        await settle(services)
        [before] = await services.live.get(["r"])
        await send(services, [fix(seq) for seq in range(1, 500)])
        await send(services, [fix(seq) for seq in range(1, 600)])
        await settle(services)
        assert await services.live.get(["r"]) == [before]
        assert await seqs_of(services) == list(range(1, 600))
        counts = services.ledger.consumer
        assert (counts.late, counts.deduplicated) == (499, 599)


async def test_a_jump_is_kept_and_not_shown(embedded: Settings) -> None:
    async with consuming(embedded, ManualClock()) as services:
        await send(services, [fix(1), fix(2, latitude=35.0), fix(3)])
        await settle(services)
        points = await services.history.track("r", 0, 2**53, 10, include_marked=True)
        assert [point.mark for point in points] == ["", "jump", ""]
        plain = await services.history.track("r", 0, 2**53, 10, include_marked=False)
        assert [point.seq for point in plain] == [1, 3]


async def test_two_sessions_at_once(embedded: Settings) -> None:
    async with consuming(embedded, ManualClock()) as services:
        for seq in range(1, 51):
            await send(services, [fix(seq), fix(seq, session_id="other", second=seq + 0.5)])
        await settle(services)
        assert services.ledger.consumer.stored == 100
        [live] = await services.live.get(["r"])
        assert live is not None
        assert live.device_time_ms == fix(50, second=50.5).device_time_ms


async def test_a_crash_before_the_checkpoint_changes_nothing(embedded: Settings) -> None:
    async with consuming(embedded, ManualClock()) as services:
        await send(services, [fix(seq, f"r{seq % 7}") for seq in range(1, 400)])
        await settle(services)
        first = msgspec.structs.asdict(services.ledger.consumer)
    async with consuming(embedded, ManualClock()) as services:
        await settle(services)
        assert msgspec.structs.asdict(services.ledger.consumer) == first
        assert await services.history.count() == 399
        await send(services, [fix(seq, f"r{seq % 7}") for seq in range(1, 400)])
        await settle(services)
        assert services.ledger.consumer.deduplicated == 399
        assert await services.history.count() == 399


async def test_the_live_view_may_be_thrown_away(embedded: Settings) -> None:
    async with consuming(embedded, ManualClock()) as services:
        await send(services, [fix(seq, f"r{seq % 5}") for seq in range(1, 300)])
        await settle(services)
        ids = [f"r{number}" for number in range(5)]
        before = await services.live.get(ids)
    for view in embedded.data.glob("live.db*"):
        view.unlink()
    async with consuming(embedded, ManualClock()) as services:
        await settle(services)
        assert await services.live.get(ids) == before
        assert await services.history.count() == 299


async def test_silent_riders_leave_the_map_and_come_back(embedded: Settings) -> None:
    clock = ManualClock()
    async with consuming(embedded, clock) as services:
        await send(services, [fix(1)])
        await settle(services)
        clock.advance(599)
        await services.pipeline.expire()
        assert await services.live.count() == 1
        clock.advance(2)
        await services.pipeline.expire()
        assert await services.live.get(["r"]) == [None]
        await send(services, [fix(2, received_at_ms=clock.now_ms(), device_time_ms=clock.now_ms())])
        await settle(services)
        assert await services.live.count() == 1


Send = tuple[int, int, int, bool]  # rider, session, seq, crash before it


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sends=st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(0, 1), st.integers(1, 30), st.integers(0, 19).map(lambda n: n == 0)
        ),
        max_size=60,
    ),
    checkpoint_every=st.sampled_from(["0ms", "1h"]),
)
async def test_any_order_of_sends_and_crashes(
    tmp_path_factory: pytest.TempPathFactory, sends: list[Send], checkpoint_every: str
) -> None:
    folder = tmp_path_factory.mktemp("any") / "data"
    chosen = load(
        folder, flags={"positions.batch_linger": "0ms", "positions.checkpoint_every": checkpoint_every}
    )
    expected: set[tuple[str, str, int]] = set()
    sent = 0
    remaining = list(sends)
    while True:
        async with consuming(chosen, ManualClock()) as services:
            while remaining:
                rider, session, seq, crash = remaining.pop(0)
                position = fix(seq, f"r{rider}", second=seq + session / 2, session_id=f"s{session}")
                await send(services, [position])
                sent += 1
                expected.add((position.rider_id, position.session_id, seq))
                if crash:
                    break
            else:
                await settle(services)
                stored = set()
                for rider_id in ("r0", "r1", "r2"):
                    points = await services.history.track(rider_id, 0, 2**53, 1000, include_marked=True)
                    stored |= {(rider_id, point.session_id, point.seq) for point in points}
                    newest = max((point.device_time_ms for point in points), default=None)
                    [live] = await services.live.get([rider_id])
                    assert (live.device_time_ms if live else None) == newest
                assert stored == expected
                counts = services.ledger.consumer
                assert counts.processed == sent
                assert counts.stored == len(expected)
                assert services.ledger.check(services.pipeline.consumed() or 0) == []
                return
