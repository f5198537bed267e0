"""Run the benchmarks named (or all), print a table, keep the figures with machine and commit."""

import argparse
import importlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import machine

FOLDER = Path(__file__).resolve().parent
ALL = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
BY_NAME = ("gangnam", "friends_channels", "friends_load")  # these take long, and run only when they are named


def show(console: Console, name: str, result: dict[str, Any]) -> None:
    table = Table(title=name, title_justify="left", box=None, show_header=False)
    for key, value in rows(result):
        table.add_row(key, value)
    console.print(table)


def rows(result: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """A row for each value; for what holds no further dict, one row with all its values."""
    for key, value in result.items():
        if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
            yield from rows(value, f"{above}{key}: ")
        elif isinstance(value, dict):
            yield above + key, "  ".join(f"{k} {v}" for k, v in value.items())
        else:
            yield above + key, str(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of: {', '.join((*ALL, *BY_NAME))}", metavar="NAME")
    given = parser.parse_args()
    console = Console()
    results: dict[str, Any] = {
        "machine": machine.describe(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for name in given.names or ALL:
        console.print(f"[dim]{name} …[/]")
        started = time.monotonic()
        module = f"bench.{name}" if name in BY_NAME else f"bench.bench_{name}"
        results[name] = importlib.import_module(module).run()
        show(console, f"{name} ({time.monotonic() - started:.0f} s)", results[name])
    kept = FOLDER / "results" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{results['machine']['commit']}.json"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    console.print(f"kept in bench/results/{kept.name}")


if __name__ == "__main__":
    main()
