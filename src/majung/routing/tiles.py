"""From a file of OpenStreetMap to tiles of streets: Valhalla's own build, watched, and put in place at once.

The tiles become one tar file, which Valhalla maps into memory. It is written beside its place and renamed, so
that a server that reads the old one goes on with it, and no half-made one is ever seen.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from majung.routing.valhalla import MISSING, installed

ROOM_FACTOR = 20
"""Free bytes that a build may need for each byte of its source (São Paulo's centre: 16)."""
_STAGES = (
    ("Parsing ways", "reading streets"),
    ("Parsing relations", "reading turn restrictions"),
    ("Parsing nodes", "reading crossings"),
    ("Creating graph edges", "joining them to a network"),
    ("Building", "writing tiles"),
    ("Enhancing", "speeds and names"),
    ("HierarchyBuilder", "main roads"),
    ("Creating shortcuts", "shortcuts"),
    ("Adding complex turn", "restrictions"),
    ("Validating", "checking"),
)
_LINE = re.compile(r"\[(?:\x1b\[[\d;]*m)?\[?(INFO|WARN|ERROR)\]?(?:\x1b\[0m)?\]?\s+(.*)")
_KEPT_LINES = 20


class BuildFailed(Exception):
    """Nothing was changed. `str()` says what to do."""


class Built(msgspec.Struct, frozen=True):
    """What came of it."""

    path: str
    tiles: int
    size_bytes: int


def build(source: Path, target: Path, tell: Callable[[str], None], threads: int = 0) -> Built:
    """Make the tiles of `source` (.osm.pbf) and put them at `target`; `tell` hears each stage.

    `threads` 0: as many as there are cores. Raises BuildFailed.
    """
    _require_source(source)
    if not installed():
        raise BuildFailed(MISSING)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_room(source, target.parent)
        with tempfile.TemporaryDirectory(prefix="building-", dir=target.parent) as folder:
            return _build(source.resolve(), target, Path(folder), tell, threads)
    except OSError as problem:
        raise BuildFailed(f"{problem.filename or target.parent}: {problem.strerror or problem}") from problem


def _build(source: Path, target: Path, folder: Path, tell: Callable[[str], None], threads: int) -> Built:
    tiles = folder / "tiles"
    tiles.mkdir()
    config = folder / "valhalla.json"
    config.write_text(json.dumps(_config(tiles, folder, threads or os.cpu_count() or 1)))
    _run([str(_program()), "-c", str(config), str(source)], folder, tell)
    files = sorted(tiles.rglob("*.gph"))
    if not files:
        raise BuildFailed(f"{source} has no streets in it")
    tell("putting them in place")
    packed = folder / target.name
    with tarfile.open(packed, "w") as archive:
        for file in files:
            archive.add(file, str(file.relative_to(tiles)))
    with packed.open("rb") as written:
        os.fsync(written.fileno())
    packed.replace(target)
    return Built(str(target), len(files), target.stat().st_size)


def _require_source(source: Path) -> None:
    """A PBF begins with the length of a header (4 bytes, big endian) that says OSMHeader."""
    try:
        with source.open("rb") as file:
            head = file.read(64)
    except OSError as problem:
        raise BuildFailed(f"{source}: {problem.strerror}") from problem
    if b"OSMHeader" not in head:
        raise BuildFailed(f"{source} is not an .osm.pbf file; extracts are at https://download.geofabrik.de")


def _require_room(source: Path, folder: Path) -> None:
    wanted, free = ROOM_FACTOR * source.stat().st_size, shutil.disk_usage(folder).free
    if free < wanted:
        raise BuildFailed(
            f"{folder} has {free / 1e6:,.0f} MB free, and the build may need {wanted / 1e6:,.0f} MB: make room,"
            " or build elsewhere with --out"
        )


def _program() -> Path:
    import valhalla

    folder = Path(valhalla.__file__).parent / "bin"
    for name in ("valhalla_build_tiles", "valhalla_build_tiles.exe"):
        if (folder / name).is_file():
            return folder / name
    raise BuildFailed(
        "this build of pyvalhalla has no valhalla_build_tiles; use the version that 'majung[routing]' names"
    )


def _config(tiles: Path, folder: Path, threads: int) -> dict[str, object]:
    import valhalla

    config: dict[str, object] = valhalla.get_config(tile_extract="", tile_dir=str(tiles), verbose=True)
    mjolnir = config["mjolnir"]
    assert isinstance(mjolnir, dict)
    mjolnir["concurrency"] = threads
    for name in ("admin", "timezone", "transit_dir", "traffic_extract"):  # none of them is needed
        mjolnir[name] = str(folder / f"no-{name}")
    return config


def _run(command: list[str], folder: Path, tell: Callable[[str], None]) -> None:
    last: list[str] = []
    told = ""
    with subprocess.Popen(  # noqa: S603 our own arguments, no shell
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                last = [*last[1 - _KEPT_LINES :], line.rstrip()]
                if (stage := stage_of(line)) and stage != told:
                    tell(stage)
                    told = stage
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise BuildFailed(_why(last, process.returncode))


def stage_of(line: str) -> str:
    """What a line of the build's log says that it does now; "" when nothing new."""
    found = _LINE.search(line)
    said = found[2] if found else ""
    return next((words for beginning, words in _STAGES if said.startswith(beginning)), "")


def _why(last: list[str], code: int) -> str:
    text = "\n".join(last)
    if "No space left" in text or "std::bad_alloc" in text:
        short = "disk" if "No space left" in text else "memory"
        return f"the build ran out of {short}; nothing was changed"
    said = re.search(r"what\(\):\s*(.+)", text)
    reason = said[1].strip() if said else (last[-1] if last else "it said nothing")
    return f"the build ended with {code}: {reason}; nothing was changed"
