"""`majung simulate --delivery`: what the command line says becomes a plan, is run and shown. `cli_simulate` calls it."""

import asyncio
import contextlib
import json
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from majung.simulate.delivery import people
from majung.simulate.delivery.run import DeliveryPlan, run
from majung.simulate.delivery.scene import Habits

_CUSTOMERS_FOR_EACH = (
    12  # customers for each order a minute: so long does an order take at most, nearly always
)

_MOST_COOKING_MINUTES = 240  # more no server takes


@dataclass(frozen=True)
class Wishes:
    """What is asked for beyond `majung simulate` without `--delivery`."""

    http: str
    stores: int
    orders_per_minute: float
    accounts: Path | None
    secret: str
    offer_ahead_s: float | None
    places: Path | None
    leave_alone: str
    report: Path | None
    status: Path | None
    cooking: str = ""
    nearby: int = Habits.nearby_stores

    def cast(self, seed: int, riders: int, speed: float) -> people.Cast:
        """Everybody. Raises ValueError, OSError."""
        customers = people.customers_for(self.orders_per_minute, speed)
        if self.accounts is not None:
            return people.read(self.accounts, self.stores, riders, customers)
        tag = self.secret or secrets.token_urlsafe(12)
        return people.strangers(seed, tag, self.stores, riders, customers)

    def left_alone(self) -> tuple[str, tuple[float, float]] | None:
        """`NAME@LAT,LON`. Raises ValueError."""
        if not self.leave_alone:
            return None
        name, _, place = self.leave_alone.rpartition("@")
        latitude, _, longitude = place.partition(",")
        return name, (float(latitude), float(longitude))

    def habits(self) -> Habits:
        """`MINUTES-MINUTES`, or as the kitchens do. Raises ValueError."""
        if not self.cooking:
            return Habits(nearby_stores=self.nearby)
        least, _, most = self.cooking.partition("-")
        try:
            minutes = int(least), int(most)
        except ValueError:
            raise ValueError(
                f"--cooking: {self.cooking!r} is not two numbers of minutes, such as 1-4"
            ) from None
        if not 1 <= minutes[0] <= minutes[1] <= _MOST_COOKING_MINUTES:
            raise ValueError(f"--cooking: from 1 to {_MOST_COOKING_MINUTES} minutes, the least first")
        return Habits(nearby_stores=self.nearby, cooking_minutes=minutes)


def simulate_delivery(
    wishes: Wishes,
    *,
    to: str,
    riders: int,
    city: str,
    seed: int,
    rate_s: float,
    speed: float,
    duration_s: float | None,
    ca: Path | None,
    stop: Callable[[], asyncio.Event],
) -> None:
    """Run it; prints the report's figures. Raises typer.BadParameter, typer.Exit(1) when something was lost."""
    try:
        plan = DeliveryPlan(
            http=wishes.http,
            grpc=to,
            cast=wishes.cast(seed, riders, speed),
            orders_per_minute=wishes.orders_per_minute,
            city=city,
            seed=seed,
            rate_s=rate_s,
            speed=speed,
            duration_s=duration_s,
            places=wishes.places,
            leave_alone=wishes.left_alone(),
            offer_ahead_s=wishes.offer_ahead_s,
            habits=wishes.habits(),
            tls=ssl.create_default_context(cafile=ca) if ca else None,
            root_certificates=ca.read_bytes() if ca else None,
        )
    except (ValueError, OSError) as problem:
        raise typer.BadParameter(str(problem)) from None
    report = _run(plan, wishes, stop)
    if wishes.report is not None:
        _write(wishes.report, report)
    for name, value in figures(report):
        typer.echo(f"{name}: {value}")
    for what in report["anomalies"]:
        typer.secho(f"must never be: {what}", fg="red", err=True)
    if report["anomalies"] or (duration_s is not None and report["unfinished"]):
        raise typer.Exit(1)


def _run(plan: DeliveryPlan, wishes: Wishes, stop: Callable[[], asyncio.Event]) -> dict[str, Any]:
    console = Console(stderr=True)
    shown = Live(console=console, refresh_per_second=2) if console.is_terminal else contextlib.nullcontext()

    async def work() -> dict[str, Any]:
        def tell(report: dict[str, Any]) -> None:
            if wishes.status is not None:
                _write(wishes.status, report)
            if isinstance(shown, Live):
                shown.update(_table(report))

        return await run(plan, stop=stop(), tell=tell)

    with shown:
        try:
            return _loop(work())
        except (people.CannotJoin, ConnectionError, RuntimeError) as problem:
            typer.secho(f"majung: {problem}", fg="red", err=True)
            raise typer.Exit(1) from None


def _loop(work: Any) -> dict[str, Any]:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return dict(asyncio.run(work))
    return dict(uvloop.run(work))


def figures(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The report in lines: name and value."""
    took, matched = report["placed_to_delivered_ms"], report["match_ms"]
    lines = [
        ("stores / riders", f"{report['stores']} / {report['riders']}, {report['moving']} under way"),
        ("placed", f"{report['placed']:,}"),
        ("open", ", ".join(f"{state} {count}" for state, count in report["open"].items()) or "none"),
        ("ended", ", ".join(f"{state} {count}" for state, count in report["ended"].items()) or "none"),
        ("offered after", f"p50 {matched['p50']:.0f} ms, p99 {matched['p99']:.0f} ms"),
        ("at the door after", f"p50 {took['p50'] / 60_000:.1f} min, p99 {took['p99'] / 60_000:.1f} min"),
        ("late", str(report["late"])),
    ]
    for stage, found in report["eta"].items():
        if found["seen"]:
            lines.append((f"arrival time, {stage}", eta_line(found)))
    lines.append(("CPU of the simulator", f"{report['cpu_us_per_order'] / 1000:.1f} ms an order"))
    return lines


def eta_line(found: dict[str, Any]) -> str:
    """How right the arrival times of one stage were."""
    return (
        f"{100 * found['hit_rate']:.0f} % of {found['seen']} within the interval "
        f"({found['mean_width_s'] / 60:.1f} min wide), off by {found['mean_absolute_error_s'] / 60:.1f} min, "
        f"{found['mean_error_s'] / 60:+.1f} on average"
    )


def _table(report: dict[str, Any]) -> Table:
    table = Table(show_header=False)
    for name, value in figures(report):
        table.add_row(name, value)
    return table


def _write(file: Path, report: dict[str, Any]) -> None:
    """Whole or not at all: somebody may be reading."""
    written = file.with_name(file.name + ".new")
    written.write_text(json.dumps(report, ensure_ascii=False, indent=1))
    written.replace(file)
