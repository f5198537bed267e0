"""People come in as riders do and go out another way: no hub, no fences, no events; an expiry of their own."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from majung.auth.model import Principal, Role
from majung.clock import ManualClock
from majung.positions.fence_model import Circle, NewFence
from majung.positions.model import PERSON, LivePosition, Position
from majung.services import Services
from majung.settings import Settings, load
from tests.unit.test_pipeline import START_MS, consuming, fix, send, settle

MINA = Principal("person:mina", Role.PERSON, "person-mina")


class Heard:
    """Everything that the two ways out have told."""

    def __init__(self, services: Services) -> None:
        self.people: list[LivePosition] = []
        self.gone: list[str] = []
        self.riders: list[LivePosition] = []
        self.riders_gone: list[str] = []
        services.pipeline.people_listeners.append(self.people.extend)
        services.pipeline.people_gone_listeners.append(self.gone.extend)
        services.hub.listeners.append(self.riders.extend)
        services.hub.gone = self.riders_gone.extend  # type: ignore[assignment,method-assign]


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    """Riders leave the map long before people do, so that nobody takes one limit for the other."""
    flags = {
        "positions.batch_linger": "1ms",
        "positions.checkpoint_every": "1h",
        "positions.offline_after": "1m",
    }
    return load(tmp_path / "data", flags=flags)


def mina(seq: int, second: float | None = None, **changes: object) -> Position:
    return fix(seq, "person-mina", second, **changes)


async def report(services: Services, *positions: Position) -> None:
    await services.ingest.submit(MINA, positions)
    await settle(services)


async def test_people_go_to_their_listeners_and_riders_to_the_hub(embedded: Settings) -> None:
    async with consuming(embedded, ManualClock()) as services:
        heard = Heard(services)
        await send(services, [fix(1, "r")])
        await report(services, mina(1), mina(2))
        assert [(p.rider_id, p.kind) for p in heard.people] == [("person-mina", PERSON)]
        assert [p.rider_id for p in heard.riders] == ["r"]
        assert await services.live.get(["person-mina"]) == [None]
        [live] = await services.live.get(["person-mina"], PERSON)
        assert live is not None
        assert live.latitude == pytest.approx(37.50002)
        assert len(await services.history.track("person-mina", 0, 2**53, 10)) == 2
        assert services.ledger.check(services.pipeline.consumed() or 0) == []


async def test_people_raise_no_events(embedded: Settings) -> None:
    async with consuming(embedded, ManualClock()) as services:
        await services.fences.create(NewFence("office", Circle(37.5, 127.0, 5_000)), "admin:a")
        await send(services, [fix(seq, "r", seq * 10) for seq in range(1, 12)])
        await report(services, *(mina(seq, seq * 10) for seq in range(1, 12)))
        services.clock.advance(3_600)  # type: ignore[attr-defined]
        await services.pipeline.expire()
        services.clock.advance(3_600)  # type: ignore[attr-defined]
        await services.pipeline.expire()
        told = {str(row[0]) for row in await services.database.read("SELECT rider_id FROM rider_event")}
        assert told == {"r"}


async def test_a_silent_person_is_gone_after_its_own_limit(embedded: Settings) -> None:
    clock = ManualClock()
    async with consuming(embedded, clock) as services:
        heard = Heard(services)
        await send(services, [fix(1, "r")])
        await report(services, mina(1))
        clock.advance(services.settings.friends.gone_after.total_seconds())
        await services.pipeline.expire()
        assert heard.gone == []
        clock.advance(0.001)
        await services.pipeline.expire()
        await services.pipeline.expire()
        assert heard.gone == ["person-mina"]
        assert "person-mina" not in heard.riders_gone
        assert await services.live.get(["person-mina"], PERSON) == [None]


@pytest.mark.parametrize(("away_s", "is_back"), [(590, True), (610, False)])
async def test_after_a_restart_people_are_back_within_their_limit(
    embedded: Settings, away_s: float, is_back: bool
) -> None:
    clock = ManualClock()
    async with consuming(embedded, clock) as services:
        await report(services, mina(1))
        consumer = services.pipeline._consumer
        assert consumer is not None
        await services.pipeline._checkpoint(consumer)
    clock.advance(away_s)
    async with consuming(embedded, clock) as services:
        heard = Heard(services)
        await services.pipeline.expire()
        assert [p is not None for p in await services.live.get(["person-mina"], PERSON)] == [is_back]
        assert (heard.people, heard.gone) == ([], [])
        assert await services.live.count() == 0


def points(found: Sequence[LivePosition]) -> list[float]:
    return [position.latitude for position in found]


async def test_phones_far_apart_do_not_doubt_each_other(embedded: Settings) -> None:
    """The freshest of all devices counts; an outlier of one of them is still found."""
    async with consuming(embedded, ManualClock()) as services:
        heard = Heard(services)
        await report(services, mina(1, 10, session_id="phone"))
        await report(services, mina(1, 11, session_id="tablet", latitude=35.1))
        await report(services, mina(2, 12, session_id="phone", latitude=37.5001))
        await report(services, mina(2, 11.5, session_id="tablet", latitude=35.1001))  # older than the phone's
        await report(services, mina(3, 13, session_id="tablet", latitude=-20.0))  # no tablet is that quick
        assert points(heard.people) == [pytest.approx(37.50001), 35.1, 37.5001]
        track = await services.history.track("person-mina", START_MS - 3_600_000, START_MS, 10, True)
        assert [point.mark for point in track] == ["", "", "late", "", "jump"]
