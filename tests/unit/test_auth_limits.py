"""Token buckets: what they let through, when they open again, how little they keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majung.auth.limits import FailureLimits, RateLimited, RateLimiter
from majung.clock import ManualClock


def test_a_burst_then_the_rate() -> None:
    clock = ManualClock()
    limiter = RateLimiter(2, 3, clock)
    assert [limiter.take("a") for _ in range(3)] == [0, 0, 0]
    assert limiter.take("a") == pytest.approx(0.5)
    assert limiter.wait_s("a") == pytest.approx(0.5)
    clock.advance(0.5)
    assert limiter.take("a") == 0
    assert limiter.take("a") == pytest.approx(0.5)
    clock.advance(100)
    assert [limiter.take("a") for _ in range(4)] == [0, 0, 0, pytest.approx(0.5)]


def test_subjects_do_not_share() -> None:
    limiter = RateLimiter(1, 1, ManualClock())
    assert limiter.take("a") == 0
    assert limiter.take("b") == 0
    assert limiter.take("a") > 0


def test_a_refusal_takes_nothing() -> None:
    clock = ManualClock()
    limiter = RateLimiter(1, 10, clock)
    assert limiter.take("a", 8) == 0
    assert limiter.take("a", 5) == pytest.approx(3)
    assert limiter.take("a", 2) == 0


def test_more_than_the_burst_needs_a_full_bucket_and_leaves_a_debt() -> None:
    clock = ManualClock()
    limiter = RateLimiter(10, 100, clock)
    assert limiter.take("a", 300) == 0
    assert limiter.take("a", 1) == pytest.approx(20.1)
    clock.advance(29)
    assert limiter.take("a", 300) == pytest.approx(1)


def test_who_is_exempt() -> None:
    limiter = RateLimiter(1, 1, ManualClock())
    for subject in ("gateway:fleet", "operator:mina", "admin:admin"):
        assert all(limiter.take(subject, 1000) == 0 for _ in range(10))
    assert len(limiter) == 0


def test_demand_raises_with_the_wait() -> None:
    limiter = RateLimiter(0.5, 1, ManualClock())
    limiter.demand("device:x")
    with pytest.raises(RateLimited) as refused:
        limiter.demand("device:x")
    assert refused.value.retry_after_s == pytest.approx(2)


def test_strangers_are_forgotten_and_who_keeps_knocking_is_not() -> None:
    limiter = RateLimiter(1, 1, ManualClock(), max_subjects=1000)
    assert limiter.take("kept") == 0
    for number in range(100_000):
        limiter.take(f"stranger-{number}")
        if number % 500 == 0:
            assert limiter.take("kept") > 0
    assert len(limiter) == 1000


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 10)), max_size=60))
def test_never_more_than_burst_and_rate(steps: list[tuple[float, int]]) -> None:
    clock = ManualClock()
    limiter = RateLimiter(2, 10, clock)
    taken = 0
    for pause_s, cost in steps:
        clock.advance(pause_s)
        wait_s = limiter.take("a", cost)
        if wait_s == 0:
            taken += cost
        else:
            clock.advance(wait_s + 0.001)
            assert limiter.take("a", cost) == 0, "the wait that was told was too short"
            taken += cost
        assert taken <= 10 + 2 * clock.monotonic_s() + 1e-6


def test_failures_are_counted_per_name_and_address() -> None:
    clock = ManualClock()
    limits = FailureLimits(clock)
    for _ in range(10):
        limits.start_sign_in("admin", "10.0.0.1")
    with pytest.raises(RateLimited):
        limits.start_sign_in("admin", "10.0.0.1")
    limits.start_sign_in("admin", "10.0.0.2")  # nobody is locked out by a stranger
    limits.start_sign_in("mina", "10.0.0.1")
    clock.advance(6.01)
    limits.start_sign_in("admin", "10.0.0.1")


def test_successes_cost_nothing() -> None:
    limits = FailureLimits(ManualClock())
    for _ in range(1000):
        limits.start_sign_in("admin", "10.0.0.1")
        limits.signed_in("admin", "10.0.0.1")


def test_one_address_cannot_try_many_names() -> None:
    limits = FailureLimits(ManualClock())
    with pytest.raises(RateLimited):
        for number in range(1000):
            limits.start_sign_in(f"name-{number}", "10.0.0.1")


def test_wrong_tokens_are_limited_per_address_and_right_ones_are_not() -> None:
    limits = FailureLimits(ManualClock())
    for _ in range(5000):
        limits.check_lookup("10.0.0.2")  # right: nothing is taken
    with pytest.raises(RateLimited):
        for _ in range(5000):
            limits.check_lookup("10.0.0.1")
            limits.lookup_failed("10.0.0.1")
    limits.check_lookup("10.0.0.2")
