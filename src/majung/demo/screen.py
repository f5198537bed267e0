"""What the demo's terminal shows: where to go and as whom, and how the city is doing."""

from collections import deque
from typing import Any

from rich.console import Console
from rich.table import Table

from majung.cli_delivery import eta_line
from majung.demo import free_friend
from majung.demo.free_store import NAME
from majung.demo.sign_in import SignIn

_OVER_S = 60.0
_ARRIVALS_OVER_S = 300.0
_ENOUGH_ARRIVALS = 30
_PAGES = (
    ("order", "customer"),
    ("kitchen", "kitchen"),
    ("ride", "rider"),
    ("friends", free_friend.NAME),
)


def welcome(console: Console, url: str, sign_in: SignIn) -> None:
    """Addresses, sign-ins, and what to do with them."""

    def line(what: str, path: str, name: str, password: str) -> None:
        page = f"{url}{path}"
        console.print(f"{what:<9} [link={page}]{page}[/link]   {name} / {password}", highlight=False)

    console.print(f"map       [link={url}]{url}[/link]", highlight=False)
    console.print(f"sign in   {sign_in.name} / {sign_in.password}", highlight=False)
    for path, name in _PAGES:
        line(path, path, name, sign_in.free[name])
    line("admin", "admin", sign_in.name, sign_in.password)
    console.print(
        f"\n1  ride: go on duty. You stand at the door of {NAME}, wherever you are.\n"
        f"2  order: an address near Yeoksam station, from {NAME}. kitchen: accept it.\n"
        "3  ride: accept within 15 s and ride there. admin: see and change it all.\n"
        f"4  friends: {free_friend.FRIENDS} of them walk about Yeoksam station, where you stand.\n",
        highlight=False,
    )


class Delivered:
    """How many a minute, over the last minute, of a counter that only grows."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, now_s: float, count: int) -> float:
        """The rate now."""
        self._seen.append((now_s, count))
        while len(self._seen) > 2 and now_s - self._seen[0][0] > _OVER_S:
            self._seen.popleft()
        then_s, before = self._seen[0]
        span_s = now_s - then_s
        return 60.0 * (count - before) / span_s if span_s > 0 else 0.0


class Arrivals:
    """How right the arrival times of the last minutes were: a new server's first ones are guesses."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, dict[str, float]]] = deque([(0.0, {})])

    def add(self, now_s: float, found: dict[str, Any]) -> str:
        """A line about it; `found` is a stage of the report, whose counts only grow."""
        seen = found["seen"]
        means = [name for name in found if name.startswith("mean_")]
        sums = {name: found[name] * seen for name in means} | {"seen": seen, "hits": found["hits"]}
        self._seen.append((now_s, sums))
        while len(self._seen) > 2 and now_s - self._seen[0][0] > _ARRIVALS_OVER_S:
            self._seen.popleft()
        before = self._seen[0][1]
        lately = {name: value - before.get(name, 0.0) for name, value in sums.items()}
        count = round(lately["seen"])
        if count < _ENOUGH_ARRIVALS:
            return f"being learned from deliveries, {count} so far"
        rates = {name: lately[name] / count for name in means}
        return eta_line(rates | {"seen": count, "hit_rate": lately["hits"] / count})


def status(
    stats: dict[str, Any] | None,
    city: dict[str, Any] | None,
    per_minute: float,
    since_s: float,
    arrivals: str = "",
) -> Table:
    """One small table. `stats` is `/v1/stats`, `city` what the simulator reports."""
    table = Table.grid(padding=(0, 3))
    if stats is None:
        table.add_row("", "waiting for the first riders …")
        return table
    for name, text in [*_of_server(stats), *_of_city(city, per_minute, arrivals)]:
        table.add_row(f"[bold]{name}[/]", text)
    table.add_row("", f"[dim]running for {since_s:.0f} s · Ctrl-C stops[/]")
    return table


def _of_server(stats: dict[str, Any]) -> list[tuple[str, str]]:
    rates = stats["rates"]
    closes = "[green]closes[/]" if not stats["ledger_errors"] else f"[red]{stats['ledger_errors']}[/]"
    return [
        ("riders", f"{stats['riders']:,} live   {stats['viewers']} watching"),
        ("positions", f"{rates['received_per_s']:,.0f} a second   {stats['stored']:,} in history"),
        (
            "lag",
            f"{stats['lag_records']} positions, {stats['lag_s']:.2f} s   ack p99 {stats['ack_p99_ms']:.0f} ms",
        ),
        (
            "rejected",
            f"{stats['quarantined']:,} quarantined   {stats['deduplicated']:,} sent twice   ledger {closes}",
        ),
    ]


def _of_city(city: dict[str, Any] | None, per_minute: float, arrivals: str) -> list[tuple[str, str]]:
    if city is None:
        return [("orders", "the stores are opening …")]
    opened = "   ".join(f"{state} {count}" for state, count in city["open"].items())
    ended = "   ".join(f"{state} {count:,}" for state, count in city["ended"].items())
    matched = city["match_ms"]
    lines = [
        ("orders", f"{city['placed']:,} placed at {city['stores']} stores   {opened}"),
        ("ended", f"{ended or '–'}   {per_minute:.0f} delivered a minute   {city['late']} late"),
        ("matched", f"p50 {matched['p50']:.0f} ms, p99 {matched['p99']:.0f} ms after it could be offered"),
    ]
    if arrivals:
        lines.append(("arrival", arrivals))
    if city["anomalies"]:
        lines.append(("[red]wrong[/]", str(city["anomalies"][0])))
    return lines
