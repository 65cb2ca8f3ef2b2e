"""Which resolution answers which question: the tiers of a history, and the buckets of a chart.

Buckets stand on a fixed grid: number n of width w is from n * w to (n + 1) * w, wall clock seconds. So two queries of
overlapping ranges with the same step agree, and a chart that follows the time does not flicker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

WIDTHS_S = (2, 10, 60, 3600)
"""The tiers. Each divides the next, so that buckets of one fill those of the next exactly."""
KEEP_S = (6 * 3600.0, 3 * 86_400.0, 60 * 86_400.0, 3 * 365 * 86_400.0)
"""How long each is kept unless configured otherwise."""


class Grid(msgspec.Struct, frozen=True):
    """The buckets of a chart: `count` of them, `step_s` long, the first one being number `first` of that width."""

    first: int
    step_s: int
    count: int

    @property
    def start(self) -> int:
        """Where the first one begins, wall clock seconds."""
        return self.first * self.step_s

    @property
    def end(self) -> int:
        """Where the last one ends."""
        return (self.first + self.count) * self.step_s


def grid(start: float, end: float, points: int, width_s: int) -> Grid:
    """Return a grid of at most `points` buckets that covers `start` to `end`.

    Args:
        start, end: wall clock seconds, start < end.
        points: at least 2: a range that crosses a boundary meets two buckets however wide they are.
        width_s: the step is a multiple of this.
    """
    # n buckets cover it if it begins on a boundary; anywhere else it meets one more than its length divided by the
    # step, so n - 1 steps must be as long as it is.
    for divisor in (points, points - 1):
        step = width_s * max(1, math.ceil((end - start) / divisor / width_s))
        first, last = math.floor(start / step), math.ceil(end / step)
        if last - first <= points:
            break
    return Grid(first, step, last - first)


def choose(start: float, end: float, points: int, widths_s: Sequence[int], kept_from: Sequence[float]) -> int:
    """Return the position of the tier to read: the coarsest that is as fine as the buckets asked for, so that no more
    is read than is shown; but if it does not go back to `start`, the next coarser one that does.

    Args:
        widths_s: of the tiers, ascending.
        kept_from: wall clock seconds from which on each still has everything.
    """
    wanted = (end - start) / max(1, points)
    fitting = max((i for i, w in enumerate(widths_s) if w <= wanted), default=0)
    for position in range(fitting, len(widths_s)):
        if kept_from[position] <= start:
            return position
    # None goes back so far: what there is of it is in the one that goes back furthest.
    return min(range(fitting, len(widths_s)), key=lambda i: (kept_from[i], i))
