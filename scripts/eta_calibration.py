"""Conformal calibration of the predictor's bands on simulated runs: the table in migmond/analytics/calibration.py."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eta_traces import Trace
from eta_worlds import FAMILIES, simulated
from migmond.analytics.calibration import BUCKETS, PROBABILITIES, WIDENING, interpolate
from migmond.analytics.measures import Forecast
from migmond.analytics.predictor import Predictor

SEEDS = range(1000, 1018)
"""Of runs to calibrate on. Tests and the bench use others."""

SEVERITIES = (0.7, 1.0, 1.5)
"""The seeds take turns with these: a table for calm runs alone would promise too much."""

EVERY = 0.025
"""Share of a run between two points that are looked at."""

LEVEL = 0.9


@dataclass
class Sample:
    """One prediction: its family, its bucket of progress, and log(true ÷ predicted) ÷ spread."""

    family: str
    bucket: int
    z: float


def samples(trace: Trace) -> list[Sample]:
    """Return what the predictor said at points of `trace`, after the operator's last action."""
    predictor = Predictor(trace.shape, trace.history)
    found, due, last_action = [], EVERY * trace.end, trace.last_action
    for tick in trace.ticks:
        predictor.tick(tick)
        if tick.t < due:
            continue
        due = tick.t + EVERY * trace.end
        forecast = predictor.forecast()
        true = trace.end - tick.t
        if tick.t < last_action or true <= 0 or not isinstance(forecast, Forecast) or forecast.remaining_s <= 0:
            continue
        bucket = bisect_right(BUCKETS, tick.t / (tick.t + forecast.remaining_s))
        found.append(Sample(trace.family, bucket, math.log(true / forecast.remaining_s) / predictor.spread()))
    return found


def calibration_samples(seeds: Iterable[int] = SEEDS) -> list[Sample]:
    """Return the samples of runs of every family."""
    return [
        sample
        for family in FAMILIES
        for seed in seeds
        for sample in samples(simulated(family, seed, SEVERITIES[seed % len(SEVERITIES)]))
    ]


def table(found: Sequence[Sample]) -> list[list[float]]:
    """Return a row of quantiles at PROBABILITIES for each bucket of progress.

    Split conformal: the k-th smallest of n with k = p · (n + 1), between neighbours on a line.
    """
    rows = []
    for bucket in range(len(BUCKETS) + 1):
        zs = sorted(s.z for s in found if s.bucket == bucket)
        row = []
        for p in PROBABILITIES:
            at = min(len(zs) - 1.0, max(0.0, p * (len(zs) + 1) - 1))
            low = int(at)
            high = min(len(zs) - 1, low + 1)
            row.append(round(zs[low] + (zs[high] - zs[low]) * (at - low), 3))
        rows.append(row)
    return rows


def coverage(rows: Sequence[Sequence[float]], found: Sequence[Sample]) -> float:
    """Return the share of `found` that lies in the 90 % band which `rows` mean."""
    outside = WIDENING * (1 - LEVEL) / 2
    bands = [
        (interpolate(outside, PROBABILITIES, tuple(row)), interpolate(1 - outside, PROBABILITIES, tuple(row)))
        for row in rows
    ]
    return sum(bands[s.bucket][0] <= s.z <= bands[s.bucket][1] for s in found) / len(found)


def held_out(found: Sequence[Sample]) -> dict[str, float]:
    """Return for each family the coverage of a table that was made of all other families."""
    return {
        family: coverage(table([s for s in found if s.family != family]), [s for s in found if s.family == family])
        for family in FAMILIES
    }


def text(found: Sequence[Sample]) -> str:
    """Return the table as source text for migmond/analytics/calibration.py, with what it is worth."""
    lines = ["QUANTILES = ("]
    lines += [f"    ({', '.join(f'{q:g}' if q % 1 else f'{q:.1f}' for q in row)})," for row in table(found)]
    lines += [
        ")",
        "",
        f"# {len(found)} predictions. Coverage of the 90 % band on a family that the table does not know:",
    ]
    lines += [f"# {family:10} {share:6.1%}" for family, share in held_out(found).items()]
    return "\n".join(lines)
