import pytest
from hypothesis import given
from hypothesis import strategies as st

from majung_sdk.retry import Retry, is_refusal
from majung_sdk.totals import Latencies


@given(st.integers(1, 10_000))
def test_the_pause_grows_to_its_bound_and_starts_anywhere_below(failures: int) -> None:
    pause_s = Retry(first_s=0.5, longest_s=30.0).pause_s(failures)
    assert 0 <= pause_s <= min(30.0, 0.5 * 2 ** min(failures - 1, 30))


def test_full_jitter_fills_the_whole_range() -> None:
    pauses_s = [Retry(first_s=1.0).pause_s(4) for _ in range(2000)]
    assert min(pauses_s) < 0.5
    assert max(pauses_s) > 7.5


def test_after_a_refusal_the_pause_is_long() -> None:
    assert all(30.0 <= Retry(refused_s=60.0).pause_s(1, refused=True) <= 60.0 for _ in range(100))


@pytest.mark.parametrize(
    ("code", "refused"), [("UNAUTHENTICATED", True), ("PERMISSION_DENIED", True), ("UNAVAILABLE", False)]
)
def test_refusals(code: str, refused: bool) -> None:
    assert is_refusal(code) is refused


@given(st.lists(st.floats(0.2, 1e6), min_size=1, max_size=200), st.integers(1, 100))
def test_percentiles_are_within_their_bucket(values_ms: list[float], percent: int) -> None:
    latencies = Latencies()
    for value_ms in values_ms:
        latencies.add(value_ms)
    at = -(-len(values_ms) * percent // 100) - 1
    exact = sorted(values_ms)[at]
    assert exact <= latencies.percentile(percent) <= exact * 1.08


def test_no_values_no_percentile() -> None:
    assert Latencies().percentile(99) == 0.0
