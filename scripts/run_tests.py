"""`make test`: install what the machine lets us, run everything, say by name what was left out."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = ("chromium", "fonts-noto-cjk")


def install_chromium() -> None:
    """Debian's Chromium for the browser tests, where there is apt and root; silent where not."""
    if shutil.which("chromium") or os.environ.get("CHROMIUM_PATH"):
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        print("no Chromium, and no way to install it here: browser tests are left out", flush=True)
        return
    print("installing Chromium for the browser tests …", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "-qq", "update"],
        ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *CHROMIUM],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            print(f"could not install Chromium: {(done.stderr or done.stdout).strip()[-300:]}", flush=True)
            return


def main() -> int:
    install_chromium()
    python = sys.executable
    steps = (
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "mypy"],
        # In the order of conftest.py: long files first.
        [python, "-m", "pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
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
