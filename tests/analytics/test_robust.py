"""Robust statistics against counting everything out, and against worked examples."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.robust import mann_kendall, quantile, theil_sen, trend, variance_inflation

VALUES = st.floats(-1e6, 1e6)


def s_of(values: Sequence[float]) -> int:
    return sum((b > a) - (b < a) for a, b in itertools.combinations(values, 2))


@given(st.lists(VALUES, min_size=1, max_size=50), st.integers(1, 99))
def test_quantiles_are_those_of_the_standard_library(values: list[float], percent: int) -> None:
    if len(values) > 1:
        expected = statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
        assert quantile(values, percent / 100) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert min(values) <= quantile(values, percent / 100) <= max(values)


@given(st.lists(st.integers(0, 10**6), min_size=3, max_size=6, unique=True))
def test_with_few_values_p_is_the_share_of_all_orders(values: list[int]) -> None:
    seen = abs(s_of(values))
    orders = list(itertools.permutations(values))
    assert mann_kendall(values) == pytest.approx(sum(abs(s_of(o)) >= seen for o in orders) / len(orders))


def test_p_is_that_of_a_worked_example() -> None:
    # n = 12: 66 pairs, 6 of which fall: S = 54. Var = 12·11·29/18 = 212.667, Z = 53/14.583 = 3.6343, p = 0.00028.
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 12.0, 11.0, 10.0, 9.0]
    assert s_of(values) == 54
    assert mann_kendall(values) == pytest.approx(0.00028, abs=1e-5)
    assert mann_kendall(values) == pytest.approx(2 * statistics.NormalDist().cdf(-53 / (638 / 3) ** 0.5))
    # Two ties of 2 take 2·1·9/18 = 1 each: Var = 210.667; 64 pairs differ, S = 52.
    tied = [1.0, 1.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 12.0, 11.0, 10.0, 10.0]
    assert mann_kendall(tied) == pytest.approx(2 * statistics.NormalDist().cdf(-(s_of(tied) - 1) / (632 / 3) ** 0.5))
    assert mann_kendall([5.0] * 20) == 1.0


@given(VALUES, st.floats(-1000, 1000), st.integers(10, 40), st.randoms(use_true_random=False))
def test_the_slope_survives_a_quarter_of_wild_points(start: float, slope: float, n: int, rng: random.Random) -> None:
    x = [float(i) for i in range(n)]
    y = [start + slope * v for v in x]
    for i in rng.sample(range(n), n // 4):
        y[i] += rng.choice([-1, 1]) * 1e9
    found = theil_sen(x, y)
    assert found is not None
    assert found[0] == pytest.approx(slope, rel=1e-6, abs=1e-4)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(-50, 50)), min_size=2, max_size=12))
def test_the_slope_is_the_median_of_all_pairs(points: list[tuple[int, int]]) -> None:
    x, y = [float(a) for a, _ in points], [float(b) for _, b in points]
    slopes = [(d - b) / (c - a) for (a, b), (c, d) in itertools.combinations(zip(x, y, strict=True), 2) if c != a]
    found = theil_sen(x, y)
    if not slopes:
        assert found is None
    else:
        assert found is not None
        assert found[0] == pytest.approx(statistics.median(slopes))


def test_noise_is_called_a_trend_as_often_as_it_says() -> None:
    rng = random.Random(4)
    alarms = sum(mann_kendall([rng.random() for _ in range(25)]) < 0.05 for _ in range(400))
    assert 5 <= alarms <= 36  # 20 expected, sd 4.4


def test_a_smooth_wave_is_less_surely_a_trend() -> None:
    rng = random.Random(5)
    plain = allowed = 0
    x = [float(i) for i in range(40)]
    for _ in range(200):
        level, y = 0.0, []
        for _ in x:
            level = 0.7 * level + rng.gauss(0, 1)
            y.append(level)
        one, other = trend(x, y), trend(x, y, neighbours_alike=True)
        assert one is not None
        assert other is not None
        plain += one.p < 0.05
        allowed += other.p < 0.05
    assert plain > 40  # a fifth at least is wrong without the allowance
    assert allowed < 20
    assert variance_inflation([1.0, -1.0] * 10) == 1.0
    assert trend([1.0, 2.0], [1.0, 2.0]) is None
