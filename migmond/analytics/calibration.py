"""How far predictions were off, in units of the spread that they stated themselves (design page ETA, 9)."""

from __future__ import annotations

from bisect import bisect_right

PROBABILITIES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)

BUCKETS = (0.1, 0.25, 0.45, 0.65, 0.85)
"""Progress by predicted time at which the next of the six rows begins."""

QUANTILES = (
    (-2.917, -2.107, -1.641, -1.233, -0.638, -0.091, 0.364, 0.87, 1.231, 1.716, 2.446),
    (-2.491, -2.148, -1.812, -1.272, -0.546, -0.017, 0.35, 0.902, 1.521, 2.033, 3.448),
    (-2.49, -2.012, -1.544, -1.05, -0.39, 0.042, 0.431, 1.079, 1.679, 2.233, 3.414),
    (-2.358, -1.788, -1.334, -0.914, -0.365, 0.05, 0.395, 0.935, 1.348, 1.955, 2.511),
    (-2.394, -1.684, -1.272, -0.937, -0.382, 0.061, 0.447, 1.008, 1.549, 2.165, 2.883),
    (-1.745, -1.319, -1.063, -0.728, -0.326, 0.052, 0.406, 0.897, 1.192, 1.471, 1.982),
)
"""log(true ÷ predicted) ÷ spread: a row for each bucket of progress, a column for each of PROBABILITIES.

Split conformal on 342 simulated runs, 18 of each of 19 families, at 0.7, 1 and 1.5 times the usual severity, with
seeds that neither tests nor the bench's table use: `scripts/eta-bench --calibrate` prints this table, and what a table
made of 18 families covers of the 19th (68 to 100 % for a band of 90 %: least where a cache fills up that nobody knows).
Make it anew when a constant of the predictor changes.
"""

WIDENING = 0.85
"""A band of level L is drawn at 1 - 0.85 · (1 - L), 90 % at 91.5 %: runs to come differ more from those of the table
than these among themselves. The design page (ETA, 9) has 93 % for a table of one severity; this one knows three, and at
93 % calm runs were in their band too often (96 %)."""


def row(progress: float) -> tuple[float, ...]:
    """Return the quantiles at PROBABILITIES of log(true ÷ predicted) ÷ spread.

    Args:
        progress: elapsed ÷ (elapsed + predicted remaining), 0 to 1.
    """
    return QUANTILES[bisect_right(BUCKETS, progress)]


def band(progress: float, level: float) -> tuple[float, float]:
    """Return the quantiles between which the true value lies with probability `level` (0 < level < 1)."""
    outside = WIDENING * (1.0 - level) / 2
    values = row(progress)
    return interpolate(outside, PROBABILITIES, values), interpolate(1.0 - outside, PROBABILITIES, values)


def probability_between(progress: float, low: float, high: float) -> float:
    """Return the probability that log(true ÷ predicted) ÷ spread lies between `low` and `high`."""
    values = row(progress)
    return max(0.0, interpolate(high, values, PROBABILITIES) - interpolate(low, values, PROBABILITIES))


def interpolate(x: float, xs: tuple[float, ...], ys: tuple[float, ...]) -> float:
    """Return y at `x` on the line through the points; beyond the first and last it stays. `xs` must not fall."""
    if x <= xs[0]:
        return ys[0]
    if x >= xs[-1]:
        return ys[-1]
    i = bisect_right(xs, x)
    x0, x1, y0, y1 = xs[i - 1], xs[i], ys[i - 1], ys[i]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
