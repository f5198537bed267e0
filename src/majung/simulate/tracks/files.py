"""Which reader a file needs, and whose track it is when the file does not say."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import msgspec

from majung.simulate.tracks.documents import read_geojson, read_gpx
from majung.simulate.tracks.model import Fix, Options, Recording, Track, Unreadable
from majung.simulate.tracks.tables import read_csv, read_owntracks, read_plt

Rows = Iterator[Fix | Unreadable]

_TEXTS: dict[str, Callable[[TextIO, Options], Rows]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
    ".plt": read_plt,
    ".rec": read_owntracks,
}
_DOCUMENTS: dict[str, Callable[[BinaryIO, Options], Rows]] = {
    ".gpx": read_gpx,
    ".geojson": read_geojson,
    ".json": read_geojson,
}
FORMATS = (*_TEXTS, *_DOCUMENTS)


def load(
    path: Path, options: Options | None = None, on_read: Callable[[int], None] | None = None
) -> Recording:
    """Read a whole file (also gzipped), about 50 bytes of memory a position.

    `on_read` is called now and then with how many rows were read. Raises ValueError when the file as a
    whole is not what its name says, OSError when it cannot be read.
    """
    options = options or Options()
    name = path.name.removesuffix(".gz")
    suffix = Path(name).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(
            f"{path}: cannot read {suffix or 'a file without an ending'}; it reads {' '.join(FORMATS)}"
        )
    owner = options.rider_id or _owner(path, suffix)
    tracks: dict[str, Track] = {}
    unreadable: list[Unreadable] = []
    count = 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as data:
        for row in _rows(cast(BinaryIO, data), suffix, options, path):
            count += 1
            if on_read is not None and count % 5_000 == 0:
                on_read(count)
            if isinstance(row, Unreadable):
                unreadable.append(msgspec.structs.replace(row, file=path.name))
                continue
            rider_id = row.rider_id or owner
            track = tracks.get(rider_id)
            if track is None:
                track = tracks[rider_id] = Track(path, rider_id)
            track.add(row)
    return Recording(list(tracks.values()), unreadable)


def _rows(data: BinaryIO, suffix: str, options: Options, path: Path) -> Rows:
    line = 0
    try:
        if suffix in _DOCUMENTS:
            rows = _DOCUMENTS[suffix](data, options)
        else:
            # Bytes that are no UTF-8 spoil their own row, not the file.
            text = io.TextIOWrapper(data, encoding="utf-8-sig", errors="replace", newline="")
            rows = _TEXTS[suffix](text, options)
        for row in rows:
            line = row.line
            yield row
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield Unreadable(line + 1, f"the compressed file is broken from here on: {error}")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _owner(path: Path, suffix: str) -> str:
    """GeoLife keeps a person's files in `001/Trajectory/`, the recorder in `user/device/2026-01.rec`."""
    folders = [folder.name for folder in path.resolve().parents]
    if suffix == ".plt" and folders[0] == "Trajectory" and len(folders) > 1:
        return folders[1]
    if suffix == ".rec" and len(folders) > 1 and folders[1]:
        return f"{folders[1]}-{folders[0]}"
    return Path(path.name.removesuffix(".gz")).stem
