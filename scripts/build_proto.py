"""Generate sdk/majung_sdk/location_pb2.py (and its stub) from proto/. Committed; a test compares."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "majung/location/v1/location.proto"


def protoc(*options: str) -> None:
    """Run the compiler of the contract, in a process of its own: it and Valhalla do not live in one."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", *options]
    subprocess.run(command, check=True)


def generate(into: Path) -> None:
    """Write location_pb2.py and location_pb2.pyi into the folder `into`."""
    with tempfile.TemporaryDirectory() as tmp:
        protoc(f"--python_out={tmp}", f"--pyi_out={tmp}", SOURCE)
        for made in (Path(tmp) / "majung/location/v1").iterdir():
            (into / made.name).write_bytes(made.read_bytes())


if __name__ == "__main__":
    generate(ROOT / "sdk" / "majung_sdk")
