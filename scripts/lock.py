"""Resolve the dependencies anew: versions and hashes, for every platform, no download address."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "uv"], check=True)
    for name, extra in (("run", []), ("dev", ["--group", "dev", "--all-extras"])):
        subprocess.run(
            [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"]
            + ["--python-version", "3.11", "--generate-hashes", "--no-emit-index-url"]
            + ["--no-emit-find-links", "--no-header", "--no-annotate", "pyproject.toml", *extra]
            + ["-o", f"requirements/{name}.lock.txt"],
            cwd=ROOT,
            check=True,
        )


if __name__ == "__main__":
    main()
