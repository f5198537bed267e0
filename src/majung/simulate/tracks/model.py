"""A recorded track as columns, and what could not be read."""

import hashlib
import math
from array import array
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path

import msgspec


class Fix(msgspec.Struct, frozen=True, gc=False):
    """One readable row. Degrees, Unix ms, metres, m/s; `line` counts from 1."""

    line: int
    rider_id: str
    time_ms: int
    latitude: float
    longitude: float
    accuracy_m: float | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None


class Unreadable(msgspec.Struct, frozen=True):
    """A row that gives no position, and why. `file` is filled in by `load`."""

    line: int
    why: str
    file: str = ""


@dataclass(frozen=True)
class Options:
    """How to read. `rider_id` overrides what the file says; naive times are in `timezone`."""

    rider_id: str = ""
    id_column: str = ""
    timezone: tzinfo = UTC


@dataclass
class Track:
    """All positions of one rider in one file, in file order. NaN stands for "not recorded"."""

    file: Path
    rider_id: str
    time_ms: "array[int]" = field(default_factory=lambda: array("q"))
    latitude: "array[float]" = field(default_factory=lambda: array("d"))
    longitude: "array[float]" = field(default_factory=lambda: array("d"))
    accuracy_m: "array[float]" = field(default_factory=lambda: array("f"))
    speed_mps: "array[float]" = field(default_factory=lambda: array("f"))
    heading_deg: "array[float]" = field(default_factory=lambda: array("f"))

    def __len__(self) -> int:
        return len(self.time_ms)

    def add(self, fix: Fix) -> None:
        """Append one position."""
        self.time_ms.append(fix.time_ms)
        self.latitude.append(fix.latitude)
        self.longitude.append(fix.longitude)
        self.accuracy_m.append(math.nan if fix.accuracy_m is None else fix.accuracy_m)
        self.speed_mps.append(math.nan if fix.speed_mps is None else fix.speed_mps)
        self.heading_deg.append(math.nan if fix.heading_deg is None else fix.heading_deg)

    def fingerprint(self) -> str:
        """The same for the same rider and content, whatever the file is called: hex, 32 characters."""
        digest = hashlib.sha256(self.rider_id.encode())
        for column in (self.time_ms, self.latitude, self.longitude):
            digest.update(column.tobytes())
        for column in (self.accuracy_m, self.speed_mps, self.heading_deg):
            digest.update(column.tobytes())
        return digest.hexdigest()[:32]


@dataclass(frozen=True)
class Recording:
    """What one file held."""

    tracks: list[Track]
    unreadable: list[Unreadable]
