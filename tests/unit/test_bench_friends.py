"""The figures of the benchmark of friends' channels, in a world so small that they can be counted by hand.

servers        0: Ann, Ben     1: Cho     2: Dan        away: Eva
friendships    Ann–Ben, Ann–Cho, Ben–Cho, Ben–Eva, Cho–Eva; Dan has no friend online, only Eva
places         Ann and Ben in one street of Seoul, Cho in Busan, Dan in Seoul, 4 km from Ann
"""

from typing import Any

import numpy as np
import pytest

from bench import friends_machines, friends_world
from bench.friends_channels import measure, wanted, world_of
from bench.friends_ways import (
    ByBucket,
    ByBucketInBatches,
    ByCell,
    ByPerson,
    ByPersonOnline,
    ByPersonSharded,
    ByServer,
    ByServerInBatches,
    ByWideCellInBatches,
    Way,
)
from bench.friends_world import World

ANN, BEN, CHO, DAN, EVA, NOBODY = 0, 1, 2, 3, 4, -1
ROWS = np.arange(4)


def town() -> World:
    return World(
        people=5,
        servers=3,
        online=np.array([ANN, BEN, CHO, DAN], dtype=np.int32),
        friends=np.array(
            [[BEN, CHO, NOBODY], [ANN, CHO, EVA], [ANN, BEN, EVA], [EVA, NOBODY, NOBODY]], dtype=np.int32
        ),
        server=np.array([0, 0, 1, 2], dtype=np.int32),
        latitude=np.array([37.4979, 37.4985, 35.1796, 37.4979]),
        longitude=np.array([127.0276, 127.0280, 129.0756, 127.0729]),
    )


def test_whom_a_server_hears_of() -> None:
    world = town()
    assert [world.persons_on(server).tolist() for server in range(3)] == [
        [ANN, BEN, CHO, EVA],
        [ANN, BEN, EVA],
        [EVA],
    ]
    assert [world.servers_of_friends(row) for row in range(4)] == [[0, 1], [0, 1], [0], []]
    assert [world.servers_near(row) for row in range(4)] == [[0], [0], [], []]
    assert wanted(world, range(4)) == {
        "online_friends": 1.5,  # Ann and Ben two, Cho two, Dan none
        "servers_with_friends": 1.25,
        "servers_with_friends_near": 0.5,
    }


# For one update of each of the four, in one batch: messages to Redis, messages out of it, subscriptions, rows in
# tables, and entries that change when one person of server 0 comes or goes (the mean of Ann and Ben).
#   person: Ann's and Ben's go to servers 0 and 1, Cho's to 0, Dan's to nobody; 4 + 3 + 1 subscriptions. Without
#           Ann, server 0 still has Cho by Ben, but Ben no more; without Ben, it has Cho, but not Ann and Eva.
#   cell:   all Seoul's to 0 and 2 (Dan is within the box about Ann's and Ben's radius), Cho's to 1.
#   server: as person, but a message for each server; in batches one for server 0 and one for 1.
EXPECTED: list[tuple[type[Way], int, int, int | None, int, float | None]] = [
    (ByPerson, 4, 5, 8, 0, 1.5),
    (ByPersonSharded, 4, 5, 8, 0, 1.5),
    (ByPersonOnline, 4, 5, 5, 0, 1.0),
    (ByCell, 4, 7, None, 0, None),
    (ByServer, 5, 5, 3, 8, 1.5),
    (ByServerInBatches, 2, 2, 3, 8, 1.5),
]


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda expected: expected[0].name)
def test_messages_are_those_counted_by_hand(
    redis_server: str, expected: tuple[type[Way], int, int, int | None, int, float | None]
) -> None:
    kind, published, delivered, subscriptions, rows, changed = expected
    result = _measured(redis_server, kind)
    assert result["an update"]["published"] == published / 4
    assert result["an update"]["delivered"] == delivered / 4
    assert result["an update"]["updates_heard"] == (7 if kind is ByCell else 5) / 4
    assert result["built"]["rows_in_tables"] == rows
    if subscriptions is not None:
        assert result["built"]["subscriptions"] == subscriptions
        assert result["one person comes and goes"]["entries"] == changed


@pytest.mark.parametrize("kind", [ByPerson, ByServer, ByServerInBatches])
def test_precise_ways_bring_nothing_that_is_nobodys(redis_server: str, kind: type[Way]) -> None:
    heard = _measured(redis_server, kind)["a server hears"]
    assert (heard["updates_heard"], heard["for_somebody_here"]) == (3, 1.0), "server 0: Ann, Ben, Cho"


def test_wide_cells_go_in_one_message_each(redis_server: str) -> None:
    result = _measured(redis_server, ByWideCellInBatches)
    assert result["an update"]["published"] == 2 / 4, "Seoul and Busan"
    assert result["a server hears"]["updates_heard"] == 3, "Ann, Ben, and Dan who is nobody's friend here"
    assert result["a server hears"]["for_somebody_here"] == pytest.approx(2 / 3, abs=0.001)


@pytest.mark.parametrize("kind", [ByBucket, ByBucketInBatches])
def test_a_bucket_is_heard_by_whoever_has_a_friend_in_it(redis_server: str, kind: type[ByBucket]) -> None:
    world = town()
    way = kind(world)
    heard_by = {row: [s for s in range(3) if way.channel_of(row) in way.channels(s)] for row in range(4)}
    result = _measured(redis_server, kind)
    messages = 4 if kind is ByBucket else len({way.channel_of(row) for row in range(4)})
    assert result["an update"]["published"] == messages / 4
    if kind is ByBucket:
        assert result["an update"]["delivered"] == sum(map(len, heard_by.values())) / 4
    assert result["an update"]["updates_heard"] == sum(map(len, heard_by.values())) / 4
    for row, servers in heard_by.items():
        assert set(world.servers_of_friends(row)) <= set(servers), "who has a friend must hear"


def test_the_world_is_the_same_each_time_and_friendship_mutual() -> None:
    world, again = friends_world.build(2_000, 3, 2), friends_world.build(2_000, 3, 2)
    assert (world.friends == again.friends).all() and (world.server == again.server).all()
    rows = range(len(world.online))
    friends = [set(world.online_friends(row).tolist()) for row in rows]
    assert all(row in friends[friend] for row in rows for friend in friends[row])
    assert not any(row in friends[row] for row in rows)
    assert 30 < np.mean([len(one) for one in friends]) < 45


def test_all_ways_of_a_small_world(redis_server: str) -> None:
    result: dict[str, Any] = world_of(1_000, 2, 1, 200)
    for name in ("person", "cell of 5 km", "server", "1,024 buckets", "4 buckets, in batches"):
        assert result[name]["an update"]["updates"] == 200
        assert result[name]["an update"]["redis_us"] > 0
    assert result["person"]["an update"]["delivered"] == 2.0, "with 40 friends online each has some on both"
    assert result["in process, person"]["channels"] == 1_000


def _measured(redis_server: str, kind: type[Way]) -> dict[str, Any]:
    return dict(measure([kind(town())], ROWS, redis_server)[kind.name])


PAPER = friends_machines.Measured(
    update=600.0,
    message=1.0,
    delivery=0.2,
    kb_in=0.4,
    kb_out=0.2,
    person_delivery=1.0,
    publish=3.0,
    table_publish=30.0,
    hear=0.3,
    hear_one=1.2,
    subscription=2.0,
    subscription_here=0.5,
    subscription_bytes=130.0,
    row=1.0,
    row_here=1.5,
    row_bytes=8.0,
)


def test_so_many_servers_have_one_of_so_many_friends() -> None:
    assert friends_machines.reached(1) == 1
    assert friends_machines.reached(2, 3) == 2 * (1 - 1 / 8), (
        "three friends miss one of two servers once in 8"
    )
    assert friends_machines.reached(1e9, 42) == pytest.approx(42)


@pytest.mark.parametrize("name", friends_machines.WAYS)
def test_servers_on_paper_carry_updates_and_what_the_bus_costs_them(name: str) -> None:
    way = friends_machines.WAYS[name]
    planned = friends_machines.plan(way, PAPER)
    work_us = friends_machines.UPDATES_PER_S * 600 + way(planned["servers"], PAPER).server_us
    assert planned["servers"] == pytest.approx(work_us / 0.6e6, rel=0.01)


def test_four_buckets_by_hand() -> None:
    """334,000 x 600 µs are 200.4 cores, publishing is 1 and 8,333 comings a second are 0.3; each server passes over
    334,000 x 0.3 µs and looks at 8,333 x 8 µs, a sixth of a core.
    """
    planned = friends_machines.plan(friends_machines.by_bucket, PAPER)
    servers = (200.4 + 1.002 + 0.333) / (0.6 - 0.1002 - 0.0667)
    assert planned["servers"] == pytest.approx(servers, rel=0.01)
    into_mb = 334_000 * 85e-6 + servers * 100 * 57e-6 + 8_333 * 1_650e-6
    assert planned["bytes into a server, MB/s"] == pytest.approx(into_mb, rel=0.01)
