"""How good predictions were, from nothing but the predictions and the end: scripts/eta-bench."""

from __future__ import annotations

import random
import statistics
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from eta_formulas import Predictions

POINTS = tuple(p / 100 for p in range(10, 91, 5))
"""Shares of the active time at which predictions are scored."""

MOST_ERROR = 10.0
"""An error counts at most 1000 %."""


@dataclass
class Score:
    """Of one predictor on one trace.

    Attributes:
        errors: |predicted − true| ÷ true remaining at each point with a prediction, capped.
        inside: for each with a band: does it hold the true value?
        jitter: way of the predicted end from point to point ÷ the run's time.
        flicker: the same over every prediction: what somebody sees who looks on all the time.
        unknown: points without a prediction.
    """

    errors: list[float] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)
    jitter: float = 0.0
    flicker: float = 0.0
    unknown: int = 0

    @property
    def mape(self) -> float | None:
        return statistics.fmean(self.errors) if self.errors else None


def score(predictions: Predictions, end: float, last_action: float = 0.0) -> Score:
    """Return the score of the predictions of a run that took `end` active seconds.

    At each point counts the latest prediction that was there then. Points up to the operator's last action do not
    count: nobody can foresee it. If it is so late that no point is left (a worker that ends when the queue is empty
    looks like one), all count.
    """
    found = Score()
    if last_action > POINTS[-1] * end:
        last_action = 0.0
    times = [t for t, _ in predictions]
    before: float | None = None
    for point in POINTS:
        at = point * end
        if at < last_action or end <= 0:
            continue
        i = bisect_right(times, at) - 1
        if i < 0 or predictions[i][1].remaining is None:
            found.unknown += 1
            continue
        t, p = predictions[i]
        assert p.remaining is not None
        true = end - t
        found.errors.append(min(MOST_ERROR, abs(p.remaining - true) / true))
        if p.low is not None and p.high is not None:
            found.inside.append(p.low <= true <= p.high)
        if before is not None:
            found.jitter += min(MOST_ERROR, abs(t + p.remaining - before) / end)
        before = t + p.remaining
    ends = [
        t + p.remaining
        for t, p in predictions
        if p.remaining is not None and t >= max(last_action, 0.1 * end) and t <= 0.9 * end
    ]
    found.flicker = sum(abs(y - x) for x, y in pairwise(ends)) / end if end > 0 else 0.0
    return found


@dataclass
class Summary:
    """Of one predictor on many traces; shares, not percent. None: nothing to say it of."""

    traces: int
    mape: float | None
    median: float | None
    coverage: float | None
    jitter: float | None
    flicker: float | None
    unknown: float


def summary(scores: Sequence[Score]) -> Summary:
    """Return the figures of the table. Each trace counts as much as any other for MAPE and jitter; median and coverage
    are over all points."""
    used = [s for s in scores if s.errors]
    errors = [e for s in used for e in s.errors]
    inside = [i for s in used for i in s.inside]
    points = len(errors) + sum(s.unknown for s in scores)
    return Summary(
        traces=len(used),
        mape=statistics.fmean(m for s in used if (m := s.mape) is not None) if used else None,
        median=statistics.median(errors) if errors else None,
        coverage=statistics.fmean(inside) if inside else None,
        jitter=statistics.fmean(s.jitter for s in used) if used else None,
        flicker=statistics.fmean(s.flicker for s in used) if used else None,
        unknown=sum(s.unknown for s in scores) / points if points else 0.0,
    )


def bootstrap(
    scores: Sequence[Score], figure: Callable[[Summary], float | None], rng: random.Random, rounds: int = 200
) -> tuple[float, float] | None:
    """Return the middle 90 % of a figure when whole traces are drawn anew; None where there is none."""
    values = (
        sorted(v for _ in range(rounds) if (v := figure(summary(rng.choices(scores, k=len(scores))))) is not None)
        if scores
        else []
    )
    return (values[len(values) // 20], values[-1 - len(values) // 20]) if values else None
