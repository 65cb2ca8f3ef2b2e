"""How migrations develop over months, and whether a disk falls behind its peers."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from migmond.analytics.robust import MOST_POINTS, quantile, trend
from migmond.analytics.times import time_text
from migmond.domain.analysis import DeviceFinding, LongTrend

MONTH_S = 30 * 86_400.0
ENOUGH_RUNS = 5
"""Slopes of fewer runs are not told (design page ETA, "Fail-slow": at least 5). Mann-Kendall needs them all in one
direction then: p = 2/120."""
SIGNIFICANT = 0.05
WORTH_TELLING = 0.05
"""A change over all runs below this share of the median is steady."""
WORSE = 0.25
"""A disk whose costs rose by more than this is worth a look (design page ETA, "Fail-slow")."""
PEERS = 2


class Point(msgspec.Struct, frozen=True):
    """A figure of one execution: `at` is its end, wall clock seconds."""

    at: float
    value: float


def long_trend(name: str, points: Iterable[Point], *, higher_is_better: bool) -> LongTrend:
    """Return how a figure of executions develops: Theil-Sen and Mann-Kendall over the newest `MOST_POINTS` of them.

    Runs days apart do not depend on each other, so that p needs no allowance for neighbours.
    """
    ordered = sorted(points, key=lambda p: p.at)[-MOST_POINTS:]
    since = time_text(ordered[0].at) if ordered else None
    values = [p.value for p in ordered]

    def unknown(reason: str) -> LongTrend:
        return LongTrend(name, "unknown", None, None, len(ordered), since, reason)

    if len(ordered) < ENOUGH_RUNS:
        return unknown(f"{len(ordered)} executions; {ENOUGH_RUNS} are needed")
    line = trend([(p.at - ordered[0].at) / MONTH_S for p in ordered], values)
    if line is None:
        return unknown("all at the same time")
    middle = abs(quantile(values, 0.5)) or max(abs(v) for v in values)
    if middle == 0:
        return LongTrend(name, "steady", 0.0, 1.0, len(ordered), since, "")
    over_all = abs(line.per_unit) * (ordered[-1].at - ordered[0].at) / MONTH_S / middle
    direction = "steady"
    if line.p < SIGNIFICANT and over_all >= WORTH_TELLING:
        direction = "better" if (line.per_unit > 0) == higher_is_better else "worse"
    return LongTrend(name, direction, 100 * line.per_unit / middle, line.p, line.points, since, "")


class Latency(msgspec.Struct, frozen=True):
    """What a request or file of one size class took on one disk in one execution, median seconds."""

    at: float
    device: str
    size_class: str
    seconds: float


def latency_drift(readings: Iterable[Latency], peers: Mapping[str, str]) -> list[DeviceFinding]:
    """Return disks that became slower than their peers by more than `WORSE`, worst first, one finding each.

    Each reading is compared with what the peers' median was in the same size class: what slows all of them (a new
    kernel, other files) is no finding. A disk's drift in a class is the Theil-Sen slope of the logarithm of that ratio,
    over the time that it was watched; it counts when it is significant and rests on `ENOUGH_RUNS` readings. Without
    peers the disk's own past is all there is, and the finding says so.

    Args:
        readings: of months; each disk's in any order.
        peers: class of each disk (its model, or "hdd"): peers are others of the same class.
    """
    by_disk: dict[tuple[str, str], list[Latency]] = defaultdict(list)
    for reading in readings:
        if reading.seconds > 0:
            by_disk[reading.device, reading.size_class].append(reading)
    worst: dict[str, tuple[float, DeviceFinding]] = {}
    for (device, size_class), own in by_disk.items():
        others = [
            readings_of_one
            for (other, same_class), readings_of_one in by_disk.items()
            if other != device and same_class == size_class and peers.get(other, other) == peers.get(device, device)
        ]
        found = _drift(device, size_class, sorted(own, key=lambda r: r.at)[-MOST_POINTS:], others)
        if found is not None and (device not in worst or found[0] > worst[device][0]):
            worst[device] = found
    return [finding for _, finding in sorted(worst.values(), key=lambda f: -f[0])]


def _drift(
    device: str, size_class: str, own: Sequence[Latency], others: Sequence[Sequence[Latency]]
) -> tuple[float, DeviceFinding] | None:
    if len(own) < ENOUGH_RUNS:
        return None
    with_peers = len(others) >= PEERS
    logs = []
    for reading in own:
        usual = 1.0
        if with_peers:
            usual = statistics.median(min(them, key=lambda r: abs(r.at - reading.at)).seconds for them in others)
        logs.append(math.log(reading.seconds / usual))
    line = trend([(r.at - own[0].at) / MONTH_S for r in own], logs)
    if line is None or line.p >= SIGNIFICANT:
        return None
    growth = math.exp(line.per_unit * (own[-1].at - own[0].at) / MONTH_S) - 1
    if growth <= WORSE:
        return None
    against = f"beside {len(others)} disks like it" if with_peers else "by its own past; there are too few like it"
    evidence = (
        f"{size_class}: {own[0].seconds * 1000:.3g} → {own[-1].seconds * 1000:.3g} ms over {len(own)} executions, "
        f"{against}, p = {line.p:.2g}"
    )
    return growth, DeviceFinding(
        device, "latency_drift", "warning", f"{device} has become {growth:.0%} slower", 1 + growth, 1 + WORSE, "ratio",
        time_text(own[0].at), evidence,
        "run a long self-test; check cable and port; a shingled disk that is nearly full does the same",
    )  # fmt: skip


class DeviceCost(msgspec.Struct, frozen=True):
    """Seconds per byte `b` that an execution's end at `at` has shown for a disk as a target or source."""

    at: float
    b: float


def slower_over_runs(device: str, costs: Sequence[DeviceCost]) -> DeviceFinding | None:
    """Return a finding when a disk's seconds per byte rose by more than `WORSE` over at least `ENOUGH_RUNS` runs.

    Robust slope of b over the runs, compared with its start (design page ETA, "Fail-slow"); only if significant.
    """
    ordered = sorted((c for c in costs if c.b > 0), key=lambda c: c.at)[-MOST_POINTS:]
    if len(ordered) < ENOUGH_RUNS:
        return None
    x = [(c.at - ordered[0].at) / MONTH_S for c in ordered]
    line = trend(x, [math.log(c.b) for c in ordered])
    if line is None or line.p >= SIGNIFICANT:
        return None
    growth = math.exp(line.per_unit * x[-1]) - 1
    if growth <= WORSE:
        return None
    evidence = (
        f"{1e-6 / ordered[0].b:.3g} → {1e-6 / ordered[-1].b:.3g} MB/s over {len(ordered)} executions, p = {line.p:.2g}"
    )
    return DeviceFinding(
        device, "slower_over_runs", "warning", f"{device} needs {growth:.0%} longer for a byte", 1 + growth, 1 + WORSE,
        "ratio", time_text(ordered[0].at), evidence,
        "run a long self-test; check cable and port; a shingled disk that is nearly full does the same",
    )  # fmt: skip
