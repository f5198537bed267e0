"""`make test`: install what the machine lets us, run everything, say by name what was left out."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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
    python = sys.executable
    steps = (
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "mypy"],
        # In the order of conftest.py: long files first.
        [python, "-m", "pytest", "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
        + ["--durations=15", *sys.argv[1:]],
    )
    for step in steps:
        print(f"\n$ {' '.join(['python', *step[1:]])}", flush=True)
        status = subprocess.run(step, cwd=ROOT).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
