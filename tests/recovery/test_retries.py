"""The retry budget holds in every time, and what a run has learnt follows what happened."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from migmond.planning.backoff import MAX_DELAY_S, MIN_DELAY_S, next_delay
from migmond.recovery.retries import (
    BURST,
    EXPLORE_EVERY,
    LEARN_AFTER,
    MOST_CLASSES,
    MOST_SAVED,
    SHARE,
    WINDOW_S,
    Lessons,
    RetryBudget,
)

STEPS = st.lists(st.tuples(st.floats(0, 5, allow_nan=False), st.integers(0, 200), st.integers(0, 60)), max_size=60)


@given(STEPS)
def test_in_any_time_no_more_retries_begin_than_the_budget_has(steps: list[tuple[float, int, int]]) -> None:
    """Naively: all beginnings are kept, and every stretch between two of them is looked at."""
    budget, now = RetryBudget(0.0), 0.0
    begins: list[float] = []
    earned: list[tuple[float, float]] = []
    for seconds, well, retries in steps:
        now += seconds
        budget.earn(well)
        earned.append((now, well * SHARE))
        for _ in range(retries):
            wait = budget.take(now)
            assert wait >= 0
            begins.append(now + wait)
    begins.sort()
    for i, first in enumerate(begins):
        for j in range(i, len(begins), 7):
            length = begins[j] - first
            income = sum(e for at, e in earned if at <= begins[j])
            assert j - i + 1 <= min(MOST_SAVED, BURST + income) + income + length * BURST / WINDOW_S + 1.001


def test_a_storm_waits_and_a_few_errors_do_not() -> None:
    budget = RetryBudget(0.0)
    waits = [budget.take(0.0) for _ in range(1000)]
    assert waits[: int(BURST)] == [0.0] * int(BURST)
    assert abs(waits[-1] - (1000 - BURST) / (BURST / WINDOW_S)) < 1e-6
    budget = RetryBudget(0.0)
    budget.earn(10_000_000)
    assert sum(budget.take(0.0) == 0 for _ in range(1000)) == MOST_SAVED


def test_jitter_stays_within_its_bounds_and_spreads() -> None:
    rng, delays = random.Random(3), []
    for _ in range(500):
        delay = 0.0
        for _ in range(6):
            before, delay = delay, next_delay(delay, rng)
            assert MIN_DELAY_S <= delay <= min(MAX_DELAY_S, max(MIN_DELAY_S, 3 * before))
        delays.append(delay)
    assert len({round(d, 1) for d in delays}) > 50


def test_what_never_mends_is_tried_less_and_now_and_then_in_full() -> None:
    lessons = Lessons()
    for _ in range(LEARN_AFTER - 1):
        lessons.learn("read:EIO:5", mended=False)
    assert lessons.attempts("read:EIO:5", 5) == 5
    lessons.learn("read:EIO:5", mended=False)
    asked = [lessons.attempts("read:EIO:5", 5) for _ in range(5 * EXPLORE_EVERY)]
    assert (asked.count(2), asked.count(5)) == (45, 5)
    assert lessons.attempts("copy:EBUSY:16", 5) == 5
    for _ in range(LEARN_AFTER):
        lessons.learn("read:EIO:5", mended=True)
    assert lessons.attempts("read:EIO:5", 5) == 5


@given(st.lists(st.booleans(), max_size=400))
def test_the_share_lies_between_all_and_recent(outcomes: list[bool]) -> None:
    lessons = Lessons()
    for mended in outcomes:
        lessons.learn("x", mended=mended)
    share = lessons.share("x")
    assert (share is None) == (len(outcomes) < LEARN_AFTER)
    if share is not None:
        assert 0 <= share <= 1
        if len(set(outcomes)) == 1:
            assert share == float(outcomes[0])


def test_classes_are_bounded() -> None:
    lessons = Lessons()
    for i in range(MOST_CLASSES + 100):
        for _ in range(LEARN_AFTER):
            lessons.learn(f"c{i}", mended=False)
    assert lessons.share(f"c{MOST_CLASSES - 1}") == 0.0
    assert lessons.share(f"c{MOST_CLASSES}") is None
