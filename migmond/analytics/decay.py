"""Did a run become slower for good as it went on? A cache that is full, shingles that are cleaned, heat."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import msgspec

from migmond.analytics.fitting import fit, windows
from migmond.analytics.measures import Cost, Tick, Unknown

LEAST_POINTS = 20
"""Windows without which nothing is said: below, one directory of other files looks like a step."""

STEP, EXPLAINED = 1.35, 0.5
"""A cliff is a step to at least 1.35 times the cost (a known cliff agrees within 35 %: design page ETA, 8) that
explains half of the variance."""

TREND_Z, TREND = 3.0, 1.25
"""A trend is significant at z = 3 of Mann and Kendall's test and makes a quarter's difference (design page ETA,
"Fail-slow")."""


class Cliff(msgspec.Struct, frozen=True):
    """After `bytes` written, work took `slowdown` times as long: a cache of the target was full (SLC, SMR)."""

    bytes: int
    slowdown: float


class Fading(msgspec.Struct, frozen=True):
    """Work takes longer and longer, `slowdown` times as long at the end as at the start: heat, a full disk."""

    slowdown: float


class Sawtooth(msgspec.Struct, frozen=True):
    """The speed goes down and up again: `times` steps of at least 1.35. A device that is throttled when hot, or other
    load."""

    times: int


def slow_decay(ticks: Sequence[Tick]) -> Cliff | Fading | Sawtooth | Unknown | None:
    """Return how the run of `ticks` so far became slower; None when it did not.

    What is compared is the time of each window with what its files and bytes cost over the whole run, so that a
    directory of small files is no decay. Ticks under a limit are left out: the limit explains them.
    """
    points = windows(ticks, limited=False)
    whole = fit(ticks)
    if whole is None or len(points) < LEAST_POINTS:
        return Unknown("too little was measured without a limit")
    written, costs, total = [], [], 0
    for took, files, size in points:
        expected = whole.a * files + whole.b * size
        total += size
        if took > 0 and expected > 0:
            written.append(total)
            # One stall must not look like a step.
            costs.append(math.log(min(4.0, max(0.1, took / expected))))
    if len(costs) < LEAST_POINTS:
        return Unknown("too little was measured without a limit")
    at, step, explained = _best_step(costs)
    turns = _turns(costs)
    if turns >= 3:
        return Sawtooth(turns)
    if step >= math.log(STEP) and explained >= EXPLAINED:
        return Cliff(written[at - 1], math.exp(step))
    z, slope = _trend(costs)
    change = math.exp(slope * len(costs))
    return Fading(change) if z >= TREND_Z and change >= TREND else None


def learnt(ticks: Sequence[Tick]) -> Cost | None:
    """Return what the next run on these devices is to know of an ended one: its costs, those before a cliff if it met
    one, and the cliff. None when nothing was done."""
    decay = slow_decay(ticks)
    if isinstance(decay, Cliff):
        before = fit([t for t in ticks if t.bytes <= decay.bytes])
        if before is not None and before.b > 0:
            return Cost(before.a, before.b, float(decay.bytes), decay.slowdown)
    return fit(ticks)


def _best_step(costs: Sequence[float]) -> tuple[int, float, float]:
    """Return before which point one step explains most, how high it is, and the share of the variance it explains."""
    n, total = len(costs), math.fsum(costs)
    mean = total / n
    variance = math.fsum((c - mean) ** 2 for c in costs)
    best = (1, 0.0, 0.0)
    before = 0.0
    for i in range(1, n):
        before += costs[i - 1]
        low, high = before / i, (total - before) / (n - i)
        explained = (i * (low - mean) ** 2 + (n - i) * (high - mean) ** 2) / variance if variance > 0 else 0.0
        if min(i, n - i) >= LEAST_POINTS // 4 and explained > best[2]:
            best = (i, high - low, explained)
    return best


def _turns(costs: Sequence[float]) -> int:
    """Return how often a mean of five windows went from fast to slow or back, by a step of STEP."""
    smooth = [statistics.median(costs[max(0, i - 2) : i + 3]) for i in range(len(costs))]
    middle, half = (max(smooth) + min(smooth)) / 2, math.log(STEP) / 2
    slow, turns = None, 0
    for value in smooth:
        now = True if value > middle + half else False if value < middle - half else slow
        turns += now is not None and slow is not None and now is not slow
        slow = now
    return turns


def _trend(costs: Sequence[float]) -> tuple[float, float]:
    """Return Mann and Kendall's z and Theil and Sen's slope for each window."""
    n = len(costs)
    pairs = [(costs[j] - costs[i]) / (j - i) for i in range(n) for j in range(i + 1, n)]
    s = sum((p > 0) - (p < 0) for p in pairs)
    return (s - (s > 0) + (s < 0)) / math.sqrt(n * (n - 1) * (2 * n + 5) / 18), statistics.median(pairs)
