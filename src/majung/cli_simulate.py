"""The command `majung simulate`. It parses, calls, and shows; `register` adds it."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from majung.cli_delivery import Wishes, simulate_delivery
from majung.cli_friends import simulate_friends
from majung.simulate import run as simulating
from majung.simulate.screen import Screen
from majung.simulate.streets import CITIES
from majung_sdk import BufferInUse

_PANEL = "With --delivery"
_FRIENDS = "With --friends"

To = Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="The gRPC door of the server.")]
Token = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="MAJUNG_TOKEN",
        help="Credential: of a gateway for many riders, or of a device for its own rider.",
    ),
]
Authority = Annotated[
    Path | None,
    typer.Option("--ca", help="PEM file of the authority that signed the server's certificate; means TLS."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate", epilog=_SIMULATE_EXAMPLES)(simulate)


_SIMULATE_EXAMPLES = (
    "Examples:\n\n"
    "majung simulate --to 127.0.0.1:50051 --token mjd_… --riders 1000\n\n"
    "majung simulate --to 127.0.0.1:50051 --token mjd_… --riders 50 --speed 3 --duration 60\n\n"
    "MAJUNG_TOKEN=mjd_… majung simulate --to majung.example:443 --ca house.pem --city hongdae --seed 42\n\n"
    "majung user add-many --role store --count 80 >> city.jsonl\n\n"
    "majung simulate --delivery --accounts city.jsonl --to 127.0.0.1:50051 --http http://127.0.0.1:8080 "
    "--stores 80 --riders 600 --orders-per-minute 60 --seconds 1800 --report city.json\n\n"
    "majung simulate --friends 12 --http http://127.0.0.1:8080 --ask my-name"
)


def simulate(
    to: To = "",
    token: Token = "",
    riders: Annotated[int, typer.Option(min=1, max=200_000, help="How many riders.")] = 1_000,
    city: Annotated[str, typer.Option(help=f"One of {', '.join(CITIES)}.")] = "gangnam",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same drive.")] = 7,
    rate_s: Annotated[float, typer.Option(min=0.05, help="Seconds between two positions of a rider.")] = 5.0,
    speed: Annotated[
        float,
        typer.Option(
            min=0.01, max=100.0, help="How fast time runs in the city; riders drive and report faster."
        ),
    ] = 1.0,
    duration: Annotated[
        float | None,
        typer.Option("--duration", "--seconds", min=0.0, help="Seconds; without it until Ctrl-C."),
    ] = None,
    prefix: Annotated[str, typer.Option(help="Riders are called PREFIX0001 and so on.")] = "rider-",
    buffer: Annotated[
        Path | None,
        typer.Option(
            help="Keep the phones' buffer in this file, and go on with it next time. Default: for this run."
        ),
    ] = None,
    delivery: Annotated[
        bool, typer.Option("--delivery", help="Customers order, stores cook, and the riders carry it.")
    ] = False,
    http: Annotated[
        str, typer.Option(metavar="URL", help="With --delivery: the HTTP door.", rich_help_panel=_PANEL)
    ] = "http://127.0.0.1:8080",
    stores: Annotated[int, typer.Option(min=1, help="How many stores.", rich_help_panel=_PANEL)] = 80,
    orders_per_minute: Annotated[
        float,
        typer.Option(min=0.01, help="Orders a minute at the peak of the day.", rich_help_panel=_PANEL),
    ] = 60.0,
    accounts: Annotated[
        Path | None,
        typer.Option(
            help="JSON lines as `majung user add-many` prints them; without it, everybody signs up.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    secret: Annotated[
        str,
        typer.Option(
            envvar="MAJUNG_SIMULATE_SECRET",
            help="Whoever signed up with this before signs in again. Default: new people.",
            rich_help_panel=_PANEL,
        ),
    ] = "",
    cooking: Annotated[
        str,
        typer.Option(
            metavar="MINUTES-MINUTES",
            help="What every store promises and about needs, such as 1-4. Default: as its kitchen does, 3 to 11.",
            rich_help_panel=_PANEL,
        ),
    ] = "",
    nearby: Annotated[
        int,
        typer.Option(
            min=1,
            max=100,
            help="A customer orders from one of so many stores that are nearest.",
            rich_help_panel=_PANEL,
        ),
    ] = 40,
    offer_ahead: Annotated[
        float | None,
        typer.Option(help="Seconds: the server's dispatch.offer_ahead, if set.", rich_help_panel=_PANEL),
    ] = None,
    places: Annotated[
        Path | None,
        typer.Option(help="Keep in this file where riders are, for the next time.", rich_help_panel=_PANEL),
    ] = None,
    leave_alone: Annotated[
        str,
        typer.Option(
            metavar="NAME@LAT,LON",
            help="A store that nobody simulated orders from or lives near.",
            rich_help_panel=_PANEL,
        ),
    ] = "",
    report: Annotated[
        Path | None, typer.Option(help="Write the figures as JSON at the end.", rich_help_panel=_PANEL)
    ] = None,
    status: Annotated[
        Path | None, typer.Option(help="And every second while it runs.", rich_help_panel=_PANEL)
    ] = None,
    friends: Annotated[
        int,
        typer.Option(
            min=0,
            max=2_000,
            metavar="N",
            help="Instead of riders: N people who walk, meet and part, by --http; some blurred, some ghosts at times.",
            rich_help_panel=_FRIENDS,
        ),
    ] = 0,
    ask: Annotated[
        str,
        typer.Option(metavar="NAME", help="They all ask NAME to be friends.", rich_help_panel=_FRIENDS),
    ] = "",
    ca: Authority = None,
) -> None:
    """Drive riders through a city and report their positions, as phones do. With --delivery, a whole city.

    They go from shops to customers along streets, stop at lights, lose reception in tunnels and cellars
    (and send it later), run out of battery, have inexact and wrong clocks, and send some positions twice.
    Exit status 0 when everything that was reported was acknowledged; with --delivery, when every order that
    was placed has ended.
    """
    if friends:
        simulate_friends(
            http=http,
            friends=friends,
            ask=ask,
            accounts=accounts,
            secret=secret,
            seed=seed,
            rate_s=rate_s,
            duration_s=duration,
            ca=ca,
            stop=stop_at_signal,
        )
        return
    if not to:
        raise typer.BadParameter("where is the server?", param_hint="--to")
    if delivery:
        wishes = Wishes(
            http,
            stores,
            orders_per_minute,
            accounts,
            secret,
            offer_ahead,
            places,
            leave_alone,
            report,
            status,
            cooking,
            nearby,
        )
        simulate_delivery(
            wishes,
            to=to,
            riders=riders,
            city=city,
            seed=seed,
            rate_s=rate_s,
            speed=speed,
            duration_s=duration,
            ca=ca,
            stop=stop_at_signal,
        )
        return
    if not token:
        raise typer.BadParameter("without --delivery a credential is needed", param_hint="--token")
    plan = simulating.Plan(
        to=to,
        token=token,
        riders=riders,
        city=city,
        seed=seed,
        rate_s=rate_s,
        speed=speed,
        duration_s=duration,
        prefix=prefix,
        buffer=buffer,
        root_certificates=certificates(ca),
    )
    console = Console(stderr=True)

    async def drive() -> simulating.Progress:
        with Screen(plan, console) as screen:
            return await simulating.simulate(plan, on_progress=screen.show, stop=stop_at_signal())

    try:
        progress = asyncio.run(drive())
    except (ValueError, BufferInUse) as error:
        raise typer.BadParameter(str(error)) from None
    totals = progress.totals
    typer.echo(
        f"reported {totals.reported}, acknowledged {totals.acked}, still buffered {progress.buffered}, "
        f"dropped {totals.dropped + progress.not_taken}, reconnects {totals.reconnects}"
    )
    if not progress.drained:
        raise typer.Exit(1)


def certificates(file: Path | None) -> bytes | None:
    """The authorities in a PEM file. Raises typer.BadParameter."""
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(str(error)) from None


def stop_at_signal() -> asyncio.Event:
    """Set at Ctrl-C or SIGTERM, so that what is under way can be finished."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
