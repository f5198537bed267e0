"""Start the server, open the free store, let the city in, watch, and stop everything in order."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live

from majung.demo import free_friend, free_store, screen
from majung.demo.server import Account, ready
from majung.demo.sign_in import city_file, prepare
from majung.settings import load

_READY_WITHIN_S = 30.0
_STOP_WITHIN_S = 20.0
_STATUS = "city-status.json"
# Quick dishes from stores nearby: whoever tries it sees whole orders after two or three minutes.
_SHORT = ("--cooking", "1-3", "--nearby", "8")

Process = subprocess.Popen[bytes]


def run_demo(
    data: Path, riders: int, seed: int, for_s: float, stores: int = 80, orders_per_minute: float = 60.0
) -> int:
    """Run until Ctrl-C, SIGTERM, or for `for_s` seconds; the exit code."""
    console = Console()
    load(data)  # a wrong settings file is said before anything starts
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    sign_in = asyncio.run(prepare(data, stores, riders, orders_per_minute))
    http, grpc = _free_port(8080), _free_port(50051)
    base = f"http://127.0.0.1:{http}"
    # A shell that starts it in the background has it ignore Ctrl-C, and then nothing would stop it in order.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    server: Process | None = None
    city: Process | None = None
    friends: Process | None = None
    (data / _STATUS).unlink(missing_ok=True)
    with (data / "demo.log").open("ab") as output:
        try:
            server = _spawn("serve", *_server_options(data, http, grpc), output=output)
            _await_ready(base, server)
            free_store.open_store(Account(base, "kitchen", sign_in.free["kitchen"]))
            screen.welcome(console, f"{base}/", sign_in)
            sys.stdout.flush()
            sizes = (str(stores), str(riders), str(orders_per_minute), str(seed))
            city = _spawn("simulate", *_city_options(data, base, f"127.0.0.1:{grpc}", sizes), output=output)
            friends = _spawn("simulate", *_friends_options(data, base, seed), output=output)
            admin = Account(base, sign_in.name, sign_in.password)
            free = Account(base, free_friend.NAME, sign_in.free[free_friend.NAME])
            _watch(console, data, (admin, free), {"server": server, "city": city, "friends": friends}, for_s)
        except KeyboardInterrupt:
            pass
        except (RuntimeError, httpx.HTTPError) as problem:
            console.print(f"[red]{problem}[/] The log is {data / 'demo.log'}")
            return 1
        finally:
            console.print("\nstopping: the city first, then the server when it has processed everything …")
            _end(friends)
            _end(city)
            status = _end(server)
    console.print(f"stopped; the data stays in {data}, and open orders go on the next time")
    return 0 if status == 0 else 1


def _server_options(data: Path, http: int, grpc: int) -> list[str]:
    latitude, longitude = free_store.PLACE
    return [
        *("--data", str(data), "--http", f"127.0.0.1:{http}", "--grpc", f"127.0.0.1:{grpc}"),
        *("--set", f"delivery.demo_place={latitude},{longitude}"),
    ]


def _city_options(data: Path, base: str, grpc: str, sizes: tuple[str, str, str, str]) -> list[str]:
    stores, riders, orders_per_minute, seed = sizes
    latitude, longitude = free_store.PLACE
    return [
        *("--delivery", "--http", base, "--to", grpc, "--accounts", str(city_file(data))),
        *("--stores", stores, "--riders", riders, "--orders-per-minute", orders_per_minute, "--seed", seed),
        *_SHORT,
        *("--places", str(data / "city-places.json"), "--status", str(data / _STATUS)),
        *("--leave-alone", f"{free_store.NAME}@{latitude},{longitude}"),
    ]


def _friends_options(data: Path, base: str, seed: int) -> list[str]:
    return [
        *("--friends", str(free_friend.FRIENDS), "--http", base, "--accounts", str(city_file(data))),
        *("--ask", free_friend.NAME, "--seed", str(seed)),
    ]


def _watch(
    console: Console,
    data: Path,
    accounts: tuple[Account, Account],
    processes: dict[str, Process],
    for_s: float,
) -> None:
    """`accounts`: the administrator, and the person who is left free among friends."""
    admin, free = accounts
    started, stands_s = time.monotonic(), 0.0
    stats: dict[str, Any] | None = None
    city: dict[str, Any] | None = None
    delivered, arrivals = screen.Delivered(), screen.Arrivals()
    with Live(screen.status(None, None, 0.0, 0), console=console, refresh_per_second=2) as live:
        while not for_s or time.monotonic() - started < for_s:
            for name, process in processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"The {name} stopped (exit code {process.returncode}).")
            with contextlib.suppress(httpx.HTTPError):
                stats = admin.ask("GET", "/v1/stats")
                if time.monotonic() >= stands_s:
                    stands_s = time.monotonic() + free_friend.EVERY_S
                    free_friend.stand(free)
            with contextlib.suppress(OSError):
                city = json.loads((data / _STATUS).read_text())
            now_s = time.monotonic()
            per_minute = delivered.add(now_s, city["ended"].get("DELIVERED", 0) if city else 0)
            arriving = arrivals.add(now_s, city["eta"]["placed"]) if city else ""
            live.update(screen.status(stats, city, per_minute, now_s - started, arriving))
            time.sleep(1)


def _await_ready(base: str, server: Process) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while not ready(base):
        if server.poll() is not None:
            raise RuntimeError("The server stopped at its start.")
        if time.monotonic() > deadline:
            raise RuntimeError(f"The server was not ready within {_READY_WITHIN_S:.0f} s.")
        time.sleep(0.05)


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise OSError("no free port")


def _spawn(*arguments: str, output: Any) -> Process:
    # A session of its own: Ctrl-C reaches only the demo, which then stops the others in order.
    command = [sys.executable, "-m", "majung", *arguments]
    return subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)  # noqa: S603 - ourselves


def _end(process: Process | None) -> int:
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
