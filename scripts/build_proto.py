"""Generate sdk/majung_sdk/location_pb2.py (and its stub) from proto/. Committed; a test compares."""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "majung/location/v1/location.proto"


def generate(into: Path) -> None:
    """Write location_pb2.py and location_pb2.pyi into the folder `into`."""
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as tmp:
        status = protoc.main(
            ["protoc", f"-I{ROOT / 'proto'}", f"--python_out={tmp}", f"--pyi_out={tmp}", SOURCE]
        )
        if status:
            sys.exit(status)
        for made in (Path(tmp) / "majung/location/v1").iterdir():
            (into / made.name).write_bytes(made.read_bytes())


if __name__ == "__main__":
    generate(ROOT / "sdk" / "majung_sdk")
