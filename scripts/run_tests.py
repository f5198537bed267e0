"""`make test`: install what the machine lets us, run everything, say by name what was left out."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NO_TESTS = 5
"""How pytest ends when nothing was chosen: one of the two rounds, when asked for some files only."""
BESIDE_ROOT = "/usr/sbin:/usr/local/sbin"
"""Where servers are installed, which only root has on the path."""


def there(program: str) -> bool:
    """Whether a program is installed."""
    return bool(shutil.which(program) or shutil.which(program, path=BESIDE_ROOT))


def wanted() -> dict[str, list[str]]:
    """What tests use and this machine lacks: what for, and Debian's packages."""
    found = {
        "Chromium (browser tests)": (
            there("chromium") or bool(os.environ.get("CHROMIUM_PATH")),
            ["chromium", "fonts-noto-cjk"],
        ),
        "Redis (tests of channels between servers)": (there("redis-server"), ["redis-server"]),
        "Mosquitto (MQTT tests)": (
            there("mosquitto") and there("mosquitto_pub"),
            ["mosquitto", "mosquitto-clients"],
        ),
    }
    return {what: packages for what, (have, packages) in found.items() if not have}


def install_from_debian() -> None:
    """Debian's programs that tests use, where there is apt and root; says by name what stays missing.

    RUNLEVEL=1 keeps their services from being started: the tests start their own, on free ports.
    """
    missing = wanted()
    if not missing:
        return
    names = ", ".join(missing)
    if not shutil.which("apt-get") or os.geteuid() != 0:
        print(f"missing, and no way to install it here: {names}: its tests are left out", flush=True)
        return
    print(f"installing from Debian: {names} …", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    get = ["apt-get", "-qq"]
    steps = [("the list of packages", [*get, "update"])]
    steps += [
        (what, [*get, "install", "-y", "--no-install-recommends", *packages])
        for what, packages in missing.items()
    ]
    for what, command in steps:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            print(f"could not install {what}: {(done.stderr or done.stdout).strip()[-300:]}", flush=True)


def main() -> int:
    install_from_debian()
    for check in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]):
        if status := run(check):
            return status
    tests = ["pytest", "--durations=15", *sys.argv[1:]]
    rounds = (
        # In the order of conftest.py: long files first.
        [*tests, "-m", "not alone", "-n", "4", "--dist", "loadfile", "--no-loadscope-reorder"],
        [*tests, "-m", "alone"],
    )
    ends = [status for one in rounds if (status := run(one)) != NO_TESTS]
    return next(filter(None, ends), 0) if ends else NO_TESTS


def run(module: list[str]) -> int:
    """Run one of Python's modules in the project's folder, said before it begins."""
    print(f"\n$ {shlex.join(['python', '-m', *module])}", flush=True)
    return subprocess.run([sys.executable, "-m", *module], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
