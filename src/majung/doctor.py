"""`majung doctor`: look at a set-up as an experienced operator would, and say what to mend."""

import os
import shutil
import socket
import sqlite3
import ssl
import stat
import sys
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from importlib import resources
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from majung.routing.valhalla import ValhallaRouter
from majung.routing.valhalla import installed as valhalla_installed
from majung.serve.http.listener import split_address
from majung.settings import Settings

_ENOUGH_FREE_BYTES = 2 * 1024**3
_ENOUGH_FILES = 10_000
_CERTIFICATE_WARNING_S = 14 * 86_400


class Verdict(StrEnum):
    """How a finding stands."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: how it stands, and what to do about it."""

    what: str
    verdict: Verdict
    detail: str
    mend: str = ""


def _python(_: Settings) -> Iterator[Finding]:
    version = sys.version.split()[0]
    good = sys.version_info >= (3, 11)
    yield Finding(
        "Python", Verdict.GOOD if good else Verdict.BAD, version, "" if good else "use Python 3.11 or newer"
    )
    yield Finding("SQLite", Verdict.GOOD, sqlite3.sqlite_version)


def _folder(settings: Settings) -> Iterator[Finding]:
    data = settings.data
    if not data.exists():
        yield Finding("data folder", Verdict.GOOD, f"{data} does not exist yet; the first start makes it")
        parent = next(p for p in (data.absolute().parents) if p.exists())
        if not os.access(parent, os.W_OK):
            yield Finding(
                "data folder",
                Verdict.BAD,
                f"{parent} cannot be written",
                "choose another --data, or chown it",
            )
        return
    if not os.access(data, os.W_OK | os.X_OK):
        yield Finding("data folder", Verdict.BAD, f"{data} cannot be written", f"chown or chmod {data}")
        return
    open_to_others = stat.S_IMODE(data.stat().st_mode) & 0o077
    if open_to_others:
        yield Finding("data folder", Verdict.WARN, "others on this machine can read it", f"chmod 700 {data}")
    else:
        yield Finding("data folder", Verdict.GOOD, str(data))
    free = shutil.disk_usage(data).free
    verdict = Verdict.GOOD if free >= _ENOUGH_FREE_BYTES else Verdict.WARN
    mend = "" if verdict is Verdict.GOOD else "make room, or shorten history.detail_for and log.keep_for"
    yield Finding("free disk", verdict, f"{free / 1024**3:.1f} GiB", mend)


def _files(settings: Settings) -> Iterator[Finding]:
    """Ask every SQLite file of the folder whether it is whole. Reading beside a running server is fine."""
    broken = 0
    count = 0
    for path in sorted(settings.data.rglob("*.db")) if settings.data.exists() else ():
        count += 1
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as db:
                answer = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            db.close()
        except sqlite3.Error as problem:
            answer = str(problem)
        if answer != "ok":
            broken += 1
            mend = "the server serves the rest and reports it at /readyz; restore this file from a backup if it matters"
            yield Finding("data file", Verdict.BAD, f"{path.relative_to(settings.data)}: {answer}", mend)
    if count and not broken:
        yield Finding("data files", Verdict.GOOD, f"{count} files are whole")


def _limits(_: Settings) -> Iterator[Finding]:
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    good = soft >= _ENOUGH_FILES
    mend = (
        ""
        if good
        else f"ulimit -n {min(hard, 65536)} (or LimitNOFILE= in the service unit): a file for each connection"
    )
    yield Finding("open files", Verdict.GOOD if good else Verdict.WARN, f"{soft} allowed", mend)


def _doors(settings: Settings) -> Iterator[Finding]:
    for name, address in (("http", settings.server.http), ("grpc", settings.server.grpc)):
        try:
            host, port = split_address(address)
        except ValueError as problem:
            yield Finding(f"{name} address", Verdict.BAD, str(problem), f"--{name} HOST:PORT")
            continue
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as problem:
                mend = f"a server runs there already? otherwise choose another: --{name} HOST:PORT"
                yield Finding(f"{name} address", Verdict.WARN, f"{address}: {problem.strerror}", mend)
                continue
        public = host not in ("127.0.0.1", "::1", "localhost")
        if public and settings.server.tls_cert is None:
            mend = "set server.tls_cert and server.tls_key, or stand behind a proxy that speaks TLS"
            yield Finding(f"{name} address", Verdict.WARN, f"{address} is reachable without TLS", mend)
        else:
            yield Finding(f"{name} address", Verdict.GOOD, address)


def _tls(settings: Settings) -> Iterator[Finding]:
    cert, key = settings.server.tls_cert, settings.server.tls_key
    if cert is None and key is None:
        return
    if cert is None or key is None:
        yield Finding("TLS", Verdict.BAD, "only one of tls_cert and tls_key is set", "set both")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as problem:
        yield Finding(
            "TLS",
            Verdict.BAD,
            f"{cert}, {key}: {problem}",
            "PEM files that belong together, readable by the server",
        )
        return
    ends_s = _certificate_end_s(cert)
    left_s = ends_s - time.time()
    if left_s < _CERTIFICATE_WARNING_S:
        verdict = Verdict.BAD if left_s < 0 else Verdict.WARN
        yield Finding("TLS", verdict, f"the certificate ends in {left_s / 86400:.0f} days", "renew it")
    else:
        yield Finding("TLS", Verdict.GOOD, f"the certificate holds for {left_s / 86400:.0f} days")


def _certificate_end_s(path: Path) -> float:
    from cryptography import x509

    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()


def _routing(settings: Settings) -> Iterator[Finding]:
    """Which router a server would use, found by opening it."""
    engine, tiles = settings.routing.engine, settings.tiles_path
    build = f"majung routing build FILE.osm.pbf --data {settings.data}"
    if engine == "straight" or (engine == "auto" and not tiles.exists()):
        mend = "" if engine == "straight" else f"for ways along streets: {build}"
        yield Finding("routes", Verdict.GOOD, "straight lines, with what was learned", mend)
        return
    try:
        ValhallaRouter(tiles, settings.routing.profile).close()
    except ValueError as problem:
        verdict = Verdict.BAD if engine == "valhalla" or valhalla_installed() else Verdict.WARN
        yield Finding("routes", verdict, str(problem), f"or routing.engine = straight; {build}")
    else:
        size_mb = tiles.stat().st_size / 1e6
        yield Finding("routes", Verdict.GOOD, f"along streets ({tiles}, {size_mb:,.1f} MB)")


def _pages(_: Settings) -> Iterator[Finding]:
    built = resources.files("majung.webui").joinpath("dist", "index.html").is_file()
    mend = "" if built else "from a clone: make web"
    yield Finding(
        "pages", Verdict.GOOD if built else Verdict.WARN, "built" if built else "not built: no map", mend
    )


LOOKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python,
    _folder,
    _files,
    _limits,
    _doors,
    _tls,
    _routing,
    _pages,
)


def findings(settings: Settings) -> list[Finding]:
    """Everything looked at, in order."""
    return [finding for look in LOOKS for finding in look(settings)]


def examine(settings: Settings) -> int:
    """Print the findings; 1 when something must be mended, else 0."""
    found = findings(settings)
    colours = {Verdict.GOOD: "green", Verdict.WARN: "yellow", Verdict.BAD: "red"}
    table = Table("", "what", "found", "to mend", box=None, pad_edge=False)
    for finding in found:
        colour = colours[finding.verdict]
        sign = {Verdict.GOOD: "✓", Verdict.WARN: "!", Verdict.BAD: "✗"}[finding.verdict]
        table.add_row(f"[{colour}]{sign}[/]", finding.what, finding.detail, finding.mend)
    Console().print(table)
    return 1 if any(finding.verdict is Verdict.BAD for finding in found) else 0
