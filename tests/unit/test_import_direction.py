"""serve → domains → ports; `wire` does no I/O; only `compose` and `data_folder` know backends."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent.parent / "src" / "majung"

DOMAINS = (
    "positions",
    "live",
    "auth",
    "observe",
    "stores",
    "orders",
    "outbox",
    "dispatch",
    "webhooks",
    "routing",
    "eta",
    "share",
    "addresses",
    "notify",
    "friends",
)
ENTRY_POINTS = (
    "cli",
    "cli_accounts",
    "cli_routing",
    "cli_delivery",
    "cli_replay",
    "cli_simulate",
    "demo",
    "doctor",
    "server",
    "__main__",
)
IO_MODULES = {
    "asyncio",
    "socket",
    "sqlite3",
    "litestar",
    "grpc",
    "httpx",
    "urllib.request",
    "threading",
    "uvicorn",
}


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def offences(path: Path, source: Path = SOURCE) -> list[str]:
    """What this module imports and must not."""
    part = path.relative_to(source).with_suffix("").parts
    imported = imports_of(path)
    bad: list[str] = []

    def forbid(prefix: str, why: str) -> None:
        bad.extend(f"{name} ({why})" for name in imported if (name + ".").startswith(prefix + "."))

    if part[0] not in ("backends", "compose", "data_folder"):
        forbid("majung.backends", "only compose chooses backends")
    if part[0] in DOMAINS or part[0] in ("wire", "ports", "clock", "tasks", "settings", "backends"):
        for entry in ("serve", "compose", "data_folder", "services", *ENTRY_POINTS):
            forbid(f"majung.{entry}", "domains do not know their entry points")
    if part[0] == "wire":
        for module in IO_MODULES:
            forbid(module, "wire does no I/O")
        for domain in ("live", "serve"):
            forbid(f"majung.{domain}", "wire only converts")
    if part[0] == "simulate":
        for inside in ("positions.pipeline", "live", "serve", "compose", "services"):
            forbid(f"majung.{inside}", "the simulator stands outside, like a phone")
    return bad


MODULES = sorted(
    path for path in SOURCE.rglob("*.py") if "frontend" not in path.parts and "versions" not in path.parts
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_inwards(path: Path) -> None:
    assert offences(path) == []


def test_the_check_finds_a_planted_offence(tmp_path: Path) -> None:
    planted = tmp_path / "wire" / "bad.py"
    planted.parent.mkdir()
    planted.write_text("import socket\nfrom majung.backends.embedded.log import EmbeddedLog\n")
    found = " ".join(offences(planted, tmp_path))
    assert "only compose" in found
    assert "socket (wire does no I/O)" in found
