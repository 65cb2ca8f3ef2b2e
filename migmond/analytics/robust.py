"""Statistics that a few wild values do not move: quantiles, Theil-Sen slopes, and whether a trend is one at all."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence

import msgspec

EXACT_BELOW = 10
"""Mann-Kendall's normal approximation is good from 10 values on (Gilbert 1987, section 16.4.2); with fewer, and no two
alike, the distribution is counted out."""

MOST_POINTS = 400
"""Theil-Sen looks at all pairs: 80,000 of them take some 30 ms. Callers with more points take means first."""


class Slope(msgspec.Struct, frozen=True):
    """A line through points, and how surely it is not level.

    Attributes:
        per_unit: rise for one unit of x.
        at_zero: y at x = 0.
        p: probability of a trend at least as clear if there were none (two-sided); 1 is no sign of any.
        points: how many it rests on.
    """

    per_unit: float
    at_zero: float
    p: float
    points: int

    def at(self, x: float) -> float:
        return self.at_zero + self.per_unit * x


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of `values` lie, interpolated (type 7 of Hyndman & Fan 1996, the
    default of R and NumPy).

    Raises:
        ValueError: no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def theil_sen(x: Sequence[float], y: Sequence[float]) -> tuple[float, float] | None:
    """Return the median slope of all pairs of points and the median of what it leaves (Theil 1950, Sen 1968).

    Up to 29 % of the points may be arbitrarily wrong. None when no two differ in x.

    Raises:
        ValueError: more than `MOST_POINTS`.
    """
    if len(x) > MOST_POINTS:
        raise ValueError(f"at most {MOST_POINTS} points")
    slopes = [
        (y[j] - y[i]) / (x[j] - x[i]) for i in range(len(x)) for j in range(i + 1, len(x)) if x[j] != x[i]
    ]  # fmt: skip
    if not slopes:
        return None
    slope = statistics.median(slopes)
    return slope, statistics.median(b - slope * a for a, b in zip(x, y, strict=True))


def mann_kendall(values: Sequence[float], inflation: float = 1.0) -> float:
    """Return the two-sided p of a monotonic trend in `values`, which are in order of time (Mann 1945, Kendall 1975).

    S is the number of pairs that rise less those that fall; its variance is n(n-1)(2n+5)/18, less
    t(t-1)(2t+5)/18 for each group of t equal values (Gilbert 1987, formula 16.4).

    Args:
        inflation: of that variance; above 1 when neighbours resemble each other, see `variance_inflation`.
    """
    n = len(values)
    if n < 3:
        return 1.0
    s = sum(
        (values[j] > values[i]) - (values[j] < values[i]) for i in range(n) for j in range(i + 1, n)
    )  # fmt: skip
    ties = [t for t in Counter(values).values() if t > 1]
    if n < EXACT_BELOW and not ties and inflation <= 1:
        return _exact_p(n, s)
    variance = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties)) / 18 * max(1.0, inflation)
    if variance <= 0 or s == 0:
        return 1.0
    return math.erfc((abs(s) - 1) / math.sqrt(2 * variance))


def _exact_p(n: int, s: int) -> float:
    """Of all n! orders, the share that have an S at least as far from 0. By inversions: S = n(n-1)/2 - 2 inversions."""
    counts = [1]
    for size in range(2, n + 1):
        longer = [0] * (len(counts) + size - 1)
        for inversions, orders in enumerate(counts):
            for more in range(size):
                longer[inversions + more] += orders
        counts = longer
    pairs = n * (n - 1) // 2
    return sum(orders for inversions, orders in enumerate(counts) if abs(pairs - 2 * inversions) >= abs(s)) / sum(
        counts
    )


def variance_inflation(residuals: Sequence[float]) -> float:
    """Return by how much neighbours' resemblance inflates the variance of Mann-Kendall's S, at least 1.

    For a first-order process with lag-1 correlation r it is about (1 + r)/(1 - r) (Yue & Wang 2004). Without it any
    smooth wave passes for a trend. The sample's r is too low by (1 + 3r)/n (Marriott & Pope 1954).
    """
    n = len(residuals)
    if n < 4:
        return 1.0
    mean = statistics.fmean(residuals)
    spread = math.fsum((v - mean) ** 2 for v in residuals)
    if spread <= 0:
        return 1.0
    r = math.fsum((residuals[i] - mean) * (residuals[i + 1] - mean) for i in range(n - 1)) / spread
    if r <= 0:
        return 1.0
    r = min(0.95, r + (1 + 3 * r) / n)
    return (1 + r) / (1 - r)


def trend(x: Sequence[float], y: Sequence[float], *, neighbours_alike: bool = False) -> Slope | None:
    """Return the line through points that are in order of x, with its significance; None for fewer than 3.

    Args:
        neighbours_alike: values close to each other in time depend on each other: allow for it.
    """
    line = theil_sen(x, y) if len(x) >= 3 else None
    if line is None:
        return None
    slope, at_zero = line
    inflation = variance_inflation([b - slope * a for a, b in zip(x, y, strict=True)]) if neighbours_alike else 1.0
    return Slope(slope, at_zero, mann_kendall(y, inflation), len(x))
