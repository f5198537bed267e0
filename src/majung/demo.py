"""`majung demo`: a server, a city of simulated riders on its real gRPC door, and a status to look at."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from majung.auth.model import Role
from majung.auth.service import AuthService
from majung.clock import SystemClock
from majung.compose import open_database
from majung.settings import AuthSettings, load

_READY_WITHIN_S = 30.0
_STOP_WITHIN_S = 20.0
_SIGN_IN = "sign-in.json"


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise OSError("no free port")


async def _accounts(data: Path) -> dict[str, str]:
    """An operator to sign in with and a gateway for the simulator; made once, kept beside the data."""
    kept = data / _SIGN_IN
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    async with open_database(data) as database:
        auth = AuthService(database, SystemClock(), AuthSettings())
        operator = await auth.add_user("demo", Role.ADMIN, secrets.token_urlsafe(9))
        gateway = await auth.add_user("city", Role.GATEWAY)
    sign_in = {"name": operator.name, "password": operator.password, "gateway_token": gateway.token or ""}
    kept.touch(mode=0o600)
    kept.write_text(json.dumps(sign_in))
    return sign_in


class _Api:
    """The demo's own look at the server."""

    def __init__(self, base: str, sign_in: dict[str, str]) -> None:
        self._base = base
        self._sign_in = sign_in
        self._token = ""

    def _ask(self, path: str, data: bytes | None = None) -> Any:
        request = urllib.request.Request(self._base + path, data=data)  # noqa: S310 - our own server
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return json.loads(answer.read())

    def stats(self) -> dict[str, Any]:
        """`/v1/stats`, signing in again when the token has run out."""
        try:
            return dict(self._ask("/v1/stats"))
        except urllib.error.HTTPError as problem:
            if problem.code != 401:
                raise
            form = (
                f"grant_type=password&username={self._sign_in['name']}&password={self._sign_in['password']}"
            )
            self._token = ""
            self._token = str(self._ask("/v1/oauth/token", form.encode())["access_token"])
            return dict(self._ask("/v1/stats"))

    def ready(self) -> bool:
        """Whether `/readyz` says so."""
        try:
            return bool(self._ask("/readyz")["ready"])
        except (OSError, ValueError):
            return False


def _table(stats: dict[str, Any] | None, since_s: float) -> Table:
    table = Table.grid(padding=(0, 3))
    if stats is None:
        table.add_row("", "waiting for the first riders …")
        return table
    rates = stats["rates"]
    table.add_row("[bold]riders[/]", f"{stats['riders']:,} live   {stats['viewers']} watching")
    table.add_row(
        "[bold]positions[/]", f"{rates['received_per_s']:,.0f} a second   {stats['stored']:,} in history"
    )
    table.add_row(
        "[bold]lag[/]",
        f"{stats['lag_records']} positions, {stats['lag_s']:.2f} s   ack p99 {stats['ack_p99_ms']:.0f} ms",
    )
    table.add_row(
        "[bold]rejected[/]", f"{stats['quarantined']:,} quarantined   {stats['deduplicated']:,} sent twice"
    )
    closes = "[green]closes[/]" if not stats["ledger_errors"] else f"[red]{stats['ledger_errors']}[/]"
    table.add_row("[bold]ledger[/]", closes)
    table.add_row("", f"[dim]running for {since_s:.0f} s · Ctrl-C stops[/]")
    return table


def _spawn(*arguments: str, output: Any) -> "subprocess.Popen[bytes]":
    # A session of its own: Ctrl-C reaches only the demo, which then stops the others in order.
    command = [sys.executable, "-m", "majung", *arguments]
    return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)  # noqa: S603 - ourselves


def _end(process: "subprocess.Popen[bytes] | None") -> int:
    if process is None:
        return 0
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def run_demo(data: Path, riders: int, seed: int, for_s: float) -> int:
    """Run until Ctrl-C, SIGTERM, or for `for_s` seconds; the exit code."""
    console = Console()
    load(data)  # a wrong settings file is said before anything starts
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    sign_in = asyncio.run(_accounts(data))
    http, grpc = _free_port(8080), _free_port(50051)
    url = f"http://127.0.0.1:{http}/"
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    server: subprocess.Popen[bytes] | None = None
    city: subprocess.Popen[bytes] | None = None
    with (data / "demo.log").open("ab") as output:
        try:
            addresses = ("--http", f"127.0.0.1:{http}", "--grpc", f"127.0.0.1:{grpc}")
            server = _spawn("serve", "--data", str(data), *addresses, output=output)
            api = _Api(url.rstrip("/"), sign_in)
            _await_ready(api, server, data)
            console.print(f"map       [link={url}]{url}[/link]", highlight=False)
            console.print(f"sign in   {sign_in['name']}  /  {sign_in['password']}", highlight=False)
            sys.stdout.flush()
            os.environ["MAJUNG_TOKEN"] = sign_in["gateway_token"]
            city = _spawn(
                *("simulate", "--to", f"127.0.0.1:{grpc}", "--riders", str(riders), "--seed", str(seed)),
                output=output,
            )
            _watch(console, api, (server, city), for_s)
        except KeyboardInterrupt:
            pass
        except RuntimeError as problem:
            console.print(f"[red]{problem}[/] The log is {data / 'demo.log'}")
            return 1
        finally:
            console.print("\nstopping: the riders first, then the server when it has processed everything …")
            _end(city)
            status = _end(server)
    console.print("stopped; the data stays in " + str(data))
    return 0 if status == 0 else 1


def _await_ready(api: _Api, server: "subprocess.Popen[bytes]", data: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while not api.ready():
        if server.poll() is not None:
            raise RuntimeError("The server stopped at its start.")
        if time.monotonic() > deadline:
            raise RuntimeError(f"The server was not ready within {_READY_WITHIN_S:.0f} s.")
        time.sleep(0.05)


def _watch(
    console: Console,
    api: _Api,
    processes: tuple["subprocess.Popen[bytes]", "subprocess.Popen[bytes]"],
    for_s: float,
) -> None:
    started = time.monotonic()
    stats: dict[str, Any] | None = None
    with Live(_table(None, 0), console=console, refresh_per_second=2) as live:
        while not for_s or time.monotonic() - started < for_s:
            for name, process in zip(("server", "simulator"), processes, strict=True):
                if process.poll() is not None:
                    raise RuntimeError(f"The {name} stopped (exit code {process.returncode}).")
            with contextlib.suppress(OSError, ValueError):
                stats = api.stats()
            live.update(_table(stats, time.monotonic() - started))
            time.sleep(1)
