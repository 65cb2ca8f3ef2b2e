from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from migmond.domain.execution import Tally
from migmond.planning.backoff import MAX_DELAY_S, MIN_DELAY_S, next_delay
from migmond.planning.batching import MAX_LIMIT, MIN_LIMIT, BatchSizer
from migmond.planning.pace import Pace, percent


def test_a_steady_copy_has_an_exact_eta() -> None:
    pace, planned = Pace(), Tally(0, 1000)
    for second in range(11):
        pace.observe(float(second), Tally(0, second * 10))
    estimate = pace.estimate(planned, growing=False)
    assert estimate.bytes_per_s == 10
    assert estimate.seconds_remaining == 90
    assert estimate.reason == ""


def test_unknown_has_a_reason() -> None:
    pace = Pace()
    assert pace.estimate(Tally(1, 1), growing=False).reason
    pace.observe(0.0, Tally())
    pace.observe(5.0, Tally(10, 10))
    growing = pace.estimate(Tally(20, 20), growing=True)
    assert (growing.seconds_remaining, growing.reason) == (None, "still scanning")
    pace.restart()
    pace.observe(6.0, Tally(10, 10))
    pace.observe(16.0, Tally(10, 10))
    stuck = pace.estimate(Tally(20, 20), growing=False)
    assert stuck.seconds_remaining is None
    assert stuck.reason


def test_the_rate_is_a_recent_one() -> None:
    pace = Pace(window_s=10)
    for second in range(100):
        pace.observe(float(second), Tally(0, 1_000_000 + second))
    assert pace.estimate(Tally(0, 2_000_000), growing=False).bytes_per_s == 1


@given(st.integers(0, 10**6), st.integers(0, 10**15), st.integers(0, 10**15))
def test_percent_stays_in_its_bounds(entries: int, size: int, flying: int) -> None:
    assert 0 <= percent(Tally(entries, size + flying), Tally(entries, size)) <= 100
    assert percent(Tally(), Tally()) == 100


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 1 << 30), st.floats(0, 100))))
def test_batches_stay_in_their_bounds(observations: list[tuple[int, int, float]]) -> None:
    sizer = BatchSizer()
    for entries, size, seconds in observations:
        sizer.observe(entries, size, seconds)
        assert MIN_LIMIT.entries <= sizer.limit.entries <= MAX_LIMIT.entries
        assert MIN_LIMIT.bytes <= sizer.limit.bytes <= MAX_LIMIT.bytes


def test_batches_approach_the_target() -> None:
    sizer = BatchSizer(target_s=0.1)
    for _ in range(50):
        sizer.observe(sizer.limit.entries, 0, sizer.limit.entries / 5000)
    assert 400 <= sizer.limit.entries <= 600


@given(st.floats(0, 1000), st.integers())
def test_delays_stay_in_their_bounds(previous: float, seed: int) -> None:
    assert MIN_DELAY_S <= next_delay(previous, random.Random(seed)) <= MAX_DELAY_S


def test_what_is_given_up_is_no_rate_and_nothing_to_wait_for() -> None:
    """A cancelled half was the best rate of the run."""
    pace, planned = Pace(), Tally(100, 1000)
    pace.observe(0.0, Tally(0, 0), Tally(0, 0))
    pace.observe(10.0, Tally(60, 600), Tally(10, 100))  # 500 bytes of it were skipped
    estimate = pace.estimate(planned, growing=False)
    assert estimate.bytes_per_s == 10
    assert estimate.entries_per_s == 1
    assert estimate.seconds_remaining is not None
    assert 35 < estimate.seconds_remaining < 45
