"""Rates, against working them out from all observations ever made."""

from __future__ import annotations

import datetime
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.throughput import BUCKETS, OTHER, PEAK_S, RECENT_S, KeyedThroughput, Throughput

STEPS = st.lists(
    st.tuples(st.floats(0.25, 40), st.integers(0, 10**9), st.integers(0, 1000), st.booleans()), min_size=1, max_size=80
)
Curve = list[tuple[float, int, int]]


def feed(rates: Throughput, steps: list[tuple[float, int, int, bool]]) -> Curve:
    """Observe the steps; return active seconds, bytes and entries moved while not held, at every observation."""
    now, size, entries, active, own, own_entries = 1000.0, 7, 3, 0.0, 0, 0
    rates.observe(now, size, entries)
    curve = [(0.0, 0, 0)]
    for seconds, more, more_entries, held in steps:
        now, size, entries = now + seconds, size + more, entries + more_entries
        rates.observe(now, size, entries, held=held)
        if not held:
            active, own, own_entries = active + seconds, own + more, own_entries + more_entries
            curve.append((active, own, own_entries))
    return curve


def moved(curve: Curve, active: float) -> float:
    """Bytes at a moment of the active clock, between observations in proportion."""
    for (a, x, _), (b, y, _) in itertools.pairwise(curve):
        if a <= active <= b:
            return x + (y - x) * (active - a) / (b - a)
    return curve[-1][1]


@given(STEPS)
def test_average_recent_and_peak_are_those_of_all_observations(steps: list[tuple[float, int, int, bool]]) -> None:
    rates = Throughput()
    curve = feed(rates, steps)
    total = curve[-1][0]
    average, current, peak = rates.average(), rates.current(), rates.peak()
    if total == 0:
        assert average is None
        assert current is None
        return
    assert average is not None
    assert current is not None
    assert average.seconds == pytest.approx(total)
    assert average.bytes_per_s == pytest.approx(curve[-1][1] / total)
    assert average.entries_per_s == pytest.approx(curve[-1][2] / total)
    back = max((c for c in curve if total - c[0] >= RECENT_S - 1e-6), default=curve[0])
    assert current.bytes_per_s == pytest.approx((curve[-1][1] - back[1]) / (total - back[0]), rel=1e-6)
    spans = []
    for i, (b, y, _) in enumerate(curve):
        starts = [c for c in curve[:i] if b - c[0] >= PEAK_S - 1e-6]
        if starts:
            spans.append((y - starts[-1][1]) / (b - starts[-1][0]))
    if spans:
        assert peak is not None
        assert peak.bytes_per_s == pytest.approx(max(spans), rel=1e-6)
    else:
        assert peak is None


@given(STEPS, st.floats(1, 2000))
def test_means_are_right_to_a_bucket(steps: list[tuple[float, int, int, bool]], seconds: float) -> None:
    rates = Throughput(buckets=8)
    curve = feed(rates, steps)
    total = curve[-1][0]
    mean = rates.mean(seconds)
    if total == 0:
        assert mean is None
        return
    assert mean is not None
    assert mean.seconds == pytest.approx(min(seconds, total), rel=1e-6)
    width = 2.0
    while total / width >= 8:
        width *= 2
    since = max(0.0, total - seconds)
    # Inside the bucket in which the span begins nothing is known; outside it everything is.
    low = moved(curve, min(total, (since // width + 1) * width))
    high = moved(curve, since // width * width)
    got = mean.bytes_per_s * mean.seconds
    assert curve[-1][1] - low - 1e-6 * curve[-1][1] - 1 <= got <= curve[-1][1] - high + 1e-6 * curve[-1][1] + 1


def test_a_hold_is_in_no_rate() -> None:
    rates = Throughput()
    feed(rates, [(1.0, 100, 1, False)] * 60 + [(3600.0, 0, 0, True)] + [(1.0, 100, 1, False)] * 60)
    for rate in (rates.current(), rates.average(), rates.mean(90), rates.mean(1e9)):
        assert rate is not None
        assert rate.bytes_per_s == pytest.approx(100)
        assert rate.entries_per_s == pytest.approx(1)
    assert rates.active_s == pytest.approx(120)


def test_a_tick_is_not_a_peak() -> None:
    rates = Throughput()
    feed(rates, [(1.0, 100, 1, False)] * 20 + [(1.0, 10_000, 1, False)] + [(1.0, 100, 1, False)] * 20)
    peak = rates.peak()
    assert peak is not None
    assert peak.bytes_per_s == pytest.approx((9 * 100 + 10_000) / 10)


def test_trends_are_told_from_noise() -> None:
    rng = random.Random(1)

    def told(rate: float, end: float) -> str:
        rates = Throughput()
        steps = [
            (2.0, int(2 * (rate + (end - rate) * i / 900) * rng.uniform(0.7, 1.3)), 1, False) for i in range(900)
        ]  # fmt: skip
        feed(rates, steps)
        return rates.trend().direction

    assert told(1e8, 5e7) == "falling"
    assert told(5e7, 1e8) == "rising"
    assert told(1e8, 1e8) == "steady"
    stairs = Throughput()
    feed(stairs, [(2.0, size, 1, False) for size in (3000, 900, 2500, 700) for _ in range(200)])
    assert stairs.trend().direction == "unknown"
    assert "varies" in stairs.trend().reason
    short = Throughput()
    feed(short, [(2.0, 100, 1, False)] * 5)
    assert (short.trend().direction, short.trend().p) == ("unknown", None)
    assert short.trend().reason
    idle = Throughput()
    feed(idle, [(2.0, 0, 0, False)] * 50)
    assert idle.trend().direction == "unknown"


def test_percent_per_hour_is_of_the_median_rate() -> None:
    rates = Throughput()
    feed(rates, [(2.0, 2000 - i, 1, False) for i in range(1000)])
    trend = rates.trend()
    assert trend.direction == "falling"
    assert trend.percent_per_hour == pytest.approx(-0.25 * 3600 / 750 * 100, rel=0.02)


def test_peak_periods_are_where_it_went_fast() -> None:
    rates = Throughput()
    steps = [(2.0, 2000 if 100 <= i < 110 else 200, 1, False) for i in range(200)]
    feed(rates, steps)
    (period,) = rates.peak_periods()
    assert period.bytes_per_s == pytest.approx(1000)
    assert [period.start, period.end] == pytest.approx([1200, 1220])
    # Buckets that became wider have the end of what is in them.
    coarse = Throughput(buckets=52)  # 400 s: buckets of 8 s
    feed(coarse, [(2.0, 2000 if 20 <= i < 28 else 200, 1, False) for i in range(200)])
    (period,) = coarse.peak_periods()
    assert [period.start, period.end] == pytest.approx([1040, 1056])
    even = Throughput()
    feed(even, [(2.0, 200, 1, False)] * 200)
    assert even.peak_periods() == []


@given(st.lists(st.tuples(st.floats(0.001, 1e6), st.integers(-(10**9), 10**12)), max_size=300))
def test_memory_is_bounded_and_nothing_is_negative(steps: list[tuple[float, int]]) -> None:
    rates = Throughput(buckets=16)
    feed(rates, [(s, m, 0, False) for s, m in steps])
    assert len(rates._buckets) <= 16
    assert len(rates._recent) <= RECENT_S / 0.25 * 2 + 3
    for rate in (rates.current(), rates.average(), rates.mean(60)):
        assert rate is None or rate.bytes_per_s >= 0


def test_a_view_has_times_of_the_wall_clock() -> None:
    rates = Throughput()
    feed(rates, [(2.0, 2000 if 100 <= i < 110 else 200, 1, False) for i in range(200)])
    view = rates.view(1e9)
    assert view.peak is not None
    start = datetime.datetime.fromisoformat(view.peak.start).timestamp()
    assert start == pytest.approx(1e9 + 1200, abs=2.1)
    assert [round(w.seconds) for w in view.windows] == [60, 300]
    assert BUCKETS % 2 == 0


def test_keys_are_bounded_and_lose_nothing() -> None:
    keyed = KeyedThroughput(most_keys=3, buckets=8)
    totals: dict[str, tuple[int, int]] = {}
    for step in range(1, 21):
        totals[f"key{step % 10}"] = (step * 1000, step)
        keyed.observe(float(step), totals)
    assert set(keyed.names()) == {"key1", "key2", "key3", OTHER}
    bytes_of = {}
    for key in keyed.names():
        one = keyed.of(key)
        assert one is not None
        average = one.average()
        assert average is not None
        bytes_of[key] = average.bytes_per_s * average.seconds
    assert bytes_of["key2"] == pytest.approx(12_000)
    # What the first observation had is where counting starts.
    assert sum(bytes_of.values()) == pytest.approx(sum(b for b, _ in totals.values()) - 1000)
    assert keyed.of("never") is None


def test_keys_are_shown_with_their_shares() -> None:
    keyed = KeyedThroughput()
    for step in range(31):
        keyed.observe(float(step), {"video": (step * 300, step), "text": (step * 100, step * 5), "none": (0, 0)})
    video, text, none = keyed.view()
    assert [v.key for v in (video, text, none)] == ["video", "text", "none"]
    assert [video.share, text.share, none.share] == pytest.approx([0.75, 0.25, 0])
    assert video.current is not None
    assert video.current.bytes_per_s == pytest.approx(300)
    assert text.average is not None
    assert text.average.entries_per_s == pytest.approx(5)
