"""The batch assignment against the greedy one, and against every possible one."""

import builtins
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from majung.dispatch.assign import Free, Pair, Wish, assign, greedy
from tests.conftest import leave_out

PLACES = st.tuples(st.integers(0, 40), st.integers(0, 40))


def wish(name: str, x: int, y: int, refused: frozenset[str] = frozenset(), reach_m: float = 1_500) -> Wish:
    return Wish(name, 37.5 + x / 1_000, 127.0 + y / 1_000, reach_m, refused)


def free(name: str, x: int, y: int) -> Free:
    return Free(name, 37.5 + x / 1_000, 127.0 + y / 1_000)


@pytest.fixture(scope="module")
def scipy() -> None:
    try:
        import scipy.optimize  # type: ignore[import-untyped, unused-ignore]  # noqa: F401
    except ImportError:
        leave_out("scipy (pip install 'majung[dispatch]')")


def check(pairs: list[Pair], orders: list[Wish], riders: list[Free]) -> None:
    wishes = {order.order_id: order for order in orders}
    assert len({pair.order_id for pair in pairs}) == len({pair.rider_id for pair in pairs}) == len(pairs)
    assert {pair.rider_id for pair in pairs} <= {rider.rider_id for rider in riders}
    for pair in pairs:
        assert pair.distance_m <= wishes[pair.order_id].reach_m
        assert pair.rider_id not in wishes[pair.order_id].refused


def test_greedy_takes_the_nearest_that_is_left_and_respects_reach_and_refusals() -> None:
    orders = [wish("o1", 0, 0), wish("o2", 0, 1, frozenset({"b"})), wish("o3", 40, 40)]
    riders = [free("a", 0, 0), free("b", 0, 1), free("c", 2, 1)]
    pairs = greedy(orders, riders)
    assert [(pair.order_id, pair.rider_id) for pair in pairs] == [("o1", "a"), ("o2", "c")]
    check(pairs, orders, riders)
    assert greedy([], riders) == [] == greedy(orders, [])


def test_without_scipy_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "scipy":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"majung\[dispatch\]"):
        assign([wish("o", 0, 0)], [free("r", 0, 0)])


def test_where_greedy_walks_far_the_batch_does_not(scipy: None) -> None:
    orders, riders = [wish("o1", 5, 0), wish("o2", 4, 0)], [free("a", 4, 0), free("b", 10, 0)]
    assert [(p.order_id, p.rider_id) for p in assign(orders, riders)] == [("o1", "b"), ("o2", "a")]
    total_m = sum(pair.distance_m for pair in assign(orders, riders))
    assert total_m < sum(pair.distance_m for pair in greedy(orders, riders))
    # o1 takes a, who is the only one that o2 could have: greedy serves one of two.
    orders = [wish("o1", 5, 0), wish("o2", 4, 0, frozenset({"b"}))]
    assert len(greedy(orders, riders)) == 1 and len(assign(orders, riders)) == 2


@settings(max_examples=60, deadline=None)
@given(st.lists(PLACES, max_size=4), st.lists(PLACES, max_size=5), st.data())
def test_no_way_is_better(
    scipy: None, at: list[tuple[int, int]], riding: list[tuple[int, int]], data: st.DataObject
) -> None:
    riders = [free(f"r{i}", *place) for i, place in enumerate(riding)]
    refused = [data.draw(st.frozensets(st.sampled_from([r.rider_id for r in riders] or ["-"]))) for _ in at]
    orders = [wish(f"o{i}", *place, refused[i]) for i, place in enumerate(at)]
    pairs = assign(orders, riders)
    check(pairs, orders, riders)
    check(greedy(orders, riders), orders, riders)
    mine = (-len(pairs), sum(pair.distance_m for pair in pairs))
    metres = {
        (order.order_id, rider.rider_id): found[0].distance_m
        for order in orders
        for rider in riders
        if (found := greedy([order], [rider]))
    }
    slots: list[Free | None] = [*riders, *[None] * len(orders)]
    for way in permutations(slots, len(orders)):
        ways = [metres.get((o.order_id, r.rider_id)) for o, r in zip(orders, way, strict=True) if r]
        possible = [metre for metre in ways if metre is not None]
        assert mine <= (-len(possible), sum(possible) + 1e-6)
