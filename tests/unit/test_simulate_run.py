import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from majung.clock import SystemClock
from majung.simulate.mishaps import Odds
from majung.simulate.run import Plan, Progress, simulate
from majung.simulate.screen import Rates, Screen
from tests.sdk_server import AckServer


@pytest.fixture
async def server() -> AsyncIterator[AckServer]:
    server = await AckServer().start()
    yield server
    await server.die()


def plan(server: AckServer, path: Path, **changes: object) -> Plan:
    values = {"riders": 20, "rate_s": 0.2, "buffer": path / "b.db", **changes}
    return Plan(server.target, "mjd_t", **values)  # type: ignore[arg-type]


async def until_reported(plan: Plan, count: int) -> Progress:
    stop = asyncio.Event()

    def on_progress(progress: Progress) -> None:
        if progress.totals.reported >= count:
            stop.set()

    async with asyncio.timeout(60):
        return await simulate(plan, on_progress=on_progress, stop=stop)


async def test_what_is_reported_is_sent_and_acknowledged(server: AckServer, tmp_path: Path) -> None:
    before_ms = SystemClock().now_ms()
    progress = await until_reported(plan(server, tmp_path, odds=Odds(0, 0, 0, 0, 0, 0, 0, 0)), 100)
    assert progress.drained
    assert progress.totals.acked == progress.totals.reported == len(server.positions)
    assert {position.rider_id for position in server.positions} == {f"rider-{n:04d}" for n in range(1, 21)}
    assert {call.metadata["authorization"] for call in server.calls} == {"Bearer mjd_t"}
    for call in server.calls:
        assert call.seqs == list(range(1, len(call.seqs) + 1))
        times_ms = [position.device_time_ms for position in call.positions]
        assert times_ms == sorted(times_ms)
        assert before_ms <= times_ms[0] <= times_ms[-1] <= SystemClock().now_ms()


async def test_lost_acknowledgements_and_outages_lose_nothing(server: AckServer, tmp_path: Path) -> None:
    odds = Odds(outage_per_h=500.0, lost_ack_share=0.3, cellar_share=0.5)
    progress = await until_reported(plan(server, tmp_path, odds=odds), 300)
    assert progress.drained
    assert len(server.positions) > progress.totals.reported
    got = {(position.rider_id, position.seq) for position in server.positions}
    assert len(got) == progress.totals.reported == progress.totals.acked


async def test_a_kept_buffer_goes_on_with_its_sessions(server: AckServer, tmp_path: Path) -> None:
    calm = plan(server, tmp_path, odds=Odds(0, 0, 0, 0, 0, 0, 0, 0))
    await until_reported(calm, 40)
    await until_reported(calm, 40)
    sessions = {(position.rider_id, position.session_id) for position in server.positions}
    assert len(sessions) == 20
    assert len({(p.rider_id, p.seq) for p in server.positions}) == len(server.positions)


async def test_the_duration_ends_it(server: AckServer, tmp_path: Path) -> None:
    async with asyncio.timeout(60):
        progress = await simulate(plan(server, tmp_path, duration_s=0.3))
    assert progress.drained
    assert progress.totals.reported > 0


async def test_a_status_line_is_printed_without_a_terminal(server: AckServer, tmp_path: Path) -> None:
    console = Console(record=True, force_terminal=False, width=300)
    of = plan(server, tmp_path, duration_s=0.5)
    with Screen(of, console) as screen:
        await simulate(of, on_progress=screen.show)
    assert "of 20" in console.export_text()


def test_rates_are_of_the_last_seconds() -> None:
    rates = Rates()
    assert rates.add(0.0, 0, 0) == (0.0, 0.0)
    assert rates.add(1.0, 100, 50) == (100.0, 50.0)
    seen = [rates.add(float(second), 100 + 10 * second, 50) for second in range(2, 20)]
    assert seen[-1] == (10.0, 0.0)


def test_a_wrong_city_is_an_error_of_use(tmp_path: Path) -> None:
    import typer

    from majung.cli_simulate import register

    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, ["--to", "x:1", "--token", "t", "--city", "atlantis"])
    assert result.exit_code == 2
    assert "atlantis" in result.output


def test_without_a_city_that_orders_a_credential_is_needed() -> None:
    import typer

    from majung.cli_simulate import register

    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, ["--to", "x:1"], env={"MAJUNG_TOKEN": "", "COLUMNS": "200"})
    assert result.exit_code == 2
    assert "--token" in result.output
