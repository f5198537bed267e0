"""The generated code of the gRPC contract is what `make proto` makes of proto/."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_generated_code_is_current(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("build_proto", ROOT / "scripts" / "build_proto.py")
    assert spec is not None
    assert spec.loader is not None
    build_proto = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build_proto)
    build_proto.generate(tmp_path)
    for name in ("location_pb2.py", "location_pb2.pyi"):
        committed = (ROOT / "sdk" / "majung_sdk" / name).read_text()
        assert committed == (tmp_path / name).read_text(), f"{name} is old: run `make proto`"
