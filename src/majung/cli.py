"""The `majung` command. Parses, then calls; errors are one line that says what to do."""

import asyncio
import importlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import majung
from majung.observe import logs
from majung.settings import Settings, load

if TYPE_CHECKING:
    from majung.services import Services

app = typer.Typer(
    name="majung",
    help="Real-time tracking: where is it now, and when will it be here?",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

DataOption = Annotated[Path, typer.Option("--data", help="The data folder; made when it does not exist.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings file; default: DATA/majung.toml.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting: [cyan]--set positions.max_age=30d[/]. Repeatable."),
]


def read_settings(
    data: Path | None, config: Path | None, sets: list[str] | None, **flags: str | None
) -> Settings:
    """Settings from flags, environment and file; raises typer.BadParameter saying what is wrong."""
    values = {name.replace("__", "."): value for name, value in flags.items() if value is not None}
    for item in sets or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set takes NAME=VALUE, not {item!r}")
        values[name.strip()] = value.strip()
    try:
        return load(data, config, values)
    except ValueError as problem:
        raise typer.BadParameter(f"{problem}\nAll settings: majung settings") from None


@app.command(
    epilog="Examples:\n\n  majung serve --data ./majung-data\n\n"
    "  majung serve --data ./d --http 0.0.0.0:443 --set server.tls_cert=cert.pem --set server.tls_key=key.pem"
)
def serve(
    data: DataOption = Path("majung-data"),
    http: Annotated[
        str | None, typer.Option("--http", help="HOST:PORT of HTTP; port 0: any free one.")
    ] = None,
    grpc: Annotated[
        str | None, typer.Option("--grpc", help="HOST:PORT of gRPC; port 0: any free one.")
    ] = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Run the server until Ctrl-C (or SIGTERM); stops cleanly: what was accepted is processed first."""
    settings = read_settings(data, config, sets, server__http=http, server__grpc=grpc)
    try:
        logs.configure(settings.log_level, settings.log_format)
        _run(_serve(settings))
    except (OSError, ValueError) as problem:
        typer.secho(f"majung: {problem}", fg="red", err=True)
        raise typer.Exit(1) from None


def _run(work: "asyncio.Future[None] | object") -> None:
    try:
        import uvloop
    except ImportError:  # Windows has none
        asyncio.run(work)  # type: ignore[arg-type]
    else:
        uvloop.run(work)  # type: ignore[arg-type]


async def _first_account(services: "Services") -> None:
    from majung.auth.service import ensure_admin

    admin = await ensure_admin(services.auth)
    if admin is not None:
        typer.secho(
            f"first start: made the account {admin.name!r} with password {admin.password}", fg="green"
        )
        typer.echo("Keep it; it is not shown again. More accounts: majung user add --help")
        sys.stdout.flush()


async def _serve(settings: Settings) -> None:
    from majung.server import running

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(settings, _first_account) as server:
        scheme = "https" if settings.server.tls_cert else "http"
        host = settings.server.http.rpartition(":")[0]
        typer.echo(f"map   {settings.server.public_url or f'{scheme}://{host}:{server.http.port}/'}")
        typer.echo(f"grpc  {settings.server.grpc.rpartition(':')[0]}:{server.grpc.port}")
        sys.stdout.flush()
        await stop.wait()


@app.command()
def demo(
    data: DataOption = Path("demo-data"),
    riders: Annotated[int, typer.Option(min=1, help="How many riders are on duty.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed, the same city.")] = 7,
    stores: Annotated[int, typer.Option(min=1, help="How many stores cook.")] = 80,
    orders_per_minute: Annotated[
        float, typer.Option(min=0.1, help="Orders a minute at the peak of the day.")
    ] = 60.0,
    for_s: Annotated[
        float, typer.Option("--for", help="Stop by itself after so many seconds; 0: at Ctrl-C.")
    ] = 0,
) -> None:
    """A whole city in Gangnam until Ctrl-C: customers order, stores cook, riders carry; you are one of each.

    Started again it goes on with its data.
    """
    from majung.demo import run_demo

    raise typer.Exit(run_demo(data, riders, seed, for_s, stores, orders_per_minute))


@app.command()
def doctor(
    data: DataOption = Path("majung-data"), config: ConfigOption = None, sets: SetOption = None
) -> None:
    """Check a set-up and say what to mend. Exit code 1 when something must be."""
    from majung.doctor import examine

    raise typer.Exit(examine(read_settings(data, config, sets)))


@app.command("settings")
def show_settings(
    data: DataOption = Path("majung-data"), config: ConfigOption = None, sets: SetOption = None
) -> None:
    """List every setting: its name, value, default and meaning."""
    from majung.settings_doc import rows

    for name, value, default, meaning in rows(read_settings(data, config, sets)):
        changed = "" if value == default else f"   [default {default}]"
        typer.echo(f"{typer.style(name, bold=True)} = {value}{changed}\n    {meaning}")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"majung {majung.__version__}")


ELSEWHERE = {
    "user": "majung.cli_accounts",
    "device": "majung.cli_accounts",
    "simulate": "majung.cli_simulate",
    "replay": "majung.cli_replay",
    "routing": "majung.cli_routing",
}
"""The commands that modules of their own add, each by its `register`."""


def _needed(named: str) -> set[str]:
    """The modules whose commands are wanted: one, none for a command of this file, all for help and typing errors."""
    if named in ELSEWHERE:
        return {ELSEWHERE[named]}
    here = {one.name or one.callback.__name__ for one in app.registered_commands if one.callback}
    return set() if named in here else set(ELSEWHERE.values())


def main() -> None:
    """The entry point.

    Only what the command line names is imported: the simulator alone takes half a second to load, and
    `majung serve` and `majung user` have no use for it.
    """
    for module in sorted(_needed(sys.argv[1] if len(sys.argv) > 1 else "")):
        importlib.import_module(module).register(app)
    app()
