"""SIGKILL again and again while friends watch, move and decide: right lists soon after, and never a wrong sight."""

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.faults.friends_crowd import EACH, SETS, Crowd, Evidence, Said, Sight, settle
from tests.faults.harness import wait_ready
from tests.server import Server

SEED = int(
    os.environ.get("MAJUNG_FAULT_SEED", "7" if os.environ.get("CI") == "true" else str(int(time.time())))
)
PEOPLE, KILLS = 200, 10
RIGHT_WITHIN_S = 5.0
SETTLED_S = 1.0
"""Decisions younger than this are not looked for on screens: closing may take a second."""

# Planted: the live side never hears that somebody has decided something.
HEARS_NOTHING = """
from majung.friends.linker import Linker
Linker.changed = lambda self, person_id: None
from majung.cli import main
main()
"""


@dataclass
class Verdict:
    """What must never be."""

    seen: list[Sight] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.seen and not self.lost


def hidden_times(said: list[Said]) -> dict[tuple[int, int], list[tuple[float, float]]]:
    """By (owner, viewer; -1: all): from the answer that hid until it was asked to show again."""
    times: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for one in said:
        key = (one.owner, one.viewer)
        if not one.shows:
            times.setdefault(key, []).append((one.done_s, float("inf")))
        elif key in times:
            times[key][-1] = (times[key][-1][0], one.asked_s)
    return times


def judge(evidence: Evidence) -> Verdict:
    """A sight while all was hidden is wrong if the place was sent, or the stream begun, after it was hidden."""
    times = hidden_times(evidence.said)
    verdict = Verdict()
    for sight in evidence.sights:
        made_s = max(sight.since_s, evidence.sent.get((sight.owner, sight.number), 0.0))
        spans = times.get((sight.owner, -1), []) + times.get((sight.owner, sight.viewer), [])
        if any(hid_s < made_s and sight.at_s < shown_s for hid_s, shown_s in spans):
            verdict.seen.append(sight)
    for number, acked in evidence.acked.items():
        verdict.lost += [f"{number}/{seq}" for seq in sorted(acked - evidence.kept[number])]
    return verdict


async def until_right(crowd: Crowd, from_s: float) -> float:
    """Seconds until every screen is right."""
    async with asyncio.timeout(60):
        while crowd.wrong(SETTLED_S):
            await asyncio.sleep(0.05)
    return time.monotonic() - from_s


async def hammer(
    folder: Path, people: int, kills: int, seed: int, entry: tuple[str, ...] = ("-m", "majung")
) -> tuple[Evidence, list[float]]:
    """Everybody at once, the server killed again and again; the seconds until all was right after each."""
    (folder / "data").mkdir()
    made = await settle(folder / "data", people)
    server = Server(folder / "data", SETS, entry=entry)
    server.start(wait=False)
    crowd = Crowd(server, made, seed, pause_s=4.0)
    task = asyncio.create_task(crowd.run())
    took_s: list[float] = []
    try:
        await wait_ready(server)
        crowd.up.set()
        if kills:
            await until_right(crowd, time.monotonic())
        for _ in range(kills):
            await asyncio.sleep(0.5)
            crowd.up.clear()
            server.kill()
            server.start(wait=False)
            await wait_ready(server)
            crowd.up.set()
            took_s.append(await until_right(crowd, time.monotonic()))
            assert not task.done(), task.exception()
        if not kills:
            await asyncio.sleep(6)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.to_thread(server.wait_processed)
        await crowd.read_kept()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.kill()
    return crowd.evidence, took_s


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(600)
async def test_ten_deaths_and_nobody_sees_what_was_hidden(tmp_path: Path) -> None:
    began_s = time.monotonic()
    evidence, took_s = await hammer(tmp_path, PEOPLE, KILLS, SEED)
    acked = sum(map(len, evidence.acked.values()))
    print(
        f"\nseed {SEED}, {time.monotonic() - began_s:.0f} s: {PEOPLE} people, {2 * EACH} friends each, "
        f"{len(evidence.said)} decisions, {acked} positions acknowledged, {len(evidence.sights)} sights; "
        f"all right after {statistics.median(took_s):.1f} s (median), {max(took_s):.1f} s (most)"
    )
    verdict = judge(evidence)
    assert verdict.clean, (verdict.seen[:3], verdict.lost[:3])
    assert acked > PEOPLE
    assert len(evidence.sights) > 10_000
    assert sum(not one.shows for one in evidence.said) > 20
    assert statistics.median(took_s) <= RIGHT_WITHIN_S


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_judge_finds_a_server_that_hears_of_no_decision(tmp_path: Path) -> None:
    evidence, _ = await hammer(tmp_path, 2 * EACH + 10, 0, 1, entry=("-c", HEARS_NOTHING))
    assert judge(evidence).seen


# ------------------------------------------------------------------------------------- judging the judge


@pytest.fixture
def good() -> Iterator[Evidence]:
    """0 hides from all from 10 s to 20 s, and from 2 alone from 30 s."""
    evidence = Evidence(
        said=[Said(0, -1, False, 9, 10), Said(0, -1, True, 20, 21), Said(0, 2, False, 29, 30)],
        sights=[
            Sight(1, 0, 5.0, 1.0, 1),
            Sight(1, 0, 10.5, 1.0, 1),  # was under way
            Sight(1, 0, 20.5, 1.0, 2),
            Sight(1, 0, 31.0, 1.0, 3),
            Sight(2, 0, 29.5, 1.0, 2),
            Sight(1, 0, 20.6, 20.55, -1),
        ],
        sent={(0, 1): 4.0, (0, 2): 12.0, (0, 3): 30.5},
        acked={0: {1, 2}},
        kept={0: {1, 2, 3}},
    )
    assert judge(evidence).clean
    yield evidence


def earlier(evidence: Evidence) -> None:
    evidence.sights[2] = replace(evidence.sights[2], at_s=19.9)


def to_the_wrong_one(evidence: Evidence) -> None:
    evidence.sights[3] = replace(evidence.sights[3], viewer=2)


def to_one_who_came_meanwhile(evidence: Evidence) -> None:
    evidence.sights[1] = replace(evidence.sights[1], since_s=10.2)


def a_distance_to_one_who_came_meanwhile(evidence: Evidence) -> None:
    evidence.sights[5] = replace(evidence.sights[5], since_s=11.0, at_s=12.0)


def lose_what_was_acknowledged(evidence: Evidence) -> None:
    evidence.kept[0].discard(2)


PLANTED: list[Callable[[Evidence], None]] = [
    earlier,
    to_the_wrong_one,
    to_one_who_came_meanwhile,
    a_distance_to_one_who_came_meanwhile,
    lose_what_was_acknowledged,
]


@pytest.mark.fault
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_the_judge_finds_what_was_planted(good: Evidence, plant: Callable[[Evidence], None]) -> None:
    evidence = deepcopy(good)
    plant(evidence)
    assert not judge(evidence).clean
