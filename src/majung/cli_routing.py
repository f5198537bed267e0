"""`majung routing`: streets for ways and arrival times."""

from pathlib import Path
from typing import Annotated

import typer

routing = typer.Typer(
    help="Streets for ways and arrival times.", no_args_is_help=True, rich_markup_mode="rich"
)


def register(app: typer.Typer) -> None:
    """Add the commands to `majung`."""
    app.add_typer(routing, name="routing")


@routing.callback()
def _group() -> None:
    """Streets for ways and arrival times."""


@routing.command(
    "build",
    epilog="Examples:\n\n  majung routing build south-korea-latest.osm.pbf --data ./majung-data\n\n"
    "  majung routing build seoul.osm.pbf --out /srv/seoul.tar     [dim]# then: --set routing.tiles=/srv/seoul.tar[/]\n\n"
    "Extracts of OpenStreetMap: https://download.geofabrik.de",
)
def build_tiles(
    source: Annotated[Path, typer.Argument(metavar="FILE.osm.pbf", help="An extract of OpenStreetMap.")],
    data: Annotated[
        Path, typer.Option("--data", help="The data folder; made when it does not exist.")
    ] = Path("majung-data"),
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to; default: routing/tiles.tar in the data folder.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0: one for each core.")] = 0,
) -> None:
    """Make the tiles that ways along streets need. A server takes them at its next start."""
    import time

    from rich.console import Console

    from majung.cli import read_settings
    from majung.routing.tiles import BuildFailed, build

    target = out or read_settings(data, None, None).tiles_path
    console = Console()
    began_s = time.monotonic()
    try:
        with console.status(f"{source.name}: starting") as status:

            def tell(stage: str) -> None:
                console.print(f"[dim]{time.monotonic() - began_s:7.1f} s[/]  {stage}", highlight=False)
                status.update(f"{source.name}: {stage}")

            built = build(source, target, tell, threads)
    except BuildFailed as problem:
        typer.secho(f"majung: {problem}", fg="red", err=True)
        raise typer.Exit(1) from None
    took = f"{built.size_bytes / 1e6:,.1f} MB in {time.monotonic() - began_s:,.1f} s"
    console.print(
        f"[green]{built.path}[/]: {took}. Restart the server to use it.", highlight=False, soft_wrap=True
    )
