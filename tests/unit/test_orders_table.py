"""The state table, exhaustively: every state × command × actor is a way or a clear no."""

from itertools import product

import pytest

from majung.orders.model import FINAL, KOREAN, Actor, Command, OrderState, new_id
from majung.orders.table import TABLE, NotNow, NotYours, decide, diagram, ways_out


@pytest.mark.parametrize(("state", "command", "actor"), list(product(OrderState, Command, Actor)))
def test_every_combination(state: OrderState, command: Command, actor: Actor) -> None:
    found = TABLE.get((state, command))
    if found is None:
        with pytest.raises(NotNow, match=state):
            decide(state, command, actor)
        assert command not in ways_out(state, actor)
    elif actor not in found[1]:
        with pytest.raises(NotYours, match=actor):
            decide(state, command, actor)
        assert command not in ways_out(state, actor)
    else:
        assert decide(state, command, actor) is found[0]
        assert command in ways_out(state, actor)


def test_an_order_that_has_ended_stays_so() -> None:
    assert not [state for state, _ in TABLE if state in FINAL]


def test_every_state_can_be_reached_and_every_open_one_can_end() -> None:
    after = {state: {to for (before, _), (to, _) in TABLE.items() if before is state} for state in OrderState}

    def reachable(start: OrderState) -> set[OrderState]:
        seen, todo = {start}, [start]
        while todo:
            fresh = after[todo.pop()] - seen
            seen |= fresh
            todo += fresh
        return seen

    assert reachable(OrderState.RECEIVED) == set(OrderState)
    assert all(reachable(state) & FINAL for state in OrderState)


def test_every_state_has_its_korean_name_and_stands_in_the_diagram() -> None:
    assert set(KOREAN) == set(OrderState)
    assert all(state in diagram() for state in OrderState)


def test_ids_sort_by_time() -> None:
    ids = [new_id("o", 1_780_000_000_000 + step) for step in range(0, 100_000, 7)]
    assert ids == sorted(ids)
    assert len({new_id("o", 1) for _ in range(1000)}) == 1000
