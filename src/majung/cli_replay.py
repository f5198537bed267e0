"""The command `majung replay`. It parses, calls, and shows; `register` adds it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from majung.cli_simulate import Authority, To, Token, certificates, stop_at_signal
from majung.simulate import replay as replaying
from majung.simulate.tracks import FORMATS, Options, Recording, load

_SHOWN_ERRORS = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay", epilog=_REPLAY_EXAMPLES)(replay)


_REPLAY_EXAMPLES = (
    "Examples:\n\n"
    "majung replay ride.gpx --to 127.0.0.1:50051 --token mjd_… --rider-id rider-7\n\n"
    "majung replay buses.csv --to 127.0.0.1:50051 --token mjd_… --speed 20\n\n"
    "majung replay 'Data/001/Trajectory/'*.plt --to 127.0.0.1:50051 --token mjd_… --speed max --keep-time\n\n"
    "majung replay log.csv --to 127.0.0.1:50051 --token mjd_… --id-column plate --timezone Asia/Seoul"
)


def replay(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help=f"Recorded tracks: {' '.join(FORMATS)}, each also as .gz."),
    ],
    to: To,
    token: Token,
    speed: Annotated[
        str,
        typer.Option(
            metavar="N|max", help="Shortens the waiting: 10 is ten times as fast, max does not wait."
        ),
    ] = "1",
    keep_time: Annotated[
        bool,
        typer.Option(
            "--keep-time",
            help="Send the recorded times. The server must accept them (positions.max_age, history.detail_for).",
        ),
    ] = False,
    rider_id: Annotated[str, typer.Option(help="Report everything as this rider.")] = "",
    id_column: Annotated[str, typer.Option(help="Column or property that names the rider.")] = "",
    timezone: Annotated[str, typer.Option(help="Of times without an offset, such as Asia/Seoul.")] = "UTC",
    ca: Authority = None,
    give_up_after: Annotated[
        float, typer.Option(min=1.0, help="Seconds without any acknowledgement after which it stops.")
    ] = 60.0,
) -> None:
    """Send recorded tracks again: GPX, GeoJSON, CSV, GeoLife PLT, OwnTracks .rec.

    Without --keep-time all times move by one span, such that the newest is sent at its time: the replay
    happens now. Each readable row becomes one position; with --keep-time replaying a file again changes
    nothing. Exit status 0 only when everything was acknowledged.
    """
    plan = replaying.ReplayPlan(
        to=to,
        token=token,
        files=files,
        speed=_speed(speed),
        keep_time=keep_time,
        options=Options(rider_id, id_column, _timezone(timezone)),
        root_certificates=certificates(ca),
        give_up_s=give_up_after,
    )
    console = Console(stderr=True)
    with _bar(console) as bar:
        recordings = _read(files, plan.options, bar)
        tracks = [track for recording in recordings for track in recording.tracks]
        unreadable = [row for recording in recordings for row in recording.unreadable]
        task = bar.add_task("sending", total=sum(map(len, tracks)), note="")

        async def send() -> replaying.ReplayProgress:
            return await replaying.replay(
                plan,
                tracks,
                unreadable,
                on_progress=lambda progress: _show(bar, task, progress),
                stop=stop_at_signal(),
            )

        progress = asyncio.run(send())
    _summary(progress)
    if not progress.complete:
        raise typer.Exit(1)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


def _read(files: Sequence[Path], options: Options, bar: Progress) -> list[Recording]:
    task = bar.add_task("reading", total=len(files), note="")
    recordings = []
    for file in files:
        bar.update(task, note=file.name)
        try:
            recordings.append(load(file, options))
        except (ValueError, OSError) as error:
            raise typer.BadParameter(str(error)) from None
        bar.advance(task)
    bar.update(task, note="")
    return recordings


def _show(bar: Progress, task: TaskID, progress: replaying.ReplayProgress) -> None:
    problem = progress.problem
    waiting = problem is not None and not progress.totals.connected
    note = (
        f"{problem.code}: {problem.detail[:60]}"
        if waiting and problem is not None
        else f"{progress.riders} riders"
    )
    bar.update(task, completed=progress.acknowledged, note=note)


def _summary(progress: replaying.ReplayProgress) -> None:
    typer.echo(
        f"sent {progress.sent} of {progress.positions} positions of {progress.riders} riders, "
        f"acknowledged {progress.acknowledged}, unreadable rows {len(progress.unreadable)}"
    )
    for row in progress.unreadable[:_SHOWN_ERRORS]:
        typer.echo(f"  {row.file}:{row.line}: {row.why}", err=True)
    if len(progress.unreadable) > _SHOWN_ERRORS:
        typer.echo(f"  … and {len(progress.unreadable) - _SHOWN_ERRORS} more", err=True)
    if progress.gave_up:
        typer.echo(f"not complete: {progress.gave_up}", err=True)
    elif not progress.positions:
        typer.echo("there was nothing to send", err=True)


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise typer.BadParameter(f"--speed is a number above 0, or max; not {text!r}")
    return value


def _timezone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise typer.BadParameter(f"there is no time zone {name!r}") from None
