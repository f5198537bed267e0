"""One effect for each (rider, session, seq), against a plain set."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from majung.positions import dedupe


@given(st.lists(st.integers(1, 40), max_size=200))
def test_ranges_agree_with_a_set(seqs: list[int]) -> None:
    ranges: list[int] = []
    seen: set[int] = set()
    for seq in seqs:
        assert dedupe.add(ranges, seq) is (seq not in seen)
        seen.add(seq)
        pairs = list(zip(ranges[::2], ranges[1::2], strict=True))
        assert {s for low, high in pairs for s in range(low, high + 1)} == seen
        assert all(high + 1 < low for (_, high), (low, _) in pairwise(pairs))


@given(st.permutations(range(1, 60)))
def test_a_counting_device_ends_in_one_range_whatever_the_order(seqs: list[int]) -> None:
    ranges: list[int] = []
    for seq in seqs:
        assert dedupe.add(ranges, seq)
    assert ranges == [1, 59]


@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=300))
def test_memory_is_bounded_and_the_newest_are_remembered(seqs: list[int]) -> None:
    ranges: list[int] = []
    for seq in seqs:
        dedupe.add(ranges, seq)
        assert len(ranges) <= 2 * dedupe.MAX_RANGES
    assert dedupe.add(ranges, max(seqs)) is False


def test_a_backlog_after_newer_positions_is_new_once() -> None:
    sessions: dict[str, list[int]] = {}
    assert all(dedupe.is_new(sessions, "s", seq, 8) for seq in (1, 2, 3, 100, 101))
    assert all(dedupe.is_new(sessions, "s", seq, 8) for seq in range(4, 100))
    assert not any(dedupe.is_new(sessions, "s", seq, 8) for seq in range(1, 102))
    assert sessions == {"s": [1, 101]}


def test_a_reinstalled_app_starts_at_one_again() -> None:
    sessions: dict[str, list[int]] = {}
    assert dedupe.is_new(sessions, "first", 1, 8)
    assert dedupe.is_new(sessions, "second", 1, 8)
    assert not dedupe.is_new(sessions, "first", 1, 8)


def test_the_session_unused_for_longest_is_forgotten_first() -> None:
    sessions: dict[str, list[int]] = {}
    for name in ("a", "b", "c"):
        dedupe.is_new(sessions, name, 1, 3)
    dedupe.is_new(sessions, "a", 2, 3)
    dedupe.is_new(sessions, "d", 1, 3)
    assert list(sessions) == ["c", "a", "d"]
