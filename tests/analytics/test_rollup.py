"""Buckets, tiers, gaps and rates against a naive oracle: every reading by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.rates import Counters
from migmond.analytics.rollup import DUE, Points, coarser, curve, merged, of_value, points_of, reach
from migmond.analytics.tiers import WIDTHS_S, Grid, choose, grid
from migmond.domain.telemetry import Curve, MetricKind, Series

WHOLE = st.integers(-50, 50).map(float)
"""Sums of whole numbers are exact in any order."""
READINGS = st.lists(st.tuples(st.integers(0, 400), WHOLE, st.integers(1, 9).map(float)), max_size=60)
"""Bucket, value, weight."""
GAUGE, COUNTER = Series("g"), Series("c", kind=MetricKind.COUNTER)

Readings = Sequence[tuple[int, float, float]]


def points(readings: Readings) -> Points:
    return points_of((i, of_value(v, w)) for i, v, w in readings)


def oracle(readings: Readings, factor: int) -> dict[int, tuple[float, float, float, float, int]]:
    """What the wide buckets hold, from the readings themselves."""
    found = {}
    for number in {i // factor for i, _, _ in readings}:
        mine = [(v, w) for i, v, w in readings if i // factor == number]
        values = [v for v, _ in mine]
        found[number] = (min(values), max(values), sum(v * w for v, w in mine), sum(w for _, w in mine), len(mine))
    return found


@given(READINGS, st.integers(1, 50))
def test_wider_buckets_hold_what_the_readings_say(readings: Readings, factor: int) -> None:
    found = coarser(points(readings), factor)
    assert dict(found.stats()) == oracle(readings, factor)
    assert found.index == sorted(set(found.index))


@given(st.integers(0, 300), st.lists(WHOLE, min_size=1, max_size=200), st.integers(1, 70))
def test_so_do_those_of_readings_without_gaps(first: int, values: list[float], factor: int) -> None:
    readings = [(first + i, v, 1.0) for i, v in enumerate(values)]
    assert dict(coarser(points(readings), factor).stats()) == oracle(readings, factor)


@given(READINGS, st.integers(1, 7), st.integers(1, 7))
def test_in_two_steps_or_one(readings: Readings, first: int, second: int) -> None:
    once = coarser(points(readings), first * second)
    assert coarser(coarser(points(readings), first), second) == once


@given(st.lists(READINGS, max_size=5), st.integers(1, 20))
def test_parts_are_merged_in_any_division(parts: list[Readings], factor: int) -> None:
    together = [reading for part in parts for reading in part]
    assert dict(merged([points(p) for p in parts]).stats()) == oracle(together, 1)
    wide = merged([coarser(points(p), factor) for p in parts])
    assert dict(wide.stats()) == oracle(together, factor)


@given(READINGS, st.integers(-5, 405), st.integers(-5, 405))
def test_between(readings: Readings, first: int, last: int) -> None:
    found = points(readings).between(first, last)
    assert dict(found.stats()) == {i: s for i, s in oracle(readings, 1).items() if first <= i < last}


def naive_curve(series: Series, readings: Readings, on: Grid, every_s: float, until: float) -> list[tuple[object, int]]:
    """Mean and count of every bucket of the grid, each looked at by itself."""
    held = oracle(readings, 1)
    far = reach(every_s, on.step_s)
    cells: list[tuple[object, int]] = []
    for number in range(on.first, on.first + on.count):
        if number in held:
            cells.append((held[number][2] / held[number][3], held[number][4]))
            continue
        before = max((i for i in held if i < number), default=None)
        after = min((i for i in held if i > number), default=None)
        source = None
        if before is not None and after is not None:
            if after - before <= far:
                source = after if series.kind is MetricKind.COUNTER else before
        elif before is not None and series.kind is MetricKind.GAUGE:
            present = int(until // on.step_s)
            if number <= present and present + 1 - before <= far:
                source = before
        cells.append((None if source is None else held[source][2] / held[source][3], 0))
    return cells


@given(
    st.sampled_from([GAUGE, COUNTER]),
    READINGS,
    st.integers(0, 400),
    st.integers(1, 100),
    st.sampled_from([2, 10, 60]),
    st.sampled_from([0.1, 2.0, 30.0, 600.0]),
    st.integers(-3, 110),
)
def test_a_curve_has_its_gaps_where_readings_were_due(
    series: Series, readings: Readings, first: int, count: int, step: int, every_s: float, present: int
) -> None:
    on = Grid(first, step, count)
    until = float((first + present) * step)
    wanted = naive_curve(series, readings, on, every_s, until)
    found = curve(series, points(readings), on, every_s, until)
    if all(mean is None for mean, _ in wanted):
        assert found is None
        return
    assert isinstance(found, Curve)
    assert list(found.count) == [n for _, n in wanted]
    for low, mean, high, (expected, _) in zip(found.low, found.mean, found.high, wanted, strict=True):
        assert mean == pytest.approx(expected)
        assert (low is None) == (mean is None) == (high is None)
        assert mean is None or (low is not None and high is not None and low <= mean <= high)


@given(
    st.floats(0, 4e9),
    st.floats(0.001, 1e9),
    st.integers(2, 2000),
    st.sampled_from(WIDTHS_S),
)
def test_a_grid_covers_its_range_with_few_buckets(start: float, length: float, most: int, width: int) -> None:
    end = start + length
    found = grid(start, end, most, width)
    assert 1 <= found.count <= most
    assert found.step_s % width == 0
    assert found.start <= start < found.start + found.step_s
    assert found.end - found.step_s < end <= found.end
    # No more than one step of two widths too coarse: at least half of the points are used, if there are so many.
    assert found.step_s == width or (end - start) / found.step_s >= most / 2 - 2


@given(
    st.floats(0, 1e6),
    st.floats(1, 1e8),
    st.integers(2, 2000),
    st.lists(st.floats(0, 1e6), min_size=4, max_size=4),
)
def test_the_tier_goes_back_far_enough_if_any_does(start: float, span: float, most: int, kept: list[float]) -> None:
    tier = choose(start, start + span, most, WIDTHS_S, kept)
    fine = [i for i, w in enumerate(WIDTHS_S) if w <= span / most] or [0]
    able = [i for i in range(fine[-1], 4) if kept[i] <= start]
    assert tier >= fine[-1]
    assert tier == able[0] if able else kept[tier] == min(kept[fine[-1] :])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["read", "restart", "reset", "back", "ahead"]), st.integers(1, 60), st.integers(0, 10**6)
        ),
        max_size=60,
    )
)
def test_what_a_counter_counted_is_what_its_rates_add_up_to(steps: list[tuple[str, int, int]]) -> None:
    counters: Counters[str] = Counters()
    at, total = 1000.0, 5
    counters.rate("a", at, total, 2.0)
    booked, counted = 0.0, 0
    for kind, seconds, more in steps:
        last = total
        if kind == "restart":
            counters = Counters(counters.carried())
        total = more if kind == "reset" else total + more
        at += -seconds if kind == "back" else seconds + (1e6 if kind == "ahead" else 0.0)
        found = counters.rate("a", at, float(total), 2.0)
        if kind == "back":
            assert found is None
            continue
        assert found is not None
        rate, covered = found
        assert rate >= 0
        assert covered > 0
        booked += rate * covered
        # A reset shows only by a total that is less than the last one; what was counted up to it is never known.
        counted += total - last if total >= last else total
    assert math.isclose(booked, counted, rel_tol=1e-9, abs_tol=1e-6)


def test_an_interval_made_by_a_clock_that_was_set_back_is_no_peak() -> None:
    counters: Counters[str] = Counters()
    counters.rate("a", 100.0, 0.0, 2.0)
    assert counters.rate("a", 102.0, 200.0, 2.0) == (100.0, 2.0)
    assert counters.rate("a", 102.01, 400.0, 2.0) is None  # set back by 1.99 s
    assert counters.rate("a", 104.01, 600.0, 2.0) == (400.0 / (104.01 - 102.0), 104.01 - 102.0)
    assert DUE > 2


def test_counters_that_are_gone_are_dropped() -> None:
    counters = Counters([("a", 100.0, 5.0), ("b", 200.0, 5.0), ("c", 300.0, 5.0)])
    counters.drop_older(150.0)
    counters.forget(["c", "nobody"])
    assert counters.carried() == [("b", 200.0, 5.0)]
