"""Trends over months and disks that fall behind, on made-up histories of which the truth is known."""

from __future__ import annotations

import datetime
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migmond.analytics.fail_slow import LEARN_FROM, SPANS, Load, SlowDisk, solve
from migmond.analytics.trends import (
    MONTH_S,
    DeviceCost,
    Latency,
    Point,
    latency_drift,
    long_trend,
    slower_over_runs,
)

T0 = 1.7e9


def points(values: list[float]) -> list[Point]:
    return [Point(T0 + i * MONTH_S / 4, v) for i, v in enumerate(values)]


def test_a_rate_that_falls_by_a_tenth_a_month() -> None:
    found = long_trend("rate", points([1000 - 25 * i for i in range(20)]), higher_is_better=True)
    assert found.direction == "worse"
    assert found.percent_per_30_days == pytest.approx(-100 / 762.5 * 100)
    assert found.p is not None
    assert found.p < 1e-6
    assert long_trend("errors", points([1.0 * i for i in range(20)]), higher_is_better=False).direction == "worse"
    assert long_trend("errors", points([20.0 - i for i in range(20)]), higher_is_better=False).direction == "better"


def test_noise_and_few_runs_are_no_trend() -> None:
    rng = random.Random(11)
    wrong = sum(
        long_trend("x", points([rng.uniform(50, 150) for _ in range(20)]), higher_is_better=True).direction != "steady"
        for _ in range(100)
    )
    assert wrong <= 12
    few = long_trend("x", points([1.0, 2.0, 3.0, 4.0]), higher_is_better=True)
    assert (few.direction, few.percent_per_30_days) == ("unknown", None)
    assert "4 executions" in few.reason
    assert (
        long_trend("x", [Point(T0, float(i)) for i in range(9)], higher_is_better=True).reason == "all at the same time"
    )
    assert long_trend("x", points([0.0] * 9), higher_is_better=True).direction == "steady"
    assert long_trend("x", [], higher_is_better=True).since is None


@given(st.permutations(range(12)))
def test_the_order_in_which_runs_are_given_does_not_matter(order: list[int]) -> None:
    all_points = points([100 + 3 * i + (7 * i) % 5 for i in range(12)])
    shuffled = [all_points[i] for i in order]
    assert long_trend("x", shuffled, higher_is_better=True) == long_trend("x", all_points, higher_is_better=True)


# --- against peers ---------------------------------------------------------------------------------


def history(growth: dict[str, float], runs: int = 12, all_of_them: float = 1.0, seed: int = 2) -> list[Latency]:
    """Latencies of disks that become slower by a factor over the runs, and by another one all of them."""
    rng = random.Random(seed)
    return [
        Latency(
            T0 + i * MONTH_S, disk, "tiny",
            0.01 * (factor * all_of_them) ** (i / (runs - 1)) * math.exp(rng.gauss(0, 0.03)),
        )
        for disk, factor in growth.items()
        for i in range(runs)
    ]  # fmt: skip


def test_the_one_that_falls_behind_is_named() -> None:
    peers = dict.fromkeys(("sda", "sdb", "sdc", "sdd"), "hdd")
    (found,) = latency_drift(history({"sda": 1.0, "sdb": 1.0, "sdc": 1.8, "sdd": 1.0}), peers)
    assert (found.device, found.kind, found.severity) == ("sdc", "latency_drift", "warning")
    assert found.value == pytest.approx(1.8, rel=0.1)
    assert "beside 3 disks" in found.evidence
    assert datetime.datetime.fromisoformat(found.since).timestamp() == pytest.approx(T0)


def test_what_slows_all_of_them_is_no_disks_fault() -> None:
    peers = dict.fromkeys(("sda", "sdb", "sdc"), "hdd")
    assert latency_drift(history({"sda": 1.0, "sdb": 1.0, "sdc": 1.0}, all_of_them=2.0), peers) == []
    (alone,) = latency_drift(history({"sda": 2.0}), {"sda": "hdd"})
    assert "too few like it" in alone.evidence
    others = {"sda": "hdd", "sdb": "nvme", "sdc": "nvme"}
    found = latency_drift(history({"sda": 2.0, "sdb": 1.0, "sdc": 1.0}), others)
    assert [f.device for f in found] == ["sda"]
    assert "too few like it" in found[0].evidence
    assert latency_drift(history({"sda": 2.0}, runs=4), {}) == []


def test_slower_by_the_byte_over_runs() -> None:
    rng = random.Random(3)
    rising = [DeviceCost(T0 + i * MONTH_S, 1e-8 * 1.05**i * math.exp(rng.gauss(0, 0.02))) for i in range(10)]
    found = slower_over_runs("sdb", rising)
    assert found is not None
    assert found.value == pytest.approx(1.05**9, rel=0.05)
    assert found.value > found.threshold
    assert "10 executions" in found.evidence
    assert slower_over_runs("sdb", rising[:4]) is None
    assert slower_over_runs("sdb", [DeviceCost(T0 + i * MONTH_S, 1e-8 * 1.01**i) for i in range(10)]) is None
    assert slower_over_runs("sdb", list(reversed(rising))) == found


# --- while it runs ---------------------------------------------------------------------------------


def load(at: float, rng: random.Random, movers: int, sick: float = 1.0, explained: bool = False) -> Load:
    """A disk in a closed loop: so many movers wait for it, each request takes 5 ms and its bytes at 150 MB/s."""
    request = rng.choice([16, 128, 512]) * 1024
    each = (0.005 + request / 150e6) * sick * math.exp(rng.gauss(0, 0.1))
    return Load(at, each * movers, request / each, float(movers), float(request), explained)


def watch(plan: list[tuple[float, float, int]], explained: bool = False) -> SlowDisk:
    """`plan`: minutes, how many times slower, movers."""
    disk, rng, at = SlowDisk("sdc"), random.Random(7), T0
    for minutes, sick, movers in plan:
        for _ in range(int(minutes * 30)):
            disk.observe(load(at, rng, movers, sick, explained and sick > 1))
            at += 2
    return disk


HEALTHY = [(30.0, 1.0, 2), (10.0, 1.0, 4), (20.0, 1.0, 1)]
SICK = [(6.0, 6.0, 2), (10.0, 1.0, 2)]


def test_three_slow_spans_are_found() -> None:
    found = watch(HEALTHY + SICK * SPANS).finding()
    assert found is not None
    assert found.value > found.threshold
    assert datetime.datetime.fromisoformat(found.since).timestamp() == pytest.approx(T0 + 3600, abs=10)
    assert watch(HEALTHY + SICK * (SPANS - 1)).finding() is None


def test_load_alone_is_no_sickness() -> None:
    busy = [(6.0, 1.0, 8), (10.0, 1.0, 2)]
    assert watch(HEALTHY + busy * 4).finding() is None
    assert watch([(30.0, 1.0, 2), *busy * 4]).finding() is None  # more than it has ever seen
    assert watch(HEALTHY + [(3.0, 6.0, 2), (10.0, 1.0, 2)] * 5).finding() is None  # never for 5 minutes
    assert watch(HEALTHY + SICK * SPANS, explained=True).finding() is None


def test_nothing_is_told_before_it_has_learnt() -> None:
    disk, rng = SlowDisk("sdc"), random.Random(1)
    told = [disk.observe(load(T0 + 2 * i, rng, 2)) for i in range(LEARN_FROM + 1)]
    assert told[:LEARN_FROM] == [None] * LEARN_FROM
    assert told[LEARN_FROM] is not None
    assert disk.observe(Load(T0, 0.0, 0.0, 0.0, 0.0)) is None


@given(
    st.lists(st.lists(st.floats(-10, 10), min_size=3, max_size=3), min_size=3, max_size=3),
    st.lists(st.floats(-10, 10), min_size=3, max_size=3),
)
def test_equations_are_solved(noise: list[list[float]], x: list[float]) -> None:
    a = [[v + (40 if i == j else 0) for j, v in enumerate(row)] for i, row in enumerate(noise)]
    y = [sum(v * w for v, w in zip(row, x, strict=True)) for row in a]
    assert solve(a, y) == pytest.approx(x, abs=1e-6)
    with pytest.raises(ValueError, match="singular"):
        solve([[0.0, 0.0], [0.0, 0.0]], [1.0, 1.0])
