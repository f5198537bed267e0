"""`majung simulate --friends N`: what the command line says becomes a plan, is run and told. `cli_simulate` calls it."""

import asyncio
import json
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path

import typer

from majung.simulate.delivery.people import CannotJoin, Person
from majung.simulate.friends import FriendsPlan, Report, run


def simulate_friends(
    *,
    http: str,
    friends: int,
    ask: str,
    accounts: Path | None,
    secret: str,
    seed: int,
    rate_s: float,
    duration_s: float | None,
    ca: Path | None,
    stop: Callable[[], asyncio.Event],
) -> None:
    """Run it; prints what was sent and told. Raises typer.BadParameter, typer.Exit(1) when nobody could join."""
    try:
        people = _given(accounts, friends) if accounts else _strangers(seed, secret, friends)
        tls = ssl.create_default_context(cafile=ca) if ca else None
    except (ValueError, KeyError, OSError) as problem:
        raise typer.BadParameter(str(problem)) from None
    plan = FriendsPlan(http, people, ask, seed, every_s=rate_s, duration_s=duration_s, tls=tls)

    async def work() -> Report:
        return await run(plan, stop())

    try:
        report = asyncio.run(work())
    except (CannotJoin, ConnectionError, ValueError) as problem:
        typer.secho(f"majung: {problem}", fg="red", err=True)
        raise typer.Exit(1) from None
    told = ", ".join(f"{count} {what}" for what, count in sorted(report.told.items()))
    typer.echo(
        f"people {report.people}, friendships {report.friendships}, positions {report.sent}, "
        f"acknowledged {report.acknowledged}, times a ghost {report.ghosts}"
    )
    typer.echo(f"told: {told or 'nothing'}")


def _given(file: Path, count: int) -> list[Person]:
    """The first so many people of a file of accounts. Raises ValueError, KeyError, OSError."""
    lines = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
    found = [Person(line["name"], "person", line["token"]) for line in lines if line["role"] == "person"]
    if len(found) < count:
        raise ValueError(
            f"{file} has {len(found)} people: majung user add-many --role person --count {count}"
        )
    return found[:count]


def _strangers(seed: int, secret: str, count: int) -> list[Person]:
    """People who sign up at first; the same seed and secret are the same people again."""
    tag = secret or secrets.token_urlsafe(12)
    name = f"sim{seed}-person" if secret else f"sim-{tag[:6]}-person"
    return [
        Person(f"{name}-{number:05d}", "person", password=f"{tag}-person-{number}")
        for number in range(1, count + 1)
    ]
