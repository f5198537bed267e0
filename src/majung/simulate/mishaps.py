"""What goes wrong between a rider and a server: noise, tunnels, cellars, flat batteries, wrong clocks.

Takes where everybody truly is and gives what their phones would report. Columns for all riders at once.
"""

from dataclasses import dataclass

import numpy as np

from majung.simulate.streets import Bools, Floats, Streets
from majung.simulate.traffic import Drive


@dataclass(frozen=True)
class Odds:
    """How often. Rates are for a rider and hour; shares are of all riders."""

    flat_battery_per_h: float = 0.15
    outage_per_h: float = 1.0
    cellar_share: float = 0.08
    lost_ack_share: float = 0.002
    clock_off_share: float = 0.01
    clock_minutes_ahead_share: float = 0.002
    clock_hours_behind_share: float = 0.002
    tunnels: int = 6


@dataclass(frozen=True)
class Fixes:
    """What the phones report in one step, one row for each rider.

    `reports` False: the phone is off. `online` False: no reception, the fix waits in the buffer.
    `repeats`: the acknowledgement gets lost, so that the phone sends once more.
    """

    latitude: Floats
    longitude: Floats
    speed_mps: Floats
    heading_deg: Floats
    accuracy_m: Floats
    clock_off_ms: Floats
    reports: Bools
    online: Bools
    repeats: Bools


class Phones:
    """Deterministic by seed, whatever the clock says."""

    def __init__(self, streets: Streets, riders: int, seed: int, odds: Odds | None = None) -> None:
        self._odds = odds or Odds()
        self._rng = np.random.default_rng([seed, 2])
        self._streets = streets
        self._count = riders
        self._drift_m = self._rng.normal(0.0, 4.0, (riders, 2))
        self._quality_m = self._rng.uniform(2.5, 6.0, riders)
        self._flat_s = np.zeros(riders)
        self._outage_s = np.zeros(riders)
        self._was_indoors = np.zeros(riders, dtype=bool)
        self._in_cellar = np.zeros(riders, dtype=bool)
        self._clock_off_ms = self._clocks()
        self._tunnels = self._dig(self._odds.tunnels)

    def step(self, seconds: float, drive: Drive) -> Fixes:
        """What is reported of `drive`, `seconds` after the step before."""
        draws = self._rng.random((6, self._count))
        in_tunnel = self._in_tunnels(drive.at)
        self._flat_s = _fall_out(
            self._flat_s, seconds, draws[0], self._odds.flat_battery_per_h, 600 + 1_800 * draws[1]
        )
        self._outage_s = _fall_out(
            self._outage_s, seconds, draws[2], self._odds.outage_per_h, 10 + 110 * draws[3]
        )
        entered = drive.indoors & ~self._was_indoors
        self._was_indoors = drive.indoors
        self._in_cellar = drive.indoors & (self._in_cellar | (entered & (draws[4] < self._odds.cellar_share)))
        spread_m = self._spread_m(drive, in_tunnel)
        place = self._streets.degrees(drive.at + self._noise(seconds, spread_m))
        return Fixes(
            latitude=place[:, 1],
            longitude=place[:, 0],
            speed_mps=drive.speed_mps,
            heading_deg=drive.heading_deg,
            accuracy_m=1.5 * spread_m,
            clock_off_ms=self._clock_off_ms,
            reports=self._flat_s <= 0,
            online=~(in_tunnel | self._in_cellar | (self._outage_s > 0)),
            repeats=draws[5] < self._odds.lost_ack_share,
        )

    def _spread_m(self, drive: Drive, in_tunnel: Bools) -> Floats:
        """Standard deviation of a fix: worse among the towers at the centre, indoors and in a tunnel."""
        towers = np.abs(drive.at).max(axis=1) < 400.0
        spread: Floats = self._quality_m * (1.0 + 1.5 * towers + 1.5 * drive.indoors + 4.0 * in_tunnel)
        return spread

    def _noise(self, seconds: float, spread_m: Floats) -> Floats:
        """Errors of a receiver hang together for about half a minute (a first-order Gauss–Markov process)."""
        keep = np.exp(-seconds / 30.0)
        fresh = self._rng.standard_normal((self._count, 2)) * spread_m[:, None]
        self._drift_m = keep * self._drift_m + np.sqrt(1.0 - keep**2) * fresh
        return self._drift_m

    def _clocks(self) -> Floats:
        odds, draws = self._odds, self._rng.random(self._count)
        seconds_off = self._rng.normal(0.0, 12.0, self._count)
        bounds = np.cumsum(
            [odds.clock_minutes_ahead_share, odds.clock_hours_behind_share, odds.clock_off_share]
        )
        result: Floats = 1_000.0 * np.select(
            [draws < bound for bound in bounds], [300.0, -10_800.0, seconds_off], default=0.0
        )
        return result

    def _dig(self, count: int) -> Floats:
        """Tunnels (count, 4) under crossing streets: axis, its coordinate across, from, to; metres."""
        axis = self._rng.integers(0, 2, count)
        across = self._streets.nearest_lines(1 - axis, self._rng.normal(0.0, 900.0, count))
        start = self._rng.normal(0.0, 900.0, count)
        return np.column_stack([axis, across, start, start + self._rng.uniform(250, 600, count)])

    def _in_tunnels(self, at: Floats) -> Bools:
        inside = np.zeros(self._count, dtype=bool)
        for axis, across, start, end in self._tunnels.tolist():
            along = at[:, int(axis)]
            inside |= (np.abs(at[:, 1 - int(axis)] - across) < 2.0) & (along > start) & (along < end)
        return inside


def _fall_out(left_s: Floats, seconds: float, draws: Floats, per_hour: float, lasts_s: Floats) -> Floats:
    """Count down who is out; let the next ones fall out, for `lasts_s`."""
    left_s = left_s - seconds
    falls = (left_s <= 0) & (draws < per_hour * seconds / 3_600.0)
    result: Floats = np.where(falls, lasts_s, left_s)
    return result
