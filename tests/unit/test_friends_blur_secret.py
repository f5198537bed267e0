"""A blurred friend cannot be located better than the cell, however often and from wherever one asks.

Two true paths that have the same cells at the moments of the looks give the same bytes to every viewer, in every
message; and a path that leaves the cell only between looks is not noticed at all.
"""

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from majung.friends import blur
from majung.friends.consent import Mode, Sharing
from majung.friends.links import Links
from majung.friends.parties import Link
from majung.positions import geohash
from tests.friends_stage import Stage, Told, open_stage

PRECISION = 6
EVERY_S = 300
LOOKS = 5
BETWEEN = 4
Place = tuple[float, float]
Path_ = list[Place]

CELL = geohash.cell_of(37.5, 127.03, PRECISION)


def walk(rng: random.Random) -> Path_:
    """The first fix of each stretch, then those between: anywhere within some cells."""
    latitude, longitude = geohash.centre(CELL)
    path = []
    for _ in range(LOOKS):
        latitude += rng.uniform(-0.006, 0.006)
        longitude += rng.uniform(-0.012, 0.012)
        path.append((latitude, longitude))
        path += [(latitude + rng.gauss(0, 0.01), longitude + rng.gauss(0, 0.01)) for _ in range(BETWEEN)]
    return path


def cells(path: Path_) -> list[int]:
    """The cell shown after each look."""
    seen: blur.Look | None = None
    shown = []
    for number, place in enumerate(path[:: BETWEEN + 1]):
        seen = blur.look(seen, number * EVERY_S * 1000, *place)
        shown.append(seen.cell(PRECISION))
    return shown


def twin(path: Path_, rng: random.Random) -> Path_:
    """Another path with the same cells: every fix is somewhere else."""
    wanted, made = cells(path), list(path)
    for number in range(LOOKS):
        at = number * (BETWEEN + 1)
        while True:
            box = geohash.bounds(wanted[number])
            made[at] = rng.uniform(box.south, box.north), rng.uniform(box.west, box.east)
            if cells(made)[: number + 1] == wanted[: number + 1]:
                break
        for between in range(at + 1, at + 1 + BETWEEN):
            made[between] = made[at][0] + rng.gauss(0, 0.05), made[at][1] + rng.gauss(0, 0.05)
    return made


async def told_of(folder: Path, path: Path_, viewers: int, seed: int) -> list[list[bytes]]:
    """What many viewers are told, at places and with radii of their choice, while they move about.

    Everybody asks for everything after every move; what the stream said by itself must be among that.
    """
    async with open_stage(folder, blur_every=f"{EVERY_S}s", gone_after="1d") as stage:
        names = [f"viewer-{number}" for number in range(viewers)]
        rng = random.Random(seed)
        await stage.add("secret", sharing=Sharing(Mode.BLURRED, PRECISION))
        for name in names:
            await stage.add(name, radius_m=rng.choice([50.0, 300.0, 800.0, 2_000.0]))
            await stage.befriend("secret", name)
        stage.clock.set_wall_ms(1_780_012_800_000 // (EVERY_S * 1000) * EVERY_S * 1000)
        told = [await look_on(stage, name, rng) for name in names]
        asked: list[list[bytes]] = [[] for _ in told]

        async def everybody_asks() -> None:
            stage.clock.advance(0.5)
            await stage.settle()
            for viewer, answers in zip(told, asked, strict=True):
                answers.append(await viewer.snapshot())

        for place in path:
            await stage.move("secret", *place)
            await everybody_asks()
            for name in rng.sample(names, 3):
                await stage.move(name, *somewhere(rng))
            await everybody_asks()
            stage.clock.advance(EVERY_S / (BETWEEN + 1) - 1.0)
        for viewer, answers in zip(told, asked, strict=True):
            assert said_by_itself(viewer) <= {
                near for answer in answers for near in nears(json.loads(answer))
            }
            viewer.close()
        return asked


def nears(snapshot: dict[str, Any]) -> list[str]:
    return [json.dumps(near) for near in snapshot["near"]]


def said_by_itself(told: Told) -> set[str]:
    return {json.dumps(message["friend"]) for message in told.messages if message["type"] == "near"}


async def look_on(stage: Stage, name: str, rng: random.Random) -> Told:
    await stage.move(name, *somewhere(rng))
    return await stage.watch(name)


def somewhere(rng: random.Random) -> Place:
    latitude, longitude = geohash.centre(CELL)
    return latitude + rng.uniform(-0.01, 0.01), longitude + rng.uniform(-0.02, 0.02)


@pytest.mark.parametrize("seed", range(4))
async def test_two_paths_with_the_same_cells_give_the_same_bytes(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = walk(rng)
    other = twin(path, rng)
    assert all(mine != theirs for mine, theirs in zip(path, other, strict=True))
    found = await told_of(tmp_path / "one", path, 12, seed)
    again = await told_of(tmp_path / "other", other, 12, seed)
    assert any(b"person-secret" in body for bodies in found for body in bodies)
    assert found == again


async def test_the_test_finds_a_distance_from_the_true_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: whether a friend is inside is asked of where it truly is."""
    honest = Links._is_inside

    def leaky(link: Link, latitude: float, longitude: float) -> bool:
        true = link.subject.position
        return honest(link, true.latitude, true.longitude) if true else honest(link, latitude, longitude)

    monkeypatch.setattr(Links, "_is_inside", staticmethod(leaky))
    rng = random.Random(1)
    path = walk(rng)
    found = await told_of(tmp_path / "one", path, 12, 1)
    assert found != await told_of(tmp_path / "other", twin(path, rng), 12, 1)


def test_a_cell_is_held_until_it_is_left_clearly() -> None:
    """Who stands at an edge and is carried to and fro by noise shows one cell."""
    box = geohash.bounds(CELL)
    size = box.north - box.south
    seen: blur.Look | None = None
    shown = []
    for number in range(200):
        noise = random.Random(number).uniform(-0.09, 0.09) * size
        seen = blur.look(seen, number * 1000, box.north + noise, (box.west + box.east) / 2)
        shown.append(seen.cell(PRECISION))
    assert not any(mine != theirs for mine, theirs in pairwise(shown))
