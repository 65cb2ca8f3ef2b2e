"""What is learnt from runs that have ended, and what they foretell: costs, cliffs, coverage, full targets."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.calibration import PROBABILITIES, QUANTILES, band, interpolate, probability_between
from migmond.analytics.coverage import Kept, Measured, Promises, measured
from migmond.analytics.decay import Cliff, Fading, Sawtooth, learnt, slow_decay
from migmond.analytics.fitting import fit
from migmond.analytics.measures import Cost, Forecast, Tick, Unknown
from migmond.analytics.room_left import FullAt, full_at

MB = 10**6


def run(pieces: list[tuple[int, int]], cost: Cost, slower: dict[int, float] | None = None) -> list[Tick]:
    """Ticks of a run: each piece of (files, bytes) costs `cost`, times the factor of the last of `slower` before it."""
    t, files, size, factor, found = 0.0, 0, 0, 1.0, []
    for number, (n, length) in enumerate(pieces):
        factor = (slower or {}).get(number, factor)
        t, files, size = t + factor * (n * cost.a + length * cost.b), files + n, size + length
        found.append(Tick(t, files, size))
    return found


def mixed(count: int, seed: int = 1) -> list[tuple[int, int]]:
    rng = random.Random(seed)
    return [(rng.randint(1, 100), rng.randint(1, 100) * MB) for _ in range(count)]


@given(st.floats(1e-4, 1.0), st.floats(1e-10, 1e-6), st.integers(0, 1000))
def test_a_fit_finds_the_costs_of_a_run_without_noise(a: float, b: float, seed: int) -> None:
    found = fit(run(mixed(300, seed), Cost(a, b)))
    assert found is not None
    assert found.a == pytest.approx(a, rel=1e-4)
    assert found.b == pytest.approx(b, rel=1e-4)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10**9), st.floats(0, 100)), max_size=50))
def test_any_fit_explains_the_whole_time_with_costs_of_at_least_0(steps: list[tuple[int, int, float]]) -> None:
    t, files, size, ticks = 0.0, 0, 0, []
    for n, length, took in steps:
        t, files, size = t + took, files + n, size + length
        ticks.append(Tick(t, files, size))
    found = fit(ticks)
    if found is None:
        assert t == 0 or (files == 0 and size == 0)
        return
    assert found.a >= 0
    assert found.b >= 0
    assert found.a * files + found.b * size == pytest.approx(t, rel=1e-6)


def test_what_says_nothing_of_a_cost_leaves_it_at_0() -> None:
    assert fit([]) is None
    empty_files = fit([Tick(float(i), i, 0) for i in range(1, 100)])
    assert empty_files is not None
    assert empty_files.a == pytest.approx(1.0)
    assert empty_files.b == 0
    one_file = fit([Tick(float(i), 0, i * MB) for i in range(1, 100)])
    assert one_file is not None
    assert one_file.a == 0
    assert one_file.b == pytest.approx(1e-6)


def test_a_limited_time_says_nothing_of_the_devices() -> None:
    free = run(mixed(200), Cost(0.01, 1e-8))
    last = free[-1]
    limited = [Tick(last.t + i, last.files, last.bytes + i * MB, 1, 1.0 * MB) for i in range(1, 500)]
    found = fit(free + limited)
    assert found is not None
    assert found.b == pytest.approx(1e-8, rel=1e-3)


def test_a_cliff_is_found_where_it_was_and_learnt() -> None:
    ticks = run(mixed(400), Cost(0.01, 1e-8), {160: 3.0})
    decay = slow_decay(ticks)
    assert isinstance(decay, Cliff)
    assert decay.bytes == pytest.approx(ticks[160].bytes, rel=0.05)
    assert decay.slowdown == pytest.approx(3.0, rel=0.1)
    cost = learnt(ticks)
    assert cost is not None
    assert cost.a == pytest.approx(0.01, rel=0.1)
    assert cost.b == pytest.approx(1e-8, rel=0.1)
    assert cost.cliff_bytes == decay.bytes
    assert cost.slowdown == decay.slowdown


def test_fading_and_sawtooth_are_told_from_a_cliff() -> None:
    fading = slow_decay(run(mixed(400), Cost(0.01, 1e-8), {i: 1 + i / 500 for i in range(400)}))
    assert isinstance(fading, Fading)
    assert fading.slowdown == pytest.approx(1.8, rel=0.15)
    hot = slow_decay(run(mixed(400), Cost(0.01, 1e-8), {i: 2.0 if i // 50 % 2 else 1.0 for i in range(400)}))
    assert isinstance(hot, Sawtooth)
    assert hot.times >= 5


def test_small_files_after_large_ones_are_no_decay() -> None:
    pieces = [(1, 100 * MB)] * 200 + [(100, MB)] * 200
    assert slow_decay(run(pieces, Cost(0.03, 1e-8))) is None
    assert isinstance(slow_decay(run(pieces[:5], Cost(0.03, 1e-8))), Unknown)


def test_noise_is_hardly_ever_a_decay() -> None:
    rng = random.Random(5)
    wrong = 0
    for seed in range(30):
        noisy = {i: rng.lognormvariate(0, 0.2) for i in range(300)}
        wrong += isinstance(slow_decay(run(mixed(300, seed), Cost(0.01, 1e-8), noisy)), Cliff | Fading)
    assert wrong <= 1


def test_a_full_target_is_foreseen() -> None:
    samples = [(10.0 * i, 10_000 * MB - i * 500 * MB) for i in range(10)]
    found = full_at(samples, remaining_s=1000.0)
    assert isinstance(found, FullAt)
    assert found.after_s == pytest.approx(5_500 / 50)
    assert found.early_s == found.late_s == pytest.approx(110)
    assert found.short_bytes == 50_000 * MB - 5_500 * MB
    assert full_at(samples, remaining_s=100.0) is None
    assert full_at([(t, 10 * MB) for t, _ in samples], remaining_s=1e9) is None
    assert isinstance(full_at(samples[:3], 1e9), Unknown)
    assert isinstance(full_at([(1.0, 5)] * 9, 1e9), Unknown)


def test_one_deletion_does_not_hide_a_target_that_fills_up() -> None:
    samples = [(10.0 * i, 100_000 * MB - i * 500 * MB + (20_000 * MB if i >= 20 else 0)) for i in range(40)]
    found = full_at(samples, remaining_s=1e5)
    assert isinstance(found, FullAt)
    assert found.early_s <= found.after_s
    assert found.after_s == pytest.approx(100_500 / 50, rel=0.5)


def forecast(remaining: float, low: float, high: float) -> Forecast:
    return Forecast(remaining, low, high, 0.8, remaining, 0.5, 1, 1.0, 1, 1.0)


def test_bands_are_judged_when_the_run_has_ended() -> None:
    promises = Promises()
    for t in range(100):
        left = 100.0 - t
        promises.note(float(t), forecast(left, left * 0.9, left * 1.1))
    assert promises.kept(100.0) == Kept(1, 16, 16)
    assert promises.kept(150.0) == Kept(1, 16, 0)
    assert promises.kept(100.0, last_action=50.0) == Kept(1, 8, 8)
    assert promises.kept(100.0, last_action=99.0) == Kept()


def test_coverage_is_published_only_when_enough_runs_have_ended() -> None:
    nine = Kept(9, 90, 80)
    assert measured(nine) == Unknown("only 9 runs have ended, 10 are needed")
    found = measured(nine.plus(Kept(1, 10, 0)))
    assert isinstance(found, Measured)
    assert found.share == 0.8
    assert 0.5 < found.low < 0.8 < found.high < 0.95
    assert found.runs == 10


def test_the_table_of_quantiles_is_one() -> None:
    for row in QUANTILES:
        assert len(row) == len(PROBABILITIES)
        assert sorted(set(row)) == list(row)
    assert len(QUANTILES) == 6


@given(st.floats(0, 1), st.floats(0.01, 0.98))
def test_bands_hold_what_they_claim_to_and_wider_ones_more(progress: float, level: float) -> None:
    low, high = band(progress, level)
    wide_low, wide_high = band(progress, level + 0.01)
    assert wide_low <= low <= high <= wide_high
    assert probability_between(progress, low, high) == pytest.approx(max(level, 0), abs=0.15)


def test_a_line_through_points() -> None:
    assert [interpolate(x, (0.0, 1.0, 3.0), (0.0, 10.0, 10.0)) for x in (-1, 0.5, 2, 9)] == [0, 5, 10, 10]
    assert statistics.median(QUANTILES[2]) == QUANTILES[2][5]
