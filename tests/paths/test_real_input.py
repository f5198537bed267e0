"""Recorded tracks of real people and buses, replayed through the real gRPC door, compared point for point."""

import csv
import gzip
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.server import Server, majung, start_server

Point = tuple[int, float, float]  # device_time_ms, latitude, longitude

KEEP_OLD = ("positions.max_age=40y", "history.detail_for=40y", "history.minutes_for=40y")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that accepts and keeps positions of any age."""
    with start_server(tmp_path_factory.mktemp("archive") / "data", *KEEP_OLD) as running:
        yield running


def read_points(rows: Iterable[dict[str, str]], columns: tuple[str, str, str, str]) -> dict[str, list[Point]]:
    """The file, read by other code than ours: points of each id in device time, ties in file order."""
    id_, time, latitude, longitude = columns
    points: dict[str, list[Point]] = defaultdict(list)
    for row in rows:
        moment = datetime.strptime(row[time], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        points[row[id_]].append((int(moment.timestamp() * 1000), float(row[latitude]), float(row[longitude])))
    return {name: sorted(track, key=lambda point: point[0]) for name, track in points.items()}


def is_good(point: Point) -> bool:
    return -90 <= point[1] <= 90 and -180 <= point[2] <= 180 and (point[1], point[2]) != (0, 0)


def read_history(server: Server, rider_id: str) -> list[Point]:
    bounds = {"from": "2000-01-01T00:00:00Z", "to": "2030-01-01T00:00:00Z"}
    points = server.get(f"/v1/riders/{rider_id}/track", **bounds)["points"]
    return [(p["device_time_ms"], p["latitude"], p["longitude"]) for p in points]


def replay_and_compare(server: Server, file: Path, expected: dict[str, list[Point]]) -> str:
    """Replay `file`; every good point is in history once, in order, equal to 1e-6 degrees."""
    token = server.add_user(f"replay-{file.name.split('.')[0]}", "gateway")["token"]
    before = server.stats()
    said = majung("replay", str(file), "--to", server.grpc, "--token", token, "--speed", "max", "--keep-time")
    after = server.wait_processed(120)
    good = sum(sum(map(is_good, track)) for track in expected.values())
    rows = sum(map(len, expected.values()))
    # On a busy machine the replay may send some again; that shows as deduplicated and changes nothing.
    again = after["deduplicated"] - before["deduplicated"]
    assert after["stored"] - before["stored"] == good, said
    assert after["received"] - before["received"] >= rows
    assert after["accepted"] - before["accepted"] == good + again
    assert (after["quarantined"] > before["quarantined"]) == (rows > good)
    assert after["ledger_errors"] == []
    for rider_id, track in expected.items():
        wanted = [point for point in track if is_good(point)]
        found = read_history(server, rider_id)
        assert [p[0] for p in found] == [p[0] for p in wanted]
        for mine, theirs in zip(found, wanted, strict=True):
            assert abs(mine[1] - theirs[1]) <= 1e-6, (rider_id, mine, theirs)
            assert abs(mine[2] - theirs[2]) <= 1e-6, (rider_id, mine, theirs)
    return said


def bus_points(shared_data: Path) -> tuple[Path, dict[str, list[Point]]]:
    file = shared_data / "liverpool_bus" / "route14_outbound.csv"
    with file.open(newline="") as text:
        columns = ("vehicle_id", "timestamp", "latitude", "longitude")
        return file, read_points(csv.DictReader(text), columns)


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_geolife_point_for_point(archive: Server, shared_data: Path) -> None:
    file = shared_data / "geolife" / "geolife_sample.txt.gz"
    with gzip.open(file, "rt", newline="") as text:
        expected = read_points(csv.DictReader(text), ("uid", "datetime", "lat", "lng"))
    assert sum(map(len, expected.values())) == 217_653
    said = replay_and_compare(archive, file, expected)
    assert re.search(r"217,?653", said)


@pytest.mark.shared_data
def test_buses_point_for_point_and_a_second_replay_changes_nothing(
    archive: Server, shared_data: Path
) -> None:
    file, expected = bus_points(shared_data)
    assert len(expected) == 8
    replay_and_compare(archive, file, expected)
    before = archive.stats()
    token = archive.add_user("again", "gateway")["token"]
    majung("replay", str(file), "--to", archive.grpc, "--token", token, "--speed", "max", "--keep-time")
    after = archive.wait_processed()
    assert after["stored"] == before["stored"]
    assert after["deduplicated"] - before["deduplicated"] >= sum(map(len, expected.values()))
