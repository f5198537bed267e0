import pytest
from hypothesis import given
from hypothesis import strategies as st

from majung_sdk.pending import Pending, as_ranges


def drain(pending: Pending, limit: int, window: int | None) -> list[int]:
    order: list[int] = []
    while len(pending):
        first, last = pending.next(limit, window)
        order += range(first, last + 1)
    return order


@given(st.sets(st.integers(1, 300)), st.randoms(use_true_random=False))
def test_ranges_hold_exactly_what_was_added_in_any_order(seqs: set[int], random) -> None:  # type: ignore[no-untyped-def]
    order = list(seqs)
    random.shuffle(order)
    pending = Pending()
    for seq in order:
        pending.add(seq, seq)
    assert pending.ranges == as_ranges(seqs)
    assert len(pending) == len(seqs)


@given(st.sets(st.integers(1, 300)), st.integers(1, 20), st.one_of(st.none(), st.integers(1, 50)))
def test_everything_is_taken_once(seqs: set[int], limit: int, window: int | None) -> None:
    order = drain(Pending(as_ranges(seqs)), limit, window)
    assert len(order) == len(seqs)
    assert set(order) == seqs


@given(st.sets(st.integers(1, 300)), st.integers(1, 20))
def test_without_a_window_the_order_is_ascending(seqs: set[int], limit: int) -> None:
    assert drain(Pending(as_ranges(seqs)), limit, None) == sorted(seqs)


def test_a_backlog_within_the_window_goes_oldest_first() -> None:
    assert drain(Pending([(1, 10)]), 4, window=10) == list(range(1, 11))


def test_the_newest_overtakes_a_long_backlog_once() -> None:
    assert drain(Pending([(1, 6)]), 2, window=3) == [6, 1, 2, 3, 4, 5]


def test_each_new_position_overtakes_the_rest_of_the_backlog() -> None:
    pending = Pending([(1, 8)])
    taken = [pending.next(2, 3), pending.next(2, 3)]
    pending.add(9, 9)
    taken += [pending.next(2, 3), pending.next(2, 3)]
    assert taken == [(8, 8), (1, 2), (9, 9), (3, 4)]


def test_after_a_cut_the_newest_may_overtake_again() -> None:
    pending = Pending([(1, 8)])
    assert pending.next(2, 3) == (8, 8)
    pending.put_back([8])
    assert pending.next(2, 3) == (8, 8)


@pytest.mark.parametrize(
    ("seqs", "ranges"),
    [([], []), ([5], [(5, 5)]), ([3, 1, 2], [(1, 3)]), ([9, 1, 2, 8], [(1, 2), (8, 9)])],
)
def test_as_ranges(seqs: list[int], ranges: list[tuple[int, int]]) -> None:
    assert as_ranges(seqs) == ranges
