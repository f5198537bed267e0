"""Make the virtual environment from the lock file. Needs nothing but the standard library."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    venv_dir = ROOT / sys.argv[1]
    if sys.version_info < (3, 11):
        print(
            f"Majung needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.\n"
            "Name another one: make PYTHON=python3.12 …",
            file=sys.stderr,
        )
        return 1
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError:
        print(
            "This Python cannot make virtual environments. On Debian or Ubuntu: "
            f"apt install python{sys.version_info.major}.{sys.version_info.minor}-venv",
            file=sys.stderr,
        )
        return 1
    python = venv_dir / "bin" / "python"
    if not python.exists():
        print(f"making {venv_dir.name} with Python {sys.version.split()[0]} …", flush=True)
        venv.create(venv_dir, with_pip=True, symlinks=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    print("installing the locked packages (half a minute the first time) …", flush=True)
    lock = ROOT / "requirements" / "dev.lock.txt"
    subprocess.run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(lock)], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
