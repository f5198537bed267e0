"""Load and comparison for fault tests: what was acknowledged against what can be read.

`Traffic` drives real SDK devices; `compare` is the judge, and is itself judged in `test_harness.py`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from majung_sdk import Fleet, Retry
from tests.server import Server

Identity = tuple[str, int]  # session_id, seq
Place = tuple[float, float]


@dataclass
class Verdict:
    """Every number but the first must be 0."""

    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"acknowledged {self.acknowledged}, lost {len(self.lost)}, duplicated {len(self.duplicated)}, "
            f"reordered {len(self.reordered)}, altered {len(self.altered)}"
        )

    @property
    def clean(self) -> bool:
        return not (self.lost or self.duplicated or self.reordered or self.altered)


def compare(acked: dict[str, dict[int, Place]], tracks: Mapping[str, Sequence[Mapping[str, Any]]]) -> Verdict:
    """`acked`: rider → seq → place that was sent; `tracks`: rider → points as `/track` gives them."""
    verdict = Verdict(acknowledged=sum(len(seqs) for seqs in acked.values()))
    for rider_id, sent in acked.items():
        points = tracks.get(rider_id, [])
        seen = Counter(int(point["seq"]) for point in points)
        places = {int(p["seq"]): (float(p["latitude"]), float(p["longitude"])) for p in points}
        verdict.lost += [f"{rider_id}/{seq}" for seq in sent if seq not in seen]
        verdict.duplicated += [f"{rider_id}/{seq}" for seq, count in seen.items() if count > 1]
        for seq, (latitude, longitude) in sent.items():
            if seq in places and (
                abs(places[seq][0] - latitude) > 1e-6 or abs(places[seq][1] - longitude) > 1e-6
            ):
                verdict.altered.append(f"{rider_id}/{seq}")
        times = [int(point["device_time_ms"]) for point in points]
        verdict.reordered += [f"{rider_id} at {b}" for a, b in pairwise(times) if b < a]
    return verdict


class Traffic:
    """Riders who report at a steady rate, whatever happens to the server."""

    def __init__(self, server: Server, token: str, buffer: Path, riders: int, per_s: float) -> None:
        self._ids = [f"rider-{number}" for number in range(riders)]
        self._interval_s = riders / per_s
        self.sent: dict[str, dict[int, Place]] = {rider_id: {} for rider_id in self._ids}
        self.acked: dict[str, dict[int, Place]] = {rider_id: {} for rider_id in self._ids}
        self.last_ack_at = 0.0
        self.problems: Counter[str] = Counter()
        self._fleet = Fleet(
            server.grpc,
            token,
            buffer,
            sync=False,
            retry=Retry(first_s=0.05, longest_s=0.5),
            on_acked=self._on_acked,
            on_problem=lambda problem: self.problems.update([str(problem)[:80]]),
        )
        self._task: asyncio.Task[None] | None = None

    def _on_acked(self, rider_id: str, seqs: Sequence[int]) -> None:
        sent = self.sent[rider_id]
        self.acked[rider_id].update({seq: sent[seq] for seq in seqs if seq in sent})
        self.last_ack_at = time.monotonic()

    @property
    def acknowledged(self) -> int:
        return sum(len(seqs) for seqs in self.acked.values())

    async def __aenter__(self) -> "Traffic":
        await self._fleet.open()
        self._reporters = await self._fleet.add(self._ids)
        self._task = asyncio.create_task(self._drive())
        return self

    async def _drive(self) -> None:
        """A position of each rider every interval, spread evenly; a late turn is made up for."""
        started = time.monotonic()
        count = 0
        while True:
            due = int((time.monotonic() - started) / self._interval_s * len(self._ids))
            while count < due:
                index, turn = count % len(self._ids), count // len(self._ids)
                place = (37.49 + index * 1e-4 + turn * 1e-5, 127.02 + turn * 1e-5)
                seq = self._reporters[index].report(*place)
                self.sent[self._ids[index]][seq] = place
                count += 1
            await asyncio.sleep(0.005)

    async def stop_and_drain(self, patience_s: float = 60) -> None:
        """Report no more; wait until all that was reported is acknowledged, as long as it goes on.

        How long that takes is up to the machine; that nothing comes for `patience_s` is the server's fault.
        """
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        drained = asyncio.create_task(self._fleet.drained())
        while not drained.done():
            left = self._fleet.buffered
            await asyncio.wait({drained}, timeout=patience_s)
            if not drained.done() and self._fleet.buffered == left:
                drained.cancel()
                raise AssertionError(
                    f"{left} positions are left, and none was acknowledged for {patience_s:.0f} s; "
                    f"problems: {dict(self.problems)}"
                )
        await drained

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._fleet.close()


async def wait_ready(server: Server, within_s: float = 60) -> None:
    """Poll `/readyz` without blocking the traffic in this process."""
    deadline = time.monotonic() + within_s
    async with httpx.AsyncClient(timeout=2) as client:
        while time.monotonic() < deadline:
            assert server.process is not None
            if server.process.poll() is not None:
                raise AssertionError(f"the server stopped:\n{server.tail()}")
            try:
                if (await client.get(f"{server.url}/readyz")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.02)
    raise AssertionError(f"not ready within {within_s} s:\n{server.tail()}")


async def read_tracks(server: Server, rider_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The whole history of each rider, over HTTP."""
    tracks: dict[str, list[dict[str, Any]]] = {}
    async with httpx.AsyncClient(base_url=server.url, headers=server.admin, timeout=60) as client:
        for rider_id in rider_ids:
            answer = await client.get(f"/v1/riders/{rider_id}/track", params={"from": "2000-01-01T00:00:00Z"})
            assert answer.status_code == 200, answer.text
            tracks[rider_id] = answer.json()["points"]
    return tracks
